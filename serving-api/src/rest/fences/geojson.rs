//! Fences as GeoJSON, in and out.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use bytes::Bytes;
use event_log::registry::{Edit, Registry};
use fences::{Fence, Invalid, Position, Shape};
use futures::stream::{self, StreamExt};
use hot_store::Kind;
use serde_json::json;
use uuid::Uuid;

use super::{check_room, loaded, refuse, without_params, write};
use crate::body;
use crate::json;
use crate::params::Params;
use crate::problem::{FeatureProblem, Problem};
use crate::schema::FencesImported;
use crate::state::App;

/// Features written at a time, so that a large export is never in memory whole.
const EXPORT_PAGE: usize = 500;
/// What an import takes: all fences that there can be, of some tens of corners each.
const IMPORT_BYTES_MAX: usize = 64 << 20;
/// Fences of an import that are written at a time.
const WRITTEN_AT_ONCE: usize = 5_000;
/// Wrong features that are told at most.
const ERRORS_MAX: usize = 100;

/// All fences as GeoJSON
///
/// A FeatureCollection that `POST /api/fences/import` reads back: a circle is a
/// Point with the property `radius_m`, a corridor a LineString with `width_m`, a
/// fence around a vehicle has no geometry but `device_id`. With `outline=true`
/// every fence is the area that it covers, to be drawn.
#[utoipa::path(
    get, path = "/api/fences.geojson", tag = "fences",
    params(("outline" = Option<bool>, Query, description = "Areas, to be drawn")),
    responses((status = 200, body = Object, content_type = "application/geo+json"), (status = 422, body = Problem))
)]
pub(crate) async fn export(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut params = Params::new(query.as_deref());
    let outline = match params.text("outline", 5)?.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            let name = "query parameter \"outline\"";
            return Err(Problem::unprocessable(
                name,
                &format!("{other:?}"),
                "true or false",
            ));
        }
    };
    params.finish()?;
    let fences = loaded(&app).await?.clone();
    let pages = stream::unfold(Some(None::<Arc<str>>), move |after| {
        let page = after.map(|after| write_page(&app, &fences, after.as_deref(), outline));
        std::future::ready(page.map(|(text, next)| (Ok::<_, Infallible>(text), next)))
    });
    let headers = [(CONTENT_TYPE, "application/geo+json")];
    // What compresses it asks once more after the end.
    Ok((headers, Body::from_stream(pages.fuse())).into_response())
}

/// The next part of the text; the first begins it, the last ends it. What follows
/// is `None` at the end.
fn write_page(
    app: &App,
    fences: &Registry<Fence>,
    after: Option<&str>,
    outline: bool,
) -> (Bytes, Option<Option<Arc<str>>>) {
    let page = fences.page(after, EXPORT_PAGE);
    let mut text = match after {
        None => b"{\"type\":\"FeatureCollection\",\"features\":[".to_vec(),
        Some(_) => Vec::new(),
    };
    for (number, (_, entry)) in page.iter().enumerate() {
        if number > 0 || after.is_some() {
            text.push(b',');
        }
        let feature = match outline {
            true => fences::geojson::outline(&entry.value, anchor(app, &entry.value)),
            false => fences::geojson::export(&entry.value),
        };
        text.extend_from_slice(feature.to_string().as_bytes());
    }
    let last = page.last().map(|(id, _)| id.clone());
    if page.len() < EXPORT_PAGE {
        text.extend_from_slice(b"]}");
        return (text.into(), None);
    }
    (text.into(), last.map(Some))
}

/// Where the vehicle of a moving fence is.
pub(super) fn anchor(app: &App, fence: &Fence) -> Option<Position> {
    let Shape::Around { device_id, .. } = &fence.shape else {
        return None;
    };
    let vehicles = app.mirror.table(Kind::Vehicle);
    let location = vehicles.get(device_id)?.location?;
    Some(Position([location.longitude, location.latitude]))
}

/// Add fences from GeoJSON
///
/// A FeatureCollection as `GET /api/fences.geojson` writes it, or any other of
/// Polygons and MultiPolygons, of at most 64 MiB; properties that are no field of a
/// fence are kept. A feature with the id of a fence replaces it; of an id that cannot
/// name a fence, such as `way/123`, another one is made, always the same. All are taken or, where one is
/// wrong, none: `errors` then says what is wrong with each.
#[utoipa::path(
    post, path = "/api/fences/import", tag = "fences", request_body = Object,
    responses(
        (status = 201, body = FencesImported), (status = 413, body = Problem),
        (status = 422, body = Problem), (status = 503, body = Problem)
    )
)]
pub(crate) async fn import(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    without_params(query.as_deref())?;
    body::expect_json(&headers)?;
    let timeout = app.config().request_timeout();
    let body = body::read(body, IMPORT_BYTES_MAX, timeout).await?;
    let reading = tokio::task::spawn_blocking(move || read_features(&body, &json::now()));
    let read = reading.await.map_err(|error| Problem::internal(&error))??;
    let fences = loaded(&app).await?;
    let _writing = app.fence_writes.lock().await;
    let is_new = |fence: &&Fence| fences.get(&fence.id).is_none();
    check_room(fences, read.iter().filter(is_new).count())?;
    let ids: Vec<_> = read.iter().map(|fence| fence.id.clone()).collect();
    // All are checked; each part is waited for, so that none waits for all of them.
    for part in read.chunks(WRITTEN_AT_ONCE) {
        let edits = part
            .iter()
            .map(|fence| Edit::put(fence.id.clone(), fence.to_json()));
        write(&app, edits.collect()).await?;
    }
    let answer = json!({"imported": ids.len(), "ids": ids});
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Every feature as a fence with an id, or what is wrong.
fn read_features(body: &[u8], now: &str) -> Result<Vec<Fence>, Problem> {
    let mut read = Vec::new();
    let mut errors = Vec::new();
    let mut wrong = 0;
    let mut ids = HashSet::new();
    let features = fences::geojson::import(body).map_err(refuse)?;
    for (feature, result) in features.into_iter().enumerate() {
        let result = result.and_then(|mut fence| {
            if fence.id.is_empty() {
                fence.id = Uuid::new_v4().to_string();
            }
            fence.updated_at = Some(now.to_owned());
            match ids.insert(fence.id.clone()) {
                true => Ok(fence),
                false => Err(Invalid::new(
                    "id",
                    format!("{:?} again", fence.id),
                    "each id once",
                )),
            }
        });
        match result {
            Ok(fence) => read.push(fence),
            Err(error) => {
                wrong += 1;
                if errors.len() < ERRORS_MAX {
                    let detail = error.to_string();
                    errors.push(FeatureProblem { feature, detail });
                }
            }
        }
    }
    let Some(first) = errors.first() else {
        return Ok(read);
    };
    let detail = format!(
        "{wrong} of {} features cannot be fences and none was taken; the first is features[{}]: {}",
        read.len() + wrong,
        first.feature,
        first.detail
    );
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with_errors(errors))
}
