//! How far the layers are behind the log.

use axum::extract::{RawQuery, State};
use axum::response::Json;

use super::without_params;
use crate::problem::Problem;
use crate::schema::LayerLag;
use crate::state::App;

/// How far each layer is behind the log
///
/// Per layer, topic and partition, in events and in seconds; at most a second old.
/// While the hot store does not answer, the speed layer can save nothing there: its
/// positions are those of before, and `position_age_s` says how old they are.
#[utoipa::path(
    get, path = "/api/lag", tag = "service",
    responses((status = 200, body = Vec<LayerLag>), (status = 503, body = Problem))
)]
pub(crate) async fn lag(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<LayerLag>>, Problem> {
    without_params(query.as_deref())?;
    app.lag.rows(&app).await.map(Json)
}
