//! Whether hot store and log can be reached, asked regularly and not per request.

use std::fmt::Display;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use events::health::{Health, HealthBoard};
use parking_lot::Mutex;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::state::App;

const PROBE_EVERY: Duration = Duration::from_secs(2);

/// A back end that answers later than this is not responsive.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// One that has not answered for this long is not connected either, whatever the
/// client library still holds open.
const GONE_AFTER: Duration = Duration::from_secs(10);

/// What the last probes found.
#[derive(Default)]
pub(crate) struct Reachability {
    pub hot_store: Link,
    pub event_log: Link,
}

/// The state of one back end.
#[derive(Default)]
pub(crate) struct Link {
    bits: AtomicU8,
    answered_at: Mutex<Option<Instant>>,
}

/// As shown in `/api/health`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinkState {
    /// It answered within the last seconds and did not refuse the last probe.
    pub connected: bool,
    /// It answered the last probe in time.
    pub responsive: bool,
}

const CONNECTED: u8 = 1;
const RESPONSIVE: u8 = 2;

impl Link {
    pub fn state(&self) -> LinkState {
        let bits = self.bits.load(Ordering::Relaxed);
        LinkState {
            connected: bits & CONNECTED != 0,
            responsive: bits & RESPONSIVE != 0,
        }
    }

    fn answered_lately(&self) -> bool {
        let answered_at = *self.answered_at.lock();
        answered_at.is_some_and(|at| at.elapsed() < GONE_AFTER)
    }

    /// Asks once and takes the answer down, here and on the board.
    async fn probe<E: Display>(
        &self,
        component: &'static str,
        health: &HealthBoard,
        ping: impl Future<Output = Result<(), E>>,
    ) {
        let answer = tokio::time::timeout(ANSWER_MAX, ping).await.ok();
        let found = self.note(answer.map(|answer| answer.map_err(|error| error.to_string())));
        if health.report(component, found.clone()) {
            match found {
                Health::Degraded(reason) => tracing::warn!(component, reason, "back end is away"),
                _ => tracing::info!(component, "back end answers"),
            }
        }
    }

    /// Takes an answer down, `None` where none came in time.
    fn note(&self, answer: Option<Result<(), String>>) -> Health {
        let (bits, found) = match answer {
            Some(Ok(())) => (CONNECTED | RESPONSIVE, Health::Ready),
            Some(Err(error)) => (0, Health::Degraded(format!("{error}; retrying"))),
            None => (
                if self.answered_lately() { CONNECTED } else { 0 },
                Health::Degraded(format!("no answer within {ANSWER_MAX:?}; retrying")),
            ),
        };
        if bits & RESPONSIVE != 0 {
            *self.answered_at.lock() = Some(Instant::now());
        }
        self.bits.store(bits, Ordering::Relaxed);
        found
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_answered_lately_is_connected() {
        let link = Link::default();
        let after = |answer| {
            link.note(answer);
            let state = link.state();
            (state.connected, state.responsive)
        };
        let refused = || Some(Err("refused".to_owned()));
        assert_eq!(after(None), (false, false), "it was never reached");
        assert_eq!(after(Some(Ok(()))), (true, true));
        assert_eq!(after(None), (true, false), "it may be busy");
        assert_eq!(after(refused()), (false, false));
        assert_eq!(after(Some(Ok(()))), (true, true));
        *link.answered_at.lock() = Instant::now().checked_sub(GONE_AFTER);
        assert_eq!(after(None), (false, false), "it was silent for too long");
    }
}
