//! The embedded log: durable, one process, nothing to install.
//!
//! Enters: appends from any number of callers. Leaves: the records, from a folder
//! of fjall keyspaces. Promises: an acknowledged append is in the journal, which
//! survives the process; offsets are dense and stable. Never: shares its folder.
//!
//! - [`block`]: how records lie on disk.
//! - [`store`]: topics and partitions on disk, reading; [`partition`]: in memory.
//! - [`layout`]: keys and values; [`folder`]: the folder itself.
//! - [`writer`]: the thread that appends, group commit.
//! - [`segments`], [`retention`]: what is removed, and removing it.
//! - [`compaction`]: removing what newer records of the same key supersede.
//! - [`reader`], [`groups`]: consumers and who reads what.

mod block;
mod compaction;
mod folder;
mod groups;
mod layout;
mod partition;
mod reader;
mod retention;
mod segments;
mod store;
mod writer;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use events::{Offset, Topic, TopicPartition};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use self::folder::check_free_bytes;
use self::groups::{Groups, Membership};
use self::partition::TopicState;
use self::reader::LocalConsumer;
use self::store::Store;
use self::writer::{Append, Command, Writer};
use crate::partitioner::partition_of;
use crate::{Bounds, Consumer, Error, EventLog, NewRecord, Result, TOMBSTONE_RETENTION, TopicSpec};

/// Bytes of appends that may wait for the writer; more callers wait.
const QUEUE_BYTES_MAX: usize = 8 << 20;
/// Appends that may wait for the writer.
const QUEUE_APPENDS_MAX: usize = 4_096;
/// Counted per record on top of its bytes.
const RECORD_OVERHEAD_BYTES: usize = 64;

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
    /// A compacted topic's partition is cleaned once it has this many new records,
    /// and half as many as the last cleaning left.
    pub compaction_records_min: u64,
    /// How long tombstones of compacted topics stay.
    pub tombstone_retention: Duration,
    /// Retention removes whole segments of about this many stored bytes.
    pub segment_bytes: u64,
    /// Bytes of stored blocks kept in memory for readers.
    pub cache_bytes: u64,
    /// Bytes of blocks kept in memory until they are written as tables, all
    /// partitions together. About as much again is held while they are written.
    pub write_buffer_bytes: u64,
    /// Appends are refused while the disk has fewer free bytes than this, so that
    /// the log itself never meets a full disk halfway through a write.
    pub free_bytes_min: u64,
}

impl LocalLogConfig {
    /// The defaults, in folder `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            fsync_interval: Duration::from_secs(1),
            retention_interval: Duration::from_secs(30),
            compaction_records_min: 1_000,
            tombstone_retention: TOMBSTONE_RETENTION,
            segment_bytes: 4 << 20,
            cache_bytes: 8 << 20,
            write_buffer_bytes: 16 << 20,
            free_bytes_min: 256 << 20,
        }
    }
}

/// The embedded log.
///
/// **Durability.** An append is acknowledged once the journal holding it was
/// handed to the operating system: a process that is killed at any moment loses
/// nothing. The journal is forced to the disk every
/// [`fsync_interval`](LocalLogConfig::fsync_interval), in [`close`](LocalLog::close)
/// and on drop: a machine that loses power may lose the appends of the last
/// interval. Where a reader has saved a position beyond that loss, numbering
/// continues there, so that no offset is ever given to two records.
///
/// The folder is held until the log and all its consumers are dropped. Dropping
/// the log waits for appends under way and for the disk.
pub struct LocalLog {
    store: Arc<Store>,
    groups: Arc<Groups>,
    /// Taken by `close`.
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    room: Arc<Semaphore>,
    stop: Arc<Stop>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Ends the maintenance thread.
#[derive(Default)]
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl LocalLog {
    /// Opens the folder's log, creating it where missing.
    ///
    /// Errors: [`Error::Locked`] if another process holds it, [`Error::Damaged`]
    /// if its contents cannot be read, [`Error::Unavailable`] on I/O errors.
    pub fn open(config: LocalLogConfig) -> Result<Arc<LocalLog>> {
        let store = Arc::new(Store::open(config)?);
        let (commands, receiver) = mpsc::channel(QUEUE_APPENDS_MAX);
        let dirty = Arc::new(AtomicBool::new(false));
        let stop = Arc::new(Stop::default());
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(work);
            thread.map_err(|error| Error::Unavailable {
                address: store.address(),
                reason: error.to_string(),
            })
        };
        let writer = Writer::new(store.clone(), dirty.clone());
        let writer = spawn("log-writer", Box::new(move || writer.run(receiver)))?;
        let (maintained, stopping) = (store.clone(), stop.clone());
        let maintenance = spawn(
            "log-maintenance",
            Box::new(move || maintain(&maintained, &dirty, &stopping)),
        )?;
        Ok(Arc::new(LocalLog {
            store,
            groups: Arc::default(),
            commands: Mutex::new(Some(commands)),
            room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)),
            stop,
            threads: Mutex::new(vec![writer, maintenance]),
        }))
    }

    /// Takes no more appends, writes what was taken to the disk, and returns
    /// when it is there. Reading goes on.
    pub async fn close(&self) -> Result<()> {
        let Some(commands) = self.commands.lock().take() else {
            return Ok(());
        };
        let (reply, replied) = oneshot::channel();
        let sent = commands.send(Command::Persist { reply }).await;
        drop(commands);
        sent.map_err(|_| closed(&self.store))?;
        replied.await.map_err(|_| closed(&self.store))?
    }

    /// Applies retention and compaction now instead of at the next interval.
    pub async fn apply_retention(&self) -> Result<()> {
        let store = self.store.clone();
        run_blocking(&self.store, move || {
            retention::apply(&store, writer::now_us())
        })
        .await
    }

    fn commands(&self) -> Result<mpsc::Sender<Command>> {
        self.commands
            .lock()
            .clone()
            .ok_or_else(|| closed(&self.store))
    }
}

