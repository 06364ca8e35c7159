//! Times of the week.

use std::str::FromStr;

use chrono::{Datelike, Offset as _, TimeDelta, TimeZone, Timelike};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::error::Invalid;

const INTERVALS_MAX: usize = 64;
const DAY_S: u32 = 86_400;

/// When a fence is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Whose clock: an IANA name (`Europe/Stockholm`), a fixed offset
    /// (`+02:00`), or `UTC`.
    #[serde(default = "utc")]
    pub zone: String,
    /// It is watched in any of these.
    pub intervals: Vec<Interval>,
}

/// From one time of the day to another, on some days.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// On which it begins; empty: on all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// `HH:MM`, inclusive.
    pub from: String,
    /// `HH:MM`, exclusive; before or at `from`: on the next day.
    pub to: String,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday
    Mon,
    /// Tuesday
    Tue,
    /// Wednesday
    Wed,
    /// Thursday
    Thu,
    /// Friday
    Fri,
    /// Saturday
    Sat,
    /// Sunday
    Sun,
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Schedule {
    /// Whether every field is one that can be used.
    pub fn check(&self) -> Result<(), Invalid> {
        self.compile().map(|_| ())
    }

    /// The form that answers quickly.
    pub fn compile(&self) -> Result<Times, Invalid> {
        let zone = Zone::parse(&self.zone).ok_or_else(|| {
            let expected =
                "an IANA name like \"Europe/Stockholm\", an offset like \"+02:00\", or \"UTC\"";
            Invalid::new("zone", format!("{:?}", self.zone), expected)
        })?;
        let count = self.intervals.len();
        if !(1..=INTERVALS_MAX).contains(&count) {
            let expected = format!("1 to {INTERVALS_MAX}");
            return Err(Invalid::new(
                "intervals",
                format!("{count} of them"),
                expected,
            ));
        }
        let spans = self.intervals.iter().enumerate().map(|(index, interval)| {
            let within = |error: Invalid| error.within(&format!("intervals[{index}]"));
            interval.compile().map_err(within)
        });
        Ok(Times {
            zone,
            spans: spans.collect::<Result<_, _>>()?,
        })
    }
}

impl Interval {
    fn compile(&self) -> Result<Span, Invalid> {
        let from_s = parse_time("from", &self.from)?;
        let to_s = parse_time("to", &self.to)?;
        let on = |mask: u8, day: &Day| mask | 1 << *day as u8;
        Ok(Span {
            days: match self.days.as_slice() {
                [] => 0x7f,
                days => days.iter().fold(0, on),
            },
            from_s,
            length_s: match to_s.checked_sub(from_s) {
                Some(length_s) if length_s > 0 => length_s,
                _ => to_s + DAY_S - from_s,
            },
        })
    }
}

fn parse_time(field: &str, text: &str) -> Result<u32, Invalid> {
    let parsed = text.split_once(':').and_then(|(hours, minutes)| {
        let two = |part: &str, below: u32| -> Option<u32> {
            let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            let number = part.parse().ok().filter(|_| digits)?;
            (number < below).then_some(number)
        };
        // The end of a day may be written as such.
        match (hours, minutes) {
            ("24", "00") if field == "to" => Some(DAY_S),
            _ => Some(two(hours, 24)? * 3600 + two(minutes, 60)? * 60),
        }
    });
    parsed.ok_or_else(|| Invalid::new(field, format!("{text:?}"), "a time like \"07:30\""))
}

/// A compiled schedule.
#[derive(Clone, Debug)]
pub struct Times {
    zone: Zone,
    spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    /// Bit 0 is Monday.
    days: u8,
    from_s: u32,
    /// 1 to a day's.
    length_s: u32,
}

#[derive(Clone, Copy, Debug)]
enum Zone {
    Named(Tz),
    OffsetS(i32),
}

impl Zone {
    fn parse(text: &str) -> Option<Self> {
        if let Some(sign) = text.chars().next().filter(|first| "+-".contains(*first)) {
            let (hours, minutes) = text[1..].split_once(':')?;
            let number = |part: &str| part.parse::<i32>().ok().filter(|_| part.len() == 2);
            let (hours, minutes) = (number(hours)?, number(minutes)?);
            let seconds = hours * 3600 + minutes * 60;
            let fits = (0..=14).contains(&hours) && (0..60).contains(&minutes);
            let signed = if sign == '-' { -seconds } else { seconds };
            return fits.then_some(Self::OffsetS(signed));
        }
        Tz::from_str(text).ok().map(Self::Named)
    }
}

