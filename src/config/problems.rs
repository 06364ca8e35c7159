//! What can be wrong with a configuration, said so that it can be mended.

use figment::error::{Actual, Kind};

/// A configuration that is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `--config` names nothing.
    #[error("configuration file {0} does not exist")]
    NoFile(String),
    /// A key that is not known.
    #[error("unknown setting {key} in {source_name}{hint}")]
    UnknownKey {
        /// With its section.
        key: String,
        /// File or variable.
        source_name: String,
        /// `; did you mean x?` or the known names.
        hint: String,
    },
    /// A value of the wrong kind or out of range.
    #[error("setting {key} is {}; expected {expected}", shown(value))]
    Value {
        /// With its section.
        key: String,
        /// As given.
        value: String,
        /// In words.
        expected: String,
    },
    /// Values that make no sense, already in words.
    #[error("setting {0}")]
    Senseless(String),
    /// An object store that cannot be asked.
    #[error(
        "no keys for the lake {url}{endpoint}: {missing} not set; for the servers of `make stack` run \
         `. ~/.cache/citypulse/stack/env` first, for others export the variables or set s3.access_key_id \
         and s3.secret_access_key"
    )]
    NoKeys {
        /// The lake.
        url: String,
        /// ` at http://...`, or nothing.
        endpoint: String,
        /// Variables.
        missing: &'static str,
    },
    /// Not TOML, or anything else.
    #[error("configuration cannot be read: {0}")]
    Unreadable(String),
}

/// The first problem that figment found, in our words.
pub(super) fn explain(errors: figment::Error) -> ConfigError {
    let Some(error) = errors.into_iter().next() else {
        return ConfigError::Unreadable("no cause was given".into());
    };
    let source_name = error
        .metadata
        .as_ref()
        .map_or(
            "the configuration".to_string(),
            |metadata| match &metadata.source {
                Some(source) => source.to_string(),
                None => metadata.name.to_string(),
            },
        );
    let path = error.path.join(".");
    match error.kind {
        Kind::UnknownField(field, known) => {
            let key = match path.is_empty() || path.ends_with(&field) {
                true if path.is_empty() => field.clone(),
                true => path,
                false => format!("{path}.{field}"),
            };
            ConfigError::UnknownKey {
                key,
                source_name,
                hint: hint(&field, known),
            }
        }
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            ConfigError::Value {
                key: path,
                value: plain(actual),
                expected: in_words(expected),
            }
        }
        Kind::UnknownVariant(value, known) => ConfigError::Value {
            key: path,
            value,
            expected: known.join(" or "),
        },
        kind => ConfigError::Unreadable(format!("{source_name}: {kind}")),
    }
}

/// Text in quotes, numbers without.
fn shown(value: &str) -> String {
    match value.parse::<f64>() {
        Ok(_) => value.to_string(),
        Err(_) => format!("{value:?}"),
    }
}

/// The value as it was written.
fn plain(actual: Actual) -> String {
    match actual {
        Actual::Str(text) => text,
        Actual::Bool(flag) => flag.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Seq => "a list".to_string(),
        Actual::Map => "a section".to_string(),
        other => other.to_string(),
    }
}

/// What a type's name means to who writes the file.
fn in_words(expected: String) -> String {
    let words = match expected.as_str() {
        "usize" | "u64" | "u32" => "a whole number, 0 or more",
        "u16" => "a whole number from 0 to 65535",
        "u8" => "a whole number from 0 to 255",
        "isize" | "i64" | "i32" | "i16" => "a whole number",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a string" | "string" => "text in quotes",
        "path string" => "a path in quotes",
        "a sequence" => "a list, [...]",
        section if section.starts_with("struct ") => "a section with keys of its own",
        _ => return expected,
    };
    words.to_string()
}

fn hint(field: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|name| {
            // Of names as near, the longer one: letters are left out more often than
            // put in.
            let length = std::cmp::Reverse(name.len());
            (strsim::damerau_levenshtein(field, name), length, name)
        })
        .min()
        .filter(|(distance, _, name)| *distance <= name.len().max(field.len()).div_ceil(2));
    match nearest {
        Some((_, _, name)) => format!("; did you mean {name}?"),
        None => format!("; known are {}", known.join(", ")),
    }
}
