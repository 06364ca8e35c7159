//! The embedded log: durable, one process, nothing to install.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use events::{Offset, Topic, TopicPartition};

use crate::{Bounds, Consumer, EventLog, NewRecord, Result, TopicSpec};

/// Where the embedded log lies and what it may use.
#[derive(Clone, Debug)]
pub struct LocalLogConfig {
    /// The folder; created where missing, held by one process at a time.
    pub path: PathBuf,
    /// How often the journal is forced to the disk. See [`LocalLog`] for what
    /// that means; zero forces it before every acknowledgement.
    pub fsync_interval: Duration,
    /// How often retention is applied.
    pub retention_interval: Duration,
    /// Retention removes whole segments of about this many stored bytes.
    pub segment_bytes: u64,
    /// Bytes of stored blocks kept in memory for readers.
    pub cache_bytes: u64,
    /// Bytes of unflushed blocks that one partition keeps in memory.
    pub write_buffer_bytes: u64,
    /// Appends are refused while the disk has fewer free bytes than this.
    pub free_bytes_min: u64,
}

impl LocalLogConfig {
    /// The defaults, in folder `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            fsync_interval: Duration::from_secs(1),
            retention_interval: Duration::from_secs(30),
            segment_bytes: 4 << 20,
            cache_bytes: 8 << 20,
            write_buffer_bytes: 4 << 20,
            free_bytes_min: 256 << 20,
        }
    }
}

/// The embedded log.
pub struct LocalLog {}

impl LocalLog {
    /// Opens the folder's log, creating it where missing.
    pub fn open(_config: LocalLogConfig) -> Result<Arc<LocalLog>> {
        unimplemented!()
    }

    /// Takes no more appends, writes what was taken to the disk, and returns
    /// when it is there.
    pub async fn close(&self) -> Result<()> {
        unimplemented!()
    }
}

#[async_trait]
impl EventLog for LocalLog {
    async fn create_topics(&self, _topics: &[TopicSpec]) -> Result<()> {
        unimplemented!()
    }
    async fn append(&self, _topic: &Topic, _records: Vec<NewRecord>) -> Result<Vec<(i32, Offset)>> {
        unimplemented!()
    }
    async fn bounds(&self, _topic: &Topic) -> Result<Vec<Bounds>> {
        unimplemented!()
    }
    async fn subscribe(&self, _group: &str, _topics: &[Topic]) -> Result<Box<dyn Consumer>> {
        unimplemented!()
    }
    async fn read_from(&self, _positions: &[(TopicPartition, Offset)]) -> Result<Box<dyn Consumer>> {
        unimplemented!()
    }
    async fn ping(&self) -> Result<()> {
        unimplemented!()
    }
}
