//! What lies in the folder, and what is kept in memory about it.
//!
//! One fjall keyspace per partition holds its blocks, keyed by the offset of
//! their first record. Keys only grow, so fjall's tables never overlap, are
//! never rewritten, and are dropped whole by retention. The keyspace `meta`
//! holds topics, where each partition starts, and its closed segments.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Buf;
use events::{Offset, Topic, TopicPartition};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::{Mutex, RwLock};

use super::LocalLogConfig;
use super::block;
use super::folder::{map_error, remove_unfinished_creation};
use super::layout::{
    TOPIC_PREFIX, block_key, check_name, decode_topic, encode_topic, offset_of, segment_prefix,
    start_key, topic_key,
};
use super::partition::{Partition, Retention, TopicState};
use super::segments::{Segment, Segments};
use crate::{Error, Record, Result, TopicSpec};

const META: &str = "meta";
/// fjall closes the oldest journals when all together are larger: its minimum.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
const OPEN_FILES_MAX: usize = 128;
const TABLE_BYTES: u64 = 16 << 20;
const FJALL_THREADS: usize = 2;

/// The open folder.
pub(super) struct Store {
    pub(super) config: LocalLogConfig,
    pub(super) database: Database,
    pub(super) meta: Keyspace,
    topics: RwLock<HashMap<Topic, Arc<TopicState>>>,
    /// Taken while topics are created, so that each is created once.
    creating: Mutex<()>,
}

impl Store {
    /// Opens the folder and recovers what the last process left.
    pub(super) fn open(config: LocalLogConfig) -> Result<Self> {
        let unavailable = |error: std::io::Error| Error::Unavailable {
            address: config.path.display().to_string(),
            reason: error.to_string(),
        };
        std::fs::create_dir_all(&config.path).map_err(unavailable)?;
        remove_unfinished_creation(&config.path).map_err(unavailable)?;
        let opened = Database::builder(&config.path)
            .cache_size(config.cache_bytes)
            .max_cached_files(Some(OPEN_FILES_MAX))
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .journal_compression(fjall::CompressionType::None)
            .worker_threads(FJALL_THREADS)
            .open();
        let database = opened.map_err(|error| map_error(&config.path, error))?;
        let meta = database
            .keyspace(META, || {
                KeyspaceCreateOptions::default().max_memtable_size(1 << 20)
            })
            .map_err(|error| map_error(&config.path, error))?;
        let store = Self {
            config,
            database,
            meta,
            topics: RwLock::default(),
            creating: Mutex::default(),
        };
        store.load_topics()?;
        Ok(store)
    }

    pub(super) fn address(&self) -> String {
        self.config.path.display().to_string()
    }

    pub(super) fn error(&self, error: fjall::Error) -> Error {
        map_error(&self.config.path, error)
    }

    pub(super) fn damaged(&self, partition: &Partition, reason: String) -> Error {
        Error::Damaged {
            path: self.address(),
            reason: format!("{}: {reason}", partition.id),
        }
    }

    pub(super) fn topic(&self, name: &str) -> Result<Arc<TopicState>> {
        self.topics
            .read()
            .get(name)
            .cloned()
            .ok_or_else(|| Error::UnknownTopic(name.to_owned()))
    }

    pub(super) fn partition(&self, id: &TopicPartition) -> Result<Arc<Partition>> {
        let topic = self.topic(&id.topic)?;
        let partition = usize::try_from(id.partition)
            .ok()
            .and_then(|index| topic.partitions.get(index));
        partition
            .cloned()
            .ok_or_else(|| Error::Invalid(format!("there is no partition {id}")))
    }

    pub(super) fn all_topics(&self) -> Vec<Arc<TopicState>> {
        self.topics.read().values().cloned().collect()
    }

    /// Forces the journal to the disk.
    pub(super) fn persist(&self) -> Result<()> {
        self.database
            .persist(PersistMode::SyncData)
            .map_err(|error| self.error(error))
    }

