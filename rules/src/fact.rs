//! What rules are evaluated on, as the layers hand it in.

use events::window::Pane;
use events::{Event, Location};

/// The street under a fix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SegmentFact<'a> {
    /// The segment's id.
    pub id: &'a str,
    /// Its speed limit, km/h.
    pub limit_kmh: f64,
    /// Its free-flow speed, km/h: its own where it was learned, else the limit.
    pub free_flow_kmh: f64,
}

/// An accepted fix, the newest of its device by event time.
#[derive(Clone, Copy, Debug)]
pub struct Fix<'a> {
    /// Of `vehicle_data` or `gps_data`.
    pub event: &'a Event,
    /// The street that it was matched to.
    pub segment: Option<SegmentFact<'a>>,
}

/// A message of a station or a camera, the newest of its device by event time.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Of `weather_data` or `traffic_camera_data`.
    pub event: &'a Event,
}

/// A message about an incident, the newest of the incident by event time.
#[derive(Clone, Copy, Debug)]
pub struct IncidentFact<'a> {
    /// Of `emergency_incident_data`.
    pub event: &'a Event,
}

/// What a device did at a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceTransition {
    /// It came in.
    Enter,
    /// It went out.
    Exit,
    /// It has been inside for as long as the fence says.
    Dwell,
}

/// A device crossed a fence, or stayed in one.
#[derive(Clone, Copy, Debug)]
pub struct FenceFact<'a> {
    /// The fence's id.
    pub fence: &'a str,
    /// The device's id.
    pub device_id: &'a str,
    /// taxi, bus, ... where the device says so.
    pub vehicle_type: Option<&'a str>,
    /// What it did.
    pub transition: FenceTransition,
    /// Event time, microseconds since the epoch.
    pub at_us: i64,
    /// Seconds inside; 0 for an entry.
    pub inside_s: f64,
    /// Where the device was.
    pub location: Location,
}

/// A closed one-minute pane, merged from all partitions.
#[derive(Clone, Copy, Debug)]
pub struct PaneFact<'a> {
    /// What was measured.
    pub pane: &'a Pane,
    /// The segment's free-flow speed, km/h.
    pub free_flow_kmh: Option<f64>,
    /// The middle of the segment or cell, or the station's place.
    pub location: Option<Location>,
}
