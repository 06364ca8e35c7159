//! Traffic per street segment.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use hot_store::Kind;

use super::{LIST_LIMIT_MAX, list, without_params};
use crate::json;
use crate::params::PathId;
use crate::problem::Problem;
use crate::schema::RoadTraffic;
use crate::state::App;

/// Traffic on every street segment where vehicles were seen
#[utoipa::path(
    get, path = "/api/traffic/conditions", tag = "now",
    params(("limit" = Option<usize>, Query, description = "At most this many", minimum = 1, maximum = 10000)),
    responses((status = 200, body = Vec<RoadTraffic>), (status = 422, body = Problem))
)]
pub(crate) async fn conditions(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    list(&app, Kind::Road, query.as_deref(), LIST_LIMIT_MAX)
}

/// Traffic on one street segment
#[utoipa::path(
    get, path = "/api/traffic/live/{road_id}", tag = "now",
    params(("road_id" = String, Path, description = "The segment's id, as in /api/streets.geojson")),
    responses((status = 200, body = RoadTraffic), (status = 404, body = Problem))
)]
pub(crate) async fn live(
    State(app): State<App>,
    PathId(road_id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    without_params(query.as_deref())?;
    let road = app.mirror.value(Kind::Road, &road_id);
    let road = road
        .ok_or_else(|| Problem::not_found(format!("No traffic data found for road {road_id}")))?;
    Ok(json::response(road))
}
