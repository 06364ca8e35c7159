//! A fleet whose events are numbered: the same number is always the same event.
//!
//! Event time runs on with the numbers, not with the clock, so that minutes of it pass
//! in seconds. Some events are out of order, late, twice, or at (0,0), as in life.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::fixtures::{event_id, rfc3339};
use crate::roads::{Carriageway, Place, Street};

/// Faster than this the fleet's rule raises an alert,
pub const FAST_KMH: f64 = 115.0;
/// and from this on it is over, km/h.
pub const FAST_NO_MORE_KMH: f64 = 100.0;

/// Vehicles that drive and park on streets of their own, and stations that measure.
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
        let Driving {
            place,
            heading,
            speed,
        } = drive(vehicle, time, dice);
        let (latitude, longitude) = match dice % 331 {
            7 => (0.0, 0.0),
            _ if dice % 41 == 3 && speed > 0 => place.aside().degrees(),
            _ => place.degrees(),
        };
        writeln!(
            lines,
            r#"{{"id":"{}","device_id":"taxi-{vehicle}","timestamp":"{}","location":[{latitude:.6},{longitude:.6}],"speed":{}.{},"direction":{heading},"vehicle_type":"taxi"}}"#,
            event_id(number),
            rfc3339(time),
            speed / 10,
            speed % 10,
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
                r#"{{"id":"{}","device_id":"station-{station}","timestamp":"{}","location":[57.7,11.9{station}],"temperature":{}.{},"weather_condition":"Clear","humidity":{},"wind_speed":5.0,"precipitation":0.0,"visibility":10.0,"airQualityIndex":{},"co2":{}.5}}"#,
                event_id((1 << 40) + number * 100 + station),
                rfc3339(self.time(number)),
                dice % 30,
                dice % 10,
                (dice >> 8) % 100,
                (dice >> 16) % 300,
                400 + (dice >> 24) % 1000,
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

/// What a vehicle does at a moment.
struct Driving {
    place: Place,
    /// Degrees.
    heading: u64,
    /// Tenths of km/h.
    speed: u64,
}

/// Five minutes of twenty it stands at the kerb, for the last three of which it is parked;
/// otherwise it drives fast enough for its heading to be believed.
fn drive(vehicle: u64, time: DateTime<Utc>, dice: u64) -> Driving {
    let street = Street::of(vehicle);
    // Others of the same street at other times.
    if (time.timestamp() as u64 / 300 + vehicle / 8).is_multiple_of(4) {
        return Driving {
            place: street.kerb(),
            heading: 90,
            speed: 0,
        };
    }
    let (carriageway, heading) = match (dice >> 60) % 2 {
        0 => (Carriageway::East, 80),
        _ => (Carriageway::West, 260),
    };
    Driving {
        place: street.lane(carriageway, dice >> 30),
        heading: heading + (dice >> 24) % 20,
        speed: 80 + (dice >> 40) % 1120,
    }
}

/// Numbers that look random and are always the same (SplitMix64, Steele et al. 2014).
pub fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
