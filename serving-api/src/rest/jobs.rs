//! How the scheduled jobs stand.

use axum::extract::{RawQuery, State};
use axum::response::Json;

use crate::jobs::ScheduledJob;
use crate::problem::Problem;
use crate::rest::without_params;
use crate::state::App;

/// The scheduled jobs, their last and next runs
///
/// Every job of the configuration, with the progress of the run that is under way in
/// whichever process. What became of all runs is in the table `job_runs`.
#[utoipa::path(
    get, path = "/api/jobs", tag = "ever",
    responses(
        (status = 200, body = Vec<ScheduledJob>),
        (status = 422, body = Problem),
        (status = 503, body = Problem, description = "The lake is away")
    )
)]
pub(crate) async fn jobs(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<ScheduledJob>>, Problem> {
    without_params(query.as_deref())?;
    let jobs = app.deps.jobs.list().await;
    jobs.map(Json).map_err(crate::sql::problem)
}
