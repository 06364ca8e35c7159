//! What the simulated city is made of.

use std::fmt;

use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

/// The simulated city and how fast it speaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GeneratorConfig {
    /// How many vehicles, 0 to 100,000. About 70 % of them send `vehicle_data`,
    /// the others `gps_data`.
    pub vehicles: usize,
    /// How many traffic cameras.
    pub cameras: usize,
    /// How many weather and air quality stations.
    pub stations: usize,
    /// How many incidents are active on average.
    pub incidents: usize,
    /// The same seed and start give the same city, event for event.
    pub seed: u64,
    /// Seconds between the fixes of a vehicle, 1 to 60.
    pub interval_s: f64,
    /// How many events a second.
    pub rate: Rate,
    /// Mistakes that real devices make.
    pub dirt: Dirt,
    /// When the simulated time begins, RFC 3339; now where absent. Time runs on
    /// from there as fast as the clock on the wall.
    pub start: Option<String>,
    /// The city's local time, hours east of UTC, for rush hours and daylight.
    pub utc_offset_hours: f64,
}

impl Default for GeneratorConfig {
    fn default() -> Self {
        Self {
            vehicles: 500,
            cameras: 200,
            stations: 50,
            incidents: 8,
            seed: 1,
            interval_s: 1.0,
            rate: Rate::Interval,
            dirt: Dirt::default(),
            start: None,
            utc_offset_hours: 1.0,
        }
    }
}

/// How many events a second: `"interval"`, `"max"` or a number.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Rate {
    /// As many as the vehicles send at `interval_s`.
    #[default]
    Interval,
    /// This many. Vehicles then send up to five fixes a second; beyond that
    /// there are more vehicles.
    EventsPerSecond(f64),
    /// As many as the machine and the log can take.
    Max,
}

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "interval" => Ok(Self::Interval),
            "max" => Ok(Self::Max),
            number => match number.parse::<f64>() {
                Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Self::EventsPerSecond(rate)),
                _ => Err(format!(
                    "rate {text:?}: expected interval, max or a number of events a second above 0"
                )),
            },
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interval => f.write_str("interval"),
            Self::EventsPerSecond(rate) => write!(f, "{rate}"),
            Self::Max => f.write_str("max"),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::EventsPerSecond(rate) => serializer.serialize_f64(*rate),
            other => serializer.collect_str(other),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RateVisitor;
        impl Visitor<'_> for RateVisitor {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"interval\", \"max\" or a number of events a second above 0")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rate, E> {
                let wrong = |_| E::invalid_value(Unexpected::Str(text), &self);
                text.parse().map_err(wrong)
            }

            fn visit_f64<E: de::Error>(self, rate: f64) -> Result<Rate, E> {
                let wrong = |_| E::invalid_value(Unexpected::Float(rate), &self);
                rate.to_string().parse().map_err(wrong)
            }

            fn visit_u64<E: de::Error>(self, rate: u64) -> Result<Rate, E> {
                self.visit_f64(rate as f64)
            }

            fn visit_i64<E: de::Error>(self, rate: i64) -> Result<Rate, E> {
                self.visit_f64(rate as f64)
            }
        }
        deserializer.deserialize_any(RateVisitor)
    }
}

/// Shares (0 to 1) of the vehicles' messages that go wrong. 2 % in all by default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dirt {
    /// Arrive 10 s to 2 minutes late.
    pub late: f64,
    /// A fix sent a second time: the same device, time and place under a new
    /// message id. Ids stay unique, so that they can prove exactly-once.
    pub duplicate: f64,
    /// Arrive after the device's next message.
    pub out_of_order: f64,
    /// Say 0, 0 as the place.
    pub null_island: f64,
    /// Say a place 20 to 200 km away.
    pub teleport: f64,
    /// Cannot be read: cut JSON, a negative speed, a missing field, ...
    pub malformed: f64,
}

impl Dirt {
    /// A city in which nothing goes wrong.
    pub const NONE: Dirt = Dirt {
        late: 0.0,
        duplicate: 0.0,
        out_of_order: 0.0,
        null_island: 0.0,
        teleport: 0.0,
        malformed: 0.0,
    };
}

impl Default for Dirt {
    fn default() -> Self {
        Self {
            late: 0.005,
            duplicate: 0.003,
            out_of_order: 0.005,
            null_island: 0.002,
            teleport: 0.002,
            malformed: 0.003,
        }
    }
}

impl GeneratorConfig {
    /// The largest number of vehicles that is simulated.
    pub const VEHICLES_MAX: usize = 100_000;

    /// Refuses values that make no city; the sentence names key, value and what
    /// was expected.
    pub fn validate(&self) -> Result<(), String> {
        let Dirt {
            late,
            duplicate,
            out_of_order,
            null_island,
            teleport,
            malformed,
        } = self.dirt;
        let shares = [
            ("late", late),
            ("duplicate", duplicate),
            ("out_of_order", out_of_order),
            ("null_island", null_island),
            ("teleport", teleport),
            ("malformed", malformed),
        ];
        for (name, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!(
                    "generators.dirt.{name} is {share}: expected a share from 0 to 1"
                ));
            }
        }
        let sum: f64 = shares.iter().map(|(_, share)| share).sum();
        // Shares that were scaled to 1 may miss it by a rounding error.
        if sum > 1.0 + 1e-9 {
            return Err(format!(
                "the shares of generators.dirt add up to {sum}: expected at most 1"
            ));
        }
        if !(1.0..=60.0).contains(&self.interval_s) {
            return Err(format!(
                "generators.interval_s is {}: expected 1 to 60 seconds",
                self.interval_s
            ));
        }
        for (name, count) in [
            ("vehicles", self.vehicles),
            ("cameras", self.cameras),
            ("stations", self.stations),
        ] {
            if count > Self::VEHICLES_MAX {
                return Err(format!(
                    "generators.{name} is {count}: expected at most {}",
                    Self::VEHICLES_MAX
                ));
            }
        }
        if !(-14.0..=14.0).contains(&self.utc_offset_hours) {
            return Err(format!(
                "generators.utc_offset_hours is {}: expected -14 to 14",
                self.utc_offset_hours
            ));
        }
        self.start_us().map(|_| ())
    }

    /// The configured start, microseconds since the epoch.
    pub fn start_us(&self) -> Result<Option<i64>, String> {
        let Some(start) = &self.start else {
            return Ok(None);
        };
        match events::time::parse_rfc3339_us(start) {
            Some(start_us) => Ok(Some(start_us)),
            None => Err(format!(
                "generators.start is {start:?}: expected RFC 3339, such as 2026-05-04T07:30:00Z"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_words_or_numbers() {
        let rate =
            |json: &str| serde_json::from_str::<Rate>(json).map_err(|error| error.to_string());
        assert_eq!(rate("\"max\""), Ok(Rate::Max));
        assert_eq!(rate("5000"), Ok(Rate::EventsPerSecond(5000.0)));
        assert_eq!(rate("\"2.5\""), Ok(Rate::EventsPerSecond(2.5)));
        assert!(
            rate("-1")
                .unwrap_err()
                .contains("expected \"interval\", \"max\" or a number")
        );
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_refused() {
        assert!(serde_json::from_str::<GeneratorConfig>(r#"{"vehicels":1}"#).is_err());
        let wrong = GeneratorConfig {
            interval_s: 0.0,
            ..GeneratorConfig::default()
        };
        assert!(wrong.validate().unwrap_err().contains("interval_s is 0"));
        assert_eq!(GeneratorConfig::default().validate(), Ok(()));
    }
}
