//! Traffic cameras.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use hot_store::Kind;

use super::{LIST_LIMIT_MAX, list};
use crate::problem::Problem;
use crate::schema::CameraState;
use crate::state::App;

/// What every camera saw last
#[utoipa::path(
    get, path = "/api/cameras", tag = "now",
    params(("limit" = Option<usize>, Query, description = "At most this many", minimum = 1, maximum = 10000)),
    responses((status = 200, body = Vec<CameraState>), (status = 422, body = Problem))
)]
pub(crate) async fn cameras(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    list(&app, Kind::Camera, query.as_deref(), LIST_LIMIT_MAX)
}
