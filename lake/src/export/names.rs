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

/// The name of a data file; `run_id` keeps the files of two runs apart.
pub(crate) fn file(number: usize, run_id: &str, extension: &str) -> String {
    format!("part-{number:05}-{run_id}.{extension}")
}

/// Whether a job may have written the file of that path.
pub(crate) fn is_ours(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == MANIFEST || name.starts_with("part-")
}

/// The file that says that a result is whole, and of which files it is.
pub(crate) const MANIFEST: &str = "_SUCCESS";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_folders_that_readers_turn_back() {
        assert_eq!(folder("type", Some("bus")), "type=bus");
        assert_eq!(folder("type", None), "type=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(folder("type", Some("")), "type=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(folder("a", Some("x/y=z%")), "a=x%2Fy%3Dz%25");
        assert_eq!(folder("a", Some("../å ä")), "a=..%2Få ä");
    }
}
