//! The registry of streams.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::position::Topic;

/// A kind of event. Each has one topic in the log and one table in the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Telemetry of connected vehicles.
    VehicleData,
    /// Fixes of GPS trackers: taxis, buses, service vehicles.
    GpsData,
    /// What traffic cameras saw.
    TrafficCameraData,
    /// Weather and air quality stations.
    WeatherData,
    /// Emergency incidents and their life.
    EmergencyIncidentData,
    /// Alerts that the platform itself raised.
    Alerts,
}

impl Stream {
    /// Every stream, in the order in which they are listed to people.
    pub const ALL: [Stream; 6] = [
        Stream::VehicleData,
        Stream::GpsData,
        Stream::TrafficCameraData,
        Stream::WeatherData,
        Stream::EmergencyIncidentData,
        Stream::Alerts,
    ];

    /// The default topic name, which is also the SQL table's name.
    pub const fn name(self) -> &'static str {
        match self {
            Stream::VehicleData => "vehicle_data",
            Stream::GpsData => "gps_data",
            Stream::TrafficCameraData => "traffic_camera_data",
            Stream::WeatherData => "weather_data",
            Stream::EmergencyIncidentData => "emergency_incident_data",
            Stream::Alerts => "alerts",
        }
    }

    /// The stream of that table name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.name() == name)
    }

    /// The columns of the stream's table, `date` included; see [`crate::columns`].
    pub fn schema(self) -> SchemaRef {
        crate::columns::schema(self)
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which topic carries which stream: deployments may rename topics.
#[derive(Clone, Debug)]
pub struct TopicNames {
    by_stream: BTreeMap<Stream, Topic>,
}

impl Default for TopicNames {
    fn default() -> Self {
        let by_stream = Stream::ALL.into_iter().map(|stream| (stream, Arc::from(stream.name()))).collect();
        Self { by_stream }
    }
}

impl TopicNames {
    /// Gives `stream` another topic.
    pub fn rename(&mut self, stream: Stream, topic: impl Into<Topic>) {
        self.by_stream.insert(stream, topic.into());
    }

    /// The topic that carries `stream`.
    pub fn topic(&self, stream: Stream) -> &Topic {
        &self.by_stream[&stream]
    }

    /// The dead-letter topic beside `stream`'s topic: `<topic>.dlq`.
    pub fn dead_letters(&self, stream: Stream) -> Topic {
        format!("{}.dlq", self.topic(stream)).into()
    }

    /// The stream that `topic` carries, by its topic's name or, failing that,
    /// its table's name.
    pub fn stream(&self, topic: &str) -> Option<Stream> {
        self.by_stream
            .iter()
            .find(|(_, name)| name.as_ref() == topic)
            .map(|(stream, _)| *stream)
            .or_else(|| Stream::from_name(topic))
    }

    /// Every stream with its topic.
    pub fn iter(&self) -> impl Iterator<Item = (Stream, &Topic)> {
        self.by_stream.iter().map(|(stream, topic)| (*stream, topic))
    }
}
