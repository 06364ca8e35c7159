//! A fleet whose events are numbered: the same number is always the same event.
//!
//! Event time runs on with the numbers, not with the clock, so that minutes of it pass
//! in seconds. Some events are out of order, late, twice, or at (0,0), as in life.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::fixtures::{event_id, rfc3339};

/// Faster than this the fleet's rule raises an alert,
pub const FAST_KMH: f64 = 115.0;
/// and from this on it is over, km/h.
pub const FAST_NO_MORE_KMH: f64 = 100.0;

/// Vehicles that drive around places of their own, and stations that measure.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Event time of event 0.
    pub began: DateTime<Utc>,
    /// How many vehicles.
    pub vehicles: u64,
    /// Events per minute of event time.
    pub per_minute: u64,
}

impl Fleet {
    /// `count` GPS events from number `first` on, one JSON document a line.
    pub fn gps(&self, first: u64, count: u64) -> String {
        let mut lines = String::with_capacity(count as usize * 220);
        for number in first..first + count {
            self.fix(&mut lines, number);
            if number % 97 == 5 {
                // Sent twice: the same event again.
                self.fix(&mut lines, number);
            }
        }
        lines
    }

    fn fix(&self, lines: &mut String, number: u64) {
        let dice = scramble(number);
        let vehicle = number % self.vehicles;
        let late = match dice % 200 {
            // Minutes late: no window takes it any more.
            0 => 240_000 + (dice >> 8) % 120_000,
            1..60 => (dice >> 8) % 20_000,
            _ => 0,
        };
        let time = self.time(number) - TimeDelta::milliseconds(late as i64);
        let home = scramble(vehicle + 1_000_003);
        // Within a hundred metres of home, in one of a few dozen cells.
        let degrees = |base: f64, span: f64, home: u64, dice: u64| {
            base + span * (home % 1000) as f64 / 1000.0 + (dice % 1000) as f64 * 4e-7
        };
        let (latitude, longitude) = match dice % 331 {
            7 => (0.0, 0.0),
            _ => (
                degrees(57.69, 0.04, home, dice >> 16),
                degrees(11.93, 0.08, home >> 20, dice >> 32),
            ),
        };
        let speed = (dice >> 40) % 1200;
        writeln!(
            lines,
            r#"{{"id":"{}","device_id":"taxi-{vehicle}","timestamp":"{}","location":[{latitude:.7},{longitude:.7}],"speed":{}.{},"direction":{},"vehicle_type":"taxi"}}"#,
            event_id(number),
            rfc3339(time),
            speed / 10,
            speed % 10,
            (dice >> 24) % 360,
        )
        .expect("text grows");
    }

    /// A reading of each of `stations` stations, for the minute of event `number`.
    pub fn weather(&self, number: u64, stations: u64) -> String {
        let mut lines = String::new();
        for station in 0..stations {
            let dice = scramble(number * 1009 + station);
            writeln!(
                lines,
                r#"{{"id":"{}","device_id":"station-{station}","timestamp":"{}","location":[57.7,11.9{station}],"temperature":{}.{},"weather_condition":"Clear","humidity":{},"wind_speed":5.0,"precipitation":0.0,"visibility":10.0,"airQualityIndex":{}}}"#,
                event_id((1 << 40) + number * 100 + station),
                rfc3339(self.time(number)),
                dice % 30,
                dice % 10,
                (dice >> 8) % 100,
                (dice >> 16) % 300,
            )
            .expect("text grows");
        }
        lines
    }

    /// A rule that some of its fixes break.
    pub fn rule() -> Value {
        json!({
            "id": "fleet-fast", "name": "Fast", "severity": "Low", "comparison": ">",
            "source": {"stream": "gps_data", "field": "speed"},
            "threshold": FAST_KMH, "clear_threshold": FAST_NO_MORE_KMH,
        })
    }

    /// A fix of a device of its own that breaks it, when the fleet sets out.
    pub fn rule_breaker(&self, device: &str, round: u64) -> Value {
        json!({
            "id": format!("{device}-{round}"), "device_id": device, "timestamp": rfc3339(self.began),
            "location": [57.6, 11.8], "speed": 119.5, "vehicle_type": "taxi",
        })
    }

    /// One event now of each of `devices` devices that did nothing before: event time
    /// comes to this moment in every partition, and closes what is open.
    pub fn closing(&self, stream: &str, devices: u64, round: u64) -> String {
        let mut lines = String::new();
        let now = rfc3339(Utc::now());
        for device in 0..devices {
            let id = event_id((1 << 44) + round * 1000 + device);
            let rest = match stream {
                "gps_data" => r#""speed":1.0,"vehicle_type":"taxi""#,
                _ => r#""temperature":1.0"#,
            };
            writeln!(
                lines,
                r#"{{"id":"{id}","device_id":"closing-{device}","timestamp":"{now}","location":[57.6,11.8],{rest}}}"#,
            )
            .expect("text grows");
        }
        lines
    }

    /// Event time of an event that is not late.
    fn time(&self, number: u64) -> DateTime<Utc> {
        let ms = number as i64 * 60_000 / self.per_minute as i64;
        self.began + TimeDelta::milliseconds(ms)
    }
}

/// Numbers that look random and are always the same (SplitMix64, Steele et al. 2014).
pub fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
