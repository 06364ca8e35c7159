//! Now: the city's hot state.
//!
//! Enters: absolute values with the log positions they follow from. Leaves:
//! reads, and change notices to watchers. Promises: values and positions of one
//! batch become visible together, or none do. Never: computes anything.
//!
//! Two implementations of the [`HotStore`] port pass one contract suite
//! (`contract/`): [`redis`] and [`memory`], embedded.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod error;
pub mod keys;
mod mailbox;
pub mod memory;
pub mod redis;
#[cfg(any(test, feature = "contract"))]
pub mod testing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use events::{Advance, Offset, TopicPartition};

pub use self::redis::{Layout, RedisConfig, RedisStore};
pub use error::{Error, Result};
pub use keys::Kind;
pub use memory::MemoryStore;

/// A new absolute value, or the end of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// What kind of thing.
    pub kind: Kind,
    /// Which one; empty for kinds of which there is one.
    pub id: String,
    /// JSON text; `None` deletes.
    pub value: Option<Bytes>,
    /// How long ago what it says was said, seconds: it lives that much shorter.
    pub age_s: u32,
}

impl Update {
    /// Something that was said just now.
    pub fn new(kind: Kind, id: impl Into<String>, value: Option<Bytes>) -> Self {
        Self {
            kind,
            id: id.into(),
            value,
            age_s: 0,
        }
    }

    /// The same, of something that was said so long ago.
    pub fn aged(self, age: Duration) -> Self {
        let age_s = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        Self { age_s, ..self }
    }

    /// How long the value lives without a newer one, at least a second.
    pub fn time_to_live(&self) -> Duration {
        let age = Duration::from_secs(self.age_s.into());
        let left = self.kind.time_to_live().saturating_sub(age);
        left.max(Duration::from_secs(1))
    }
}

/// A piece of a layer's state in progress, kept with its partition's position
/// so that a restart resumes exactly. Not visible to readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The partition whose records it follows from.
    pub partition: TopicPartition,
    /// Its name within the partition.
    pub key: String,
    /// Opaque bytes; `None` deletes.
    pub value: Option<Bytes>,
}

/// What one step of a layer changes.
#[derive(Clone, Debug, Default)]
pub struct HotBatch {
    /// Values, at most one per kind and id.
    pub updates: Vec<Update>,
    /// State in progress.
    pub cells: Vec<Cell>,
    /// The records that this follows from, at most one advance per partition.
    /// One that ends where it begins is a fence: it moves nothing, and refuses
    /// the batch where another process has moved on.
    pub advances: Vec<Advance>,
}

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which one.
    pub id: String,
    /// JSON text.
    pub value: Bytes,
    /// How long it will still be there without a newer value.
    pub expires_in: Duration,
}

/// A change, as told to watchers.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The positions it covers. Where `from` differs from the last `to` of the
    /// same owner and partition something was missed; the watch has then already
    /// returned [`WatchEvent::Gap`].
    pub advances: Vec<Advance>,
    /// What changed.
    pub updates: Vec<Update>,
}

/// What a watcher is told.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// A batch was applied.
    Changed(Arc<Notice>),
    /// Changes may have been missed: read everything again.
    Gap,
}

/// A subscription to changes. What waits for a slow watcher is bounded: beyond
/// the bound it is dropped and the watcher is told [`WatchEvent::Gap`]. That a
/// value's time to live ran out is not told, nor are kinds that are not
/// [`Kind::is_told`].
#[async_trait]
pub trait Watch: Send {
    /// The next change. Waits, also through a lost connection, after which it
    /// returns [`WatchEvent::Gap`]. Safe to cancel.
    async fn next(&mut self) -> WatchEvent;
}

/// The port. Implementations are cheap to share behind an `Arc`.
#[async_trait]
pub trait HotStore: Send + Sync + 'static {
    /// Makes all updates, cells and positions visible together, or none.
    /// `owner` names the layer whose positions these are. Refused with
    /// [`Error::Conflict`], changing nothing, when a partition's stored position
    /// is not the advance's `from` (a stored position that is absent matches any).
    /// A fence (`from` and `to` the same) is checked like any advance and leaves
    /// positions as they are.
    /// Each written value lives for its kind's time to live from now. A batch
    /// whose answer was lost ([`Error::is_retryable`]) may be sent again as it is:
    /// it counts as applied if the first try reached the store.
    async fn apply(&self, owner: &str, batch: &HotBatch) -> Result<()>;

    /// The positions stored for `owner`.
    async fn positions(&self, owner: &str) -> Result<HashMap<TopicPartition, Offset>>;

    /// Every cell of `partition`, as the last applied batch left them.
    async fn cells(&self, owner: &str, partition: &TopicPartition) -> Result<Vec<(String, Bytes)>>;

    /// Forgets `owner`'s positions and cells, so that it starts over from the
    /// log's oldest record.
    async fn reset(&self, owner: &str) -> Result<()>;

    /// One live value.
    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Entry>>;

    /// The live values of `ids`, in that order; `None` where there is none.
    async fn get_many(&self, kind: Kind, ids: &[String]) -> Result<Vec<Option<Entry>>>;

    /// Every live value of a kind, in no order.
    async fn scan(&self, kind: Kind) -> Result<Vec<Entry>>;

    /// The ids of the live values of a kind that begin with `prefix`, in no order:
    /// what is there, without its values.
    async fn ids(&self, kind: Kind, prefix: &str) -> Result<Vec<String>>;

    /// From the return of this call on, every applied batch is told.
    async fn watch(&self) -> Result<Box<dyn Watch>>;

    /// Whether the store can be reached now.
    async fn ping(&self) -> Result<()>;
}
