//! The registry of streams.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::columns::{Column, Row};
use crate::decode::{DecodeError, Reader};
use crate::event::Body;
use crate::json::ObjectWriter;
use crate::position::Topic;
use crate::{Alert, ClosedWindow, Gps, Incident, Location, TrafficCamera, Vehicle, Weather};

/// What a stream's file says about its events' own fields, those beside id,
/// device_id and timestamp.
pub(crate) trait Fields: Sized {
    /// The columns between `longitude` and `extra`, in the order of [`Fields::append`].
    const COLUMNS: &'static [Column];

    /// Reads and checks the fields.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Writes the fields as WIRE form, so that [`Fields::decode`] reads the same.
    fn write(&self, json: &mut ObjectWriter);

    /// Appends one value to each of [`Fields::COLUMNS`], in their order.
    fn append(&self, row: &mut Row<'_>);

    /// Where it happened.
    fn location(&self) -> Option<Location>;
}

/// Everything that differs by stream follows from one line each.
macro_rules! streams {
    ($($(#[$doc:meta])* $stream:ident, $name:literal, $body:ident($fields:ty), $wrap:expr;)+) => {
        /// A kind of event. Each has one topic in the log and one table in the lake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Stream {
            $($(#[$doc])* $stream,)+
        }

        impl Stream {
            /// Every stream, in the order in which they are listed to people.
            pub const ALL: [Stream; [$($name),+].len()] = [$(Stream::$stream),+];

            /// The default topic name, which is also the SQL table's name.
            pub const fn name(self) -> &'static str {
                match self { $(Stream::$stream => $name,)+ }
            }

            /// The stream's own columns.
            pub(crate) const fn own_columns(self) -> &'static [Column] {
                match self { $(Stream::$stream => <$fields>::COLUMNS,)+ }
            }

            /// Reads the stream's own fields.
            #[inline]
            pub(crate) fn decode_body(self, reader: &mut Reader<'_>) -> Result<Body, DecodeError> {
                match self { $(Stream::$stream => <$fields>::decode(reader).map($wrap).map(Body::$body),)+ }
            }
        }

        impl Body {
            /// The stream that such fields belong to.
            pub fn stream(&self) -> Stream {
                match self { $(Body::$body(_) => Stream::$stream,)+ }
            }

            /// Where it happened; an alert or a window may have no place.
            pub fn location(&self) -> Option<Location> {
                match self { $(Body::$body(fields) => fields.location(),)+ }
            }

            pub(crate) fn write(&self, json: &mut ObjectWriter) {
                match self { $(Body::$body(fields) => fields.write(json),)+ }
            }

            pub(crate) fn append(&self, row: &mut Row<'_>) {
                match self { $(Body::$body(fields) => fields.append(row),)+ }
            }
        }
    };
}

// Large and rare bodies are boxed, so that the frequent ones stay small.
streams! {
    /// Telemetry of connected vehicles.
    VehicleData, "vehicle_data", Vehicle(Vehicle), std::convert::identity;
    /// Fixes of GPS trackers: taxis, buses, service vehicles.
    GpsData, "gps_data", Gps(Gps), std::convert::identity;
    /// What traffic cameras saw.
    TrafficCameraData, "traffic_camera_data", Camera(TrafficCamera), std::convert::identity;
    /// Weather and air quality stations.
    WeatherData, "weather_data", Weather(Weather), Box::new;
    /// Emergency incidents and their life.
    EmergencyIncidentData, "emergency_incident_data", Incident(Incident), Box::new;
    /// Alerts that the platform itself raised.
    Alerts, "alerts", Alert(Alert), Box::new;
    /// Windows of one minute that the speed layer has closed.
    Windows, "windows", Window(ClosedWindow), Box::new;
}

impl Stream {
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
        let by_stream = Stream::ALL
            .into_iter()
            .map(|stream| (stream, Arc::from(stream.name())))
            .collect();
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
        self.by_stream
            .iter()
            .map(|(stream, topic)| (*stream, topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_is_found_by_its_name() {
        for stream in Stream::ALL {
            assert_eq!(Stream::from_name(stream.name()), Some(stream));
            assert_eq!(stream.to_string(), stream.name());
        }
        assert_eq!(Stream::from_name("telemetry"), None);
    }

    #[test]
    fn a_renamed_topic_carries_its_stream() {
        let mut topics = TopicNames::default();
        topics.rename(Stream::GpsData, "city.gps");
        assert_eq!(topics.stream("city.gps"), Some(Stream::GpsData));
        assert_eq!(topics.stream("gps_data"), Some(Stream::GpsData));
        assert_eq!(&*topics.dead_letters(Stream::GpsData), "city.gps.dlq");
        assert_eq!(topics.stream("other"), None);
        assert_eq!(topics.iter().count(), Stream::ALL.len());
    }
}
