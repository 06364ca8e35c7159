//! What was measured, window by window.

use axum::extract::{RawQuery, State};
use axum::response::Json;
use events::h3;
use events::window::{PANE_US, Sliding, WindowKind};

use crate::json::now_us;
use crate::params::{Params, PathId, wrong};
use crate::problem::Problem;
use crate::state::App;
use crate::windows::{HOT_US, Wanted, WindowsAnswer, read};

/// The largest `limit`, and what it is where none is given.
const LIMIT_MAX: usize = 10_000;
const LIMIT_DEFAULT: usize = 1_000;

/// The longest key: a station's id, a colon and a reading.
const KEY_CHARS_MAX: usize = 256;

/// How far ahead of the clock events may be.
const AHEAD_US: i64 = 24 * 60 * PANE_US;

/// Speeds and readings by window of event time
///
/// Count, mean, minimum, maximum and quantiles per street segment, per H3 cell
/// (resolution 8), per station and reading, or for the city, in tumbling windows
/// of 1, 5 or 15 minutes or sliding ones of 5 minutes that begin every minute.
/// Count, minimum and maximum are exact, quantiles within 1 %. Windows of the
/// last 20 minutes come from the hot store, earlier ones from the table
/// `windows`.
/// At most 100,000 one-minute windows of the table are read for one answer.
#[utoipa::path(
    get, path = "/api/windows/{kind}", tag = "now",
    params(
        ("kind" = String, Path, description = "segment, cell, station or city"),
        ("key" = Option<String>, Query, description = "Only this segment id, H3 cell, `station:reading` (a reading, or `extra.NAME` of a sensor of its own), or `speed` for the city"),
        ("size" = Option<String>, Query, description = "1m (the default), 5m, 15m, or 5m/1m for sliding windows"),
        ("from" = Option<String>, Query, description = "Windows that begin at this instant or later (RFC 3339); 20 minutes before `to`, or ago, where it is not given"),
        ("to" = Option<String>, Query, description = "Windows that begin before this instant (RFC 3339)"),
        ("limit" = Option<usize>, Query, description = "At most this many, the newest", minimum = 1, maximum = 10000)
    ),
    responses(
        (status = 200, body = WindowsAnswer),
        (status = 422, body = Problem),
        (status = 503, body = Problem, description = "Hot store, lake or log are away")
    )
)]
pub(crate) async fn windows(
    State(app): State<App>,
    PathId(kind): PathId,
    RawQuery(query): RawQuery,
) -> Result<Json<WindowsAnswer>, Problem> {
    let now_us = now_us();
    let wanted = wanted(&kind, query.as_deref(), now_us)?;
    read(&app, &wanted, now_us).await.map(Json)
}

fn wanted(kind: &str, query: Option<&str>, now_us: i64) -> Result<Wanted, Problem> {
    let kind: WindowKind = kind.parse().map_err(|expected| {
        let expected = format!("{expected}");
        Problem::unprocessable("path parameter \"kind\"", &format!("{kind:?}"), &expected)
    })?;
    let mut params = Params::new(query);
    let key = params.text("key", KEY_CHARS_MAX)?;
    let windows: Option<Sliding> = params.parsed("size")?;
    let from_us = params.instant("from")?;
    let to_us = params.instant("to")?;
    let limit = params.number("limit", 1..=LIMIT_MAX, LIMIT_DEFAULT)?;
    params.finish()?;
    if let Some(key) = &key {
        check_key(kind, key)?;
    }
    let from_us = from_us.unwrap_or_else(|| to_us.unwrap_or(now_us).saturating_sub(HOT_US));
    if let Some(to_us) = to_us.filter(|to_us| *to_us <= from_us) {
        let got = events::time::format_rfc3339(to_us);
        let expected = format!(
            "an instant after \"from\", {}",
            events::time::format_rfc3339(from_us)
        );
        return Err(wrong("to", &got, &expected));
    }
    Ok(Wanted {
        kind,
        key,
        windows: windows.unwrap_or(Sliding::OFFERED[0].1),
        from_us,
        to_us: to_us.unwrap_or_else(|| now_us.max(from_us).saturating_add(AHEAD_US)),
        limit,
    })
}

/// A key that no window can have is a mistake worth telling.
fn check_key(kind: WindowKind, key: &str) -> Result<(), Problem> {
    let (is_possible, expected) = match kind {
        WindowKind::Segment => (true, "a segment's id"),
        WindowKind::Cell => (
            h3::cell_from_name(key).is_some(),
            "an H3 cell of resolution 8 in lower-case hexadecimal, such as 881f25a933fffff",
        ),
        WindowKind::Station => (
            key.contains(':'),
            "a station's id and a reading, such as station-1:pm25",
        ),
        WindowKind::City => (key == WindowKind::CITY_SPEED, "speed"),
    };
    match is_possible {
        true => Ok(()),
        false => Err(wrong("key", key, expected)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_700_049_600_000_000;

    fn detail(kind: &str, query: &str) -> String {
        let problem = wanted(kind, Some(query), NOW_US).expect_err(query);
        let json = serde_json::to_value(problem).expect("JSON");
        json["detail"].as_str().expect("a text").to_owned()
    }

    #[test]
    fn what_is_left_out_has_defaults() {
        let wanted = wanted("city", None, NOW_US).expect("defaults");
        assert_eq!(
            (wanted.limit, wanted.windows.to_string()),
            (1000, "1m".into())
        );
        assert_eq!(wanted.from_us, NOW_US - HOT_US);
        assert!(wanted.to_us > NOW_US && wanted.key.is_none());
    }

    #[test]
    fn wrong_parameters_are_named_with_value_and_expectation() {
        let cases = [
            (
                "road",
                "",
                "path parameter \"kind\": got \"road\", expected one of segment, cell, station, city",
            ),
            (
                "city",
                "size=2m",
                "query parameter \"size\": got \"2m\", expected one of 1m, 5m, 15m, 5m/1m",
            ),
            (
                "city",
                "key=pm25",
                "query parameter \"key\": got \"pm25\", expected speed",
            ),
            (
                "city",
                "key=",
                "query parameter \"key\": got \"\", expected a text of 1 to 256 characters",
            ),
            (
                "station",
                "key=s",
                "query parameter \"key\": got \"s\", expected a station's id and a reading, such as station-1:pm25",
            ),
            (
                "cell",
                "key=881F25A933FFFFF",
                "query parameter \"key\": got \"881F25A933FFFFF\", expected an H3 cell of resolution 8 in lower-case hexadecimal, such as 881f25a933fffff",
            ),
            (
                "city",
                "from=yesterday",
                "query parameter \"from\": got \"yesterday\", expected an RFC 3339 timestamp such as 2026-05-01T08:30:00Z",
            ),
            (
                "city",
                "from=2023-11-15T12:00:00Z&to=2023-11-15T12:00:00Z",
                "query parameter \"to\": got \"2023-11-15T12:00:00Z\", expected an instant after \"from\", 2023-11-15T12:00:00Z",
            ),
            (
                "city",
                "limit=0",
                "query parameter \"limit\": got 0, expected a whole number from 1 to 10000",
            ),
            (
                "city",
                "window=1m",
                "query parameter \"window\": got \"1m\", expected only key, size, from, to, limit",
            ),
        ];
        for (kind, query, expected) in cases {
            assert_eq!(detail(kind, query), expected);
        }
    }
}
