//! The one thread that appends. It takes every append that waits and writes them
//! as one journal entry (group commit), so that many small appends cost little
//! more than a few large ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use events::Offset;
use fjall::PersistMode;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::block::{BlockBuilder, info};
use super::folder::{FREE_BYTES_CHECK_INTERVAL, check_free_bytes};
use super::layout::{block_key, segment_key};
use super::partition::{Partition, TopicState};
use super::segments::Segment;
use super::store::Store;
use crate::{Error, NewRecord, Result};

/// A group takes no more appends once it has this many bytes.
const GROUP_BYTES_MAX: usize = 2 << 20;

/// Something for the writer to do.
pub(super) enum Command {
    /// Append records, each with the index of its partition.
    Append(Append),
    /// Let the partition's next offset be at least this one.
    SkipTo {
        partition: Arc<Partition>,
        offset: Offset,
        reply: oneshot::Sender<Result<()>>,
    },
    /// Force the journal to the disk.
    Persist { reply: oneshot::Sender<Result<()>> },
}

/// One caller's append.
pub(super) struct Append {
    pub(super) topic: Arc<TopicState>,
    pub(super) records: Vec<(usize, NewRecord)>,
    pub(super) bytes: usize,
    pub(super) reply: oneshot::Sender<Result<Vec<(i32, Offset)>>>,
    /// Room in the queue, given back when the append is done.
    pub(super) _room: OwnedSemaphorePermit,
}

/// The writer's own state.
pub(super) struct Writer {
    store: Arc<Store>,
    /// Set by an append, cleared by the next fsync.
    dirty: Arc<AtomicBool>,
    last_appended_at_us: i64,
    room_checked_at: Option<Instant>,
    /// Bytes appended since each partition's buffer was last handed to a flush.
    unflushed: Vec<(Arc<Partition>, u64)>,
}

/// What one group puts into one partition.
struct Part {
    partition: Arc<Partition>,
    builder: BlockBuilder,
    first: Offset,
    next: Offset,
    /// First offset, stored bytes and end of each finished block.
    blocks: Vec<(Offset, Vec<u8>, Offset)>,
    topic: Arc<TopicState>,
}

impl Writer {
    pub(super) fn new(store: Arc<Store>, dirty: Arc<AtomicBool>) -> Self {
        // Append times never go back, not even over a restart with a worse clock.
        let newest = |partition: &Arc<Partition>| {
            let entry = partition.keyspace()?.last_key_value()?.into_inner().ok()?;
            info(&entry.1).ok().map(|info| info.appended_at_us)
        };
        let topics = store.all_topics();
        let last_appended_at_us = topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .filter_map(newest)
            .max();
        Self {
            store,
            dirty,
            last_appended_at_us: last_appended_at_us.unwrap_or(0),
            room_checked_at: None,
            unflushed: Vec::new(),
        }
    }

