//! One validated event.

use compact_str::CompactString;

use crate::decode::text_member;
use crate::json::ObjectWriter;
use crate::{
    Alert, ClosedWindow, Gps, Incident, Location, Stream, TrafficCamera, Vehicle, Weather,
};

/// The producer's id of an event (a UUID in text, by convention).
pub type EventId = CompactString;

/// Who sent it: 1 to 128 characters. The log's partition key.
pub type DeviceId = CompactString;

/// One event as every layer sees it: decoded and valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The producer's id.
    pub id: EventId,
    /// The sending device.
    pub device_id: DeviceId,
    /// When it happened, microseconds since the epoch, UTC.
    pub timestamp_us: i64,
    /// Fields that the stream does not know, as the text of one JSON object, in
    /// the order in which they came.
    pub extra: Option<Box<str>>,
    /// The stream's own fields.
    pub body: Body,
}

/// The fields that differ by stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// `vehicle_data`
    Vehicle(Vehicle),
    /// `gps_data`
    Gps(Gps),
    /// `traffic_camera_data`
    Camera(TrafficCamera),
    /// `weather_data`
    Weather(Box<Weather>),
    /// `emergency_incident_data`
    Incident(Box<Incident>),
    /// `alerts`
    Alert(Box<Alert>),
    /// `windows`
    Window(Box<ClosedWindow>),
}

impl Event {
    /// The stream this event belongs to.
    pub fn stream(&self) -> Stream {
        self.body.stream()
    }

    /// Where it happened; an alert or a window may have no place.
    pub fn location(&self) -> Option<Location> {
        self.body.location()
    }

    /// taxi, bus, ...: what the sender says it is; `car` for a connected vehicle that
    /// does not say.
    pub fn vehicle_type(&self) -> Option<&str> {
        match &self.body {
            Body::Gps(gps) => gps.vehicle_type.as_deref(),
            Body::Vehicle(_) => {
                let given = ["vehicle_type", "vehicleType"].into_iter();
                let mut given = given.filter_map(|name| self.extra_text(name));
                Some(given.next().unwrap_or("car"))
            }
            _ => None,
        }
    }

    /// A text among the fields that the stream does not know.
    fn extra_text(&self, name: &str) -> Option<&str> {
        text_member(self.extra.as_deref()?, name)
    }

    /// The event as a record's value: one flat JSON object that
    /// [`decode`](crate::decode) reads back to the same event.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = ObjectWriter::new();
        json.text("id", &self.id)
            .text("device_id", &self.device_id)
            .timestamp("timestamp", self.timestamp_us);
        self.body.write(&mut json);
        if let Some(extra) = &self.extra {
            json.members_of(extra);
        }
        json.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    fn vehicle(more: &str) -> Event {
        let json = format!(
            r#"{{"id":"e","device_id":"d","timestamp":"2023-11-15T12:00:00Z","location":[57.7,12.0],"speed":1{more}}}"#
        );
        decode(Stream::VehicleData, json.as_bytes(), 1_700_049_600_000_000).expect("an event")
    }

    #[test]
    fn a_connected_vehicle_is_a_car_unless_it_says_otherwise() {
        assert_eq!(vehicle("").vehicle_type(), Some("car"));
        for more in [
            r#","vehicle_type":"truck""#,
            r#","vehicleType":"truck""#,
            r#","load":{"vehicle_type":"toy"},"note":"\"vehicle_type\":\"x\"","vehicle_type" : "truck","n":1"#,
        ] {
            assert_eq!(vehicle(more).vehicle_type(), Some("truck"), "{more}");
        }
        for more in [
            r#","vehicle_type":7"#,
            r#","vehicle_type":null"#,
            r#","load":{"vehicle_type":"toy"}"#,
        ] {
            assert_eq!(vehicle(more).vehicle_type(), Some("car"), "{more}");
        }
    }
}
