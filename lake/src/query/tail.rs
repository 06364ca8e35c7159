//! The log's tail in memory: per table a snapshot of the lake, and per log
//! partition the rows from that snapshot's position on, without a gap.
//!
//! Pure: no I/O and no clock. A query takes snapshot and rows in one step, so that
//! they fit each other at any moment (nothing twice, nothing missing).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use events::{Offset, TopicPartition};

use crate::rows::SeenOrigins;
use crate::{Snapshot, Table};

/// Batches are merged up to this size, so that many small reads do not become
/// many small batches.
const MERGED_ROWS: usize = 16_384;

/// Rows of the offsets `from..to` of a partition.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) from: Offset,
    pub(crate) to: Offset,
    pub(crate) rows: RecordBatch,
}

impl Chunk {
    /// Builders reserve more than a few rows need: such rows are copied.
    pub(crate) fn new(from: Offset, to: Offset, rows: RecordBatch) -> Self {
        const FEW_ROWS: usize = 4_096;
        let compact = match rows.num_rows() {
            1..FEW_ROWS => concat_batches(&rows.schema(), [&rows, &rows.slice(0, 0)]).ok(),
            _ => None,
        };
        Self {
            from,
            to,
            rows: compact.unwrap_or(rows),
        }
    }

    fn bytes(&self) -> usize {
        self.rows.get_array_memory_size()
    }

    /// The rows at or above `position`. Rows lie in offset order.
    fn rows_from(&self, position: Offset) -> RecordBatch {
        if position <= self.from {
            return self.rows.clone();
        }
        let below = offsets(&self.rows).map_or(0, |offsets| {
            offsets.partition_point(|offset| *offset < position)
        });
        self.rows.slice(below, self.rows.num_rows() - below)
    }
}

fn offsets(rows: &RecordBatch) -> Option<&[i64]> {
    use arrow::array::AsArray;
    let column = rows.column_by_name("log_offset")?;
    Some(
        column
            .as_primitive_opt::<arrow::datatypes::Int64Type>()?
            .values(),
    )
}

/// The rows `base..next` of one partition.
#[derive(Debug, Default)]
struct PartitionTail {
    chunks: VecDeque<Chunk>,
    base: Offset,
    next: Offset,
}

#[derive(Debug)]
struct TableTail {
    snapshot: Arc<Snapshot>,
    partitions: BTreeMap<TopicPartition, PartitionTail>,
}

/// Snapshots and rows of all tables. Lives behind one lock.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    tables: HashMap<Table, TableTail>,
    /// Which dead letters the rows up to now hold.
    seen: SeenOrigins,
    bytes: usize,
}

/// What a query takes of one table.
#[derive(Clone, Debug)]
pub(crate) struct TableView {
    pub(crate) snapshot: Arc<Snapshot>,
    /// Rows at or above the snapshot's positions, per partition without a gap.
    pub(crate) rows: Vec<RecordBatch>,
    /// Where the rows of each partition end.
    pub(crate) next: HashMap<TopicPartition, Offset>,
    /// Which dead letters snapshot and rows hold.
    pub(crate) seen: SeenOrigins,
}

impl Tail {
    /// Memory of all rows, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Which dead letters snapshots and rows hold.
    pub(crate) fn seen(&self) -> SeenOrigins {
        self.seen.clone()
    }

    /// Takes a newer snapshot and drops the rows that it holds.
    pub(crate) fn set_snapshot(&mut self, table: Table, snapshot: Arc<Snapshot>) {
        let entry = self.tables.entry(table).or_insert_with(|| TableTail {
            snapshot: snapshot.clone(),
            partitions: BTreeMap::new(),
        });
        if snapshot.version < entry.snapshot.version {
            return; // somebody was faster with a newer one
        }
        self.seen.merge(&SeenOrigins::from_marks(&snapshot.marks));
        entry.snapshot = snapshot;
        for (partition, tail) in &mut entry.partitions {
            self.bytes -= trim(tail, entry.snapshot.position(partition));
        }
    }

    /// Where to read on: behind the rows at hand, or at the snapshot's position.
    /// From now on the partition belongs to the tail.
    pub(crate) fn follow(&mut self, table: Table, partition: &TopicPartition) -> Option<Offset> {
        let entry = self.tables.get_mut(&table)?;
        let position = entry.snapshot.position(partition);
        let tail = entry
            .partitions
            .entry(partition.clone())
            .or_insert_with(|| PartitionTail {
                base: position,
                next: position,
                chunks: VecDeque::new(),
            });
        Some(tail.next)
    }

