//! Live vehicles.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use bytes::Bytes;
use hot_store::Kind;
use serde_json::value::RawValue;

use super::{LIST_LIMIT_MAX, without_params};
use crate::json;
use crate::params::{Params, PathId};
use crate::problem::Problem;
use crate::schema::{VehicleLocation, VehicleWithTrail};
use crate::state::App;

const LIMIT_DEFAULT: usize = 1000;

/// The newest position of every vehicle
///
/// The vehicles heard of last come first. With `bbox` only those in that box.
#[utoipa::path(
    get, path = "/api/vehicles/locations", tag = "now",
    params(
        ("limit" = Option<usize>, Query, description = "At most this many", minimum = 1, maximum = 10000),
        ("bbox" = Option<String>, Query, description = "`west,south,east,north` in degrees", example = "11.9,57.6,12.1,57.8")
    ),
    responses((status = 200, body = Vec<VehicleLocation>), (status = 422, body = Problem))
)]
pub(crate) async fn locations(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut params = Params::new(query.as_deref());
    let limit = params.number("limit", 1..=LIST_LIMIT_MAX, LIMIT_DEFAULT)?;
    let bbox = params.bbox("bbox")?;
    params.finish()?;
    let vehicles = match bbox {
        None => app.mirror.values(Kind::Vehicle, limit),
        Some(bbox) => app.mirror.values_where(Kind::Vehicle, limit, |vehicle| {
            vehicle.location.is_some_and(|place| bbox.contains(place))
        }),
    };
    Ok(json::array_response(&vehicles))
}

/// One vehicle with its trail
#[utoipa::path(
    get, path = "/api/vehicles/{vehicle_id}", tag = "now",
    params(("vehicle_id" = String, Path, description = "The device's id", example = "bus-0007")),
    responses((status = 200, body = VehicleWithTrail), (status = 404, body = Problem))
)]
pub(crate) async fn vehicle(
    State(app): State<App>,
    PathId(vehicle_id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    without_params(query.as_deref())?;
    let vehicle = app.mirror.value(Kind::Vehicle, &vehicle_id);
    let vehicle = vehicle
        .ok_or_else(|| Problem::not_found(format!("No position found for vehicle {vehicle_id}")))?;
    let trail = app.mirror.value(Kind::Trail, &vehicle_id);
    Ok(json::response(with_trail(&vehicle, trail.as_ref())?))
}

/// The vehicle's JSON object with one more member.
fn with_trail(vehicle: &Bytes, trail: Option<&Bytes>) -> Result<Vec<u8>, Problem> {
    let trail = trail.map_or(b"[]".as_slice(), |trail| trail);
    let trail: &RawValue =
        serde_json::from_slice(trail).map_err(|error| Problem::internal(&error))?;
    let object = vehicle.trim_ascii();
    let Some(members) = object.strip_suffix(b"}") else {
        return Err(Problem::internal(
            &"a vehicle's hot value is not a JSON object",
        ));
    };
    let mut out = members.to_vec();
    if members.trim_ascii() != b"{" {
        out.push(b',');
    }
    out.extend_from_slice(b"\"trail\":");
    out.extend_from_slice(trail.get().as_bytes());
    out.push(b'}');
    Ok(out)
}
