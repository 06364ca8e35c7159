//! `/`: the dashboard for people, a word about the service for programs.

use axum::extract::State;
use axum::http::header::{ACCEPT, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::response::{IntoResponse, Json, Response};

use crate::problem;
use crate::schema::ServiceInfo;
use crate::state::App;
use crate::{dashboard, json};

/// The dashboard, or a word about the service
///
/// A browser (`Accept: text/html`) gets the dashboard.
#[utoipa::path(get, path = "/", tag = "service", responses((status = 200, body = ServiceInfo)))]
pub(crate) async fn root(State(app): State<App>, headers: HeaderMap) -> Response {
    let accepted = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut response = if accepted.contains("text/html") {
        dashboard::page(&headers)
    } else {
        Json(ServiceInfo {
            service: "CityPulse".to_owned(),
            status: "operational".to_owned(),
            timestamp: json::now(),
            redis_healthy: app.reachability.hot_store.state().responsive,
            version: app.deps.version.to_owned(),
        })
        .into_response()
    };
    response
        .headers_mut()
        .append(VARY, HeaderValue::from_static("accept"));
    response
}

/// A file of the dashboard, or 404.
pub(crate) async fn other(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let reads = matches!(method, Method::GET | Method::HEAD);
    let asset = reads
        .then(|| dashboard::asset(uri.path().trim_start_matches('/'), &headers))
        .flatten();
    match asset {
        Some(response) => response,
        None => problem::unknown_path(uri).await.into_response(),
    }
}
