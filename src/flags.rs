//! Values of flags, read so that a wrong one is answered with what is expected.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use generators::replay::{Speed, TimeFormat, parse_mapping};
use generators::{GeneratorConfig, Rate};
use lake::{Table, View};

/// `--vehicles`
pub fn vehicles(text: &str) -> Result<usize, String> {
    within(text, 0..=GeneratorConfig::VEHICLES_MAX, "a whole number")
}

/// `--interval`, seconds.
pub fn interval(text: &str) -> Result<f64, String> {
    within(text, 1.0..=60.0, "seconds")
}

/// `--dirt`, percent.
pub fn dirt(text: &str) -> Result<f64, String> {
    within(text, 0.0..=100.0, "a percentage")
}

/// `--rate`
pub fn rate(text: &str) -> Result<Rate, String> {
    let expected = || "expected max or a number of events a second above 0".to_owned();
    text.parse().map_err(|_| expected())
}

/// `--speed`
pub fn speed(text: &str) -> Result<Speed, String> {
    let expected = || "expected max or a multiple above 0, such as 1x or 60x".to_owned();
    text.parse().map_err(|_| expected())
}

/// `--map`
pub fn mapping(text: &str) -> Result<(String, String), String> {
    let expected = || "expected field=column, such as device_id=bus_number".to_owned();
    parse_mapping(text).map_err(|_| expected())
}

/// `--time-format`
pub fn time_format(text: &str) -> Result<TimeFormat, String> {
    let expected = || "expected what strftime takes, such as %d/%m/%Y %H:%M".to_owned();
    text.parse().map_err(|_| expected())
}

/// `--param`
pub fn assignment(text: &str) -> Result<(String, String), String> {
    let expected = "expected name=value, such as from=2026-03-01";
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err(expected.to_owned()),
    }
}

/// `--memory-limit`, MiB.
pub fn memory_limit(text: &str) -> Result<usize, String> {
    within(text, 16..=1_048_576, "MiB")
}

/// `--spill-limit`, MiB.
pub fn spill_limit(text: &str) -> Result<u64, String> {
    within(text, 1..=1_073_741_824, "MiB")
}

/// `--slots`
pub fn slots(text: &str) -> Result<usize, String> {
    within(text, 1..=1_024, "a whole number")
}

/// `--retries`
pub fn retries(text: &str) -> Result<u32, String> {
    within(text, 0..=1_000, "a whole number")
}

/// `--timeout`, seconds.
pub fn timeout(text: &str) -> Result<u64, String> {
    within(text, 1..=172_800, "seconds")
}

/// `--to`, an instance's address without a slash at its end.
pub fn address(text: &str) -> Result<String, String> {
    let is_http = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    match url::Url::parse(text).is_ok_and(|url| is_http(&url)) {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err("expected an address such as http://127.0.0.1:8000".to_owned()),
    }
}

/// `--table`
pub fn table(text: &str) -> Result<Table, String> {
    let names = || Table::all().map(Table::name).collect::<Vec<_>>().join(", ");
    Table::from_name(text).ok_or_else(|| format!("expected one of {}", names()))
}

/// `--retain-hours`
pub fn retain_hours(text: &str) -> Result<u64, String> {
    within(text, 1..=8_760, "hours")
}

/// What `--view` names.
#[derive(Clone, Debug)]
pub struct ViewList(pub Vec<View>);

/// `--view`
pub fn views(text: &str) -> Result<ViewList, String> {
    match text {
        "all" => Ok(ViewList(View::ALL.to_vec())),
        name => match name.parse() {
            Ok(view) => Ok(ViewList(vec![view])),
            Err(expected) => Err(format!("{expected}, or all")),
        },
    }
}

/// `--window`
pub fn audit_hours(text: &str) -> Result<u32, String> {
    within(text, 1..=24, "hours")
}

