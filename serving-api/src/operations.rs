//! Liveness, readiness and metrics alone: of a process that serves nothing else.

use std::future::IntoFuture;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use events::health::HealthBoard;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::listener::BoundedListener;
use crate::rest::health::{livez, readiness};
use crate::rest::metrics::exposition;
use crate::serve::fold_metrics;

/// More than a scraper and an orchestrator need.
const CONNECTIONS_MAX: usize = 32;

/// Serves `/livez`, `/readyz` and `/metrics` until `shutdown`.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve_operations(
    listener: TcpListener,
    health: HealthBoard,
    metrics: PrometheusHandle,
    shutdown: CancellationToken,
) -> Result<()> {
    let (collected, stop) = (metrics.clone(), shutdown.clone());
    let router = Router::new()
        .route("/livez", get(livez))
        .route(
            "/readyz",
            get(async move || readiness(&health, stop.is_cancelled())),
        )
        .route(
            "/metrics",
            get(async move |headers: HeaderMap| exposition(&collected, &headers)),
        );
    let listener = BoundedListener::new(listener, CONNECTIONS_MAX);
    tokio::select! {
        served = axum::serve(listener, router).into_future() => served.map_err(Error::Listener),
        () = fold_metrics(metrics, shutdown) => Ok(()),
    }
}
