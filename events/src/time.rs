//! RFC 3339 to and from microseconds since the epoch, without a calendar
//! library on the hot path.
//!
//! Days are counted with the proleptic Gregorian algorithms of Howard Hinnant,
//! <https://howardhinnant.github.io/date_algorithms.html>.

/// Microseconds in a second.
pub const SECOND_US: i64 = 1_000_000;
/// Microseconds in a day.
pub const DAY_US: i64 = 86_400 * SECOND_US;

/// Older events are a producer's clock that was never set.
const OLDEST_EVENT_US: i64 = days_from_civil(1990, 1, 1) * DAY_US;

/// Whether an event of that time may be taken in at `arrived_us`: from 1990 on, at
/// most 24 hours ahead of its arrival.
pub const fn is_acceptable(timestamp_us: i64, arrived_us: i64) -> bool {
    OLDEST_EVENT_US <= timestamp_us && timestamp_us <= arrived_us.saturating_add(DAY_US)
}

/// Reads an RFC 3339 timestamp as microseconds since the epoch.
///
/// Wider than the standard where existing producers are: without a zone it
/// means UTC, a space may stand for the `T`, an offset may lack its colon or its
/// minutes. Digits beyond the microsecond are cut off. A leap second (`:60`)
/// reads as the first instant of the next minute.
pub fn parse_rfc3339_us(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let date_time: &[u8; 19] = bytes.first_chunk()?;
    if date_time[4] != b'-'
        || date_time[7] != b'-'
        || !matches!(date_time[10], b'T' | b't' | b' ')
        || date_time[13] != b':'
        || date_time[16] != b':'
    {
        return None;
    }
    let year =
        two_digits(date_time[0], date_time[1])? * 100 + two_digits(date_time[2], date_time[3])?;
    let month = two_digits(date_time[5], date_time[6])?;
    let day = two_digits(date_time[8], date_time[9])?;
    let hour = two_digits(date_time[11], date_time[12])?;
    let minute = two_digits(date_time[14], date_time[15])?;
    let second = two_digits(date_time[17], date_time[18])?;
    if !(1..=12).contains(&month)
        || day < 1
        || day > days_in_month(year, month)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let (fraction_us, zone) = split_fraction(&bytes[19..])?;
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
        - offset_seconds(zone)?;
    Some(seconds * SECOND_US + fraction_us)
}

/// Writes `timestamp_us` with `Z`, and with six decimals where it is not a whole
/// second.
pub fn format_rfc3339(timestamp_us: i64) -> String {
    let mut text = Vec::with_capacity(27);
    write_rfc3339(&mut text, timestamp_us);
    text.into_iter().map(char::from).collect()
}

/// Appends what [`format_rfc3339`] returns; ASCII only.
pub fn write_rfc3339(out: &mut Vec<u8>, timestamp_us: i64) {
    let day = timestamp_us.div_euclid(DAY_US);
    let in_day_us = timestamp_us.rem_euclid(DAY_US);
    let (year, month, day_of_month) = civil_from_days(day);
    let (seconds, fraction_us) = (in_day_us / SECOND_US, in_day_us % SECOND_US);
    if (0..=9999).contains(&year) {
        push_two(out, year / 100);
        push_two(out, year % 100);
    } else {
        // Beyond RFC 3339: the expanded years of ISO 8601.
        out.extend_from_slice(format!("{year:+05}").as_bytes());
    }
    out.push(b'-');
    push_two(out, month);
    out.push(b'-');
    push_two(out, day_of_month);
    out.push(b'T');
    push_two(out, seconds / 3600);
    out.push(b':');
    push_two(out, seconds / 60 % 60);
    out.push(b':');
    push_two(out, seconds % 60);
    if fraction_us != 0 {
        out.push(b'.');
        push_two(out, fraction_us / 10_000);
        push_two(out, fraction_us / 100 % 100);
        push_two(out, fraction_us % 100);
    }
    out.push(b'Z');
}

/// Days since the epoch of a date of the Gregorian calendar.
pub const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day since the epoch.
pub const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn two_digits(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}

fn push_two(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
}

/// Splits `.123456Z` into microseconds and the zone; without a dot, zero.
fn split_fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.' | b',', digits)) = rest.split_first() else {
        return Some((0, rest));
    };
    let length = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if length == 0 {
        return None;
    }
    let mut fraction_us = 0;
    let padded = digits[..length]
        .iter()
        .copied()
        .chain(std::iter::repeat(b'0'));
    for digit in padded.take(6) {
        fraction_us = fraction_us * 10 + i64::from(digit - b'0');
    }
    Some((fraction_us, &digits[length..]))
}

