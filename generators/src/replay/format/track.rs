//! Speed and direction from one fix of a device to its next.

use std::collections::HashMap;

use events::Location;

use super::round;

/// No vehicle in a city drives faster: what is beyond is a receiver's jump.
const PLAUSIBLE_KMH_MAX: f64 = 200.0;

/// The newest fix of every device.
#[derive(Default)]
pub(crate) struct Tracks {
    newest: HashMap<String, Fix>,
}

struct Fix {
    timestamp_us: i64,
    location: Location,
    speed_kmh: f64,
}

/// How a device moved to a fix.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(crate) struct Motion {
    /// km/h, finite, 0 to 200.
    pub speed_kmh: f64,
    /// Degrees clockwise from north, where it moved.
    pub direction_deg: Option<f64>,
    /// What the distance would mean, km/h, where that is a jump.
    pub jump_kmh: Option<f64>,
}

impl Tracks {
    /// Mean speed since the device's fix before, and the bearing from there. 0 at
    /// the first fix, and at one that is not later than a fix before it (a repeat,
    /// or out of order). After a jump, faster than 200 km/h, the speed before it
    /// is repeated: neither the jump nor a standstill happened on the road.
    pub fn step(&mut self, device: &str, timestamp_us: i64, here: Location) -> Motion {
        let Some(before) = self.newest.get_mut(device) else {
            let first = Fix {
                timestamp_us,
                location: here,
                speed_kmh: 0.0,
            };
            self.newest.insert(device.to_owned(), first);
            return Motion::default();
        };
        if timestamp_us <= before.timestamp_us {
            return Motion::default();
        }
        let elapsed_s = (timestamp_us as f64 - before.timestamp_us as f64) / 1e6;
        let distance_m = before.location.distance_m(here);
        let implied_kmh = round(distance_m / elapsed_s * 3.6, 100.0);
        let mut motion = Motion {
            speed_kmh: implied_kmh,
            direction_deg: (distance_m > 0.0)
                .then(|| round(before.location.bearing_deg(here), 10.0) % 360.0),
            jump_kmh: None,
        };
        if implied_kmh > PLAUSIBLE_KMH_MAX {
            motion = Motion {
                speed_kmh: before.speed_kmh,
                direction_deg: None,
                jump_kmh: Some(implied_kmh),
            };
        }
        *before = Fix {
            timestamp_us,
            location: here,
            speed_kmh: motion.speed_kmh,
        };
        motion
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64) -> Location {
        Location {
            latitude,
            longitude: -122.4,
        }
    }

    #[test]
    fn speed_is_from_fix_to_fix_of_one_device() {
        let mut tracks = Tracks::default();
        assert_eq!(tracks.step("a", 0, at(37.0)), Motion::default());
        assert_eq!(tracks.step("b", 0, at(38.0)), Motion::default());
        // A hundredth of a degree of latitude is 1,112 m.
        let motion = tracks.step("a", 60_000_000, at(37.01));
        assert!((66.0..67.5).contains(&motion.speed_kmh), "{motion:?}");
        assert_eq!(motion.direction_deg, Some(0.0));
        let standing = tracks.step("a", 120_000_000, at(37.01));
        assert_eq!(standing, Motion::default());
    }

    #[test]
    fn a_jump_repeats_the_speed_before_it() {
        let mut tracks = Tracks::default();
        tracks.step("a", 0, at(37.0));
        let before = tracks.step("a", 60_000_000, at(37.01)).speed_kmh;
        let jump = tracks.step("a", 61_000_000, at(38.0));
        assert_eq!((jump.speed_kmh, jump.direction_deg), (before, None));
        assert!(jump.jump_kmh.is_some_and(|kmh| kmh > 100_000.0));
    }

    #[test]
    fn what_is_not_later_has_no_speed_and_changes_nothing() {
        let mut tracks = Tracks::default();
        tracks.step("a", 60_000_000, at(37.0));
        assert_eq!(tracks.step("a", 60_000_000, at(37.5)), Motion::default());
        assert_eq!(tracks.step("a", i64::MIN, at(37.5)), Motion::default());
        let motion = tracks.step("a", 120_000_000, at(37.01));
        assert!((66.0..67.5).contains(&motion.speed_kmh), "{motion:?}");
    }
}
