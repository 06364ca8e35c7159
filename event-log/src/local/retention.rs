//! Removes what a topic no longer keeps.

use fjall::AbstractTree;

use super::compaction;
use super::layout::{block_key, segment_key, start_key};
use super::partition::{Partition, TopicState};
use super::store::Store;
use crate::Result;

/// Applies every topic's retention as of `now_us`.
pub(super) fn apply(store: &Store, now_us: i64) -> Result<()> {
    let mut dropped = false;
    for topic in store.all_topics() {
        for partition in &topic.partitions {
            move_start(store, &topic, partition, now_us)?;
            if topic.compacted {
                // Its tables hold removals of older blocks, which must not be
                // dropped before what they remove.
                compaction::apply(store, partition, now_us)?;
                continue;
            }
            dropped |= drop_tables(store, partition)?;
        }
    }
    if dropped {
        // fjall deletes the files of dropped tables when it next hands a write
        // buffer to a flush: do that now, with the smallest there is.
        store
            .meta
            .rotate_memtable()
            .map_err(|error| store.error(error))?;
    }
    Ok(())
}

/// Moves the start past the segments that have expired.
fn move_start(store: &Store, topic: &TopicState, partition: &Partition, now_us: i64) -> Result<()> {
    let mut segments = partition.segments.lock();
    let (count, open_as_well) = segments.expired(topic.retention, now_us);
    let removed: Vec<_> = segments.front(count).copied().collect();
    let open = open_as_well.then(|| segments.open_as_closed());
    let Some(last) = open.or(removed.last().copied()) else {
        return Ok(());
    };
    let mut batch = store.database.batch();
    batch.insert(
        &store.meta,
        start_key(&partition.id),
        last.end.to_be_bytes(),
    );
    for segment in &removed {
        batch.remove(&store.meta, segment_key(&partition.id, segment.first));
    }
    batch.commit().map_err(|error| store.error(error))?;
    segments.remove(count, open_as_well);
    tracing::debug!(partition = %partition.id, from = partition.start(), to = last.end, "retention removed records");
    partition.set_start(last.end);
    Ok(())
}

/// Drops the tables that lie wholly below the start; what shares a table with
/// retained records goes with a later call. The newest block stays: it tells the
/// next offset after a restart. Returns whether any was dropped.
fn drop_tables(store: &Store, partition: &Partition) -> Result<bool> {
    let keep_from = partition.start().min(partition.last_block());
    let Some(keyspace) = partition.keyspace().filter(|_| keep_from > 0) else {
        return Ok(false);
    };
    let before = keyspace.table_count();
    keyspace
        .tree
        .drop_range(..block_key(keep_from))
        .map_err(|error| store.error(error.into()))?;
    if keyspace.table_count() >= before {
        return Ok(false);
    }
    // Written again so that there is something to flush, see `apply`.
    let start = partition.start().to_be_bytes();
    store
        .meta
        .insert(start_key(&partition.id), start)
        .map_err(|error| store.error(error))?;
    Ok(true)
}
