//! Topics and partitions as they are kept in memory.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use events::{Offset, Topic, TopicPartition};
use fjall::Keyspace;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::segments::Segments;
use crate::Bounds;

/// One topic.
#[derive(Debug)]
pub(super) struct TopicState {
    pub(super) name: Topic,
    pub(super) retention: Retention,
    /// Keeps the newest record of each key.
    pub(super) compacted: bool,
    pub(super) partitions: Vec<Arc<Partition>>,
    /// Where the next records without a key go.
    pub(super) turn: AtomicUsize,
}

/// What a topic keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retention {
    pub(super) age_us: Option<i64>,
    pub(super) bytes: Option<u64>,
}

/// What the last compaction of a partition reached and left.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cleaned {
    /// The partition's end at that time.
    pub(super) to: Offset,
    /// Records that it left.
    pub(super) kept: u64,
}

/// One partition.
pub(super) struct Partition {
    pub(super) id: TopicPartition,
    /// Its blocks; made with the first, as making one takes several fsyncs.
    keyspace: OnceLock<Keyspace>,
    /// Oldest retained offset.
    start: AtomicI64,
    /// The next record's offset: everything below is in the journal.
    end: AtomicI64,
    /// Key of the newest block: it tells the end after a restart, so it stays
    /// on disk even when every record has expired.
    last_block: AtomicI64,
    pub(super) segments: Mutex<Segments>,
    /// How far a compacted topic was last cleaned.
    pub(super) cleaned: Mutex<Cleaned>,
    /// Woken by every append.
    waiting: Mutex<Vec<Arc<Notify>>>,
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}..{}", self.id, self.start(), self.end())
    }
}

impl Partition {
    /// An empty one.
    pub(super) fn new(id: TopicPartition) -> Self {
        Self {
            id,
            keyspace: OnceLock::new(),
            start: AtomicI64::new(0),
            end: AtomicI64::new(0),
            last_block: AtomicI64::new(0),
            segments: Mutex::default(),
            cleaned: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// Its blocks, if it ever had any.
    pub(super) fn keyspace(&self) -> Option<&Keyspace> {
        self.keyspace.get()
    }

    pub(super) fn set_keyspace(&self, keyspace: Keyspace) -> &Keyspace {
        self.keyspace.get_or_init(|| keyspace)
    }

    pub(super) fn start(&self) -> Offset {
        self.start.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) -> Offset {
        self.end.load(Ordering::Acquire)
    }

    pub(super) fn last_block(&self) -> Offset {
        self.last_block.load(Ordering::Acquire)
    }

    pub(super) fn set_start(&self, start: Offset) {
        self.start.store(start, Ordering::Release);
    }

    /// Makes what is below `end` readable.
    pub(super) fn publish(&self, last_block: Offset, end: Offset) {
        self.last_block.store(last_block, Ordering::Release);
        self.end.store(end, Ordering::Release);
    }

    pub(super) fn bounds(&self) -> Bounds {
        // The start first: it never passes an end that is read later.
        let start = self.start();
        Bounds {
            partition: self.id.clone(),
            start,
            end: self.end(),
        }
    }

    pub(super) fn wake_readers(&self) {
        for reader in self.waiting.lock().iter() {
            reader.notify_one();
        }
    }

    pub(super) fn add_reader(&self, reader: &Arc<Notify>) {
        self.waiting.lock().push(reader.clone());
    }

    pub(super) fn remove_reader(&self, reader: &Arc<Notify>) {
        self.waiting
            .lock()
            .retain(|other| !Arc::ptr_eq(other, reader));
    }
}