    /// Creates the missing topics.
    pub(super) fn create_topics(&self, specs: &[TopicSpec]) -> Result<()> {
        let _creating = self.creating.lock();
        let mut created = false;
        for spec in specs {
            check_name(&spec.name)?;
            if spec.partitions < 1 {
                return Err(Error::Invalid(format!(
                    "topic {} needs at least 1 partition",
                    spec.name
                )));
            }
            if self.topics.read().contains_key(&spec.name) {
                continue;
            }
            let retention = Retention {
                age_us: spec
                    .retention
                    .map(|age| i64::try_from(age.as_micros()).unwrap_or(i64::MAX)),
                bytes: spec.retention_bytes,
            };
            let topic = self.load_topic(&spec.name, spec.partitions, retention, spec.compacted)?;
            self.meta
                .insert(
                    topic_key(&spec.name),
                    encode_topic(spec.partitions, retention, spec.compacted),
                )
                .map_err(|error| self.error(error))?;
            self.topics
                .write()
                .insert(spec.name.clone(), Arc::new(topic));
            created = true;
        }
        if created { self.persist() } else { Ok(()) }
    }

    fn load_topics(&self) -> Result<()> {
        for entry in self.meta.prefix(TOPIC_PREFIX) {
            let (key, value) = entry.into_inner().map_err(|error| self.error(error))?;
            let name = String::from_utf8_lossy(&key[TOPIC_PREFIX.len()..]).into_owned();
            let (partitions, retention, compacted) =
                decode_topic(&value).ok_or_else(|| Error::Damaged {
                    path: self.address(),
                    reason: format!("topic {name} is described by {} bytes", value.len()),
                })?;
            let topic = self.load_topic(&Topic::from(name), partitions, retention, compacted)?;
            self.topics
                .write()
                .insert(topic.name.clone(), Arc::new(topic));
        }
        Ok(())
    }

