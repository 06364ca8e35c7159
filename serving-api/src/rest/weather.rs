//! Weather and air.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use hot_store::Kind;

use super::{LIST_LIMIT_MAX, list, without_params};
use crate::json;
use crate::problem::Problem;
use crate::schema::{CurrentWeather, WeatherStation};
use crate::state::App;

/// The city's weather now
#[utoipa::path(
    get, path = "/api/weather/current", tag = "now",
    responses((status = 200, body = CurrentWeather), (status = 404, body = Problem, description = "No station heard yet"))
)]
pub(crate) async fn current(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    without_params(query.as_deref())?;
    let weather = app.mirror.value(Kind::Weather, "");
    weather
        .map(json::response)
        .ok_or_else(|| Problem::not_found("No weather data yet"))
}

/// Weather and air at every station
#[utoipa::path(
    get, path = "/api/weather/stations", tag = "now",
    params(("limit" = Option<usize>, Query, description = "At most this many", minimum = 1, maximum = 10000)),
    responses((status = 200, body = Vec<WeatherStation>), (status = 422, body = Problem))
)]
pub(crate) async fn stations(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    list(&app, Kind::Station, query.as_deref(), LIST_LIMIT_MAX)
}
