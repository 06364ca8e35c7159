//! What holds for every answer: security headers, whose pages may call, panics.

use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, UPGRADE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use crate::problem::Problem;
use crate::state::App;

/// The map engine draws in workers made from blobs and sets styles on elements;
/// beyond that, nothing but our own files.
const CONTENT_POLICY: &str = "default-src 'self'; script-src 'self'; worker-src 'self' blob:; child-src 'self' blob:; \
    img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; \
    connect-src 'self' ws: wss: data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; \
    frame-ancestors 'none'";

/// Puts the security headers on every answer. Live answers are not to be cached.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONTENT_POLICY),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Answers a panic of a handler with 500 instead of a cut connection.
pub(crate) async fn panics(request: Request, next: Next) -> Response {
    AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
            Problem::internal(&message.as_deref().unwrap_or("a handler panicked")).into_response()
        })
}

/// Keeps other sites' pages from writing, and from opening a WebSocket: a
/// browser sends both without asking first.
pub(crate) async fn origins(State(app): State<App>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let reads_only = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if (reads_only && !headers.contains_key(UPGRADE))
        || is_allowed(headers, &app.config().allowed_origins)
    {
        return next.run(request).await;
    }
    let origin = headers
        .get(ORIGIN)
        .map(|origin| String::from_utf8_lossy(origin.as_bytes()))
        .unwrap_or_default();
    let detail =
        format!("pages of {origin} may not do this; http.allowed_origins lists those that may");
    Problem::new(StatusCode::FORBIDDEN, detail).into_response()
}

/// Programs send no origin; pages do, and must be ours or listed.
fn is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    (authority.is_some() && authority == host)
        || allowed
            .iter()
            .any(|listed| listed == "*" || listed == origin)
}

/// Lets the listed origins' pages read the answers; `None` where none is listed.
pub(crate) fn cross_origin(allowed: &[String]) -> Option<CorsLayer> {
    if allowed.is_empty() {
        return None;
    }
    let origins = if allowed.iter().any(|origin| origin == "*") {
        AllowOrigin::from(Any)
    } else {
        AllowOrigin::list(
            allowed
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin).ok()),
        )
    };
    let layer = CorsLayer::new().allow_origin(origins).allow_methods([
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
    ]);
    Some(layer.allow_headers([
        header::CONTENT_TYPE,
        header::ACCEPT,
        header::CONTENT_ENCODING,
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(origin: Option<&'static str>) -> HeaderMap {
        let mut headers =
            HeaderMap::from_iter([(HOST, HeaderValue::from_static("city.example:8000"))]);
        headers.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
        headers
    }

    #[test]
    fn only_our_own_and_listed_pages_may_write() {
        let listed = ["https://wall.example".to_owned()];
        assert!(is_allowed(&request(None), &[]));
        assert!(is_allowed(&request(Some("http://city.example:8000")), &[]));
        assert!(!is_allowed(&request(Some("https://evil.example")), &listed));
        assert!(!is_allowed(&request(Some("null")), &listed));
        assert!(is_allowed(&request(Some("https://wall.example")), &listed));
    }
}
