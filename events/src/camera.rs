//! `traffic_camera_data`: what a traffic camera saw since its last message.

use compact_str::CompactString;

use crate::Location;

/// One message of a traffic camera.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TrafficCamera {
    /// The camera.
    pub camera_id: CompactString,
    /// Where it stands.
    pub location: Location,
    /// Reference to the picture.
    pub snapshot: Option<Box<str>>,
    /// Where it looks, degrees clockwise from north.
    pub direction_deg: Option<f64>,
    /// Mean speed of the vehicles seen, km/h.
    pub speed_kmh: Option<f64>,
    /// How many vehicles it saw.
    pub vehicle_count: Option<i64>,
}
