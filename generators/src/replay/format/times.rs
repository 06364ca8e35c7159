//! Times as tables have them.

use std::str::FromStr;

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use events::time::parse_rfc3339_us;

/// How a file writes times, in the words of `strftime`: `%d/%m/%Y %H:%M`. UTC unless
/// it has an offset (`%z`); midnight where it has no hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeFormat(String);

impl FromStr for TimeFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut items = StrftimeItems::new(text);
        let is_wrong = items.any(|item| matches!(item, Item::Error));
        match is_wrong || !text.contains('%') {
            true => Err(format!(
                "time format {text:?}: expected one of strftime, such as %d/%m/%Y %H:%M"
            )),
            false => Ok(Self(text.to_owned())),
        }
    }
}

impl std::fmt::Display for TimeFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TimeFormat {
    /// Microseconds since the epoch.
    pub(crate) fn read_us(&self, text: &str) -> Option<i64> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, StrftimeItems::new(&self.0)).ok()?;
        if parsed.timestamp().is_none() {
            if parsed.hour_mod_12().is_none() {
                parsed.set_hour(0).ok()?;
            }
            if parsed.minute().is_none() {
                parsed.set_minute(0).ok()?;
            }
        }
        let offset_s = parsed.offset().unwrap_or(0);
        let local = parsed.to_naive_datetime_with_offset(offset_s).ok()?;
        let local_us = local.and_utc().timestamp_micros();
        local_us.checked_sub(i64::from(offset_s) * events::time::SECOND_US)
    }
}

/// RFC 3339, a date alone (midnight, UTC) or with hour and minute, with slashes also, or a
/// number since 1970: of seconds (below 1e11), milliseconds (below 1e14), microseconds
/// (below 1e17) or nanoseconds.
pub(crate) fn known_us(text: &str) -> Option<i64> {
    if let Ok(whole) = text.parse::<i64>() {
        return match whole.unsigned_abs() {
            0..100_000_000_000 => whole.checked_mul(1_000_000),
            100_000_000_000..100_000_000_000_000 => whole.checked_mul(1_000),
            100_000_000_000_000..100_000_000_000_000_000 => Some(whole),
            _ => Some(whole.div_euclid(1_000)),
        };
    }
    match text.parse::<f64>() {
        Ok(number) if number.abs() < 1e11 => Some((number * 1e6).round() as i64),
        Ok(number) if number.abs() < 1e14 => Some((number * 1e3).round() as i64),
        Ok(number) if number.abs() < 1e17 => Some(number.round() as i64),
        Ok(number) if number.abs() < 1e19 => Some((number / 1e3).round() as i64),
        Ok(_) => None,
        Err(_) => parse_rfc3339_us(text).or_else(|| date_us(text)),
    }
}

fn date_us(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let date = date.replace('/', "-");
    match rest.len() {
        0 => parse_rfc3339_us(&format!("{date}T00:00:00")),
        // ` 07:30`
        6 if !rest.contains(['.', '+', '-']) => parse_rfc3339_us(&format!("{date}{rest}:00")),
        _ => parse_rfc3339_us(&format!("{date}{rest}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON_US: i64 = 1_700_049_600_000_000;
    const HOUR_US: i64 = 3_600_000_000;

    #[test]
    fn times_are_read_in_every_unit() {
        for text in [
            "1700049600",
            "1700049600.0",
            "1.7000496e9",
            "1700049600000",
            "1700049600000.0",
            "1700049600000000",
            "1700049600000000.0",
            "1700049600000000000",
            "2023-11-15T12:00:00Z",
            "2023-11-15 13:00:00+01:00",
            "2023/11/15 12:00:00",
            "2023/11/15 13:00:00+01:00",
            "2023-11-15 12:00",
            "2023-11-15T12:00:00.000000000",
        ] {
            assert_eq!(known_us(text), Some(NOON_US), "{text}");
        }
        for text in ["2023-11-15", "2023/11/15"] {
            assert_eq!(known_us(text), Some(NOON_US - 12 * HOUR_US), "{text}");
        }
        for text in [
            "noon",
            "1e20",
            "nan",
            "15/11/2023",
            "2023-11-31",
            "2023-11-15 12",
            "2023-11-15 25:00",
        ] {
            assert_eq!(known_us(text), None, "{text}");
        }
    }

    #[test]
    fn other_forms_are_said() {
        let read = |format: &str, text: &str| {
            let format: TimeFormat = format.parse().expect("a format");
            format.read_us(text)
        };
        assert_eq!(read("%d/%m/%Y %H:%M", "15/11/2023 12:00"), Some(NOON_US));
        assert_eq!(read("%m/%d/%Y %I %p", "11/15/2023 12 PM"), Some(NOON_US));
        assert_eq!(read("%d.%m.%Y", "15.11.2023"), Some(NOON_US - 12 * HOUR_US));
        assert_eq!(
            read("%d/%m/%Y %H", "15/11/2023 13"),
            Some(NOON_US + HOUR_US)
        );
        assert_eq!(
            read("%Y%m%d %H%M%S %z", "20231115 140000 +0200"),
            Some(NOON_US)
        );
        assert_eq!(read("%s", "1700049600"), Some(NOON_US));
        assert_eq!(read("%d/%m/%Y", "11/15/2023"), None);
        assert_eq!(read("%d/%m/%Y", "15/11/2023 12:00"), None);
        for wrong in ["%Q", "dd/mm/yyyy", "", "%"] {
            assert!(wrong.parse::<TimeFormat>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_or_none(text in "\\PC{0,30}") {
            let _ = known_us(&text);
        }

        #[test]
        fn any_whole_number_is_a_time(whole: i64) {
            prop_assert!(known_us(&whole.to_string()).is_some());
        }

        #[test]
        fn a_format_reads_what_it_writes(seconds in 631_152_000_i64..4_102_444_800) {
            let time = chrono::DateTime::from_timestamp(seconds, 0).expect("a time");
            let form = "%d/%m/%Y %H:%M:%S";
            let format: TimeFormat = form.parse().expect("a format");
            let text = time.format(form).to_string();
            prop_assert_eq!(format.read_us(&text), Some(seconds * 1_000_000));
        }
    }
}
