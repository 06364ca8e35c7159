//! What stays in its place: incidents, stations, cameras, the city's weather.

use std::collections::HashMap;

use compact_str::CompactString;
use events::time::format_rfc3339;
use events::{Incident, Offset, TrafficCamera, Weather};
use serde::{Serialize, Serializer};
use streets::Segment;

use super::round1;

/// `emergency:incident:{id}`
#[derive(Serialize)]
pub(crate) struct IncidentValue<'a> {
    incident_id: &'a str,
    incident_type: &'a str,
    latitude: f64,
    longitude: f64,
    severity: &'a str,
    status: &'a str,
    description: Option<&'a str>,
    units: &'a [CompactString],
    #[serde(skip_serializing_if = "Option::is_none")]
    road_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    road_name: Option<&'a str>,
    started_at: String,
    timestamp: String,
    log_offset: Offset,
}

impl<'a> IncidentValue<'a> {
    pub(crate) fn new(
        incident: &'a Incident,
        (timestamp_us, log_offset): (i64, Offset),
        started_at_us: i64,
        road: Option<&'a Segment>,
    ) -> Self {
        Self {
            incident_id: &incident.incident_id,
            incident_type: &incident.incident_type,
            latitude: incident.location.latitude,
            longitude: incident.location.longitude,
            severity: &incident.severity,
            status: &incident.status,
            description: incident.description.as_deref(),
            units: &incident.units,
            road_id: road.map(|segment| segment.id.as_str()),
            road_name: road.and_then(|segment| segment.name.as_deref()),
            started_at: format_rfc3339(started_at_us),
            timestamp: format_rfc3339(timestamp_us),
            log_offset,
        }
    }
}

/// The readings that stations, and the city's weather, show: a member each.
struct Readings([Option<f64>; Weather::READINGS.len()]);

impl Readings {
    /// The mean of each reading over the stations that have it.
    fn mean(all: &[&Weather]) -> Self {
        let all: Vec<_> = all.iter().map(|weather| weather.readings()).collect();
        Self(std::array::from_fn(|at| {
            mean(all.iter().filter_map(|readings| readings[at]))
        }))
    }
}

impl Serialize for Readings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Weather::READINGS.iter().zip(&self.0))
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| round1(sum / f64::from(count)))
}

/// `citypulse:weather:station:{id}`
#[derive(Serialize)]
pub(crate) struct Station<'a> {
    station_id: &'a str,
    latitude: f64,
    longitude: f64,
    condition: Option<&'a str>,
    #[serde(flatten)]
    readings: Readings,
    timestamp: String,
    log_offset: Offset,
}

impl<'a> Station<'a> {
    pub(crate) fn new(id: &'a str, order: (i64, Offset), weather: &'a Weather) -> Self {
        Self {
            station_id: id,
            latitude: weather.location.latitude,
            longitude: weather.location.longitude,
            condition: weather.weather_condition.as_deref(),
            readings: Readings(weather.readings()),
            timestamp: format_rfc3339(order.0),
            log_offset: order.1,
        }
    }
}

/// `weather:current`: the mean over the live stations, the commonest condition.
#[derive(Serialize)]
pub(crate) struct CityWeather {
    condition: Option<String>,
    #[serde(flatten)]
    readings: Readings,
    stations: usize,
    timestamp: Option<String>,
}

impl CityWeather {
    pub(crate) fn of<'a>(stations: impl Iterator<Item = (i64, &'a Weather)>) -> Self {
        let (times, all): (Vec<i64>, Vec<&Weather>) = stations.unzip();
        let mut conditions: HashMap<&str, usize> = HashMap::new();
        for condition in all
            .iter()
            .filter_map(|weather| weather.weather_condition.as_deref())
        {
            *conditions.entry(condition).or_default() += 1;
        }
        // The name breaks ties, so that equal counts give one answer.
        let commonest = conditions
            .into_iter()
            .max_by_key(|(name, count)| (*count, std::cmp::Reverse(*name)));
        Self {
            condition: commonest.map(|(name, _)| name.to_string()),
            readings: Readings::mean(&all),
            stations: all.len(),
            timestamp: times.into_iter().max().map(format_rfc3339),
        }
    }
}

/// `citypulse:camera:{id}`
#[derive(Serialize)]
pub(crate) struct Camera<'a> {
    camera_id: &'a str,
    latitude: f64,
    longitude: f64,
    direction: Option<f64>,
    speed: Option<f64>,
    vehicle_count: Option<i64>,
    snapshot: Option<&'a str>,
    timestamp: String,
    log_offset: Offset,
}

impl<'a> Camera<'a> {
    pub(crate) fn new(order: (i64, Offset), camera: &'a TrafficCamera) -> Self {
        Self {
            camera_id: &camera.camera_id,
            latitude: camera.location.latitude,
            longitude: camera.location.longitude,
            direction: camera.direction_deg,
            speed: camera.speed_kmh,
            vehicle_count: camera.vehicle_count,
            snapshot: camera.snapshot.as_deref(),
            timestamp: format_rfc3339(order.0),
            log_offset: order.1,
        }
    }
}
