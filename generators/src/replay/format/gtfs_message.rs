//! The parts of a GTFS-Realtime 2.0 message that say where vehicles are.
//! Field numbers: gtfs-realtime.proto, <https://gtfs.org/documentation/realtime/proto/>.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FeedMessage {
    #[prost(message, required, tag = "1")]
    pub header: FeedHeader,
    #[prost(message, repeated, tag = "2")]
    pub entity: Vec<FeedEntity>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FeedHeader {
    #[prost(string, required, tag = "1")]
    pub version: String,
    #[prost(uint64, optional, tag = "3")]
    pub timestamp: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FeedEntity {
    #[prost(string, required, tag = "1")]
    pub id: String,
    #[prost(bool, optional, tag = "2")]
    pub is_deleted: Option<bool>,
    /// Not looked into: only that it is there.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub trip_update: Option<Vec<u8>>,
    #[prost(message, optional, tag = "4")]
    pub vehicle: Option<VehiclePosition>,
    /// Not looked into: only that it is there.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub alert: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct VehiclePosition {
    #[prost(message, optional, tag = "1")]
    pub trip: Option<TripDescriptor>,
    #[prost(message, optional, tag = "2")]
    pub position: Option<Position>,
    /// Seconds since the epoch.
    #[prost(uint64, optional, tag = "5")]
    pub timestamp: Option<u64>,
    #[prost(string, optional, tag = "7")]
    pub stop_id: Option<String>,
    #[prost(message, optional, tag = "8")]
    pub vehicle: Option<VehicleDescriptor>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TripDescriptor {
    #[prost(string, optional, tag = "1")]
    pub trip_id: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub route_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct VehicleDescriptor {
    #[prost(string, optional, tag = "1")]
    pub id: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub label: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Position {
    #[prost(float, required, tag = "1")]
    pub latitude: f32,
    #[prost(float, required, tag = "2")]
    pub longitude: f32,
    /// Degrees clockwise from north.
    #[prost(float, optional, tag = "3")]
    pub bearing: Option<f32>,
    /// m/s.
    #[prost(float, optional, tag = "5")]
    pub speed: Option<f32>,
}