    /// Whether any table has rows that its snapshot may soon hold.
    pub(crate) fn has_rows(&self, table: Table) -> bool {
        self.tables.get(&table).is_some_and(|table| {
            table
                .partitions
                .values()
                .any(|tail| !tail.chunks.is_empty())
        })
    }

    /// Adds the rows of the offsets `from..to`, read behind what is at hand, and
    /// the dead letters seen with them.
    pub(crate) fn push(
        &mut self,
        table: Table,
        partition: &TopicPartition,
        chunk: Chunk,
        seen: &SeenOrigins,
    ) {
        let Some(entry) = self.tables.get_mut(&table) else {
            return;
        };
        let position = entry.snapshot.position(partition);
        let Some(tail) = entry.partitions.get_mut(partition) else {
            return;
        };
        self.seen.merge(seen);
        if chunk.to <= position {
            tail.next = chunk.to;
            tail.base = chunk.to;
            return;
        }
        tail.next = chunk.to;
        if chunk.rows.num_rows() > 0 {
            self.bytes += chunk.bytes();
            tail.chunks.push_back(chunk);
            let saved_bytes = merge_last(&mut tail.chunks);
            self.bytes = self.bytes.saturating_add_signed(-saved_bytes);
        }
    }

    /// Up to where snapshot and rows reach together, without a gap. `None` where
    /// the tail does not follow the partition.
    pub(crate) fn reached(&self, table: Table, partition: &TopicPartition) -> Option<Offset> {
        let entry = self.tables.get(&table)?;
        let tail = entry.partitions.get(partition)?;
        Some(tail.next.max(entry.snapshot.position(partition)))
    }

    /// Snapshot and rows of `table`, as they fit each other now.
    pub(crate) fn view(&self, table: Table) -> Option<TableView> {
        let entry = self.tables.get(&table)?;
        let mut view = TableView {
            snapshot: entry.snapshot.clone(),
            rows: Vec::new(),
            next: HashMap::new(),
            seen: self.seen.clone(),
        };
        for (partition, tail) in &entry.partitions {
            let position = entry.snapshot.position(partition);
            view.next.insert(partition.clone(), tail.next.max(position));
            let chunks = tail.chunks.iter().filter(|chunk| chunk.to > position);
            view.rows.extend(
                chunks
                    .map(|chunk| chunk.rows_from(position))
                    .filter(|rows| rows.num_rows() > 0),
            );
        }
        Some(view)
    }
}

/// Drops the chunks that lie below `position` and returns their bytes.
fn trim(tail: &mut PartitionTail, position: Offset) -> usize {
    let mut freed_bytes = 0;
    while tail
        .chunks
        .front()
        .is_some_and(|chunk| chunk.to <= position)
    {
        freed_bytes += tail.chunks.pop_front().map_or(0, |chunk| chunk.bytes());
    }
    tail.base = tail.base.max(position.min(tail.next));
    freed_bytes
}

/// Merges the newest chunks while they are of similar size, so that each row is
/// copied a few times at most. Returns by how many bytes this made them smaller;
/// below 0 where it made them larger, as a column's nulls can.
fn merge_last(chunks: &mut VecDeque<Chunk>) -> isize {
    let mut saved_bytes = 0;
    while chunks.len() >= 2 {
        let (before, last) = (&chunks[chunks.len() - 2], &chunks[chunks.len() - 1]);
        let (before_rows, last_rows) = (before.rows.num_rows(), last.rows.num_rows());
        if last_rows * 2 < before_rows || before_rows + last_rows > MERGED_ROWS {
            break;
        }
        let Ok(rows) = concat_batches(&before.rows.schema(), [&before.rows, &last.rows]) else {
            break;
        };
        let merged = Chunk {
            from: before.from,
            to: last.to,
            rows,
        };
        let separate_bytes = before.bytes() + last.bytes();
        saved_bytes += separate_bytes as isize - merged.bytes() as isize;
        chunks.truncate(chunks.len() - 2);
        chunks.push_back(merged);
    }
    saved_bytes
}
