//! Vehicles and their trails.

use events::time::format_rfc3339;
use events::{Body, Gps, Offset, Stream};
use hot_store::{Kind, Update};
use serde::Serialize;
use serde_json::Value;
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
    /// The last one that is over; of a silent vehicle the one that it was on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_trip: Option<Trip>,
    /// What was kept off the map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bad_fixes: Option<BadFixes>,
    /// Driven on the UTC day of the newest fix.
    pub(crate) distance_today_m: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) road_id: Option<&'a str>,
    pub(crate) log_offset: Offset,
    #[serde(flatten)]
    pub(crate) details: VehicleDetails<'a>,
}

/// From setting off to the last movement.
#[derive(Serialize)]
pub(crate) struct Trip {
    started_at: String,
    ended_at: String,
}

impl Trip {
    pub(crate) fn of(trip: tracks::Trip) -> Self {
        Self {
            started_at: format_rfc3339(trip.started_at_us),
            ended_at: format_rfc3339(trip.ended_at_us),
        }
    }
}

/// The fixes that were not believed: how many, and of the last one why and when.
#[derive(Serialize)]
pub(crate) struct BadFixes {
    count: u32,
    reason: &'static str,
    timestamp: String,
}

impl BadFixes {
    pub(crate) fn of(bad: tracks::BadFixes) -> Self {
        Self {
            count: bad.count,
            reason: bad.reason.name(),
            timestamp: format_rfc3339(bad.at_us),
        }
    }
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

/// Reads what a vehicle says of itself from its stored value.
pub(crate) fn read_details(value: &[u8]) -> Option<Details> {
    let fields: Value = serde_json::from_slice(value).ok()?;
    let text = |name: &str| Some(fields.get(name)?.as_str()?.into());
    let body = match Stream::from_name(fields.get("stream")?.as_str()?)? {
        Stream::GpsData => Body::Gps(Gps {
            vehicle_type: text("vehicle_type"),
            accuracy_m: fields.get("accuracy_m").and_then(Value::as_f64),
            occupied: fields.get("occupied").and_then(Value::as_bool),
            route_id: text("route_id"),
            trip_id: text("trip_id"),
            ..Gps::default()
        }),
        Stream::VehicleData => Body::Vehicle(events::Vehicle {
            make: text("make"),
            model: text("model"),
            year: fields
                .get("year")
                .and_then(Value::as_i64)
                .and_then(|year| i32::try_from(year).ok()),
            fuel_type: text("fuel_type"),
            ..events::Vehicle::default()
        }),
        _ => return None,
    };
    let mut details = None;
    Details::renew(&mut details, body);
    details
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
