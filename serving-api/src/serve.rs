//! The server: its tasks, and its orderly end.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::listener::BoundedListener;
use crate::mirror::{self, Mirror};
use crate::state::{Deps, Shared};
use crate::{lag, probe, router};

/// How often the metrics exporter folds its raw samples.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// How long WebSocket sessions get after the last request has ended.
const SESSIONS_LAST_WAIT: Duration = Duration::from_secs(1);

/// Serves until `shutdown`, then stops accepting, tells WebSocket clients that
/// it goes away, lets requests finish for [`crate::HttpConfig::shutdown_grace_s`] and
/// returns.
///
/// # Errors
/// When the listener fails for good. A hot store, log or lake that is away is
/// not an error: it shows on the health board and in the answers.
pub async fn serve(listener: TcpListener, deps: Deps, shutdown: CancellationToken) -> Result<()> {
    let grace = deps.config.shutdown_grace();
    let connections_max = deps.config.connections_max;
    let mirror = Arc::new(Mirror::new());
    // Tasks end with the server however it ends, also by an error.
    let stop = shutdown.child_token();
    let _stop_tasks = stop.clone().drop_guard();

    let follower = tokio::spawn(mirror::follow(
        mirror.clone(),
        deps.hot.clone(),
        deps.health.clone(),
        stop.clone(),
    ));
    let app = Shared::new(deps, mirror, stop.clone());
    let prober = tokio::spawn(probe::run(app.clone(), stop.clone()));
    let lag = tokio::spawn(lag::run(app.clone(), stop.clone()));
    let upkeep = tokio::spawn(fold_metrics(app.deps.metrics.clone(), stop.clone()));

    let listener = BoundedListener::new(listener, connections_max).tap_io(|connection| {
        if let Err(error) = connection.set_nodelay() {
            tracing::debug!(%error, "cannot send small frames at once");
        }
    });
    let served = axum::serve(listener, router::router(app.clone()))
        .with_graceful_shutdown(stop.clone().cancelled_owned())
        .into_future();
    let ended = end_in_time(served, stop.clone(), grace).await;

    stop.cancel();
    app.sessions.close();
    // They were told at the same moment as the listener: most are gone by now.
    if tokio::time::timeout(SESSIONS_LAST_WAIT, app.sessions.wait())
        .await
        .is_err()
    {
        tracing::info!(
            open = app.websockets.open(),
            "websocket clients did not close in time"
        );
    }
    for (task, handle) in [
        ("mirror", follower),
        ("probe", prober),
        ("lag", lag),
        ("metrics", upkeep),
    ] {
        handle
            .await
            .map_err(|source| Error::Task { task, source })?;
    }
    ended
}

/// Awaits `served`, but no longer than `grace` after `stop`.
async fn end_in_time(
    served: impl Future<Output = std::io::Result<()>>,
    stop: CancellationToken,
    grace: Duration,
) -> Result<()> {
    let deadline = async {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        result = served => result.map_err(Error::Listener),
        () = deadline => {
            tracing::info!("requests still open at the end of the grace period were cut off");
            Ok(())
        }
    }
}

pub(crate) async fn fold_metrics(collected: PrometheusHandle, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(METRICS_UPKEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => collected.run_upkeep(),
        }
    }
}