/// Seconds east of UTC of ``, `Z`, `+01:00`, `+0100` or `+01`.
fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match *zone {
        [] | [b'Z' | b'z'] => return Some(0),
        [sign, h1, h2, b':', m1, m2] | [sign, h1, h2, m1, m2] => {
            (sign, two_digits(h1, h2)?, two_digits(m1, m2)?)
        }
        [sign, h1, h2] => (sign, two_digits(h1, h2)?, 0),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    match sign {
        b'+' => Some(hours * 3600 + minutes * 60),
        b'-' => Some(-(hours * 3600 + minutes * 60)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_what_producers_write() {
        let noon = 1_700_049_600 * SECOND_US;
        for text in [
            "2023-11-15T12:00:00Z",
            "2023-11-15t12:00:00z",
            "2023-11-15T12:00:00",
            "2023-11-15 12:00:00",
            "2023-11-15T12:00:00.000000",
            "2023-11-15T12:00:00+00:00",
            "2023-11-15T13:00:00+01:00",
            "2023-11-15T13:00:00+0100",
            "2023-11-15T13:00:00+01",
            "2023-11-15T08:30:00-03:30",
            "2023-11-15T12:00:00.0000009Z",
            "2023-11-15T11:59:60Z",
        ] {
            assert_eq!(parse_rfc3339_us(text), Some(noon), "{text}");
        }
        assert_eq!(
            parse_rfc3339_us("2023-11-15T12:00:00.5"),
            Some(noon + 500_000)
        );
        assert_eq!(
            parse_rfc3339_us("2023-11-15T12:00:00.123456789Z"),
            Some(noon + 123_456)
        );
        assert_eq!(parse_rfc3339_us("1969-12-31T23:59:59.999999Z"), Some(-1));
        assert_eq!(
            parse_rfc3339_us("2024-02-29T00:00:00Z"),
            Some(1_709_164_800 * SECOND_US)
        );
    }

    #[test]
    fn refuses_what_is_no_timestamp() {
        for text in [
            "",
            "now",
            "2023-11-15",
            "2023-11-15T12:00",
            "2023-11-15T12:00:00.",
            "2023-11-15T12:00:00.Z",
            "2023-13-15T12:00:00",
            "2023-00-15T12:00:00",
            "2023-02-29T12:00:00",
            "2023-11-31T12:00:00",
            "2023-11-00T12:00:00",
            "2023-11-15T24:00:00",
            "2023-11-15T12:60:00",
            "2023-11-15T12:00:61",
            "2023-11-15T12:00:00+24:00",
            "2023-11-15T12:00:00+1",
            "2023-11-15T12:00:00 Z",
            "2023-11-15T12:00:00ZZ",
            "2023/11/15T12:00:00",
            "+023-11-15T12:00:00",
            "2023-11-15T12:00:0é",
            "1700049600",
        ] {
            assert_eq!(parse_rfc3339_us(text), None, "{text}");
        }
    }

    #[test]
    fn writes_decimals_only_where_there_are_any() {
        assert_eq!(format_rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(format_rfc3339(1), "1970-01-01T00:00:00.000001Z");
        assert_eq!(format_rfc3339(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(
            format_rfc3339(1_700_049_600_120_000),
            "2023-11-15T12:00:00.120000Z"
        );
    }

    proptest! {
        // From year 0000 to 9999, all that RFC 3339 can say.
        #[test]
        fn what_is_written_reads_back(timestamp_us in -62_167_219_200_000_000_i64..253_402_300_800_000_000) {
            prop_assert_eq!(parse_rfc3339_us(&format_rfc3339(timestamp_us)), Some(timestamp_us));
        }

        #[test]
        fn agrees_with_chrono(timestamp_us in -62_167_219_200_000_000_i64..253_402_300_800_000_000) {
            let text = format_rfc3339(timestamp_us);
            let parsed = DateTime::parse_from_rfc3339(&text).map(|time| time.timestamp_micros());
            prop_assert_eq!(parsed, Ok(timestamp_us));
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = parse_rfc3339_us(&text);
        }

        #[test]
        fn any_instant_can_be_written(timestamp_us: i64) {
            prop_assert!(format_rfc3339(timestamp_us).ends_with('Z'));
        }
    }
}
