//! How much is live.

use axum::extract::{RawQuery, State};
use axum::response::Json;
use hot_store::Kind;

use super::without_params;
use crate::json;
use crate::problem::Problem;
use crate::schema::{ApiStatus, DataPoints, Stats};
use crate::state::App;

/// How many live values and clients there are
#[utoipa::path(get, path = "/api/stats", tag = "service", responses((status = 200, body = Stats)))]
pub(crate) async fn stats(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Stats>, Problem> {
    without_params(query.as_deref())?;
    let count = |kind| app.mirror.table(kind).len();
    Ok(Json(Stats {
        data_points: DataPoints {
            vehicles: count(Kind::Vehicle),
            emergencies: count(Kind::Incident),
            traffic_conditions: count(Kind::Road),
        },
        api_status: ApiStatus {
            websocket_connections: app.websockets.open(),
            redis_healthy: app.reachability.hot_store.state().responsive,
        },
        timestamp: json::now(),
    }))
}
