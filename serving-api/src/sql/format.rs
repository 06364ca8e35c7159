//! How a request says what it wants.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use lake::query::Freshness;
use lake::query::output::Format;

use crate::problem::Problem;

/// Formats by name and by the media types that ask for them.
const FORMATS: [(&str, Format, &[&str]); 5] = [
    ("json", Format::Json, &["application/json"]),
    ("csv", Format::Csv, &["text/csv"]),
    (
        "ndjson",
        Format::Ndjson,
        &[
            "application/x-ndjson",
            "application/ndjson",
            "application/jsonl",
        ],
    ),
    (
        "arrow",
        Format::Arrow,
        &["application/vnd.apache.arrow.stream"],
    ),
    (
        "parquet",
        Format::Parquet,
        &["application/vnd.apache.parquet"],
    ),
];

/// The format named in the body, else the first in `Accept` that there is, else JSON.
pub(crate) fn output_format(named: Option<&str>, headers: &HeaderMap) -> Result<Format, Problem> {
    if let Some(named) = named {
        let found = FORMATS
            .iter()
            .find(|(name, ..)| *name == named)
            .map(|(_, format, _)| *format);
        let expected = "json, csv, ndjson, arrow or parquet";
        return found.ok_or_else(|| {
            Problem::unprocessable("field \"format\"", &format!("{named:?}"), expected)
        });
    }
    let accepted = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media = accepted
        .split(',')
        .map(|range| range.split(';').next().unwrap_or_default().trim());
    let found = media
        .filter_map(|media| FORMATS.iter().find(|(.., types)| types.contains(&media)))
        .next();
    Ok(found.map_or(Format::Json, |(_, format, _)| *format))
}

/// The freshness named in the body; exact where it is not.
pub(crate) fn freshness(named: Option<&str>) -> Result<Freshness, Problem> {
    match named {
        None | Some("exact") => Ok(Freshness::Exact),
        Some("relaxed") => Ok(Freshness::Relaxed),
        Some(other) => Err(Problem::unprocessable(
            "field \"freshness\"",
            &format!("{other:?}"),
            "exact or relaxed",
        )),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn accept(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))])
    }

    #[test]
    fn body_decides_before_the_accept_header() {
        assert_eq!(output_format(None, &accept("*/*")).ok(), Some(Format::Json));
        assert_eq!(
            output_format(None, &accept("text/csv;q=0.9, */*")).ok(),
            Some(Format::Csv)
        );
        assert_eq!(
            output_format(Some("arrow"), &accept("text/csv")).ok(),
            Some(Format::Arrow)
        );
        assert!(output_format(Some("xml"), &accept("*/*")).is_err());
        assert!(freshness(Some("now")).is_err());
    }
}
