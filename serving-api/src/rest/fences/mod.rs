//! Fences: the areas that are watched.

pub(crate) mod geojson;
pub(crate) mod inside;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use event_log::registry::{Edit, Registry};
use fences::{FENCES_MAX, Fence, Invalid};
use serde_json::json;
use uuid::Uuid;

use super::{LIST_LIMIT_MAX, without_params};
use crate::body;
use crate::json;
use crate::params::{Params, PathId};
use crate::problem::Problem;
use crate::schema::{FenceDocument, FencePage};
use crate::state::App;

/// The largest document: [`fences::shape::CORNERS_MAX`] corners with every digit.
const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
const LIST_LIMIT_DEFAULT: usize = 1000;
/// How long a request waits for the fences to be read after a start.
const LOADING_MAX: Duration = Duration::from_secs(3);

/// The fences, once they have been read from the log.
async fn loaded(app: &App) -> Result<&Arc<Registry<Fence>>, Problem> {
    let fences = &app.deps.fences;
    let loading = tokio::time::timeout(LOADING_MAX, fences.loaded());
    let unread = |_| Problem::unavailable("the fences are still being read from the event log");
    loading.await.map_err(unread)?;
    Ok(fences)
}

/// Waits until the edits are durable and seen by this process.
async fn write(app: &App, edits: Vec<Edit>) -> Result<(), Problem> {
    let written = app.deps.fences.write(edits).await;
    written.map_err(|error| match error.is_retryable() {
        true => Problem::unavailable(error.to_string()),
        false => Problem::internal(&error),
    })
}

fn refuse(invalid: Invalid) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, invalid.to_string())
}

fn no_such_fence(id: &str) -> Problem {
    Problem::not_found(format!("No fence with id {}", crate::problem::shorten(id)))
}

async fn read_document(app: &App, headers: &HeaderMap, body: Body) -> Result<Fence, Problem> {
    body::expect_json(headers)?;
    let timeout = app.config().request_timeout();
    let body = body::read(body, DOCUMENT_BYTES_MAX, timeout).await?;
    // Ten thousand corners take milliseconds to compare with each other.
    let read = tokio::task::spawn_blocking(move || Fence::from_json(&body)).await;
    read.map_err(|error| Problem::internal(&error))?
        .map_err(refuse)
}

/// Writes one fence. The answer is what is stored.
async fn store(app: &App, mut fence: Fence) -> Result<Fence, Problem> {
    fence.updated_at = Some(json::now());
    let edit = Edit::put(fence.id.clone(), fence.to_json());
    write(app, vec![edit]).await?;
    Ok(fence)
}

fn check_room(fences: &Registry<Fence>, more: usize) -> Result<(), Problem> {
    let after = fences.len() + more;
    if after <= FENCES_MAX {
        return Ok(());
    }
    let got = format!("{after} fences with this request");
    let expected = format!("at most {FENCES_MAX} in all");
    Err(Problem::unprocessable("body", &got, &expected))
}

/// The fences
///
/// By id, a page at a time: give the answer's `next` as `after` for the next one.
#[utoipa::path(
    get, path = "/api/fences", tag = "fences",
    params(
        ("limit" = Option<usize>, Query, description = "At most this many", minimum = 1, maximum = 10000),
        ("after" = Option<String>, Query, description = "Only fences whose ids come after this one")
    ),
    responses((status = 200, body = FencePage), (status = 422, body = Problem), (status = 503, body = Problem))
)]
pub(crate) async fn list(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut params = Params::new(query.as_deref());
    let limit = params.number("limit", 1..=LIST_LIMIT_MAX, LIST_LIMIT_DEFAULT)?;
    let after = params.text("after", 128)?;
    params.finish()?;
    let fences = loaded(&app).await?;
    // One more than asked for tells whether there is a next page.
    let mut page = fences.page(after.as_deref(), limit + 1);
    let more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| more).map(|(id, _)| id.to_string());
    let documents: Vec<_> = page.iter().map(|(_, entry)| &*entry.value).collect();
    let answer = json!({"fences": documents, "total": fences.len(), "next": next});
    Ok(Json(answer).into_response())
}

/// Draw a fence
///
/// It is watched within a second by every process, and in the next answer of
/// `GET /api/fences`.
#[utoipa::path(
    post, path = "/api/fences", tag = "fences", request_body = FenceDocument,
    responses(
        (status = 201, body = FenceDocument), (status = 409, body = Problem, description = "There is a fence with this id"),
        (status = 413, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    without_params(query.as_deref())?;
    let mut fence = read_document(&app, &headers, body).await?;
    let fences = loaded(&app).await?;
    let _writing = app.fence_writes.lock().await;
    if fence.id.is_empty() {
        fence.id = Uuid::new_v4().to_string();
    } else if fences.get(&fence.id).is_some() {
        let detail = format!(
            "id: got {:?}, expected one that is free; PUT /api/fences/{} changes that fence",
            fence.id, fence.id
        );
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    check_room(fences, 1)?;
    let stored = store(&app, fence).await?;
    let mut response = (StatusCode::CREATED, Json(&stored)).into_response();
    // Ids are made of letters that headers take.
    if let Ok(location) = HeaderValue::from_str(&format!("/api/fences/{}", stored.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// One fence
#[utoipa::path(
    get, path = "/api/fences/{fence_id}", tag = "fences",
    params(("fence_id" = String, Path, description = "The fence's id", example = "harbour")),
    responses((status = 200, body = FenceDocument), (status = 404, body = Problem))
)]
pub(crate) async fn get(
    State(app): State<App>,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    without_params(query.as_deref())?;
    let fence = loaded(&app).await?.get(&id);
    let fence = fence.ok_or_else(|| no_such_fence(&id))?;
    Ok(Json(&*fence.value).into_response())
}

/// Change a fence, or draw one with this id
#[utoipa::path(
    put, path = "/api/fences/{fence_id}", tag = "fences", request_body = FenceDocument,
    params(("fence_id" = String, Path, description = "The fence's id", example = "harbour")),
    responses(
        (status = 200, body = FenceDocument), (status = 201, body = FenceDocument),
        (status = 413, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)
    )
)]
pub(crate) async fn put(
    State(app): State<App>,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    without_params(query.as_deref())?;
    fences::document::check_id(&id).map_err(refuse)?;
    let mut fence = read_document(&app, &headers, body).await?;
    if !fence.id.is_empty() && fence.id != id {
        let expected = format!("{id:?}, as in the path, or none");
        return Err(Problem::unprocessable(
            "id",
            &format!("{:?}", fence.id),
            &expected,
        ));
    }
    fence.id = id;
    let fences = loaded(&app).await?;
    let _writing = app.fence_writes.lock().await;
    let status = match fences.get(&fence.id) {
        Some(_) => StatusCode::OK,
        None => {
            check_room(fences, 1)?;
            StatusCode::CREATED
        }
    };
    let stored = store(&app, fence).await?;
    Ok((status, Json(&stored)).into_response())
}

/// Remove a fence
#[utoipa::path(
    delete, path = "/api/fences/{fence_id}", tag = "fences",
    params(("fence_id" = String, Path, description = "The fence's id", example = "harbour")),
    responses((status = 204), (status = 404, body = Problem), (status = 503, body = Problem))
)]
pub(crate) async fn delete(
    State(app): State<App>,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    without_params(query.as_deref())?;
    let fences = loaded(&app).await?;
    let _writing = app.fence_writes.lock().await;
    if fences.get(&id).is_none() {
        return Err(no_such_fence(&id));
    }
    write(&app, vec![Edit::remove(id)]).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
