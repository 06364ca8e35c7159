//! The hot values as JSON: the shapes that readers of the hot store rely on.

mod places;
mod road;
mod vehicle;

use hot_store::{Kind, Update};
use serde::Serialize;

pub(crate) use places::{Camera, CityWeather, IncidentValue, Station};
pub(crate) use road::{Congestion, Level, Road, RoadWindow};
pub(crate) use vehicle::{BadFixes, Trip, Vehicle, VehicleDetails, read_details, trail};

/// An update with `value` as JSON.
pub(crate) fn update(kind: Kind, id: &str, value: &impl Serialize) -> Update {
    let json = serde_json::to_vec(value).expect("hot values are plain structs with text keys");
    Update::new(kind, id, Some(json.into()))
}

/// To one decimal, as speeds and temperatures are shown.
pub(crate) fn round1(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// `analytics:city:summary`
#[derive(Serialize)]
pub(crate) struct CitySummary {
    pub(crate) total_vehicles: usize,
    pub(crate) moving_vehicles: usize,
    pub(crate) stopped_vehicles: usize,
    pub(crate) silent_vehicles: usize,
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

/// `citypulse:lag:{topic}/{partition}`
#[derive(Serialize)]
pub(crate) struct Lag<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) position: i64,
    pub(crate) end: i64,
    pub(crate) events: i64,
    pub(crate) seconds: f64,
    pub(crate) timestamp: String,
}
