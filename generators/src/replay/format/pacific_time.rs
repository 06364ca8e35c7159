//! Local time of San Francisco.

use chrono::{Datelike, Duration, NaiveDate, NaiveDateTime, Weekday};

/// Reads `12/31/2016 11:57:56 PM` as Pacific time: microseconds since the epoch.
/// The hour that occurs twice in November is read as its first occurrence.
pub(crate) fn parse_us(text: &str) -> Option<i64> {
    let local = NaiveDateTime::parse_from_str(text, "%m/%d/%Y %I:%M:%S %p").ok()?;
    let offset = if is_daylight_time(local) { 7 } else { 8 };
    Some(
        (local + Duration::hours(offset))
            .and_utc()
            .timestamp_micros(),
    )
}

/// The rule since 2007: second Sunday in March to first Sunday in November, at
/// 2 o'clock. Before it, first Sunday in April to last Sunday in October.
fn is_daylight_time(local: NaiveDateTime) -> bool {
    let year = local.year();
    let (from, until) = if year >= 2007 {
        (sunday(year, 3, 2), sunday(year, 11, 1))
    } else {
        let last = NaiveDate::from_ymd_opt(year, 10, 31);
        let last =
            last.map(|day| day - Duration::days(i64::from(day.weekday().num_days_from_sunday())));
        (sunday(year, 4, 1), last)
    };
    let at_two = |day: Option<NaiveDate>| day.and_then(|day| day.and_hms_opt(2, 0, 0));
    matches!((at_two(from), at_two(until)), (Some(from), Some(until)) if local >= from && local < until)
}

fn sunday(year: i32, month: u32, nth: u8) -> Option<NaiveDate> {
    NaiveDate::from_weekday_of_month_opt(year, month, Weekday::Sun, nth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn winter_and_summer_are_told_apart() {
        let utc = |text: &str| events::time::format_rfc3339(parse_us(text).expect("a time"));
        assert_eq!(utc("12/31/2016 11:57:56 PM"), "2017-01-01T07:57:56Z");
        assert_eq!(utc("07/04/2016 12:00:00 AM"), "2016-07-04T07:00:00Z");
        assert_eq!(utc("03/13/2016 01:59:59 AM"), "2016-03-13T09:59:59Z");
        assert_eq!(utc("03/13/2016 03:00:00 AM"), "2016-03-13T10:00:00Z");
        assert_eq!(utc("11/06/2016 02:00:00 AM"), "2016-11-06T10:00:00Z");
        assert_eq!(utc("04/02/2006 03:00:00 AM"), "2006-04-02T10:00:00Z");
        assert_eq!(parse_us("2016-12-31"), None);
    }
}
