//! What the speed layer said, beside what the batch layer computes.

use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Json;
use views::audit::Report;

use crate::json::now_us;
use crate::params::Params;
use crate::problem::Problem;
use crate::state::App;

/// The longest time looked at, hours.
const HOURS_MAX: usize = 24;
/// An audit is stopped after this.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Compare the windows of the last hours with their events
///
/// Computed on demand, one at a time, within 120 s: every window of one minute that
/// the speed layer has closed is computed once more from the raw rows. By kind, how
/// many are equal; equal but for events that came after their minute was closed
/// (`late`); equal but for repeated messages (`duplicate`); different without a reason
/// (`bug`); `missing`; `extra`; and not yet due (`open`). Hours count back from the
/// newest event.
#[utoipa::path(
    get, path = "/api/audit", tag = "ever",
    params(("hours" = Option<usize>, Query, description = "How far back, 1 where it is not given", minimum = 1, maximum = 24)),
    responses(
        (status = 200, body = Report),
        (status = 422, body = Problem, description = "Wrong hours, or more than can be compared within the time limit"),
        (status = 429, body = Problem, description = "Another audit is running"),
        (status = 503, body = Problem, description = "Lake, log or hot store are away")
    )
)]
pub(crate) async fn audit(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Report>, Problem> {
    run(&app, query.as_deref(), false).await
}

/// Compare, and say anew what differs
///
/// The windows that are not equal are appended to the topic `windows` under their ids,
/// as all events have them, and written to the hot store where they are still live.
#[utoipa::path(
    post, path = "/api/audit/heal", tag = "ever",
    params(("hours" = Option<usize>, Query, description = "How far back, 1 where it is not given", minimum = 1, maximum = 24)),
    responses(
        (status = 200, body = Report, description = "What was found before, and how much was said anew"),
        (status = 422, body = Problem),
        (status = 429, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(crate) async fn heal(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Report>, Problem> {
    run(&app, query.as_deref(), true).await
}

async fn run(app: &App, query: Option<&str>, heals: bool) -> Result<Json<Report>, Problem> {
    let mut params = Params::new(query);
    let hours = params.number("hours", 1..=HOURS_MAX, 1)?;
    params.finish()?;
    let audit = app.deps.audit.run(hours as u32, heals, now_us());
    match tokio::time::timeout(TIME_LIMIT, audit).await {
        Ok(report) => report.map(Json).map_err(problem),
        Err(_) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!(
                "{hours} hours cannot be compared within {} s; ask for fewer hours",
                TIME_LIMIT.as_secs()
            ),
        )),
    }
}

fn problem(error: views::Error) -> Problem {
    match error {
        views::Error::Busy => Problem::busy(error.to_string(), Duration::from_secs(5)),
        views::Error::Query(error) => crate::sql::problem(error),
        views::Error::Log(_) | views::Error::Hot(_) | views::Error::Lake(_) => {
            Problem::unavailable(error.to_string())
        }
        views::Error::Columns(_)
        | views::Error::Column(_)
        | views::Error::Disk(_)
        | views::Error::Internal(_)
        | views::Error::Stopped => Problem::internal(&error),
    }
}
