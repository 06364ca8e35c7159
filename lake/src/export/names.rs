//! Names of folders and files, as Hive makes them and Spark, DuckDB and Polars read
//! them: `column=value`, with characters that mean something in a path as `%XX`
//! (<https://github.com/apache/hive/blob/master/common/src/java/org/apache/hadoop/hive/common/FileUtils.java>,
//! `escapePathName`).

use std::fmt::Write;

/// Stands for a value that is null or the empty text, which no folder can be named.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The folder of a value.
pub(crate) fn folder(column: &str, value: Option<&str>) -> String {
    let value = value.filter(|value| !value.is_empty());
    format!(
        "{}={}",
        escaped(column),
        value.map_or_else(|| NULL.to_owned(), escaped)
    )
}

fn escaped(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii_control() || "\"#%'*/:=?\\{[]^".contains(letter) {
            // Writing to a String cannot fail.
            let _ = write!(name, "%{:02X}", u32::from(letter));
        } else {
            name.push(letter);
        }
    }
    name
}

/// Tells the tries of one run apart, so that none takes another's files for its own.
pub(crate) fn attempt() -> String {
    uuid::Uuid::new_v4().simple().to_string()[..ATTEMPT_LENGTH].to_owned()
}

const ATTEMPT_LENGTH: usize = 8;

/// The name of a data file: no two tries of any runs have the same.
pub(crate) fn file(number: usize, run_id: &str, attempt: &str, extension: &str) -> String {
    format!("part-{number:05}-{run_id}-{attempt}.{extension}")
}

/// Whether a job wrote the file of that path. Other programs' begin with `part-` too.
pub(crate) fn is_ours(path: &str) -> bool {
    name_of(path) == MANIFEST || run_of(path).is_some()
}

/// Which run wrote the data file of that path.
pub(crate) fn run_of(path: &str) -> Option<&str> {
    let (number, rest) = name_of(path).strip_prefix("part-")?.split_once('-')?;
    let (stem, extension) = rest.split_once('.')?;
    let (run_id, attempt) = stem.rsplit_once('-')?;
    let is_ours = number.bytes().all(|byte| byte.is_ascii_digit())
        && uuid::Uuid::try_parse(run_id).is_ok()
        && attempt.len() == ATTEMPT_LENGTH
        && attempt.bytes().all(|byte| byte.is_ascii_hexdigit())
        && matches!(extension, "parquet" | "csv" | "json");
    is_ours.then_some(run_id)
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The file that says that a result is whole, and of which files it is.
pub(crate) const MANIFEST: &str = "_SUCCESS";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_programs_wrote_is_not_ours() {
        let run = "0190163d-8694-739b-aea5-966c26f8ad90";
        let ours = format!("a=1/{}", file(3, run, &attempt(), "parquet"));
        assert_eq!(run_of(&ours), Some(run));
        assert!(is_ours(&ours) && is_ours(MANIFEST));
        for other in [
            "part-00000-0190163d-8694-739b-aea5-966c26f8ad90-c000.snappy.parquet",
            "part-00000-0190163d-8694-739b-aea5-966c26f8ad90.parquet",
            "part-0.parquet",
            "_delta_log/00000000000000000000.json",
        ] {
            assert!(!is_ours(other), "{other}");
        }
    }

    #[test]
    fn values_become_folders_that_readers_turn_back() {
        assert_eq!(folder("type", Some("bus")), "type=bus");
        assert_eq!(folder("type", None), "type=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(folder("type", Some("")), "type=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(folder("a", Some("x/y=z%")), "a=x%2Fy%3Dz%25");
        assert_eq!(folder("a", Some("../å ä")), "a=..%2Få ä");
    }
}