    /// Works until every sender is gone.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut group = Vec::new();
        while let Some(command) = commands.blocking_recv() {
            let mut next = Some(command);
            let mut bytes = 0;
            while let Some(command) = next.take() {
                match command {
                    Command::Append(append) => {
                        bytes += append.bytes;
                        group.push(append);
                    }
                    Command::SkipTo {
                        partition,
                        offset,
                        reply,
                    } => {
                        // After what waits before it, as it was asked.
                        self.append_group(std::mem::take(&mut group));
                        let _ = reply.send(self.skip_to(&partition, offset));
                    }
                    Command::Persist { reply } => {
                        self.append_group(std::mem::take(&mut group));
                        let _ = reply.send(self.store.persist());
                    }
                }
                if bytes < GROUP_BYTES_MAX {
                    next = commands.try_recv().ok();
                }
            }
            self.append_group(std::mem::take(&mut group));
        }
    }

    fn append_group(&mut self, group: Vec<Append>) {
        if group.is_empty() {
            return;
        }
        if let Err(error) = self.check_room() {
            refuse(group, &error);
            return;
        }
        let now_us = self.now_us();
        let mut parts: Vec<Part> = Vec::new();
        let mut replies = Vec::with_capacity(group.len());
        for append in group {
            let mut placed = Vec::with_capacity(append.records.len());
            let mut last: Option<(usize, usize)> = None;
            for (index, record) in &append.records {
                let part = match last {
                    Some((same, part)) if same == *index => part,
                    _ => part_of(&mut parts, &append.topic, *index),
                };
                last = Some((*index, part));
                placed.push((*index as i32, parts[part].push(record, now_us)));
            }
            replies.push((append.reply, placed, append._room));
        }
        for part in &mut parts {
            part.finish_block(now_us);
        }
        let committed = self.commit(&parts, now_us);
        for (reply, placed, _room) in replies {
            // A caller that went away does not want to know.
            let _ = reply.send(committed.as_ref().map(|()| placed).map_err(copy_of));
        }
    }

    /// Writes the blocks, and the segments they close, as one atomic entry, and
    /// makes them readable.
    fn commit(&mut self, parts: &[Part], now_us: i64) -> Result<()> {
        let config = &self.store.config;
        let durable = if config.fsync_interval.is_zero() {
            PersistMode::SyncData
        } else {
            PersistMode::Buffer
        };
        let mut batch = self.store.database.batch().durability(Some(durable));
        // Held until published, so that retention sees each segment before or after.
        let mut segments: Vec<_> = parts
            .iter()
            .map(|part| part.partition.segments.lock())
            .collect();
        let mut closing = Vec::with_capacity(parts.len());
        for (part, segments) in parts.iter().zip(&segments) {
            let closes = segments.should_close(config.segment_bytes, part.topic.retention, now_us);
            if closes {
                let Segment { first, .. } = segments.open_as_closed();
                batch.insert(
                    &self.store.meta,
                    segment_key(&part.partition.id, first),
                    segments.open_as_closed().encode(),
                );
            }
            closing.push(closes);
            let keyspace = self.store.keyspace(&part.partition)?;
            for (first, block, _) in &part.blocks {
                batch.insert(keyspace, block_key(*first), &block[..]);
            }
        }
        batch.commit().map_err(|error| self.store.error(error))?;
        self.dirty.store(true, Ordering::Release);
        for ((part, segments), closes) in parts.iter().zip(&mut segments).zip(closing) {
            if closes {
                segments.close();
            }
            for (first, block, end) in &part.blocks {
                segments.add(block.len() as u64, *end, now_us);
                part.partition.publish(*first, *end);
            }
        }
        drop(segments);
        for part in parts {
            part.partition.wake_readers();
            self.count_unflushed(part);
        }
        self.flush_largest()
    }

    fn count_unflushed(&mut self, part: &Part) {
        let bytes: usize = part.blocks.iter().map(|(_, block, _)| block.len()).sum();
        match self
            .unflushed
            .iter_mut()
            .find(|(partition, _)| Arc::ptr_eq(partition, &part.partition))
        {
            Some((_, counted)) => *counted += bytes as u64,
            None => self.unflushed.push((part.partition.clone(), bytes as u64)),
        }
    }

    /// Keeps what all partitions together have in memory within the bound: fjall
    /// itself bounds each partition alone.
    fn flush_largest(&mut self) -> Result<()> {
        let total: u64 = self.unflushed.iter().map(|(_, bytes)| bytes).sum();
        if total <= self.store.config.write_buffer_bytes {
            return Ok(());
        }
        let largest = (0..self.unflushed.len()).max_by_key(|index| self.unflushed[*index].1);
        if let Some(index) = largest {
            let (partition, _) = self.unflushed.swap_remove(index);
            self.store
                .keyspace(&partition)?
                .rotate_memtable()
                .map_err(|error| self.store.error(error))?;
        }
        Ok(())
    }

    fn skip_to(&mut self, partition: &Arc<Partition>, offset: Offset) -> Result<()> {
        if offset <= partition.end() {
            return Ok(());
        }
        let mut segments = partition.segments.lock();
        let block = BlockBuilder::default().finish(self.last_appended_at_us);
        let mut batch = self
            .store
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        batch.insert(
            self.store.keyspace(partition)?,
            block_key(offset),
            &block[..],
        );
        batch.commit().map_err(|error| self.store.error(error))?;
        segments.add(block.len() as u64, offset, self.last_appended_at_us);
        partition.publish(offset, offset);
        Ok(())
    }

    /// An append that ran out of room halfway would stop the log until a restart,
    /// so none is begun without room.
    fn check_room(&mut self) -> Result<()> {
        if self
            .room_checked_at
            .is_some_and(|at| at.elapsed() < FREE_BYTES_CHECK_INTERVAL)
        {
            return Ok(());
        }
        self.room_checked_at = None;
        check_free_bytes(&self.store.config)?;
        self.room_checked_at = Some(Instant::now());
        Ok(())
    }

    fn now_us(&mut self) -> i64 {
        self.last_appended_at_us = self.last_appended_at_us.max(now_us());
        self.last_appended_at_us
    }
}

/// Microseconds since the epoch.
pub(super) fn now_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

impl Part {
    fn push(&mut self, record: &NewRecord, now_us: i64) -> Offset {
        if self.builder.is_full() {
            self.finish_block(now_us);
        }
        self.builder.push(record);
        let offset = self.next;
        self.next += 1;
        offset
    }

    fn finish_block(&mut self, now_us: i64) {
        if !self.builder.is_empty() {
            self.blocks
                .push((self.first, self.builder.finish(now_us), self.next));
            self.first = self.next;
        }
    }
}

fn part_of(parts: &mut Vec<Part>, topic: &Arc<TopicState>, index: usize) -> usize {
    let partition = &topic.partitions[index];
    if let Some(part) = parts
        .iter()
        .position(|part| Arc::ptr_eq(&part.partition, partition))
    {
        return part;
    }
    let end = partition.end();
    parts.push(Part {
        partition: partition.clone(),
        builder: BlockBuilder::default(),
        first: end,
        next: end,
        blocks: Vec::new(),
        topic: topic.clone(),
    });
    parts.len() - 1
}

fn refuse(group: Vec<Append>, error: &Error) {
    for append in group {
        let _ = append.reply.send(Err(copy_of(error)));
    }
}

/// The same error for each caller of a group.
fn copy_of(error: &Error) -> Error {
    match error {
        Error::Unavailable { address, reason } => Error::Unavailable {
            address: address.clone(),
            reason: reason.clone(),
        },
        Error::Damaged { path, reason } => Error::Damaged {
            path: path.clone(),
            reason: reason.clone(),
        },
        Error::UnknownTopic(topic) => Error::UnknownTopic(topic.clone()),
        Error::Locked(path) => Error::Locked(path.clone()),
        Error::Invalid(reason) => Error::Invalid(reason.clone()),
    }
}
