//! What keeps the batch layer from working now, for the health board and the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use events::health::{Health, HealthBoard};
use parking_lot::Mutex;

use crate::GROUP;

/// Which part is in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Reading the log.
    Log,
    /// Appending dead letters.
    DeadLetters,
    /// Reading positions and writing.
    Lake,
}

/// The current troubles. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Problems {
    health: HealthBoard,
    current: Arc<Mutex<BTreeMap<Part, String>>>,
}

impl Problems {
    pub(crate) fn new(health: HealthBoard) -> Self {
        health.report(GROUP, Health::Starting);
        Self {
            health,
            current: Arc::default(),
        }
    }

    /// `part` cannot work; said once in the log until it can again.
    pub(crate) fn failed(&self, part: Part, reason: String) {
        let mut current = self.current.lock();
        if current.insert(part, reason.clone()).is_none() {
            tracing::warn!(
                reason,
                "the batch layer waits and tries again; nothing is lost meanwhile"
            );
        }
        self.report(&current);
    }

    /// `part` works.
    pub(crate) fn works(&self, part: Part) {
        let mut current = self.current.lock();
        if current.remove(&part).is_some() {
            tracing::info!(?part, "the batch layer works again");
        }
        self.report(&current);
    }

    fn report(&self, current: &BTreeMap<Part, String>) {
        let health = match current.values().next() {
            Some(reason) => Health::Degraded(format!("{reason}; trying again")),
            None => Health::Ready,
        };
        self.health.report(GROUP, health);
    }
}
