//! One validated event.

use compact_str::CompactString;

use crate::{Alert, Gps, Incident, Location, Stream, TrafficCamera, Vehicle, Weather};

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
    /// Fields that the stream does not know, as one JSON object.
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
}

impl Event {
    /// The stream this event belongs to.
    pub fn stream(&self) -> Stream {
        match self.body {
            Body::Vehicle(_) => Stream::VehicleData,
            Body::Gps(_) => Stream::GpsData,
            Body::Camera(_) => Stream::TrafficCameraData,
            Body::Weather(_) => Stream::WeatherData,
            Body::Incident(_) => Stream::EmergencyIncidentData,
            Body::Alert(_) => Stream::Alerts,
        }
    }

    /// Where it happened; an alert may have no place.
    pub fn location(&self) -> Option<Location> {
        match &self.body {
            Body::Vehicle(vehicle) => Some(vehicle.location),
            Body::Gps(gps) => Some(gps.location),
            Body::Camera(camera) => Some(camera.location),
            Body::Weather(weather) => Some(weather.location),
            Body::Incident(incident) => Some(incident.location),
            Body::Alert(alert) => alert.location,
        }
    }
}
