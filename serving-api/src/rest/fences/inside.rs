//! Who is inside a fence now.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use bytes::Bytes;
use events::Stream;
use fences::{Fence, FenceIndex, FenceNo};
use hot_store::Kind;
use serde::Deserialize;

use super::{LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, geojson, loaded, no_such_fence};
use crate::json;
use crate::params::{Params, PathId};
use crate::problem::Problem;
use crate::schema::VehiclesInside;
use crate::state::App;

/// What decides whether a fence watches a vehicle.
#[derive(Deserialize)]
struct Watched {
    #[serde(default)]
    vehicle_type: Option<String>,
    #[serde(default)]
    stream: Option<String>,
    timestamp: String,
}

impl Watched {
    /// As [`events::Event::vehicle_type`] of what it is made of.
    fn vehicle_type(&self) -> Option<&str> {
        let is_connected = self.stream.as_deref() == Some(Stream::VehicleData.name());
        self.vehicle_type
            .as_deref()
            .or(is_connected.then_some("car"))
    }
}

/// The vehicles inside a fence now
///
/// By the newest position of each, of the fence's vehicle types, at its times of
/// the week.
#[utoipa::path(
    get, path = "/api/fences/{fence_id}/inside", tag = "fences",
    params(
        ("fence_id" = String, Path, description = "The fence's id", example = "harbour"),
        ("limit" = Option<usize>, Query, description = "At most this many", minimum = 1, maximum = 10000)
    ),
    responses((status = 200, body = VehiclesInside), (status = 404, body = Problem), (status = 422, body = Problem))
)]
pub(crate) async fn inside(
    State(app): State<App>,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut params = Params::new(query.as_deref());
    let limit = params.number("limit", 1..=LIST_LIMIT_MAX, LIST_LIMIT_DEFAULT)?;
    params.finish()?;
    let fence = loaded(&app).await?.get(&id);
    let fence = fence.ok_or_else(|| no_such_fence(&id))?.value;
    let vehicles = vehicles_in(&app, &fence, limit)?;
    let mut body = b"{\"fence_id\":".to_vec();
    json::write_string(&mut body, &id);
    body.extend_from_slice(b",\"vehicles\":");
    json::write_array(&mut body, &vehicles);
    body.push(b'}');
    Ok(json::response(body))
}

fn vehicles_in(app: &App, fence: &Fence, limit: usize) -> Result<Vec<Bytes>, Problem> {
    let anchor = geojson::anchor(app, fence);
    let mut index =
        FenceIndex::build([fence.clone()]).map_err(|error| Problem::internal(&error))?;
    if let (fences::Shape::Around { device_id, .. }, Some(at)) = (&fence.shape, anchor) {
        let location = events::Location {
            latitude: at.latitude(),
            longitude: at.longitude(),
        };
        index.move_anchor(device_id, location);
    }
    let mut found: Vec<FenceNo> = Vec::new();
    let mut candidates = Vec::new();
    for (id, item) in app.mirror.table(Kind::Vehicle).newest() {
        let Some(location) = item.location else {
            continue;
        };
        index.containing(location, &mut found);
        if !found.is_empty() {
            candidates.push((id.clone(), item.value.clone()));
        }
    }
    let is_watched = |(id, value): &(crate::mirror::Id, Bytes)| {
        let Some(active) = index.find(&fence.id) else {
            return false;
        };
        let watched = serde_json::from_slice::<Watched>(value).ok();
        watched.is_some_and(|watched| {
            let at_us = events::time::parse_rfc3339_us(&watched.timestamp);
            at_us.is_some_and(|at_us| active.applies(id, watched.vehicle_type(), at_us))
        })
    };
    let watched = candidates.into_iter().filter(is_watched);
    Ok(watched.map(|(_, value)| value).take(limit).collect())
}
