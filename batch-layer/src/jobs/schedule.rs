//! When runs are due, and what to do about it. Pure: the time is passed in.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;

/// Times by a cron text, in a time zone.
#[derive(Clone)]
pub struct Schedule {
    cron: Cron,
    zone: Tz,
    text: String,
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, self.zone)
    }
}

impl Schedule {
    /// Reads a cron text of five fields (minute, hour, day of the month, month, day of
    /// the week), six with seconds before them, or `@hourly`, `@daily` and the like.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(cron: &str) -> Result<Cron, String> {
        let expected = |why: String| {
            format!("a cron text such as \"0 3 * * *\" for every day at 3 o'clock ({why})")
        };
        Cron::from_str(cron).map_err(|error| expected(error.to_string()))
    }

    /// Reads a time zone's name.
    ///
    /// # Errors
    /// What was expected.
    pub fn zone(name: &str) -> Result<Tz, String> {
        Tz::from_str(name).map_err(|_| "a time zone such as UTC or Europe/Stockholm".to_owned())
    }

    /// The schedule of a cron text in a time zone.
    ///
    /// # Errors
    /// What was expected.
    pub fn new(cron: &str, zone: &str) -> Result<Self, String> {
        Ok(Self {
            cron: Self::parse(cron)?,
            zone: Self::zone(zone)?,
            text: cron.to_owned(),
        })
    }

    /// The cron text.
    pub fn cron(&self) -> &str {
        &self.text
    }

    /// The time zone's name.
    pub fn timezone(&self) -> &'static str {
        self.zone.name()
    }

    /// The first due time after `time_us`; `None` where there is none.
    pub fn next_after(&self, time_us: i64) -> Option<i64> {
        let time = self.time(time_us)?;
        let next = self.cron.find_next_occurrence(&time, false).ok()?;
        Some(next.timestamp_micros())
    }

    /// The last due time at or before `time_us`; `None` where there is none.
    pub fn latest_at(&self, time_us: i64) -> Option<i64> {
        let time = self.time(time_us)?;
        let latest = self.cron.find_previous_occurrence(&time, true).ok()?;
        Some(latest.timestamp_micros()).filter(|latest_us| *latest_us <= time_us)
    }

    fn time(&self, time_us: i64) -> Option<DateTime<Tz>> {
        let time = DateTime::<Utc>::from_timestamp_micros(time_us)?;
        Some(time.with_timezone(&self.zone))
    }
}

/// What is stored about a job's runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The last due time that was begun, or when the job was first seen.
    pub(crate) scheduled_us: Option<i64>,
    /// Until when the run of that time has a process; 0 where it has ended.
    pub(crate) lease_us: i64,
    /// How many processes have begun it.
    pub(crate) tries: i64,
    /// How far it was at its last sign of life: rows that came from tables,
    pub(crate) rows_read: i64,
    /// and rows of the result.
    pub(crate) rows_written: i64,
}

/// A run whose processes died this often is given up: it may be what kills them.
pub(crate) const TRIES_MAX: i64 = 3;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The job is new: times from now on count.
    Register,
    /// Nothing before then.
    Wait { until_us: i64 },
    /// Begin the run of that time.
    Begin { scheduled_us: i64 },
    /// Begin the run again whose process is gone.
    TakeOver { scheduled_us: i64 },
    /// Its processes died too often.
    GiveUp { scheduled_us: i64 },
}

pub(crate) fn step(schedule: &Schedule, stored: &Stored, now_us: i64) -> Step {
    let Some(last_us) = stored.scheduled_us else {
        return Step::Register;
    };
    let next_us = schedule.next_after(now_us).unwrap_or(i64::MAX);
    if stored.lease_us > now_us {
        return Step::Wait {
            until_us: stored.lease_us.min(next_us),
        };
    }
    if stored.lease_us != 0 {
        let scheduled_us = last_us;
        return match stored.tries >= TRIES_MAX {
            true => Step::GiveUp { scheduled_us },
            false => Step::TakeOver { scheduled_us },
        };
    }
    // Of all that were missed the latest alone.
    match schedule.latest_at(now_us) {
        Some(scheduled_us) if scheduled_us > last_us => Step::Begin { scheduled_us },
        _ => Step::Wait { until_us: next_us },
    }
}

#[cfg(test)]
mod tests {
    use events::time::parse_rfc3339_us;
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> i64 {
        parse_rfc3339_us(text).expect("a time")
    }

    fn daily() -> Schedule {
        Schedule::new("0 3 * * *", "UTC").expect("a schedule")
    }

