//! The hot values as JSON: the shapes that readers of the hot store rely on.

use std::collections::HashMap;

use compact_str::CompactString;
use events::time::{format_rfc3339, parse_rfc3339_us};
use events::{Body, Incident, Location, Offset, TrafficCamera, Weather};
use hot_store::{Kind, Update};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use streets::Segment;

use crate::state::{RoadWindow, TrailPoint};

/// An update with `value` as JSON.
pub(crate) fn update(kind: Kind, id: &str, value: &impl Serialize) -> Update {
    let json = serde_json::to_vec(value).expect("hot values are plain structs with text keys");
    Update {
        kind,
        id: id.to_string(),
        value: Some(json.into()),
    }
}

/// A number read back to the last bit: serde_json's own reading of floats may be
/// one unit off in the last place, and a restart must change nothing.
fn exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = <&RawValue>::deserialize(deserializer)?.get();
    text.parse().map_err(serde::de::Error::custom)
}

/// The same where there may be none.
fn exact_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    match <&RawValue>::deserialize(deserializer)?.get() {
        "null" => Ok(None),
        text => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

/// To one decimal, as speeds and temperatures are shown.
pub(crate) fn round1(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// `vehicle:location:{id}`
#[derive(Serialize)]
pub(crate) struct Vehicle<'a> {
    pub(crate) vehicle_id: &'a str,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) speed: f64,
    pub(crate) direction: Option<f64>,
    pub(crate) timestamp: String,
    /// Time of the newest fix that was a movement; none was seen yet where absent.
    pub(crate) last_moved: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) road_id: Option<&'a str>,
    pub(crate) log_offset: Offset,
    #[serde(flatten)]
    pub(crate) details: VehicleDetails<'a>,
}

/// What the two vehicle streams add.
#[derive(Serialize)]
#[serde(tag = "stream")]
pub(crate) enum VehicleDetails<'a> {
    #[serde(rename = "vehicle_data")]
    Vehicle {
        #[serde(skip_serializing_if = "Option::is_none")]
        make: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        model: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        year: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        fuel_type: Option<&'a str>,
    },
    #[serde(rename = "gps_data")]
    Gps {
        #[serde(skip_serializing_if = "Option::is_none")]
        vehicle_type: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        accuracy_m: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        occupied: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        route_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        trip_id: Option<&'a str>,
    },
}

impl<'a> VehicleDetails<'a> {
    pub(crate) fn of(body: &'a Body) -> Self {
        match body {
            Body::Gps(gps) => Self::Gps {
                vehicle_type: gps.vehicle_type.as_deref(),
                accuracy_m: gps.accuracy_m,
                occupied: gps.occupied,
                route_id: gps.route_id.as_deref(),
                trip_id: gps.trip_id.as_deref(),
            },
            Body::Vehicle(vehicle) => Self::Vehicle {
                make: vehicle.make.as_deref(),
                model: vehicle.model.as_deref(),
                year: vehicle.year,
                fuel_type: vehicle.fuel_type.as_deref(),
            },
            _ => unreachable!("only the two vehicle streams have vehicles"),
        }
    }
}

/// What a restart needs of a stored vehicle.
pub(crate) struct StoredVehicle {
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) speed: f64,
    pub(crate) direction: Option<f64>,
    pub(crate) timestamp_us: i64,
    pub(crate) last_moved_us: Option<i64>,
    pub(crate) log_offset: Offset,
}

