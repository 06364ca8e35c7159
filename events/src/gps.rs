//! `gps_data`: fixes of trackers in taxis, buses and service vehicles.

use compact_str::CompactString;

use crate::Location;

/// One fix of a tracker.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Gps {
    /// Where it is.
    pub location: Location,
    /// Speed over ground, km/h, at least 0.
    pub speed_kmh: f64,
    /// Heading, degrees clockwise from north, 0 up to 360.
    pub direction_deg: Option<f64>,
    /// taxi, bus, truck, ...
    pub vehicle_type: Option<CompactString>,
    /// Radius of the fix's uncertainty, metres.
    pub accuracy_m: Option<f64>,
    /// Height above the ellipsoid, metres.
    pub altitude_m: Option<f64>,
    /// A taxi with passengers.
    pub occupied: Option<bool>,
    /// Public transport route.
    pub route_id: Option<CompactString>,
    /// Public transport trip.
    pub trip_id: Option<CompactString>,
}
