//! How much people drive, by local time.

use super::random;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// Local time of the city.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    offset_us: i64,
}

/// Share of the largest traffic by hour, linear in between.
const WORKDAY: [f64; 25] = [
    0.12, 0.08, 0.06, 0.06, 0.10, 0.25, 0.55, 0.92, 1.00, 0.75, 0.60, 0.60, 0.64, 0.62, 0.68, 0.86,
    1.00, 0.98, 0.76, 0.56, 0.44, 0.38, 0.30, 0.20, 0.12,
];
const WEEKEND: [f64; 25] = [
    0.22, 0.18, 0.14, 0.10, 0.08, 0.08, 0.12, 0.18, 0.28, 0.40, 0.52, 0.60, 0.64, 0.64, 0.62, 0.60,
    0.58, 0.54, 0.48, 0.42, 0.38, 0.34, 0.30, 0.26, 0.22,
];

impl Clock {
    pub fn new(offset_hours: f64) -> Self {
        Self {
            offset_us: (offset_hours * HOUR_US as f64) as i64,
        }
    }

    /// Local hour of the day, 0 up to 24.
    pub fn hour(&self, now_us: i64) -> f64 {
        (now_us + self.offset_us).rem_euclid(DAY_US) as f64 / HOUR_US as f64
    }

    /// Days since the epoch in local time.
    pub fn day(&self, now_us: i64) -> i64 {
        (now_us + self.offset_us).div_euclid(DAY_US)
    }

    /// Day of the year, about: 0 to 365.25.
    pub fn day_of_year(&self, now_us: i64) -> f64 {
        (self.day(now_us) as f64).rem_euclid(365.2425)
    }

    pub fn is_weekend(&self, now_us: i64) -> bool {
        // The epoch was a Thursday.
        (self.day(now_us) + 3).rem_euclid(7) >= 5
    }

    /// Traffic as a share of the busiest hour, 0 to 1.
    pub fn demand(&self, now_us: i64) -> f64 {
        let curve = if self.is_weekend(now_us) {
            &WEEKEND
        } else {
            &WORKDAY
        };
        let hour = self.hour(now_us);
        let (whole, part) = (hour as usize, hour.fract());
        curve[whole] + (curve[whole + 1] - curve[whole]) * part
    }

    /// Share of the private vehicles that are under way.
    pub fn share_driving(&self, now_us: i64) -> f64 {
        0.25 + 0.6 * self.demand(now_us)
    }
}

/// Smooth noise from 0 to 1 over a plane, a new value every `1.0`.
pub(crate) fn noise(seed: u64, x: f64, y: f64) -> f64 {
    let at =
        |x: f64, y: f64| random::hash_unit(seed, random::hash(x as i64 as u64, y as i64 as u64));
    let smooth = |t: f64| t * t * (3.0 - 2.0 * t);
    let (left, low) = (x.floor(), y.floor());
    let (tx, ty) = (smooth(x - left), smooth(y - low));
    let mix = |a: f64, b: f64, t: f64| a + (b - a) * t;
    mix(
        mix(at(left, low), at(left + 1.0, low), tx),
        mix(at(left, low + 1.0), at(left + 1.0, low + 1.0), tx),
        ty,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rush_hours_are_the_busiest_on_workdays_only() {
        let clock = Clock::new(1.0);
        // Monday 2026-05-04, 00:00 local time.
        let monday_us = 1_777_849_200_000_000;
        let demand = |hour: i64| clock.demand(monday_us + hour * HOUR_US);
        assert!(demand(8) > demand(11) && demand(16) > demand(13) && demand(3) < 0.1);
        assert!(!clock.is_weekend(monday_us) && clock.is_weekend(monday_us - HOUR_US));
        assert!(clock.demand(monday_us - 16 * HOUR_US) < 0.5);
    }
}
