//! Whether hot store and log can be reached, asked regularly and not per request.

use std::fmt::Display;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use events::health::{Health, HealthBoard};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::state::App;

const PROBE_EVERY: Duration = Duration::from_secs(2);

/// A back end that answers later than this is connected but not responsive.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What the last probes found.
#[derive(Default)]
pub(crate) struct Reachability {
    pub hot_store: Link,
    pub event_log: Link,
}

/// The state of one back end.
#[derive(Default)]
pub(crate) struct Link(AtomicU8);

/// As shown in `/api/health`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinkState {
    /// It did not refuse the last probe.
    pub connected: bool,
    /// It answered the last probe in time.
    pub responsive: bool,
}

const CONNECTED: u8 = 1;
const RESPONSIVE: u8 = 2;

impl Link {
    pub fn state(&self) -> LinkState {
        let bits = self.0.load(Ordering::Relaxed);
        LinkState {
            connected: bits & CONNECTED != 0,
            responsive: bits & RESPONSIVE != 0,
        }
    }

    /// Asks once and takes the answer down, here and on the board.
    async fn probe<E: Display>(
        &self,
        component: &'static str,
        health: &HealthBoard,
        ping: impl Future<Output = Result<(), E>>,
    ) {
        let (bits, found) = match tokio::time::timeout(ANSWER_MAX, ping).await {
            Ok(Ok(())) => (CONNECTED | RESPONSIVE, Health::Ready),
            Ok(Err(error)) => (0, Health::Degraded(format!("{error}; retrying"))),
            Err(_) => (
                CONNECTED,
                Health::Degraded(format!("no answer within {ANSWER_MAX:?}; retrying")),
            ),
        };
        self.0.store(bits, Ordering::Relaxed);
        if health.report(component, found.clone()) {
            match found {
                Health::Degraded(reason) => tracing::warn!(component, reason, "back end is away"),
                _ => tracing::info!(component, "back end answers"),
            }
        }
    }
}

/// Probes until `stop`.
pub(crate) async fn run(app: App, stop: CancellationToken) {
    let (deps, found) = (&app.deps, &app.reachability);
    for component in ["hot store", "event log"] {
        deps.health.report(component, Health::Starting);
    }
    let mut ticks = tokio::time::interval(PROBE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    stop.run_until_cancelled(async {
        loop {
            ticks.tick().await;
            tokio::join!(
                found
                    .hot_store
                    .probe("hot store", &deps.health, deps.hot.ping()),
                found
                    .event_log
                    .probe("event log", &deps.health, deps.log.ping()),
            );
        }
    })
    .await;
}
