//! Traffic on a road.

use events::aggregate::Moments;
use events::time::format_rfc3339;
use serde::Serialize;
use streets::Segment;

use super::round1;

/// Congestion of a road: its mean speed as a share of free flow. The bounds are
/// those of the level of service of urban streets (Highway Capacity Manual 2010,
/// chapter 17): light is A to C, moderate D, heavy E, severe F.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Light,
    Moderate,
    Heavy,
    Severe,
}

impl Level {
    /// One vehicle alone may wait at a light or for somebody: it says no more than
    /// moderate.
    pub(crate) fn of(speed_kmh: f64, free_flow_kmh: f64, vehicles: usize) -> Self {
        match speed_kmh / free_flow_kmh.max(1.0) {
            ratio if ratio > 0.5 => Level::Light,
            ratio if ratio > 0.4 || vehicles < 2 => Level::Moderate,
            ratio if ratio > 0.3 => Level::Heavy,
            _ => Level::Severe,
        }
    }
}

/// The merged window that a road's value is made of.
pub(crate) struct RoadWindow {
    pub(crate) start_us: i64,
    pub(crate) end_us: i64,
    pub(crate) speeds: Moments,
    /// The newest fix in it.
    pub(crate) newest_us: i64,
    pub(crate) vehicles: usize,
}

/// `traffic:road:{road}`
#[derive(Serialize)]
pub(crate) struct Road<'a> {
    pub(crate) road_id: &'a str,
    road_name: Option<&'a str>,
    average_speed: f64,
    free_flow_speed: f64,
    vehicle_count: usize,
    pub(crate) congestion_level: Level,
    latitude: f64,
    longitude: f64,
    window_start: String,
    window_end: String,
    timestamp: String,
}

impl<'a> Road<'a> {
    pub(crate) fn new(segment: &'a Segment, free_flow_kmh: f64, window: &RoadWindow) -> Self {
        let mean_kmh = window.speeds.mean().unwrap_or_default();
        let middle = segment.line[segment.line.len() / 2];
        Self {
            road_id: &segment.id,
            road_name: segment.name.as_deref(),
            average_speed: round1(mean_kmh),
            free_flow_speed: round1(free_flow_kmh),
            vehicle_count: window.vehicles,
            congestion_level: Level::of(mean_kmh, free_flow_kmh, window.vehicles),
            latitude: middle.latitude,
            longitude: middle.longitude,
            window_start: format_rfc3339(window.start_us),
            window_end: format_rfc3339(window.end_us),
            timestamp: format_rfc3339(window.newest_us),
        }
    }
}

/// How many roads are at each level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Congestion {
    pub(crate) light: usize,
    pub(crate) moderate: usize,
    pub(crate) heavy: usize,
    pub(crate) severe: usize,
}

impl Congestion {
    pub(crate) fn count(&mut self, level: Level) {
        *match level {
            Level::Light => &mut self.light,
            Level::Moderate => &mut self.moderate,
            Level::Heavy => &mut self.heavy,
            Level::Severe => &mut self.severe,
        } += 1;
    }
}
