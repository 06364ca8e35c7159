//! The newest value of each key of a compacted topic, followed live: what
//! people configure (fences, rules), the same in every process.
//!
//! Enters: the topic's records. Leaves: values by key, and what changed since a
//! version. Promises: after [`Registry::loaded`] everything that was written
//! before the start is there; after [`Registry::write`] what was written is.
//! Never: keeps anything but the log itself durable.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use events::backoff::Backoff;
use events::{Offset, Topic, TopicPartition};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Consumer, Error, EventLog, NewRecord, Polled, Record, Result};

/// Changes that [`Registry::changes_since`] can tell one by one; a caller that is
/// further behind is given everything.
const CHANGES_MAX: usize = 100_000;
/// How long [`Registry::write`] waits to read back what it has written.
const READ_BACK_MAX: Duration = Duration::from_secs(10);
/// One poll of the log.
const POLL_WAIT: Duration = Duration::from_secs(5);

type Decode<T> = Box<dyn Fn(&str, &[u8]) -> std::result::Result<T, String> + Send + Sync>;

/// A mirror of one compacted topic; `T` is what a value is decoded to.
pub struct Registry<T> {
    log: Arc<dyn EventLog>,
    topic: Topic,
    decode: Decode<T>,
    state: RwLock<State<T>>,
    /// The state's version, for those who wait for another.
    version: watch::Sender<u64>,
    /// How often the state was added to, for those who wait for a position.
    progress: watch::Sender<u64>,
}

/// A key's newest value.
#[derive(Debug)]
pub struct Entry<T> {
    /// As decoded.
    pub value: Arc<T>,
    /// When the log took it in, microseconds since the epoch.
    pub appended_at_us: i64,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            appended_at_us: self.appended_at_us,
        }
    }
}

/// What is to be written of one key.
#[derive(Clone, Debug)]
pub struct Edit {
    key: String,
    /// Empty: the key goes.
    value: Bytes,
}

impl Edit {
    /// The key's new value, which must not be empty.
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
        }
    }

    /// Removes the key.
    pub fn remove(key: impl Into<String>) -> Self {
        Self::put(key, Bytes::new())
    }

    /// As it is appended.
    pub fn into_record(self) -> NewRecord {
        NewRecord {
            key: Some(self.key.into()),
            value: self.value,
            ..NewRecord::default()
        }
    }
}

/// What changed between two versions.
#[derive(Debug)]
pub struct Changes<T> {
    /// Everything is told again: keys that are not among `changed` are gone.
    pub is_reset: bool,
    /// Each key once, with its newest value; `None`: it is gone.
    pub changed: Vec<(Arc<str>, Option<Entry<T>>)>,
    /// To ask from the next time.
    pub version: u64,
}

struct State<T> {
    entries: BTreeMap<Arc<str>, Entry<T>>,
    /// The next offset of each partition.
    positions: HashMap<i32, Offset>,
    /// Counts changes from 1 on.
    version: u64,
    /// The last changes, each one's version following the one before.
    changes: VecDeque<Arc<str>>,
    loaded: bool,
}

impl<T> State<T> {
    fn changed(&mut self, key: Arc<str>) {
        self.version += 1;
        if self.changes.len() == CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(key);
    }

    /// Begins again with nothing; whoever asks is told everything.
    fn clear(&mut self) {
        self.entries.clear();
        self.positions.clear();
        self.changes.clear();
        self.version += 1;
    }
}

