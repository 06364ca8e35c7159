//! The embedded hot store: one process, optionally kept in a snapshot file.
//!
//! Enters and leaves what the port says. Promises: one lock guards values, cells
//! and positions, so a reader sees a batch wholly or not at all; the snapshot
//! holds all three, so a restart resumes from a state that fits its positions.
//! Never: writes a file while the lock is held.

mod snapshot;
mod state;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use events::{Offset, TopicPartition};
use parking_lot::{Mutex, RwLock};
use tokio_util::task::AbortOnDropHandle;

use self::state::State;
use crate::mailbox::{Mailbox, MailboxWatch};
use crate::{Entry, Error, HotBatch, HotStore, Kind, Result, Watch};

/// Shortest time between two snapshots.
const SNAPSHOT_INTERVAL_MIN: Duration = Duration::from_secs(5);
/// A snapshot that took `t` is followed by a pause of at least this many `t`, so
/// that saving a large city takes at most about 2 % of one core.
const SNAPSHOT_PAUSE_FACTOR: u32 = 50;

/// Microseconds since the epoch, UTC; injected so that tests need not wait.
type Clock = Box<dyn Fn() -> i64 + Send + Sync>;

/// The hot state in this process's memory.
pub struct MemoryStore {
    state: RwLock<State>,
    clock: Clock,
    snapshot: Option<SnapshotFile>,
}

/// Where the state is kept between runs.
struct SnapshotFile {
    path: PathBuf,
    /// The change count that the file holds; locked while one is written.
    saved: tokio::sync::Mutex<u64>,
    saver: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl MemoryStore {
    /// An empty store that nothing outlives.
    pub fn new() -> Arc<Self> {
        Self::with_clock(Box::new(wall_clock_us))
    }

    fn with_clock(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            state: RwLock::default(),
            clock,
            snapshot: None,
        })
    }

    /// A store that resumes from the snapshot file `path`, and writes it every
    /// few seconds when something changed. A missing file is an empty store; so
    /// is a damaged one, with a warning: the layers then rebuild from the log.
    /// Must be called inside a tokio runtime. Fails if `path` cannot be read or
    /// its folder not be made.
    pub fn open(path: impl AsRef<Path>) -> Result<Arc<Self>> {
        Self::open_with_clock(path.as_ref(), Box::new(wall_clock_us))
    }

    fn open_with_clock(path: &Path, clock: Clock) -> Result<Arc<Self>> {
        let state = load(path, clock())?;
        let file = SnapshotFile {
            path: path.to_owned(),
            saved: tokio::sync::Mutex::new(state.changes()),
            saver: Mutex::new(None),
        };
        let store = Arc::new(Self {
            state: RwLock::new(state),
            clock,
            snapshot: Some(file),
        });
        let saver = tokio::spawn(keep_saved(Arc::downgrade(&store)));
        if let Some(file) = &store.snapshot {
            *file.saver.lock() = Some(AbortOnDropHandle::new(saver));
        }
        Ok(store)
    }

    /// Stops the periodic snapshots and writes a last one if anything changed
    /// since. What is applied afterwards is not kept. Does nothing for
    /// [`MemoryStore::new`].
    pub async fn close(&self) -> Result<()> {
        if let Some(file) = &self.snapshot {
            *file.saver.lock() = None;
        }
        self.save().await.map(|_| ())
    }

    /// Writes the snapshot if anything changed; how long that took.
    async fn save(&self) -> Result<Option<Duration>> {
        let Some(file) = &self.snapshot else {
            return Ok(None);
        };
        let mut saved = file.saved.lock().await;
        let began = Instant::now();
        let image = {
            let state = self.state.read();
            if state.changes() == *saved {
                return Ok(None);
            }
            state.image()
        };
        let changes = image.changes;
        let path = file.path.clone();
        let written = tokio::task::spawn_blocking(move || snapshot::write(&path, &image)).await;
        let written = written.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
        let bytes = written.map_err(|error| unavailable(&file.path, "cannot write", &error))?;
        *saved = changes;
        let took = began.elapsed();
        metrics::histogram!("citypulse_hot_store_snapshot_seconds").record(took.as_secs_f64());
        metrics::gauge!("citypulse_hot_store_snapshot_bytes").set(bytes as f64);
        Ok(Some(took))
    }
}

