//! Jobs that run on a schedule.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use batch_layer::jobs::Schedule;
use lake::export::ExportFormat;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::numbers::check;

/// One `[[jobs]]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobSection {
    /// Lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// The SQL file.
    pub file: PathBuf,
    /// Minute, hour, day of the month, month, day of the week; with seconds before them
    /// where there are six.
    pub cron: String,
    /// Of the cron text's hours.
    pub timezone: String,
    /// A folder or `s3://bucket/prefix`; `{date}` and `{time}` are those of the run.
    pub output: String,
    /// `parquet`, `csv` or `json`.
    pub format: String,
    /// Columns that make folders.
    pub partition_by: Vec<String>,
    /// Whether an earlier result gives way.
    pub overwrite: bool,
    /// Memory of a run, MiB; beyond it spills to disk.
    pub memory_mib: usize,
    /// Most that a run spills, MiB.
    pub spill_mib: u64,
    /// How often a run begins again where a server was away.
    pub retries: u32,
    /// A run is stopped after this, seconds.
    pub timeout_s: u64,
    /// Values of the file's parameters.
    pub params: BTreeMap<String, ParamText>,
}

impl Default for JobSection {
    fn default() -> Self {
        Self {
            name: String::new(),
            file: PathBuf::new(),
            cron: String::new(),
            timezone: "UTC".into(),
            output: String::new(),
            format: "parquet".into(),
            partition_by: Vec::new(),
            overwrite: false,
            memory_mib: 512,
            spill_mib: 51_200,
            retries: 3,
            timeout_s: 21_600,
            params: BTreeMap::new(),
        }
    }
}

/// A value as TOML has it; read by the parameter's type later.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParamText {
    Boolean(bool),
    Whole(i64),
    Number(f64),
    Text(String),
}

impl fmt::Display for ParamText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParamText::Boolean(is) => is.fmt(f),
            ParamText::Whole(number) => number.fmt(f),
            ParamText::Number(number) => number.fmt(f),
            ParamText::Text(text) => f.write_str(text),
        }
    }
}

/// What a cron text, a time zone or a name must be.
pub(super) fn validate(jobs: &[JobSection]) -> Result<(), ConfigError> {
    for (number, job) in jobs.iter().enumerate() {
        let key = match job.name.is_empty() {
            true => format!("jobs[{number}]"),
            false => format!("jobs.{}", job.name),
        };
        let refuse = |field: &str, value: &str, expected: &str| ConfigError::Value {
            key: format!("{key}.{field}"),
            value: value.to_owned(),
            expected: expected.to_owned(),
        };
        let is_letter = |letter: char| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter)
        };
        let is_name = (1..=64).contains(&job.name.len()) && job.name.chars().all(is_letter);
        if !is_name {
            let expected = "1 to 64 lower-case letters, digits, - and _";
            return Err(refuse("name", &job.name, expected));
        }
        if jobs[..number].iter().any(|other| other.name == job.name) {
            return Err(refuse("name", &job.name, "a name that no other job has"));
        }
        if job.file.as_os_str().is_empty() {
            return Err(refuse("file", "", "the path of an SQL file"));
        }
        if job.output.is_empty() {
            return Err(refuse("output", "", "a folder or s3://bucket/prefix"));
        }
        Schedule::parse(&job.cron).map_err(|expected| refuse("cron", &job.cron, &expected))?;
        Schedule::zone(&job.timezone)
            .map_err(|expected| refuse("timezone", &job.timezone, &expected))?;
        if ExportFormat::from_name(&job.format).is_none() {
            return Err(refuse("format", &job.format, "parquet, csv or json"));
        }
        for (field, value, range, unit) in [
            ("memory_mib", job.memory_mib as i128, 16..=1_048_576, " MiB"),
            ("spill_mib", job.spill_mib.into(), 1..=1_073_741_824, " MiB"),
            ("retries", job.retries.into(), 0..=1_000, ""),
            ("timeout_s", job.timeout_s.into(), 1..=172_800, " seconds"),
        ] {
            check(&format!("{key}.{field}"), value, &range, unit)?;
        }
    }
    Ok(())
}
