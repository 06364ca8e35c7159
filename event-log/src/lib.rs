//! The way in: one immutable, partitioned log of every event.
//!
//! Enters: records appended to topics. Leaves: the same records, in order per
//! partition, to any number of readers. Promises: an acknowledged record is
//! durable and keeps its offset forever. Never: decodes a record.
//!
//! Two implementations of the [`EventLog`] port pass one contract suite
//! (`contract.rs`): [`kafka`] on Apache Kafka and [`local`], embedded. On top,
//! [`registry`] mirrors the newest value per key of a compacted topic.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod error;
pub mod kafka;
pub mod local;
mod partitioner;
pub mod registry;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use events::{Offset, Topic, TopicPartition};

pub use error::{Error, Result};

/// A record to append.
#[derive(Clone, Debug, Default)]
pub struct NewRecord {
    /// Decides the partition when `partition` is not given; the device id.
    pub key: Option<Bytes>,
    /// The payload.
    pub value: Bytes,
    /// Name and value pairs.
    pub headers: Vec<(String, Bytes)>,
    /// A fixed partition, for records that must lie beside their origin.
    pub partition: Option<i32>,
}

/// A record as read.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its number in the partition.
    pub offset: Offset,
    /// When the log took it in, microseconds since the epoch.
    pub appended_at_us: i64,
    /// The key it was appended with.
    pub key: Option<Bytes>,
    /// The payload.
    pub value: Bytes,
    /// Name and value pairs.
    pub headers: Vec<(String, Bytes)>,
}

/// Consecutive records of one partition, as one read returned them.
#[derive(Clone, Debug)]
pub struct Records {
    /// Where they are from.
    pub partition: TopicPartition,
    /// The position this read started at: where the partition was started, then
    /// the `next` of the read before. Offsets in `from..next` that are not among
    /// `records` hold nothing (removed by retention, compacted, or markers).
    pub from: Offset,
    /// The position to read next.
    pub next: Offset,
    /// In offset order.
    pub records: Vec<Record>,
}

/// A topic to be created where it is missing.
#[derive(Clone, Debug)]
pub struct TopicSpec {
    /// Its name.
    pub name: Topic,
    /// How many partitions.
    pub partitions: i32,
    /// Delete records older than this; `None` keeps them.
    pub retention: Option<Duration>,
    /// Delete the oldest beyond this many bytes a partition; `None` keeps them.
    pub retention_bytes: Option<u64>,
    /// Keep the newest record of each key and remove superseded ones in the
    /// background, whatever their age. Every record needs a key. A record with
    /// an empty value is a tombstone: it removes its key, and is itself removed
    /// [`TOMBSTONE_RETENTION`] later. Offsets stay as they are.
    pub compacted: bool,
}

/// How long a tombstone of a compacted topic stays to be seen by readers that
/// were away: as long as Kafka's own default.
pub const TOMBSTONE_RETENTION: Duration = Duration::from_secs(24 * 3600);

/// The retained range of one partition: offsets `start..end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The partition.
    pub partition: TopicPartition,
    /// Oldest retained offset.
    pub start: Offset,
    /// The offset that the next record will get.
    pub end: Offset,
}

/// What one poll of a [`Consumer`] brought.
#[derive(Debug)]
pub enum Polled {
    /// These partitions are now this consumer's. Nothing is read from them
    /// until [`Consumer::start`] says from where. None of them: it is in its group,
    /// and others have all partitions; needs no answer.
    Assigned(Vec<TopicPartition>),
    /// These partitions are to be given up: save their state, then call
    /// [`Consumer::release`]. Nothing more is read from them.
    Revoked(Vec<TopicPartition>),
    /// New records.
    Records(Vec<Records>),
    /// Nothing came within the wait.
    Nothing,
}

/// The port. Implementations are cheap to share behind an `Arc`.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Creates the topics that do not exist yet; those that do stay as they are.
    async fn create_topics(&self, topics: &[TopicSpec]) -> Result<()>;

    /// Appends in order and returns, once all are durable, each one's partition
    /// and offset. Records of one call with the same partition keep their order.
    /// On an error some may have been appended: the caller may append again.
    async fn append(&self, topic: &Topic, records: Vec<NewRecord>) -> Result<Vec<(i32, Offset)>>;

    /// The retained range of every partition of `topic`, by partition number. An
    /// append acknowledged before the call is below the returned end.
    async fn bounds(&self, topic: &Topic) -> Result<Vec<Bounds>>;

    /// Joins `group`: the partitions of `topics` are divided among its consumers.
    async fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Consumer>>;

    /// Reads fixed partitions from the given positions, outside any group. A
    /// position older than what is retained reads from the oldest retained.
    async fn read_from(&self, positions: &[(TopicPartition, Offset)]) -> Result<Box<dyn Consumer>>;

    /// Whether the log can be reached now.
    async fn ping(&self) -> Result<()>;
}

/// A reader of some partitions. Dropping it leaves its group.
#[async_trait]
pub trait Consumer: Send {
    /// Waits up to `max_wait` for something. A call returns a bounded number of
    /// records (at most [`MAX_RECORDS_PER_POLL`]) in offset order per partition,
    /// none twice and none left out. Safe to cancel: nothing is lost.
    async fn poll(&mut self, max_wait: Duration) -> Result<Polled>;

    /// Answers [`Polled::Assigned`]: read each partition from the position,
    /// from its oldest retained record where that is `None` or no longer retained
    /// (logged as a warning that says how many are lost). A position beyond the
    /// end means another log than the one read before: [`kafka`] refuses it with
    /// [`Error::Invalid`], [`local`] lets numbering continue there. May be called
    /// again to read a partition from another position.
    async fn start(&mut self, positions: &[(TopicPartition, Option<Offset>)]) -> Result<()>;

    /// Answers [`Polled::Revoked`]: the partitions may go to another consumer.
    async fn release(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    /// Tells the log's own tools how far the group is. Advisory: nothing is ever
    /// resumed from it, and a failure is only logged.
    fn commit_advisory(&mut self, positions: &[(TopicPartition, Offset)]);
}

/// The most records that one poll returns.
pub const MAX_RECORDS_PER_POLL: usize = 10_000;
