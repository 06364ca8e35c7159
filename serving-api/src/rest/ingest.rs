//! Taking events in.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};

use super::without_params;
use crate::body;
use crate::ingest::{Packing, Target, Unpacker, no_room, run};
use crate::params::PathId;
use crate::problem::{Problem, shorten};
use crate::schema::IngestReport;
use crate::state::App;

/// Append events to the log
///
/// The body is one JSON object, a JSON array of objects, or one JSON object per
/// line (NDJSON), told apart by content; gzip and zstd are accepted. The answer
/// comes once every accepted event is durable. Rejected events change nothing for
/// the accepted ones: each is listed with its line (or its number in the array)
/// and what was wrong, the first 100 of them. They are kept as dead letters, the
/// first 10,000 of a request: `SELECT * FROM dead_letters WHERE stage = 'ingest'`.
#[utoipa::path(
    post, path = "/api/ingest/{topic}", tag = "in",
    params(("topic" = String, Path, description = "The topic", example = "vehicle_data")),
    request_body(
        content = String, content_type = "application/x-ndjson", description = "At most 16 MiB, packed or not",
        example = "{\"id\":\"6b0e6f5e-4f0c-4c55-9d5b-1f6f6a1d0001\",\"device_id\":\"car-0001\",\"timestamp\":\"2026-03-01T08:15:00Z\",\"location\":[57.7067,11.9668],\"speed\":31.5,\"direction\":84}"
    ),
    responses(
        (status = 202, body = IngestReport),
        (status = 404, body = Problem, description = "No such topic"),
        (status = 413, body = Problem), (status = 415, body = Problem),
        (status = 422, body = Problem, description = "Nothing in the body is JSON"),
        (status = 429, body = Problem, description = "The log does not keep up; see Retry-After"),
        (status = 503, body = Problem, description = "The log is away")
    )
)]
pub(crate) async fn ingest(
    State(app): State<App>,
    PathId(topic): PathId,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let config = app.config();
    let topics = &app.deps.topics;
    without_params(query.as_deref())?;
    let stream = topics
        .stream(&topic)
        .ok_or_else(|| unknown_topic(&app, &topic))?;
    body::expect_json(&headers)?;
    let packing = Packing::of(&headers)?;

    let length = body::announced_length(&headers, config.ingest_body_bytes_max);
    let room = app
        .ingest_room
        .clone()
        .acquire_many_owned(length.div_ceil(1024).max(1) as u32);
    let room = tokio::time::timeout(Duration::from_secs(config.ingest_wait_s), room).await;
    let room = room
        .map_err(|_| no_room())?
        .map_err(|error| Problem::internal(&error))?;

    let body = body::read(body, config.ingest_body_bytes_max, config.request_timeout()).await?;
    let unpacker = Unpacker {
        packing,
        bytes_max: config.ingest_unpacked_bytes_max,
        room: app.ingest_room.clone(),
    };
    let target = Target {
        log: app.deps.log.as_ref(),
        stream,
        topic: topics.topic(stream),
        dead_letters: &topics.dead_letters(stream),
    };
    let report: IngestReport = run(target, body, unpacker, room).await?;
    Ok((StatusCode::ACCEPTED, Json(report)).into_response())
}

fn unknown_topic(app: &App, topic: &str) -> Problem {
    let known: Vec<&str> = app
        .deps
        .topics
        .iter()
        .map(|(_, name)| name.as_ref())
        .collect();
    Problem::not_found(format!(
        "no such topic: {}; there are {}",
        shorten(topic),
        known.join(", ")
    ))
}
