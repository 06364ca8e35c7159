//! Metrics for Prometheus.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::observe::open_metrics;
use crate::state::App;

/// Metrics in OpenMetrics or Prometheus text
///
/// OpenMetrics 1.0 where `Accept` names it, otherwise Prometheus text 0.0.4.
#[utoipa::path(get, path = "/metrics", tag = "service", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    // Sets the lag gauges. When a back end is away they stay as they were, and
    // readiness says so.
    if let Err(problem) = app.lag.rows(&app).await {
        tracing::debug!(?problem, "lag gauges are not renewed");
    }
    exposition(&app.deps.metrics, &headers)
}

/// The collected metrics in the format that is asked for.
pub(crate) fn exposition(collected: &PrometheusHandle, headers: &HeaderMap) -> Response {
    let text = collected.render();
    let accepted = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if accepted.contains("application/openmetrics-text") {
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(CONTENT_TYPE, content_type)], open_metrics(&text)).into_response()
    } else {
        (
            [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
            text,
        )
            .into_response()
    }
}
