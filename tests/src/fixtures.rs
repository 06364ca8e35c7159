//! Events as producers send them.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// RFC 3339 with milliseconds.
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A stable UUID for event `number` of a test.
pub fn event_id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// A valid `gps_data` event: its id from `number`, in the middle of Gothenburg.
pub fn gps(number: u64, device: &str, time: DateTime<Utc>) -> Value {
    json!({
        "id": event_id(number),
        "device_id": device,
        "timestamp": rfc3339(time),
        "location": [57.7 + (number % 1000) as f64 * 1e-6, 11.97],
        "speed": 36.0,
        "direction": 90.0,
        "vehicle_type": "taxi",
    })
}

/// `count` valid `gps_data` events from now on, numbered from `first`, of ten devices.
pub fn gps_batch(first: u64, count: u64) -> Vec<Value> {
    let now = Utc::now();
    (first..first + count)
        .map(|number| gps(number, &format!("taxi-{}", number % 10), now))
        .collect()
}
