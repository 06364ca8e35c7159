//! Vehicles and their trails.

use events::Offset;
use events::time::format_rfc3339;
use hot_store::{Kind, Update};
use serde::Serialize;
use tracks::TrailPoint;

use super::update;
use crate::state::Details;

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
    /// moving, stopped or silent.
    pub(crate) state: &'static str,
    /// When the trip that it is on began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trip_started_at: Option<String>,
    /// Driven on the UTC day of the newest fix.
    pub(crate) distance_today_m: f64,
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
    pub(crate) fn of(details: &'a Details) -> Self {
        match details {
            Details::Gps { vehicle_type, more } => {
                let more = more.as_deref();
                Self::Gps {
                    vehicle_type: vehicle_type.as_deref(),
                    accuracy_m: more.and_then(|more| more.accuracy_m),
                    occupied: more.and_then(|more| more.occupied),
                    route_id: more.and_then(|more| more.route_id.as_deref()),
                    trip_id: more.and_then(|more| more.trip_id.as_deref()),
                }
            }
            Details::Vehicle(vehicle) => Self::Vehicle {
                make: vehicle.make.as_deref(),
                model: vehicle.model.as_deref(),
                year: vehicle.year,
                fuel_type: vehicle.fuel_type.as_deref(),
            },
        }
    }
}

#[derive(Serialize)]
struct TrailItem {
    latitude: f64,
    longitude: f64,
    speed: f64,
    timestamp: String,
}

/// `citypulse:vehicle:trail:{id}`: an array, newest last.
pub(crate) fn trail(id: &str, points: impl Iterator<Item = TrailPoint>) -> Update {
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
