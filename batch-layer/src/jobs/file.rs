//! The SQL file of a job. Its head may declare parameters:
//!
//! ```sql
//! -- Kilometres a day.
//! -- param from: timestamp = 2026-01-01
//! -- param vehicle: text
//! SELECT ... WHERE timestamp >= $from AND device_id = $vehicle
//! ```

use std::path::Path;

use lake::query::{Declared, ParameterType};

/// Larger files are no query that somebody wrote.
const BYTES_MAX: u64 = 1 << 20;

/// A job's statement and what its head says of parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct JobFile {
    /// All of it.
    pub sql: String,
    /// In the order in which they are declared.
    pub declared: Vec<Declared>,
}

impl JobFile {
    /// Reads a file.
    ///
    /// # Errors
    /// Names the file, the line, and what was expected.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let size = std::fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?;
        if size.len() > BYTES_MAX {
            let bytes = size.len();
            return Err(format!(
                "{shown} has {bytes} bytes; expected a query of at most {BYTES_MAX}"
            ));
        }
        let sql = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
        Self::parse(sql).map_err(|error| format!("{shown}: {error}"))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// Names the line and what was expected.
    pub fn parse(sql: String) -> Result<Self, String> {
        let mut declared: Vec<Declared> = Vec::new();
        for (number, line) in sql.lines().enumerate() {
            let line = line.trim();
            let Some(comment) = line.strip_prefix("--") else {
                match line.is_empty() {
                    true => continue,
                    false => break, // the head is over
                }
            };
            let Some(text) = comment.trim().strip_prefix("param ") else {
                continue;
            };
            let one = parameter(text).map_err(|error| format!("line {}: {error}", number + 1))?;
            if declared.iter().any(|other| other.name == one.name) {
                let name = one.name;
                return Err(format!(
                    "line {}: parameter {name} is declared twice",
                    number + 1
                ));
            }
            declared.push(one);
        }
        Ok(Self { sql, declared })
    }
}

/// `from: timestamp = 2026-01-01`
fn parameter(text: &str) -> Result<Declared, String> {
    let shape = || {
        format!("\"{text}\"; expected a parameter such as -- param from: timestamp = 2026-01-01")
    };
    let (name, rest) = text.split_once(':').ok_or_else(shape)?;
    let (type_name, default) = match rest.split_once('=') {
        Some((type_name, default)) => (type_name, Some(default.trim())),
        None => (rest, None),
    };
    let name = name.trim();
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(shape());
    }
    let value_type = ParameterType::from_name(type_name.trim()).ok_or_else(|| {
        let names = ParameterType::ALL.map(ParameterType::name).join(", ");
        format!(
            "parameter {name} is of type \"{}\"; expected one of {names}",
            type_name.trim()
        )
    })?;
    let default = default.map(|text| value_type.read(name, text)).transpose();
    Ok(Declared {
        name: name.to_owned(),
        value_type,
        default: default.map_err(|error| error.to_string())?,
    })
}

#[cfg(test)]
mod tests {
    use lake::query::ParameterValue;

    use super::*;

    #[test]
    fn the_head_declares_parameters_and_the_rest_does_not() {
        let sql = "-- What it is.\n\n--param from: timestamp = 2026-01-01\n-- param  name :Text\n\
                   SELECT 1 -- param no: text\n-- param neither: text\n";
        let file = JobFile::parse(sql.to_owned()).expect("a file");
        let names: Vec<_> = file.declared.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["from", "name"]);
        assert!(matches!(
            file.declared[0].default,
            Some(ParameterValue::Timestamp(_))
        ));
        assert_eq!(file.declared[1].value_type, ParameterType::Text);
    }

    #[test]
    fn what_is_wrong_with_a_declaration_is_said_with_its_line() {
        for (text, said) in [
            ("-- param from", "line 1: \"from\"; expected a parameter"),
            (
                "-- param from: time",
                "line 1: parameter from is of type \"time\"; expected one of text",
            ),
            (
                "-- x\n-- param from: date = soon",
                "line 2: parameter from is \"soon\"; expected a date",
            ),
            ("-- param a b: text", "expected a parameter such as"),
            (
                "-- param a: text\n-- param a: text",
                "line 2: parameter a is declared twice",
            ),
        ] {
            let error = JobFile::parse(text.to_owned()).expect_err(text);
            assert!(error.contains(said), "{error}");
        }
    }
}