    fn load_topic(
        &self,
        name: &Topic,
        partitions: i32,
        retention: Retention,
        compacted: bool,
    ) -> Result<TopicState> {
        let partitions = (0..partitions)
            .map(|number| {
                self.load_partition(TopicPartition::new(name.clone(), number))
                    .map(Arc::new)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(TopicState {
            name: name.clone(),
            retention,
            compacted,
            partitions,
            turn: AtomicUsize::new(0),
        })
    }

    /// Opens a partition and finds its bounds: the end follows from the newest
    /// block, the start from what retention last wrote.
    fn load_partition(&self, id: TopicPartition) -> Result<Partition> {
        let partition = Partition::new(id);
        if !self.database.keyspace_exists(&partition.id.to_string()) {
            return Ok(partition);
        }
        let keyspace = self.keyspace(&partition)?.clone();
        if let Some(entry) = keyspace.last_key_value() {
            let (key, value) = entry.into_inner().map_err(|error| self.error(error))?;
            let first = offset_of(&key);
            let info = block::info(&value).map_err(|reason| self.damaged(&partition, reason))?;
            partition.publish(first, first + info.count);
        }
        let mut start = self.stored_start(&partition)?;
        if let Some(entry) = keyspace.first_key_value() {
            start = start.max(offset_of(&entry.key().map_err(|error| self.error(error))?));
        }
        partition.set_start(start.min(partition.end()));
        *partition.segments.lock() = self.load_segments(&partition, &keyspace)?;
        Ok(partition)
    }

    /// The keyspace of the partition's blocks, made where missing.
    pub(super) fn keyspace<'a>(&self, partition: &'a Partition) -> Result<&'a Keyspace> {
        if let Some(keyspace) = partition.keyspace() {
            return Ok(keyspace);
        }
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(self.config.write_buffer_bytes)
                .data_block_size_policy(fjall::config::BlockSizePolicy::all(64 << 10))
                // Blocks are compressed already.
                .data_block_compression_policy(fjall::config::CompressionPolicy::disabled())
                .compaction_strategy(Arc::new(
                    fjall::compaction::Leveled::default().with_table_target_size(TABLE_BYTES),
                ))
        };
        let made = self.database.keyspace(&partition.id.to_string(), options);
        Ok(partition.set_keyspace(made.map_err(|error| self.error(error))?))
    }

    fn stored_start(&self, partition: &Partition) -> Result<Offset> {
        let stored = self
            .meta
            .get(start_key(&partition.id))
            .map_err(|error| self.error(error))?;
        Ok(stored
            .and_then(|value| (&value[..]).try_get_i64().ok())
            .unwrap_or(0))
    }

    /// The closed segments as written, the open one by looking at its blocks:
    /// at most [`LocalLogConfig::segment_bytes`] of them.
    fn load_segments(&self, partition: &Partition, keyspace: &Keyspace) -> Result<Segments> {
        let mut closed = Vec::new();
        for entry in self.meta.prefix(segment_prefix(&partition.id)) {
            let (key, value) = entry.into_inner().map_err(|error| self.error(error))?;
            let segment =
                Segment::decode(offset_of(&key[key.len() - 8..]), &value).ok_or_else(|| {
                    self.damaged(partition, "a segment is described wrongly".to_owned())
                })?;
            if segment.end > partition.start() {
                closed.push(segment);
            }
        }
        let open_from = closed
            .last()
            .map_or(partition.start(), |segment| segment.end);
        let mut segments = Segments::new(closed, open_from);
        for entry in keyspace.range(block_key(open_from)..) {
            let (key, value) = entry.into_inner().map_err(|error| self.error(error))?;
            let info = block::info(&value).map_err(|reason| self.damaged(partition, reason))?;
            segments.add(
                value.len() as u64,
                offset_of(&key) + info.count,
                info.appended_at_us,
            );
        }
        Ok(segments)
    }

    /// Reads the records `from..end` of a partition up to about the given
    /// bounds: whole blocks, so that the next read begins at a block. Returns
    /// the position to read next.
    pub(super) fn read(
        &self,
        partition: &Partition,
        from: Offset,
        bytes_max: usize,
        records: &mut Vec<Record>,
        records_max: usize,
    ) -> Result<Offset> {
        let end = partition.end();
        let Some(keyspace) = partition.keyspace() else {
            return Ok(from);
        };
        let mut next = from.max(partition.start());
        let mut bytes = 0;
        let mut read_block =
            |first: Offset, value: &[u8], records: &mut Vec<Record>| -> Result<Option<Offset>> {
                let info = block::info(value).map_err(|reason| self.damaged(partition, reason))?;
                if !records.is_empty()
                    && (records.len() + info.count as usize > records_max || bytes > bytes_max)
                {
                    return Ok(None);
                }
                let already = records.len();
                block::decode(value, first, next, records)
                    .map_err(|reason| self.damaged(partition, reason))?;
                bytes += records[already..]
                    .iter()
                    .map(|record| record.value.len())
                    .sum::<usize>();
                next = next.max(first + info.count);
                Ok(Some(next))
            };
        let mut position = from.max(partition.start());
        let range = (
            Bound::Included(block_key(position)),
            Bound::Excluded(block_key(end)),
        );
        let mut blocks = keyspace.range(range);
        let mut following = blocks
            .next()
            .map(|entry| entry.into_inner())
            .transpose()
            .map_err(|e| self.error(e))?;
        if following
            .as_ref()
            .is_none_or(|(key, _)| offset_of(key) != position)
        {
            // Not the first record of a block: its block begins before it.
            if let Some(entry) = keyspace.range(..block_key(position)).next_back() {
                let (key, value) = entry.into_inner().map_err(|error| self.error(error))?;
                match read_block(offset_of(&key), &value, records)? {
                    Some(next) => position = next,
                    None => return Ok(position),
                }
            }
        }
        while let Some((key, value)) = following {
            match read_block(offset_of(&key), &value, records)? {
                Some(next) => position = next,
                None => return Ok(position),
            }
            following = blocks
                .next()
                .map(|entry| entry.into_inner())
                .transpose()
                .map_err(|e| self.error(e))?;
        }
        // No block is left below the end: offsets up to it hold nothing.
        Ok(end.max(position))
    }
}