impl Times {
    /// Whether the instant, microseconds since the epoch, is in any interval.
    pub fn contain(&self, at_us: i64) -> bool {
        let Some(utc) = chrono::DateTime::from_timestamp_micros(at_us) else {
            return false;
        };
        let offset_s = match self.zone {
            Zone::OffsetS(seconds) => seconds,
            Zone::Named(zone) => zone
                .offset_from_utc_datetime(&utc.naive_utc())
                .fix()
                .local_minus_utc(),
        };
        let Some(local) = utc
            .naive_utc()
            .checked_add_signed(TimeDelta::seconds(i64::from(offset_s)))
        else {
            return false;
        };
        let today = local.weekday().num_days_from_monday();
        let second = local.num_seconds_from_midnight();
        self.spans.iter().any(|span| {
            let began = |day: u32| span.days & (1 << day) != 0;
            let end_s = span.from_s + span.length_s;
            (began(today) && (span.from_s..end_s).contains(&second))
                // Begun yesterday, and it goes on.
                || (began((today + 6) % 7) && second + DAY_S < end_s)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(zone: &str, days: &[Day], from: &str, to: &str) -> Times {
        let schedule = Schedule {
            zone: zone.into(),
            intervals: vec![Interval {
                days: days.to_vec(),
                from: from.into(),
                to: to.into(),
            }],
        };
        schedule.compile().unwrap()
    }

    fn at(text: &str) -> i64 {
        events::time::parse_rfc3339_us(text).unwrap()
    }

    #[test]
    fn an_interval_holds_from_its_first_second_to_before_its_last() {
        // 4 May 2026 is a Monday.
        let times = times("UTC", &[Day::Mon], "07:30", "09:00");
        assert!(!times.contain(at("2026-05-04T07:29:59.999999Z")));
        assert!(times.contain(at("2026-05-04T07:30:00Z")));
        assert!(times.contain(at("2026-05-04T08:59:59Z")));
        assert!(!times.contain(at("2026-05-04T09:00:00Z")));
        assert!(!times.contain(at("2026-05-05T08:00:00Z")));
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let times = times("+02:00", &[Day::Sun], "22:00", "06:00");
        // Sunday 22:00 to Monday 06:00 in that zone.
        assert!(!times.contain(at("2026-05-03T19:59:59Z")));
        assert!(times.contain(at("2026-05-03T20:00:00Z")));
        assert!(times.contain(at("2026-05-04T03:59:59Z")));
        assert!(!times.contain(at("2026-05-04T04:00:00Z")));
        assert!(!times.contain(at("2026-05-04T20:00:00Z")));
    }

    #[test]
    fn named_zones_know_summer_time() {
        let times = times("Europe/Stockholm", &[], "08:00", "09:00");
        assert!(times.contain(at("2026-01-15T07:30:00Z")));
        assert!(times.contain(at("2026-07-15T06:30:00Z")));
        assert!(!times.contain(at("2026-07-15T07:30:00Z")));
    }

    #[test]
    fn from_and_to_the_same_is_a_whole_day() {
        let times = times("UTC", &[Day::Wed], "00:00", "00:00");
        assert!(times.contain(at("2026-05-06T00:00:00Z")));
        assert!(times.contain(at("2026-05-06T23:59:59Z")));
        assert!(!times.contain(at("2026-05-07T00:00:00Z")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let schedule = |zone: &str, from: &str| Schedule {
            zone: zone.into(),
            intervals: vec![Interval {
                days: vec![],
                from: from.into(),
                to: "09:00".into(),
            }],
        };
        let told = |schedule: Schedule| schedule.check().unwrap_err().to_string();
        assert!(told(schedule("Mars/Base", "08:00")).starts_with("zone: got \"Mars/Base\""));
        assert!(told(schedule("+25:00", "08:00")).starts_with("zone: got \"+25:00\""));
        assert_eq!(
            told(schedule("UTC", "8:00")),
            "intervals[0].from: got \"8:00\", expected a time like \"07:30\""
        );
        assert!(told(schedule("UTC", "24:00")).starts_with("intervals[0].from"));
    }
}