/// A date, days since the epoch.
pub fn date(text: &str) -> Result<i32, String> {
    let is_date = text.len() == 10 && text.as_bytes()[4] == b'-';
    let instant = events::time::parse_rfc3339_us(&format!("{text}T00:00:00Z"));
    match instant.filter(|_| is_date) {
        Some(time_us) => Ok(events::columns::date_of(time_us)),
        None => Err("expected a date such as 2026-03-01".to_owned()),
    }
}

fn within<N>(text: &str, range: RangeInclusive<N>, what: &str) -> Result<N, String>
where
    N: FromStr + PartialOrd + Display,
{
    // NaN is in no range.
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("expected {what} from {} to {}", range.start(), range.end()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    /// What is said about a command line that clap refuses; it exits with 2 then.
    fn refused(line: &str) -> String {
        let error = Cli::try_parse_from(line.split(' '))
            .map(|_| ())
            .expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        error.to_string()
    }

    #[test]
    fn a_wrong_value_is_bad_usage_and_names_what_is_expected() {
        let rate = "max or a number of events a second above 0";
        let seconds = "seconds from 1 to 60";
        for (line, expected) in [
            ("citypulse generate --rate 0", rate),
            ("citypulse generate --rate abc", rate),
            ("citypulse up --rate=-5", rate),
            ("citypulse generate --interval 0", seconds),
            ("citypulse generate --interval 61", seconds),
            ("citypulse generate --interval nan", seconds),
            (
                "citypulse generate --dirt 101",
                "a percentage from 0 to 100",
            ),
            ("citypulse generate --dirt=-1", "a percentage from 0 to 100"),
            (
                "citypulse up --vehicles many",
                "a whole number from 0 to 100000",
            ),
            (
                "citypulse up --vehicles 100001",
                "a whole number from 0 to 100000",
            ),
            ("citypulse replay f --speed 0", "max or a multiple above 0"),
            ("citypulse replay f --map device_id", "field=column"),
            (
                "citypulse import f --time-format dd/mm/yyyy",
                "such as %d/%m/%Y %H:%M",
            ),
            ("citypulse sql x --to nonsense", "http://127.0.0.1:8000"),
            (
                "citypulse replay f --to localhost:80",
                "http://127.0.0.1:8000",
            ),
            ("citypulse compact --table cars", "vehicle_data, gps_data"),
            ("citypulse vacuum --retain-hours 0", "hours from 1 to 8760"),
            (
                "citypulse recompute --from 2026-03-01 --to 2026-03-01 --view cars",
                "traffic_hourly, cell_hourly",
            ),
            (
                "citypulse recompute --view all --from 2026-03-01 --to 1.3.",
                "a date such as 2026-03-01",
            ),
            ("citypulse audit --window 25", "hours from 1 to 24"),
            ("citypulse topics --log loud", "error, warn, info, debug"),
            ("citypulse job scheduler --listen 50050", "127.0.0.1:50050"),
            (
                "citypulse job executor --scheduler localhost",
                "127.0.0.1:50050",
            ),
            (
                "citypulse job executor --scheduler h:1 --slots 0",
                "a whole number from 1 to 1024",
            ),
            (
                "citypulse job run f --output o --distributed h:port",
                "127.0.0.1:50050",
            ),
        ] {
            let said = refused(line);
            let value = line.rsplit([' ', '=']).next().unwrap_or_default();
            assert!(
                said.contains(expected) && said.contains(value),
                "{line}: {said}"
            );
        }
    }

    #[test]
    fn flags_that_cancel_each_other_are_refused() {
        for line in [
            "citypulse generate --rate 100 --interval 2",
            "citypulse up --no-generators --rate 100",
            "citypulse up --no-generators --vehicles 10",
            "citypulse up --no-generators --interval 2",
            "citypulse up --no-generators --dirt 0",
            "citypulse up --no-generators --seed 7",
        ] {
            assert!(refused(line).contains("cannot be used with"), "{line}");
        }
        for line in [
            "citypulse up --rate max --dirt 100",
            "citypulse up --no-generators --port 8080",
            "citypulse generate --interval 60",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