/// Saves `store` from time to time for as long as it lives.
async fn keep_saved(store: Weak<MemoryStore>) {
    let mut pause = SNAPSHOT_INTERVAL_MIN;
    let mut failed = false;
    loop {
        tokio::time::sleep(pause).await;
        let Some(store) = store.upgrade() else { return };
        match store.save().await {
            Ok(took) => {
                let took = took.unwrap_or_default();
                pause = SNAPSHOT_INTERVAL_MIN.max(took * SNAPSHOT_PAUSE_FACTOR);
                failed = false;
            }
            Err(error) if !failed => {
                tracing::warn!(%error, "hot state is not saved; a restart would rebuild it from the log");
                failed = true;
            }
            // Said once; the next success ends the silence.
            Err(_) => {}
        }
    }
}

fn load(path: &Path, now_us: i64) -> Result<State> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| unavailable(folder, "cannot make the folder", &error))?;
    }
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(State::default()),
        Err(error) => return Err(unavailable(path, "cannot read", &error)),
    };
    match snapshot::read(&bytes) {
        Ok(image) => Ok(State::from_image(image, now_us)),
        Err(reason) => {
            tracing::warn!(
                path = %path.display(), reason,
                "hot state snapshot cannot be used; rebuilding from the log"
            );
            Ok(State::default())
        }
    }
}

fn unavailable(path: &Path, what: &str, error: &std::io::Error) -> Error {
    Error::Unavailable {
        address: path.display().to_string(),
        reason: format!("{what}: {error}"),
    }
}

fn wall_clock_us() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
        })
}

#[async_trait]
impl HotStore for MemoryStore {
    async fn apply(&self, owner: &str, batch: &HotBatch) -> Result<()> {
        if batch.updates.is_empty() && batch.cells.is_empty() && batch.advances.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let now_us = (self.clock)();
        {
            let mut state = self.state.write();
            state.check(owner, &batch.advances)?;
            state.apply(owner, batch, now_us);
            // Told under the lock: watchers see batches in the order of their
            // application, and none between `watch` and its return is lost.
            state.tell(owner, batch);
        }
        metrics::counter!("citypulse_hot_store_updates_total")
            .increment(batch.updates.len() as u64);
        metrics::histogram!("citypulse_hot_store_apply_seconds")
            .record(began.elapsed().as_secs_f64());
        Ok(())
    }

    async fn positions(&self, owner: &str) -> Result<HashMap<TopicPartition, Offset>> {
        Ok(self.state.read().positions(owner))
    }

    async fn cells(&self, owner: &str, partition: &TopicPartition) -> Result<Vec<(String, Bytes)>> {
        Ok(self.state.read().cells(owner, partition))
    }

    async fn reset(&self, owner: &str) -> Result<()> {
        self.state.write().reset(owner);
        Ok(())
    }

    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Entry>> {
        Ok(self
            .state
            .read()
            .get(kind, kind.normal_id(id), (self.clock)()))
    }

    async fn get_many(&self, kind: Kind, ids: &[String]) -> Result<Vec<Option<Entry>>> {
        let now_us = (self.clock)();
        let state = self.state.read();
        Ok(ids
            .iter()
            .map(|id| state.get(kind, kind.normal_id(id), now_us))
            .collect())
    }

    async fn scan(&self, kind: Kind) -> Result<Vec<Entry>> {
        Ok(self.state.read().scan(kind, (self.clock)()))
    }

    async fn ids(&self, kind: Kind, prefix: &str) -> Result<Vec<String>> {
        Ok(self.state.read().ids(kind, prefix, (self.clock)()))
    }

    async fn watch(&self) -> Result<Box<dyn Watch>> {
        let mailbox = Arc::new(Mailbox::default());
        self.state.write().watch(&mailbox);
        Ok(Box::new(MailboxWatch::new(mailbox, None)))
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}