impl StoredVehicle {
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Stored {
            #[serde(deserialize_with = "exact")]
            latitude: f64,
            #[serde(deserialize_with = "exact")]
            longitude: f64,
            #[serde(deserialize_with = "exact")]
            speed: f64,
            #[serde(deserialize_with = "exact_or_none")]
            direction: Option<f64>,
            timestamp: String,
            last_moved: Option<String>,
            log_offset: Offset,
        }
        let stored: Stored = serde_json::from_slice(json).ok()?;
        Some(Self {
            latitude: stored.latitude,
            longitude: stored.longitude,
            speed: stored.speed,
            direction: stored.direction,
            timestamp_us: parse_rfc3339_us(&stored.timestamp)?,
            last_moved_us: stored.last_moved.as_deref().and_then(parse_rfc3339_us),
            log_offset: stored.log_offset,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct TrailItem {
    #[serde(deserialize_with = "exact")]
    latitude: f64,
    #[serde(deserialize_with = "exact")]
    longitude: f64,
    #[serde(deserialize_with = "exact")]
    speed: f64,
    timestamp: String,
}

/// `citypulse:vehicle:trail:{id}`: an array, newest last.
pub(crate) fn trail<'a>(id: &str, points: impl Iterator<Item = &'a TrailPoint>) -> Update {
    let items: Vec<TrailItem> = points
        .map(|point| TrailItem {
            latitude: point.location.latitude,
            longitude: point.location.longitude,
            speed: point.speed_kmh,
            timestamp: format_rfc3339(point.timestamp_us),
        })
        .collect();
    update(Kind::Trail, id, &items)
}

pub(crate) fn parse_trail(json: &[u8]) -> Vec<TrailPoint> {
    let items: Vec<TrailItem> = serde_json::from_slice(json).unwrap_or_default();
    let points = items.into_iter().filter_map(|item| {
        Some(TrailPoint {
            location: Location {
                latitude: item.latitude,
                longitude: item.longitude,
            },
            speed_kmh: item.speed,
            timestamp_us: parse_rfc3339_us(&item.timestamp)?,
        })
    });
    points.collect()
}

/// Congestion of a road: its mean speed as a share of free flow. The bounds are
/// those of the level of service of urban streets (Highway Capacity Manual 2010,
/// chapter 17): light is A to C, moderate D, heavy E, severe F.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Light,
    Moderate,
    Heavy,
    Severe,
}

impl Level {
    pub(crate) fn of(speed_kmh: f64, free_flow_kmh: f64) -> Self {
        match speed_kmh / free_flow_kmh.max(1.0) {
            ratio if ratio > 0.5 => Level::Light,
            ratio if ratio > 0.4 => Level::Moderate,
            ratio if ratio > 0.3 => Level::Heavy,
            _ => Level::Severe,
        }
    }

    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Stored {
            congestion_level: Level,
        }
        serde_json::from_slice::<Stored>(json)
            .ok()
            .map(|stored| stored.congestion_level)
    }
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
    pub(crate) fn new(
        segment: &'a Segment,
        start_us: i64,
        size_us: i64,
        window: &RoadWindow,
    ) -> Self {
        let mean_kmh = window.speeds.mean().unwrap_or_default();
        let middle = segment.line[segment.line.len() / 2];
        Self {
            road_id: &segment.id,
            road_name: segment.name.as_deref(),
            average_speed: round1(mean_kmh),
            free_flow_speed: round1(segment.free_flow_kmh),
            vehicle_count: window.vehicles,
            congestion_level: Level::of(mean_kmh, segment.free_flow_kmh),
            latitude: middle.latitude,
            longitude: middle.longitude,
            window_start: format_rfc3339(start_us),
            window_end: format_rfc3339(start_us + size_us),
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

/// What a restart needs of a stored incident.
pub(crate) struct StoredIncident {
    pub(crate) incident: Incident,
    pub(crate) order: (i64, Offset),
    pub(crate) started_at_us: i64,
}

impl StoredIncident {
    pub(crate) fn parse(id: &str, json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Stored {
            incident_type: CompactString,
            #[serde(deserialize_with = "exact")]
            latitude: f64,
            #[serde(deserialize_with = "exact")]
            longitude: f64,
            severity: CompactString,
            status: CompactString,
            description: Option<Box<str>>,
            units: Vec<CompactString>,
            started_at: String,
            timestamp: String,
            log_offset: Offset,
        }
        let stored: Stored = serde_json::from_slice(json).ok()?;
        Some(Self {
            order: (parse_rfc3339_us(&stored.timestamp)?, stored.log_offset),
            started_at_us: parse_rfc3339_us(&stored.started_at)?,
            incident: Incident {
                incident_id: id.into(),
                location: Location {
                    latitude: stored.latitude,
                    longitude: stored.longitude,
                },
                incident_type: stored.incident_type,
                status: stored.status,
                severity: stored.severity,
                description: stored.description,
                units: stored.units,
            },
        })
    }
}

/// Defines the readings that stations, and the city's weather, show.
macro_rules! readings {
    ($($field:ident),+) => {
        #[derive(Default, Serialize, Deserialize)]
        struct Readings {
            $(#[serde(default)] $field: Option<f64>,)+
        }

        impl Readings {
            fn of(weather: &Weather) -> Self {
                Self { $($field: weather.$field,)+ }
            }

            fn fill(self, weather: &mut Weather) {
                $(weather.$field = self.$field;)+
            }

            /// The mean of each reading over the stations that have it.
            fn mean(all: &[&Weather]) -> Self {
                Self { $($field: mean(all.iter().filter_map(|weather| weather.$field)),)+ }
            }
        }
    };
}

readings!(
    temperature,
    humidity,
    wind_speed,
    visibility,
    precipitation,
    air_quality_index,
    pm25,
    pm10,
    no2,
    o3,
    so2,
    co,
    noise_db
);

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
            readings: Readings::of(weather),
            timestamp: format_rfc3339(order.0),
            log_offset: order.1,
        }
    }
}

pub(crate) fn parse_station(json: &[u8]) -> Option<((i64, Offset), Weather)> {
    #[derive(Deserialize)]
    struct Stored {
        latitude: f64,
        longitude: f64,
        condition: Option<CompactString>,
        #[serde(flatten)]
        readings: Readings,
        timestamp: String,
        log_offset: Offset,
    }
    let stored: Stored = serde_json::from_slice(json).ok()?;
    let mut weather = Weather {
        location: Location {
            latitude: stored.latitude,
            longitude: stored.longitude,
        },
        weather_condition: stored.condition,
        ..Weather::default()
    };
    stored.readings.fill(&mut weather);
    Some((
        (parse_rfc3339_us(&stored.timestamp)?, stored.log_offset),
        weather,
    ))
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

pub(crate) fn parse_camera(id: &str, json: &[u8]) -> Option<((i64, Offset), TrafficCamera)> {
    #[derive(Deserialize)]
    struct Stored {
        latitude: f64,
        longitude: f64,
        direction: Option<f64>,
        speed: Option<f64>,
        vehicle_count: Option<i64>,
        snapshot: Option<Box<str>>,
        timestamp: String,
        log_offset: Offset,
    }
    let stored: Stored = serde_json::from_slice(json).ok()?;
    let camera = TrafficCamera {
        camera_id: id.into(),
        location: Location {
            latitude: stored.latitude,
            longitude: stored.longitude,
        },
        snapshot: stored.snapshot,
        direction_deg: stored.direction,
        speed_kmh: stored.speed,
        vehicle_count: stored.vehicle_count,
    };
    Some((
        (parse_rfc3339_us(&stored.timestamp)?, stored.log_offset),
        camera,
    ))
}

/// `analytics:city:summary`
#[derive(Serialize)]
pub(crate) struct CitySummary {
    pub(crate) total_vehicles: usize,
    pub(crate) moving_vehicles: usize,
    pub(crate) active_emergencies: usize,
    pub(crate) average_city_speed: f64,
    pub(crate) congested_roads: usize,
    pub(crate) congestion: Congestion,
    pub(crate) stations: usize,
    pub(crate) cameras: usize,
    pub(crate) events_per_second: f64,
    pub(crate) timestamp: String,
}

/// `health:check`
#[derive(Serialize)]
pub(crate) struct Health {
    pub(crate) status: &'static str,
    pub(crate) timestamp: String,
}
