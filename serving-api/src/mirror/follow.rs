//! The task that keeps the mirror the same as the hot store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use events::backoff::Backoff;
use events::health::{Health, HealthBoard};
use events::{Offset, TopicPartition};
use hot_store::{HotStore, Kind, Notice, Watch, WatchEvent};
use tokio_util::sync::CancellationToken;

use super::Mirror;

/// The name under which the mirror reports its health.
const COMPONENT: &str = "live view";

/// How often values are checked for the end of their time to live.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// Follows the hot store until `stop`. While it cannot be reached the last
/// state is kept, values end with their time to live, and readiness is false.
pub(crate) async fn follow(
    mirror: Arc<Mirror>,
    hot: Arc<dyn HotStore>,
    health: HealthBoard,
    stop: CancellationToken,
) {
    health.report(COMPONENT, Health::Starting);
    let follower = Follower {
        mirror: &mirror,
        hot: hot.as_ref(),
        health: &health,
    };
    stop.run_until_cancelled(async {
        tokio::join!(follower.changes(), expire(&mirror));
    })
    .await;
}

async fn expire(mirror: &Mirror) {
    let mut ticks = tokio::time::interval(EXPIRE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        mirror.expire(Instant::now());
    }
}

struct Follower<'a> {
    mirror: &'a Mirror,
    hot: &'a dyn HotStore,
    health: &'a HealthBoard,
}

impl Follower<'_> {
    async fn changes(&self) {
        let mut watch = self.watch().await;
        loop {
            // Watched before scanned: a change in between is told again, not lost.
            self.read_everything().await;
            self.follow_until_gap(watch.as_mut()).await;
            tracing::info!("changes of the hot store were missed, reading everything again");
        }
    }

    async fn watch(&self) -> Box<dyn Watch> {
        let mut backoff = Backoff::new();
        loop {
            match self.hot.watch().await {
                Ok(watch) => return watch,
                Err(error) => self.wait_after(&error, &mut backoff).await,
            }
        }
    }

    async fn read_everything(&self) {
        let mut backoff = Backoff::new();
        for kind in Kind::ALL.into_iter().filter(|kind| kind.is_told()) {
            loop {
                match self.hot.scan(kind).await {
                    Ok(entries) => break self.mirror.replace(kind, entries, Instant::now()),
                    Err(error) => self.wait_after(&error, &mut backoff).await,
                }
            }
        }
        if self.health.report(COMPONENT, Health::Ready) {
            tracing::info!(
                vehicles = self.mirror.table(Kind::Vehicle).len(),
                "live view is up to date"
            );
        }
    }

    async fn wait_after(&self, error: &hot_store::Error, backoff: &mut Backoff) {
        if self
            .health
            .report(COMPONENT, Health::Degraded(format!("{error}; retrying")))
        {
            tracing::warn!(%error, "live view cannot read the hot store, retrying");
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }

    async fn follow_until_gap(&self, watch: &mut dyn Watch) {
        let mut positions = Positions::default();
        loop {
            match watch.next().await {
                WatchEvent::Changed(notice) if positions.continue_with(&notice) => {
                    self.mirror.apply(&notice, Instant::now());
                }
                WatchEvent::Changed(_) | WatchEvent::Gap => return,
            }
        }
    }
}

/// The positions up to which notices have come, per partition.
#[derive(Default)]
struct Positions(HashMap<TopicPartition, Offset>);

impl Positions {
    /// Whether `notice` follows on those before it without a gap.
    fn continue_with(&mut self, notice: &Notice) -> bool {
        notice.advances.iter().all(|advance| {
            let before = self.0.insert(advance.partition.clone(), advance.to);
            before.is_none_or(|before| before == advance.from)
        })
    }
}

#[cfg(test)]
mod tests {
    use events::Advance;

    use super::*;

    fn notice(from: Offset, to: Offset) -> Notice {
        let advance = Advance {
            partition: TopicPartition::new("gps_data", 0),
            from,
            to,
        };
        Notice {
            advances: vec![advance],
            updates: Vec::new(),
        }
    }

    #[test]
    fn a_missing_range_is_a_gap() {
        let mut positions = Positions::default();
        assert!(positions.continue_with(&notice(5, 8)));
        assert!(positions.continue_with(&notice(8, 9)));
        assert!(!positions.continue_with(&notice(10, 12)));
    }
}
