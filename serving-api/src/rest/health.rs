//! Whether the service is alive, ready, healthy.

use std::collections::BTreeMap;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use events::health::{Health, HealthBoard};
use serde_json::json;

use super::without_params;
use crate::json;
use crate::problem::Problem;
use crate::schema::{ComponentHealth, HealthComponents, HealthReport, WebSocketHealth};
use crate::state::App;

/// Every component's state
///
/// Always 200: `status` says whether all is well. Use `/readyz` to route traffic.
#[utoipa::path(get, path = "/api/health", tag = "service", responses((status = 200, body = HealthReport)))]
pub(crate) async fn health(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<HealthReport>, Problem> {
    without_params(query.as_deref())?;
    let others: BTreeMap<String, ComponentHealth> = app
        .deps
        .health
        .all()
        .into_iter()
        .map(|(name, health)| (name.replace([' ', '-'], "_"), describe(health)))
        .collect();
    let redis = app.reachability.hot_store.state();
    let is_healthy = redis.responsive && app.deps.health.is_ready();
    Ok(Json(HealthReport {
        service: "CityPulse".to_owned(),
        status: if is_healthy { "healthy" } else { "degraded" }.to_owned(),
        components: HealthComponents {
            redis,
            event_log: app.reachability.event_log.state(),
            websockets: WebSocketHealth {
                active_connections: app.websockets.open(),
            },
            // The two links are above, with more to say.
            others: others
                .into_iter()
                .filter(|(name, _)| name != "event_log" && name != "hot_store")
                .collect(),
        },
        timestamp: json::now(),
    }))
}

/// Whether the process is alive
#[utoipa::path(get, path = "/livez", tag = "service", responses((status = 200, body = Object)))]
pub(crate) async fn livez() -> Response {
    Json(json!({"status": "alive"})).into_response()
}

/// Whether the service can do its work
///
/// 503 names each component that cannot, and why.
#[utoipa::path(
    get, path = "/readyz", tag = "service",
    responses((status = 200, body = Object), (status = 503, body = Problem))
)]
pub(crate) async fn readyz(State(app): State<App>) -> Response {
    readiness(&app.deps.health, app.shutdown.is_cancelled())
}

/// What `/readyz` says of a process with these components.
pub(crate) fn readiness(board: &HealthBoard, is_stopping: bool) -> Response {
    let waiting: Vec<String> = board
        .all()
        .into_iter()
        .filter_map(|(name, health)| waiting_for(name, health))
        .collect();
    if is_stopping {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "shutting down").into_response()
    } else if waiting.is_empty() {
        Json(json!({"status": "ready"})).into_response()
    } else {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, waiting.join("; ")).into_response()
    }
}

fn waiting_for(name: &str, health: Health) -> Option<String> {
    match health {
        Health::Ready => None,
        Health::Starting => Some(format!("{name} is starting")),
        Health::Degraded(reason) => Some(format!("{name}: {reason}")),
    }
}

fn describe(health: Health) -> ComponentHealth {
    let (status, detail) = match health {
        Health::Starting => ("starting", None),
        Health::Ready => ("ready", None),
        Health::Degraded(reason) => ("degraded", Some(reason)),
    };
    ComponentHealth {
        status: status.to_owned(),
        detail,
    }
}
