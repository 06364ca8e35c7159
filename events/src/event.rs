//! One validated event.

use compact_str::CompactString;

use crate::decode::{number_members, text_member};
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

    /// A number among the fields that the stream does not know.
    pub fn extra_number(&self, name: &str) -> Option<f64> {
        let mut numbers = number_members(self.extra.as_deref()?);
        let (_, number) = numbers.find(|(member, _)| member == name)?;
        Some(number).filter(|number| number.is_finite())
    }

    /// What a station read, name and value: [`Weather::readings`], and
    /// [`own_readings`](Weather::own_readings). Other streams have none.
    pub fn readings(&self) -> impl Iterator<Item = (CompactString, f64)> {
        let weather = match &self.body {
            Body::Weather(weather) => Some(weather),
            _ => None,
        };
        let known = weather.into_iter().flat_map(|weather| {
            let readings = Weather::READINGS.into_iter().zip(weather.readings());
            readings.filter_map(|(name, value)| Some((CompactString::const_new(name), value?)))
        });
        let extra = weather.and(self.extra.as_deref());
        known.chain(extra.into_iter().flat_map(Weather::own_readings))
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

    #[test]
    fn a_station_has_readings_of_its_own_sensors_as_well() {
        let read = |more: &str| {
            let json = format!(
                r#"{{"id":"e","device_id":"d","timestamp":"2023-11-15T12:00:00Z","location":[57.7,12.0],"humidity":40{more}}}"#
            );
            let event = decode(Stream::WeatherData, json.as_bytes(), 1_700_049_600_000_000);
            let read = event.expect("an event").readings().collect::<Vec<_>>();
            let names = read.iter().map(|(name, value)| format!("{name}={value}"));
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(read(""), "humidity=40");
        assert_eq!(
            read(
                r#","co2":412,"pressure" : -1.5e1,"firmware":"2","ok":true,"of":{"co2":1},"n":[2]"#
            ),
            "humidity=40 extra.co2=412 extra.pressure=-15"
        );
        // What no rule could name, what no sensor says, and what is said again.
        assert_eq!(
            read(r#","a b":1,"a:b":2,"":3,"huge":1e300,"co2":1,"co2":2"#),
            "humidity=40 extra.co2=1"
        );
        let many: String = (0..50).map(|n| format!(r#","s{n}":{n}"#)).collect();
        let own = read(&many).matches("extra.").count();
        assert_eq!(own, Weather::OWN_READINGS_MAX);
    }

    #[test]
    fn only_stations_have_readings() {
        let car = vehicle(r#","co2":412"#);
        assert_eq!(car.readings().count(), 0);
        assert_eq!(car.extra_number("co2"), Some(412.0));
        assert_eq!(car.extra_number("co"), None);
    }
}
