//! The SQL door over HTTP.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::TE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use lake::query::output::encode;

use super::without_params;
use crate::body;
use crate::problem::Problem;
use crate::schema::{SqlAnswer, SqlRequest};
use crate::sql::{Delivery, freshness, output_format, problem};
use crate::state::App;

/// The longest statement.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Run one SQL statement
///
/// Read-only, over one table per topic plus `dead_letters`. With `freshness`
/// `exact` every event acknowledged before the query began is in the answer.
/// json and parquet are sent when they are whole; csv, ndjson and arrow are streamed:
/// one that fails in the middle is cut off, and the trailer `citypulse-problem` says
/// why to a client that sent `TE: trailers`.
#[utoipa::path(
    post, path = "/api/sql", tag = "ever",
    request_body = SqlRequest,
    responses(
        (status = 200, content(
            (SqlAnswer = "application/json",
             example = json!({"columns": [{"name": "events", "type": "bigint"}], "rows": [{"events": 890071}], "row_count": 1, "elapsed_ms": 41.7})),
            (String = "text/csv"), (String = "application/x-ndjson"),
            (String = "application/vnd.apache.arrow.stream"), (String = "application/vnd.apache.parquet")
        )),
        (status = 422, body = Problem, description = "The statement or the request is wrong, or asks for too much"),
        (status = 429, body = Problem, description = "Too many statements at once; see Retry-After"),
        (status = 503, body = Problem, description = "Lake or log are away")
    )
)]
pub(crate) async fn sql(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let started = Instant::now();
    let config = app.config();
    without_params(query.as_deref())?;
    body::expect_json(&headers)?;
    let body = body::read(body, REQUEST_BYTES_MAX, config.request_timeout()).await?;
    let request: SqlRequest = serde_json::from_slice(&body).map_err(|error| {
        let expected =
            "expected {\"sql\": \"SELECT ...\", \"format\": \"json\", \"freshness\": \"exact\"}";
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("body: {error}; {expected}"),
        )
    })?;
    let format = output_format(request.format.as_deref(), &headers)?;
    let freshness = freshness(request.freshness.as_deref())?;
    if request.sql.trim().is_empty() {
        return Err(Problem::unprocessable(
            "field \"sql\"",
            &format!("{:?}", request.sql),
            "one SQL statement",
        ));
    }
    let (schema, rows) = app
        .deps
        .engine
        .query(&request.sql, freshness)
        .await
        .map_err(problem)?;
    let chunks = encode(format, schema, rows, started);
    let delivery = Delivery {
        format,
        held_back_bytes: config.sql_held_back_bytes,
        whole_bytes_max: config.sql_whole_bytes_max,
        stalled: Duration::from_secs(config.sql_stalled_s),
        takes_trailers: takes_trailers(&headers),
    };
    delivery.answer(chunks).await
}

/// Whether the client says that it reads what comes behind a body.
fn takes_trailers(headers: &HeaderMap) -> bool {
    let given = headers.get(TE).and_then(|value| value.to_str().ok());
    let mut codings = given.unwrap_or_default().split(',').map(str::trim);
    codings.any(|coding| coding.eq_ignore_ascii_case("trailers"))
}