    #[test]
    fn texts_that_are_none_are_refused_with_what_was_expected() {
        for text in ["", "3 o'clock", "61 * * * *", "* * *", "0 0 31 2 * * * * *"] {
            let error = Schedule::new(text, "UTC").expect_err(text);
            assert!(error.contains("a cron text such as"), "{error}");
        }
        let error = Schedule::new("* * * * *", "Gothenburg").expect_err("no zone");
        assert!(error.contains("Europe/Stockholm"), "{error}");
    }

    #[test]
    fn due_times_follow_the_zones_clock() {
        let schedule = Schedule::new("0 3 * * *", "Europe/Stockholm").expect("a schedule");
        let winter = schedule.next_after(at("2026-01-10T12:00:00Z"));
        assert_eq!(winter, Some(at("2026-01-11T02:00:00Z")));
        let summer = schedule.latest_at(at("2026-07-10T12:00:00Z"));
        assert_eq!(summer, Some(at("2026-07-10T01:00:00Z")));
        let exactly = at("2026-07-10T01:00:00Z");
        assert_eq!(schedule.latest_at(exactly), Some(exactly));
        assert_eq!(
            schedule.next_after(exactly),
            Some(at("2026-07-11T01:00:00Z"))
        );
    }

    #[test]
    fn of_missed_runs_the_latest_is_made_up_and_each_is_begun_once() {
        let now_us = at("2026-03-10T12:00:00Z");
        let stored = |scheduled: &str, lease_us, tries| Stored {
            scheduled_us: Some(at(scheduled)),
            lease_us,
            tries,
            ..Stored::default()
        };
        let today_us = at("2026-03-10T03:00:00Z");
        assert_eq!(step(&daily(), &Stored::default(), now_us), Step::Register);
        assert_eq!(
            step(&daily(), &stored("2026-03-01T03:00:00Z", 0, 0), now_us),
            Step::Begin {
                scheduled_us: today_us
            }
        );
        let until_us = at("2026-03-11T03:00:00Z");
        assert_eq!(
            step(&daily(), &stored("2026-03-10T03:00:00Z", 0, 1), now_us),
            Step::Wait { until_us }
        );
        // Registered after today's time: that one is not made up.
        assert_eq!(
            step(&daily(), &stored("2026-03-10T11:00:00Z", 0, 0), now_us),
            Step::Wait { until_us }
        );
    }

    #[test]
    fn a_run_is_taken_over_when_its_process_is_gone_but_not_for_ever() {
        let now_us = at("2026-03-10T12:00:00Z");
        let scheduled_us = at("2026-03-10T03:00:00Z");
        let stored = |lease_us, tries| Stored {
            scheduled_us: Some(scheduled_us),
            lease_us,
            tries,
            ..Stored::default()
        };
        let until_us = now_us + 1;
        assert_eq!(
            step(&daily(), &stored(until_us, 1), now_us),
            Step::Wait { until_us }
        );
        assert_eq!(
            step(&daily(), &stored(now_us, 1), now_us),
            Step::TakeOver { scheduled_us }
        );
        assert_eq!(
            step(&daily(), &stored(now_us, TRIES_MAX), now_us),
            Step::GiveUp { scheduled_us }
        );
    }

    proptest! {
        /// Whenever a process looks, and however long none does: what it begins is due,
        /// later than the last one begun, and nothing due lies between it and now.
        #[test]
        fn what_is_begun_is_the_latest_due(
            minutes in prop::collection::vec(1_i64..3_000, 1..40),
            every in 1_i64..50,
        ) {
            let schedule = Schedule::new(&format!("*/{every} * * * *"), "UTC").expect("a schedule");
            let mut now_us = at("2026-03-01T00:00:30Z");
            let mut stored = Stored { scheduled_us: Some(now_us), ..Stored::default() };
            for pause in minutes {
                now_us += pause * 60_000_000;
                match step(&schedule, &stored, now_us) {
                    Step::Begin { scheduled_us } => {
                        prop_assert!(Some(scheduled_us) > stored.scheduled_us && scheduled_us <= now_us);
                        prop_assert!(schedule.next_after(scheduled_us).expect("a time") > now_us);
                        stored.scheduled_us = Some(scheduled_us);
                    }
                    Step::Wait { until_us } => {
                        prop_assert!(until_us > now_us);
                        prop_assert!(schedule.latest_at(now_us) <= stored.scheduled_us);
                    }
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
    }
}
