//! Removes what a topic no longer keeps.

use fjall::AbstractTree;

use super::store::{Partition, Store, TopicState, block_key, segment_key, start_key};
use crate::Result;

/// Applies every topic's retention as of `now_us`.
pub(super) fn apply(store: &Store, now_us: i64) -> Result<()> {
    for topic in store.all_topics() {
        for partition in &topic.partitions {
            apply_to(store, &topic, partition, now_us)?;
        }
    }
    Ok(())
}

fn apply_to(store: &Store, topic: &TopicState, partition: &Partition, now_us: i64) -> Result<()> {
    let before = partition.start();
    {
        let mut segments = partition.segments.lock();
        let (count, open_as_well) = segments.expired(topic.retention, now_us);
        if count > 0 || open_as_well {
            let removed: Vec<_> = segments.front(count).copied().collect();
            let open = open_as_well.then(|| segments.open_as_closed().end);
            let start = open
                .or(removed.last().map(|segment| segment.end))
                .unwrap_or(before);
            // The start first: records that are gone must never be promised.
            let mut batch = store.database.batch();
            batch.insert(&store.meta, start_key(&partition.id), start.to_be_bytes());
            for segment in &removed {
                batch.remove(&store.meta, segment_key(&partition.id, segment.first));
            }
            batch.commit().map_err(|error| store.error(error))?;
            segments.remove(count, open_as_well);
            partition.set_start(start);
        }
    }
    let start = partition.start();
    if start > before {
        tracing::debug!(partition = %partition.id, from = before, to = start, "retention removed records");
    }
    // Drops the tables that lie wholly below the start; what shares a table with
    // retained records goes with a later call. The newest block stays: it tells
    // the next offset after a restart.
    let keep_from = start.min(partition.last_block());
    if keep_from > 0 {
        let dropped = partition.keyspace.tree.drop_range(..block_key(keep_from));
        dropped.map_err(|error| store.error(error.into()))?;
    }
    Ok(())
}