/// Forces the journal to the disk and applies retention, each at its interval.
fn maintain(store: &Store, dirty: &AtomicBool, stop: &Stop) {
    let config = &store.config;
    let tick = match config.fsync_interval {
        Duration::ZERO => config.retention_interval,
        interval => interval.min(config.retention_interval),
    };
    let mut retained_at = Instant::now();
    let mut stopped = stop.stopped.lock();
    while !*stopped {
        stop.changed.wait_for(&mut stopped, tick);
        if dirty.swap(false, Ordering::AcqRel)
            && let Err(error) = store.persist()
        {
            tracing::error!(%error, "the event log could not be forced to the disk");
        }
        if !*stopped && retained_at.elapsed() >= config.retention_interval {
            retained_at = Instant::now();
            if let Err(error) = retention::apply(store, writer::now_us()) {
                tracing::error!(%error, "retention of the event log failed");
            }
        }
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        self.commands.lock().take();
        *self.stop.stopped.lock() = true;
        self.stop.changed.notify_all();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the event log panicked");
            }
        }
        if let Err(error) = self.store.persist() {
            tracing::error!(%error, "the event log could not be forced to the disk");
        }
    }
}

#[async_trait]
impl EventLog for LocalLog {
    async fn create_topics(&self, topics: &[TopicSpec]) -> Result<()> {
        let (store, topics) = (self.store.clone(), topics.to_vec());
        run_blocking(&self.store, move || store.create_topics(&topics)).await
    }

    async fn append(&self, topic: &Topic, records: Vec<NewRecord>) -> Result<Vec<(i32, Offset)>> {
        let topic = self.store.topic(topic)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let turn = topic.turn.fetch_add(1, Ordering::Relaxed);
        let mut bytes = 0;
        let mut placed = Vec::with_capacity(records.len());
        for record in records {
            if topic.compacted && record.key.is_none() {
                return Err(Error::Invalid(format!(
                    "{}: a record without a key; a compacted topic needs a key with each",
                    topic.name
                )));
            }
            block::check(&record)
                .map_err(|reason| Error::Invalid(format!("{}: {reason}", topic.name)))?;
            let partition = choose_partition(&topic, &record, turn)?;
            bytes += record.value.len()
                + record.key.as_ref().map_or(0, Bytes::len)
                + RECORD_OVERHEAD_BYTES;
            placed.push((partition, record));
        }
        let commands = self.commands()?;
        // Room first: what waits for the writer is bounded in bytes.
        let room = u32::try_from(bytes.min(QUEUE_BYTES_MAX)).unwrap_or(u32::MAX);
        let room = self
            .room
            .clone()
            .acquire_many_owned(room)
            .await
            .map_err(|_| closed(&self.store))?;
        let (reply, replied) = oneshot::channel();
        let append = Append {
            topic,
            records: placed,
            bytes,
            reply,
            _room: room,
        };
        commands
            .send(Command::Append(append))
            .await
            .map_err(|_| closed(&self.store))?;
        replied.await.map_err(|_| closed(&self.store))?
    }

    async fn bounds(&self, topic: &Topic) -> Result<Vec<Bounds>> {
        let topic = self.store.topic(topic)?;
        Ok(topic
            .partitions
            .iter()
            .map(|partition| partition.bounds())
            .collect())
    }

    async fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Consumer>> {
        let mut partitions = BTreeSet::new();
        for topic in topics {
            partitions.extend(
                self.store
                    .topic(topic)?
                    .partitions
                    .iter()
                    .map(|partition| partition.id.clone()),
            );
        }
        let wake = Arc::new(Notify::new());
        let membership = Membership::join(&self.groups, group, partitions, wake.clone());
        let commands = self.commands()?.downgrade();
        Ok(Box::new(LocalConsumer::new(
            self.store.clone(),
            commands,
            Some(membership),
            wake,
        )))
    }

    async fn read_from(&self, positions: &[(TopicPartition, Offset)]) -> Result<Box<dyn Consumer>> {
        let commands = self.commands()?.downgrade();
        let mut consumer = LocalConsumer::new(self.store.clone(), commands, None, Arc::default());
        for (partition, position) in positions {
            let partition = self.store.partition(partition)?;
            consumer.seek(partition, (*position).max(0));
        }
        Ok(Box::new(consumer))
    }

    async fn ping(&self) -> Result<()> {
        self.commands()?;
        let config = self.store.config.clone();
        run_blocking(&self.store, move || check_free_bytes(&config)).await
    }
}

fn choose_partition(topic: &TopicState, record: &NewRecord, turn: usize) -> Result<usize> {
    let count = topic.partitions.len();
    match (record.partition, &record.key) {
        (Some(partition), _) => {
            let index = usize::try_from(partition)
                .ok()
                .filter(|index| *index < count);
            index.ok_or_else(|| {
                Error::Invalid(format!("there is no partition {}/{partition}", topic.name))
            })
        }
        (None, Some(key)) => Ok(partition_of(key, count as i32) as usize),
        // The records of one call stay together: fewer and larger blocks.
        (None, None) => Ok(turn % count),
    }
}

/// Runs file access away from the async threads.
async fn run_blocking<T, F>(store: &Store, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    let unavailable = |error: tokio::task::JoinError| Error::Unavailable {
        address: store.address(),
        reason: error.to_string(),
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(unavailable)?
}

fn closed(store: &Store) -> Error {
    Error::Unavailable {
        address: store.address(),
        reason: "the log is closed".to_owned(),
    }
}
