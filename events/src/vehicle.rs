//! `vehicle_data`: telemetry of connected vehicles.

use compact_str::CompactString;

use crate::Location;

/// One telemetry message of a vehicle.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Vehicle {
    /// Where it is.
    pub location: Location,
    /// Speed over ground, km/h, at least 0.
    pub speed_kmh: f64,
    /// Heading, degrees clockwise from north, 0 up to 360.
    pub direction_deg: Option<f64>,
    /// Manufacturer.
    pub make: Option<CompactString>,
    /// Model name.
    pub model: Option<CompactString>,
    /// Model year.
    pub year: Option<i32>,
    /// Petrol, Diesel, Electric, ...
    pub fuel_type: Option<CompactString>,
}
