//! A rule as people write it.

use events::document::Misfit;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::DOCUMENT_BYTES_MAX;
use crate::problem::Invalid;

/// A rule as JSON. [`Rule::new`](crate::Rule::new) checks what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDocument {
    /// 1 to 64 of `a-z`, `0-9`, `-` and `_`.
    #[serde(default)]
    pub id: String,
    /// For people, 1 to 120 characters.
    pub name: String,
    /// Whether it is evaluated.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// What is measured.
    pub source: Source,
    /// `>`, `>=`, `<`, `<=`, `==` or `!=`: value, comparison, threshold. A
    /// built-in source has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<String>,
    /// What the value is compared with. A built-in source has its own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The alert is cleared only when the value is no longer beyond this one
    /// (hysteresis); the threshold where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear_threshold: Option<f64>,
    /// How long the condition must hold before the alert is raised, seconds of
    /// event time.
    #[serde(default)]
    pub hold_s: f64,
    /// What an alert is about: device, station, incident, segment, cell or city.
    /// Follows from the source where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_by: Option<String>,
    /// What is looked at; everything where it is empty.
    #[serde(default)]
    pub filters: Filters,
    /// Critical, High, Medium or Low.
    pub severity: String,
    /// With `{value}`, `{threshold}`, `{subject}` and `{name}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One of: `stream` and `field`; `window`, `aggregate` and `size`; `built_in`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A stream's name, like `gps_data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// A field of the stream, or arithmetic over several: `speed / speed_limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// A kind of window: segment, cell, station or city.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// For station windows: which reading, like `pm25`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<String>,
    /// mean, min, max, count, p50, p90, p99 or vehicles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<String>,
    /// 1m, 5m, 15m or 5m/1m (five minutes, every minute).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// A rule that the platform knows how to evaluate, like `overspeed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_in: Option<String>,
    /// For built-in sources.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
}

/// What some built-in sources can be told beside the threshold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// overspeed: at least this much over the limit as well, km/h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin_kmh: Option<f64>,
    /// severe_congestion: windows with fewer vehicles say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicles_min: Option<f64>,
    /// merged_incidents: at most this far apart, metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub radius_m: Option<f64>,
    /// merged_incidents: begun at most this long after one another, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_s: Option<f64>,
    /// out_of_range: the lowest value that is in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// out_of_range: the highest value that is in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
}

/// Only what is named in a list passes it; an empty list lets everything pass.
/// Upper and lower case are the same. Each source has some of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// taxi, bus, ...
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vehicle_type: Vec<String>,
    /// Device ids (stations and cameras are devices).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device: Vec<String>,
    /// Accident, Fire, ...
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incident_type: Vec<String>,
    /// Fence ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fence: Vec<String>,
    /// Keys of windows: segment ids, cells, `station:reading`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
}

fn enabled() -> bool {
    true
}

impl Parameters {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl RuleDocument {
    /// Reads a document.
    ///
    /// # Errors
    /// Names the field, its value and what was expected: an unknown or missing
    /// field, another type, a number beyond what a double holds.
    pub fn parse(json: &[u8]) -> Result<Self, Invalid> {
        if json.len() > DOCUMENT_BYTES_MAX {
            return Err(Invalid::new(
                "rule",
                format!("{} bytes", json.len()),
                format!("at most {DOCUMENT_BYTES_MAX} bytes"),
            ));
        }
        Self::from_value(&read_json(json).map_err(told)?)
    }

    /// Reads a document that is JSON already. Errors as [`RuleDocument::parse`].
    pub fn from_value(value: &Value) -> Result<Self, Invalid> {
        if !value.is_object() {
            return Err(Invalid::new("rule", value, "one JSON object"));
        }
        serde_path_to_error::deserialize(value).map_err(|error| explain(value, &error))
    }
}

/// Reads JSON of any kind, to know at which field it is none.
fn read_json(json: &[u8]) -> Result<Value, Misfit> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let read = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| Misfit::of_text(json, &error.path().to_string(), error.inner()))?;
    reader
        .end()
        .map_err(|error| Misfit::of_text(json, "", &error))?;
    Ok(read)
}

/// What serde says, with the field and the value beside it.
fn explain(document: &Value, error: &serde_path_to_error::Error<serde_json::Error>) -> Invalid {
    let path = error.path().to_string();
    told(Misfit::of(document, &path, &error.inner().to_string()))
}

fn told(misfit: Misfit) -> Invalid {
    let field = match misfit.field.as_str() {
        "" => "rule",
        field => field,
    };
    Invalid::new(field, misfit.got, misfit.expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        RuleDocument::parse(json.as_bytes())
            .expect_err("refused")
            .to_string()
    }

    #[test]
    fn what_is_not_a_document_is_named() {
        assert_eq!(
            refused("[1]"),
            r#"field "rule": got [1], expected one JSON object"#
        );
        assert!(
            refused("{").starts_with(r#"field "rule": got the end of the text, expected JSON ("#)
        );
        for (number, field) in [
            ("1e400", "threshold"),
            ("-1e400", "hold_s"),
            ("NaN", "threshold"),
            ("-Infinity", "hold_s"),
        ] {
            assert_eq!(
                refused(&format!("{{\"name\":\"a\",\n\"{field}\": {number}}}")),
                format!(
                    "field \"{field}\": got {number}, expected a number from -1.7e308 to 1.7e308"
                )
            );
        }
        assert_eq!(
            refused(r#"{"source":{"parameters":{"low":nan}}}"#),
            r#"field "source.parameters.low": got nan, expected a number from -1.7e308 to 1.7e308"#
        );
        assert!(
            refused(r#"{"name":"a"} 1"#).starts_with(r#"field "rule": got 1, expected JSON ("#)
        );
        let long = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
        assert!(refused(&long).contains("expected at most 65536 bytes"));
    }

    #[test]
    fn fields_are_named_with_path_value_and_expectation() {
        assert_eq!(
            refused(r#"{"name":"a"}"#),
            r#"field "source": got nothing, expected it to be given"#
        );
        let unknown = refused(r#"{"name":"a","colour":"red","source":{},"severity":"Low"}"#);
        assert!(
            unknown.starts_with(r#"field "colour": got "red", expected only the fields `id`"#),
            "{unknown}"
        );
        let nested = refused(r#"{"name":"a","source":{"strem":"gps_data"},"severity":"Low"}"#);
        assert!(
            nested.starts_with(
                r#"field "source.strem": got "gps_data", expected only the fields `stream`"#
            ),
            "{nested}"
        );
        let wrong = refused(r#"{"name":"a","source":{},"severity":"Low","threshold":"high"}"#);
        assert_eq!(wrong, r#"field "threshold": got "high", expected a number"#);
        let list =
            refused(r#"{"name":"a","source":{},"severity":"Low","filters":{"device":["x",3]}}"#);
        assert_eq!(
            list,
            r#"field "filters.device[1]": got 3, expected a string"#
        );
    }
}
