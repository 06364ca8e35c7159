//! Errors as clients see them: RFC 9457 `application/problem+json`.

use std::time::Duration;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// The body of every error answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "about:blank", "title": "Unprocessable Entity", "status": 422,
    "detail": "query parameter \"limit\": got 0, expected a whole number from 1 to 10000"
}))]
pub struct Problem {
    /// A URI for the kind of problem; `about:blank`: the status says it.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request, and what was expected.
    detail: String,
    /// Seconds after which to try again, as in the `Retry-After` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
    /// Ingest only: events that are durable although the request failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<u64>,
    /// Imports only: what is wrong with each feature.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FeatureProblem>,
}

/// What is wrong with one feature of an import.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FeatureProblem {
    /// Its number in the collection, from 0.
    pub feature: usize,
    /// Field, value and what was expected.
    pub detail: String,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            retry_after_s: None,
            accepted: None,
            errors: Vec::new(),
        }
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 422: `name` is what the client calls it, like `query parameter "limit"`.
    pub fn unprocessable(name: &str, got: &str, expected: &str) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("{name}: got {}, expected {expected}", shorten(got)),
        )
    }

    /// 413.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 429 with `Retry-After`.
    pub fn busy(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            retry_after_s: Some(retry_after.as_secs().max(1)),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
        }
    }

    /// 503 with `Retry-After`.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self {
            retry_after_s: Some(2),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }

    /// 500. The cause is logged, not told.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed by a fault of ours");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server could not answer; its log says why",
        )
    }

    pub fn with_errors(self, errors: Vec<FeatureProblem>) -> Self {
        Self { errors, ..self }
    }

    pub fn with_accepted(self, accepted: u64) -> Self {
        Self {
            accepted: Some(accepted),
            ..self
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after_s.map(HeaderValue::from);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.extend(retry_after.map(|seconds| (RETRY_AFTER, seconds)));
        response
    }
}

/// A client's own value, short enough to be shown back to it.
pub(crate) fn shorten(value: &str) -> String {
    const CHARACTERS_MAX: usize = 120;
    match value.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.to_owned(),
    }
}

/// Any path that does not exist.
pub(crate) async fn unknown_path(uri: Uri) -> Problem {
    Problem::not_found(format!(
        "no such path: {}; /docs lists all paths",
        shorten(uri.path())
    ))
}

/// A path that exists, asked with a method that it does not have.
pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!(
        "{method} is not possible on {}; the Allow header lists what is",
        shorten(uri.path())
    );
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