impl<T: Send + Sync + 'static> Registry<T> {
    /// An empty one; [`run`](Self::run) fills it. A value that `decode` refuses is
    /// logged with its reason, and its key counts as removed.
    pub fn new(
        log: Arc<dyn EventLog>,
        topic: Topic,
        decode: impl Fn(&str, &[u8]) -> std::result::Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            log,
            topic,
            decode: Box::new(decode),
            state: RwLock::new(State {
                entries: BTreeMap::new(),
                positions: HashMap::new(),
                version: 0,
                changes: VecDeque::new(),
                loaded: false,
            }),
            version: watch::Sender::new(0),
            progress: watch::Sender::new(0),
        }
    }

    /// Follows the topic until `shutdown`. A log that is away or a topic that does
    /// not exist yet is waited for; what was read stays readable meanwhile.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut backoff = Backoff::new();
        let mut told = String::new();
        loop {
            let followed = tokio::select! {
                followed = self.follow(&mut backoff) => followed,
                () = shutdown.cancelled() => return,
            };
            let Err(error) = followed;
            if matches!(error, Error::Invalid(_)) {
                // The log is another one than before: what it holds is the truth.
                self.state.write().clear();
            }
            let reason = error.to_string();
            if told != reason {
                tracing::warn!(topic = %self.topic, %reason, "cannot follow the topic; retrying");
                told = reason;
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next_delay()) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn follow(&self, backoff: &mut Backoff) -> Result<std::convert::Infallible> {
        let bounds = self.log.bounds(&self.topic).await?;
        let positions: Vec<(TopicPartition, Offset)> = {
            let state = self.state.read();
            let position = |id: &TopicPartition| state.positions.get(&id.partition).copied();
            bounds
                .iter()
                .map(|b| {
                    (
                        b.partition.clone(),
                        position(&b.partition).unwrap_or(b.start),
                    )
                })
                .collect()
        };
        self.advance(
            positions
                .iter()
                .map(|(id, position)| (id.partition, *position)),
        );
        let mut consumer = self.log.read_from(&positions).await?;
        let reached = |state: &State<T>| {
            bounds.iter().all(|bounds| {
                let position = state.positions.get(&bounds.partition.partition);
                position.is_some_and(|position| *position >= bounds.end)
            })
        };
        loop {
            let loaded = {
                let state = self.state.read();
                state.loaded || reached(&state)
            };
            if loaded && !std::mem::replace(&mut self.state.write().loaded, true) {
                self.tell_progress();
            }
            self.poll(&mut *consumer).await?;
            backoff.reset();
        }
    }

    async fn poll(&self, consumer: &mut dyn Consumer) -> Result<()> {
        let Polled::Records(all) = consumer.poll(POLL_WAIT).await? else {
            return Ok(());
        };
        for read in all {
            // Decoded before the lock is taken: readers wait for neither.
            let decoded: Vec<_> = read.records.iter().filter_map(|r| self.decode(r)).collect();
            let mut state = self.state.write();
            for (key, entry) in decoded {
                let changed = match entry {
                    Some(entry) => {
                        state.entries.insert(key.clone(), entry);
                        true
                    }
                    None => state.entries.remove(&key).is_some(),
                };
                if changed {
                    state.changed(key);
                }
            }
            let partition = read.partition.partition;
            state.positions.insert(partition, read.next);
        }
        self.tell_progress();
        Ok(())
    }

    /// The key and its new value; `None` for what cannot be a key's value.
    fn decode(&self, record: &Record) -> Option<(Arc<str>, Option<Entry<T>>)> {
        let key = record.key.as_deref().map(std::str::from_utf8);
        let Some(Ok(key)) = key else {
            tracing::warn!(topic = %self.topic, offset = record.offset, "a record without a key of text is left out");
            return None;
        };
        if record.value.is_empty() {
            return Some((key.into(), None));
        }
        let entry = match (self.decode)(key, &record.value) {
            Ok(value) => Some(Entry {
                value: Arc::new(value),
                appended_at_us: record.appended_at_us,
            }),
            Err(reason) => {
                tracing::warn!(topic = %self.topic, key, offset = record.offset, %reason, "a value is left out");
                None
            }
        };
        Some((key.into(), entry))
    }

    fn advance(&self, positions: impl Iterator<Item = (i32, Offset)>) {
        let mut state = self.state.write();
        state.positions.extend(positions);
    }

    fn tell_progress(&self) {
        let version = self.state.read().version;
        self.version.send_if_modified(|told| {
            let changed = *told != version;
            *told = version;
            changed
        });
        self.progress.send_modify(|steps| *steps += 1);
    }

    /// Waits until what was in the topic when it was first reached is here.
    pub async fn loaded(&self) {
        self.reached(|state| state.loaded).await;
    }

    /// Whether [`loaded`](Self::loaded) would return at once.
    pub fn is_loaded(&self) -> bool {
        self.state.read().loaded
    }

    async fn reached(&self, condition: impl Fn(&State<T>) -> bool) {
        let mut progress = self.progress.subscribe();
        while !condition(&self.state.read()) {
            if progress.changed().await.is_err() {
                return;
            }
        }
    }

    /// Appends the edits in order, and returns once they are durable and readable
    /// here. Other processes follow within milliseconds.
    ///
    /// Errors: those of [`EventLog::append`], when some may have been written; and
    /// [`Error::Unavailable`] if they are durable but could not be read back.
    pub async fn write(&self, edits: Vec<Edit>) -> Result<()> {
        let records = edits.into_iter().map(Edit::into_record).collect();
        let placed = self.log.append(&self.topic, records).await?;
        let mut wanted: HashMap<i32, Offset> = HashMap::new();
        for (partition, offset) in placed {
            let next = wanted.entry(partition).or_default();
            *next = (*next).max(offset + 1);
        }
        let is_here = |state: &State<T>| {
            let here = |(partition, next): (&i32, &Offset)| {
                let position = state.positions.get(partition);
                position.is_some_and(|position| position >= next)
            };
            wanted.iter().all(here)
        };
        let read_back = tokio::time::timeout(READ_BACK_MAX, self.reached(is_here));
        read_back.await.map_err(|_| Error::Unavailable {
            address: self.topic.to_string(),
            reason: "the change is durable, but it is not read back yet".to_owned(),
        })
    }

    /// The newest value of `key`.
    pub fn get(&self, key: &str) -> Option<Entry<T>> {
        self.state.read().entries.get(key).cloned()
    }

    /// How many keys have a value.
    pub fn len(&self) -> usize {
        self.state.read().entries.len()
    }

    /// Whether no key has a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All keys and values, by key.
    pub fn entries(&self) -> Vec<(Arc<str>, Entry<T>)> {
        let state = self.state.read();
        let entries = state.entries.iter();
        entries
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect()
    }

    /// At most `limit` keys and values after the key `after`, by key.
    pub fn page(&self, after: Option<&str>, limit: usize) -> Vec<(Arc<str>, Entry<T>)> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state.read();
        let entries = state.entries.range::<str, _>((from, Bound::Unbounded));
        entries
            .take(limit)
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect()
    }

    /// Changes whenever a value does. Never again the same for other values.
    pub fn version(&self) -> u64 {
        self.state.read().version
    }

    /// Tells each new version.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// What changed since `version`, 0 for everything.
    pub fn changes_since(&self, version: u64) -> Changes<T> {
        let state = self.state.read();
        let behind = state.version.saturating_sub(version);
        let known = usize::try_from(behind).unwrap_or(usize::MAX);
        if version > state.version || known > state.changes.len() {
            let entries = state.entries.iter();
            return Changes {
                is_reset: true,
                changed: entries
                    .map(|(key, entry)| (key.clone(), Some(entry.clone())))
                    .collect(),
                version: state.version,
            };
        }
        let recent = state.changes.len() - known;
        let mut keys: Vec<_> = state.changes.range(recent..).cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        let changed = keys.into_iter().map(|key| {
            let entry = state.entries.get(&key).cloned();
            (key, entry)
        });
        Changes {
            is_reset: false,
            changed: changed.collect(),
            version: state.version,
        }
    }
}
