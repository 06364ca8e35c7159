//! Active incidents.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use hot_store::Kind;

use super::{LIST_LIMIT_MAX, list};
use crate::problem::Problem;
use crate::schema::IncidentState;
use crate::state::App;

/// Every incident that is not resolved
#[utoipa::path(
    get, path = "/api/emergencies/active", tag = "now",
    params(("limit" = Option<usize>, Query, description = "At most this many", minimum = 1, maximum = 10000)),
    responses((status = 200, body = Vec<IncidentState>), (status = 422, body = Problem))
)]
pub(crate) async fn active(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    list(&app, Kind::Incident, query.as_deref(), LIST_LIMIT_MAX)
}
