//! Removes the records of a compacted topic that newer ones of the same key
//! supersede. What is left of several blocks is written as one sparse block;
//! the newest block stays as it is, as it tells the partition's end.

use std::collections::HashMap;

use bytes::Bytes;
use events::Offset;

use super::block::{self, BLOCK_BYTES_MAX, BLOCK_RECORDS_MAX};
use super::layout::{block_key, offset_of};
use super::partition::{Cleaned, Partition};
use super::store::Store;
use crate::{Record, Result};

/// Blocks that are rewritten as one at most: a bound on one journal entry.
const GROUP_BLOCKS_MAX: usize = 10_000;

/// Cleans `partition` as of `now_us`, if enough has been appended since the last
/// time. Reads it twice; keeps the keys in memory while it does.
pub(super) fn apply(store: &Store, partition: &Partition, now_us: i64) -> Result<()> {
    let cleaned = *partition.cleaned.lock();
    let (start, end) = (partition.start(), partition.end());
    let appended = u64::try_from(end - cleaned.to.max(start)).unwrap_or(0);
    let enough = store.config.compaction_records_min.max(cleaned.kept / 2);
    if appended < enough || appended == 0 || partition.keyspace().is_none() {
        return Ok(());
    }
    let newest = newest_of_each_key(store, partition, end)?;
    let tombstone_age = i64::try_from(store.config.tombstone_retention.as_micros());
    let rewrite = Rewrite {
        store,
        partition,
        newest,
        tombstones_before_us: now_us.saturating_sub(tombstone_age.unwrap_or(i64::MAX)),
    };
    let kept = rewrite.run()?;
    *partition.cleaned.lock() = Cleaned { to: end, kept };
    tracing::debug!(partition = %partition.id, from = start, to = end, kept, "compacted");
    Ok(())
}

fn newest_of_each_key(
    store: &Store,
    partition: &Partition,
    end: Offset,
) -> Result<HashMap<Box<[u8]>, Offset>> {
    let mut newest = HashMap::new();
    let mut position = partition.start();
    let mut records = Vec::new();
    while position < end {
        records.clear();
        position = store.read(
            partition,
            position,
            BLOCK_BYTES_MAX,
            &mut records,
            BLOCK_RECORDS_MAX,
        )?;
        for record in &records {
            if let Some(key) = &record.key {
                match newest.get_mut(&key[..]) {
                    Some(offset) => *offset = record.offset,
                    None => {
                        newest.insert(Box::from(&key[..]), record.offset);
                    }
                }
            }
        }
    }
    Ok(newest)
}

/// One cleaning.
struct Rewrite<'a> {
    store: &'a Store,
    partition: &'a Partition,
    newest: HashMap<Box<[u8]>, Offset>,
    tombstones_before_us: i64,
}

/// Neighbouring blocks that become one.
#[derive(Default)]
struct Group {
    /// First offsets of the blocks.
    blocks: Vec<Offset>,
    end: Offset,
    kept: Vec<Record>,
    bytes: usize,
    /// Records that are not kept.
    dropped: usize,
}

impl Rewrite<'_> {
    /// Returns how many records are left.
    fn run(&self) -> Result<u64> {
        let Some(keyspace) = self.partition.keyspace() else {
            return Ok(0);
        };
        let last = self.partition.last_block();
        let mut group = Group::default();
        let mut left = 0;
        for entry in keyspace.range(block_key(self.partition.start())..block_key(last)) {
            let (key, value) = entry
                .into_inner()
                .map_err(|error| self.store.error(error))?;
            let first = offset_of(&key);
            let damaged = |reason| self.store.damaged(self.partition, reason);
            let info = block::info(&value).map_err(damaged)?;
            let mut records = Vec::new();
            block::decode(&value, first, first, &mut records).map_err(damaged)?;
            let before = records.len();
            records.retain(|record| self.stays(record));
            left += records.len() as u64;
            let bytes: usize = records.iter().map(|record| record.value.len()).sum();
            if group.is_full_with(records.len(), bytes) {
                self.write(std::mem::take(&mut group))?;
            }
            group.dropped += before - records.len();
            group.bytes += bytes;
            group.blocks.push(first);
            group.end = first + info.count;
            group.kept.append(&mut records);
        }
        self.write(group)?;
        Ok(left)
    }

    fn stays(&self, record: &Record) -> bool {
        let key = record.key.as_ref().map_or(&[][..], Bytes::as_ref);
        // Keys are read before: one that is not known is newer than that reading.
        let superseded = self
            .newest
            .get(key)
            .is_some_and(|newest| *newest > record.offset);
        let old_tombstone =
            record.value.is_empty() && record.appended_at_us < self.tombstones_before_us;
        !superseded && !old_tombstone
    }

    /// Replaces the group's blocks, as one atomic entry. Readers in the middle of
    /// them find the rest of the records under the same offsets.
    fn write(&self, group: Group) -> Result<()> {
        let (Some(first), Some(keyspace)) = (group.blocks.first(), self.partition.keyspace())
        else {
            return Ok(());
        };
        let span = u32::try_from(group.end - first);
        let unchanged = group.dropped == 0 && group.blocks.len() == 1;
        let Some(span) = span.ok().filter(|_| !unchanged) else {
            return Ok(());
        };
        let mut batch = self.store.database.batch();
        for block in &group.blocks[1..] {
            batch.remove(keyspace, block_key(*block));
        }
        // One entry per key: those of a batch have no order among themselves.
        if group.kept.is_empty() {
            batch.remove(keyspace, block_key(*first));
        } else {
            let block = block::encode_sparse(*first, span, &group.kept);
            batch.insert(keyspace, block_key(*first), &block[..]);
        }
        batch.commit().map_err(|error| self.store.error(error))
    }
}

impl Group {
    fn is_full_with(&self, records: usize, bytes: usize) -> bool {
        self.blocks.len() >= GROUP_BLOCKS_MAX
            || (!self.kept.is_empty()
                && (self.kept.len() + records > BLOCK_RECORDS_MAX
                    || self.bytes + bytes > BLOCK_BYTES_MAX))
    }
}
