//! Looks beyond this process, beside the fold: how far the log reaches, and what
//! other processes have checkpointed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::EventLog;
use events::{Stream, Topic, TopicPartition};
use hot_store::HotStore;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use crate::error::Error;
use crate::session::{OWNER, now_us};
use crate::state::{Observation, combined_cells_of, learned_cells_of, shared_cells_of};

/// How often is looked at what was learned about streets: much, and slow to change.
const LEARNED_EVERY: Duration = Duration::from_secs(600);

/// What is looked at.
pub(crate) struct Observer {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) hot: Arc<dyn HotStore>,
    pub(crate) streams: HashMap<Topic, Stream>,
    /// The partition whose owner speaks for the city.
    pub(crate) first: TopicPartition,
    pub(crate) interval: Duration,
}

/// The reading end of an [`Observer`], which ends with it.
pub(crate) struct Observations {
    own: watch::Sender<HashSet<TopicPartition>>,
    newest: watch::Receiver<Option<Observation>>,
    _task: AbortOnDropHandle<()>,
}

impl Observations {
    /// Says which partitions are this process's; they are looked at no more.
    pub(crate) fn set_own(&self, own: HashSet<TopicPartition>) {
        self.own.send_replace(own);
    }

    /// What was seen since the last call.
    pub(crate) fn take(&mut self) -> Option<Observation> {
        match self.newest.has_changed() {
            Ok(true) => self.newest.borrow_and_update().clone(),
            _ => None,
        }
    }
}

impl Observer {
    /// Looks at once, and again whenever the own partitions change or the
    /// interval has passed.
    pub(crate) fn start(self) -> Observations {
        let (own, mut own_changed) = watch::channel(HashSet::new());
        let (found, newest) = watch::channel(None);
        let task = tokio::spawn(async move {
            // What was learned before is taken up with the partitions.
            let mut learned_at = Instant::now();
            loop {
                let own = own_changed.borrow_and_update().clone();
                let is_due = learned_at.elapsed() >= LEARNED_EVERY;
                match self.look(&own, is_due).await {
                    Ok(observation) => {
                        if observation.learned.is_some() {
                            learned_at = Instant::now();
                        }
                        found.send_replace(Some(observation));
                    }
                    // The session meets the same failure and says so.
                    Err(error) => debug!(%error, "cannot look at the other partitions"),
                }
                tokio::select! {
                    () = tokio::time::sleep(self.interval) => {}
                    changed = own_changed.changed() => if changed.is_err() { return },
                }
            }
        });
        Observations {
            own,
            newest,
            _task: AbortOnDropHandle::new(task),
        }
    }

    async fn look(
        &self,
        own: &HashSet<TopicPartition>,
        is_learned_due: bool,
    ) -> Result<Observation, Error> {
        let mut observation = Observation {
            at_us: now_us(),
            ..Observation::default()
        };
        for (topic, stream) in &self.streams {
            for bounds in self.log.bounds(topic).await? {
                if !own.contains(&bounds.partition) {
                    let shared = shared_cells_of(&bounds.partition);
                    let cells = self.hot.cells(OWNER, &shared).await?;
                    observation
                        .remotes
                        .push((bounds.partition.clone(), *stream, cells));
                }
                observation.ends.insert(bounds.partition, bounds.end);
            }
        }
        if !own.contains(&self.first) {
            let cells = combined_cells_of(&self.first);
            observation.combined = self.hot.cells(OWNER, &cells).await?;
            if is_learned_due {
                let cells = learned_cells_of(&self.first);
                observation.learned = Some(self.hot.cells(OWNER, &cells).await?);
            }
        }
        Ok(observation)
    }
}
