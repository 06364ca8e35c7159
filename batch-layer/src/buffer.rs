//! What has been read and not yet written: rows per table, and per partition the
//! offsets that they cover. Pure: no I/O, and time is passed in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use event_log::{Record, Records};
use events::{Advance, DecodeError, Offset, TopicPartition};
use lake::Table;
use lake::rows::{RowBuilder, SeenOrigins, Source};

/// When rows are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// A table's rows take this much, bytes.
    pub(crate) flush_bytes: usize,
    /// A table's oldest row has waited this long; longer where rows are of many dates,
    /// see [`DATES_FACTOR_MAX`].
    pub(crate) flush_age: Duration,
    /// Nothing has come for any table for this long: the log's end is reached. Not
    /// sooner after the flush before than `flush_age`, so that a trickle does not make
    /// a file an event.
    pub(crate) flush_idle: Duration,
    /// The rows of all tables take this much, bytes: the largest table is written.
    pub(crate) total_bytes: usize,
}

/// Each date is a file of its own. A table whose rows are of more than two dates waits
/// longer, by one age for each further date up to this many ages, so that late events
/// of old dates are gathered into few files. Queries see them meanwhile in the log.
const DATES_FACTOR_MAX: usize = 10;

/// A record that could not be decoded.
#[derive(Clone, Debug)]
pub(crate) struct BadRecord {
    pub(crate) partition: TopicPartition,
    pub(crate) record: Record,
    pub(crate) error: DecodeError,
}

/// How records fit what the buffer has.
#[derive(Clone, Debug)]
pub(crate) enum Pushed {
    /// They are in, or were before; these could not be decoded.
    In(Vec<BadRecord>),
    /// Offsets between what the buffer has and these are missing: the partition's
    /// table has to be read again from its stored position.
    Gap,
}

/// What one commit is made of.
#[derive(Clone, Debug)]
pub(crate) struct Flush {
    pub(crate) table: Table,
    pub(crate) rows: Vec<RecordBatch>,
    pub(crate) advances: Vec<Advance>,
    pub(crate) marks: HashMap<String, i64>,
    /// Memory of the rows, bytes.
    pub(crate) bytes: usize,
}

/// Where a partition is.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// Stored position, or the first offset read where none is stored.
    from: Option<Offset>,
    /// Behind what the buffer has.
    next: Option<Offset>,
    /// Nothing was read since the start: the log may begin later than asked.
    is_first: bool,
}

/// Rows in pieces: arrays that grow to the size of all would be copied over and over on
/// the way, and take up to twice the memory.
#[derive(Debug)]
struct Rows {
    pieces: Vec<RecordBatch>,
    pieces_bytes: usize,
    growing: RowBuilder,
}

impl Rows {
    const PIECE_ROWS: usize = 65_536;

    fn new(table: Table) -> Self {
        Self {
            pieces: Vec::new(),
            pieces_bytes: 0,
            growing: RowBuilder::new(table),
        }
    }

    fn push(
        &mut self,
        from: &TopicPartition,
        record: &Record,
        seen: &mut SeenOrigins,
    ) -> Result<Option<i32>, DecodeError> {
        let date = self.growing.push(from, record, seen)?;
        if self.growing.len() >= Self::PIECE_ROWS {
            self.end_piece();
        }
        Ok(date)
    }

    fn end_piece(&mut self) {
        if !self.growing.is_empty() {
            self.pieces_bytes += self.growing.bytes();
            self.pieces.push(self.growing.finish());
        }
    }

    fn bytes(&self) -> usize {
        self.pieces_bytes + self.growing.bytes()
    }

    fn take(&mut self) -> Vec<RecordBatch> {
        self.end_piece();
        self.pieces_bytes = 0;
        std::mem::take(&mut self.pieces)
    }
}

#[derive(Debug)]
struct TableBuffer {
    rows: Rows,
    partitions: BTreeMap<TopicPartition, Progress>,
    /// When the oldest unwritten progress was made.
    oldest: Option<Instant>,
    /// When rows were last taken out.
    taken: Option<Instant>,
    /// Dates of the rows.
    dates: BTreeSet<i32>,
    seen: SeenOrigins,
    stored_marks: HashMap<String, i64>,
}

impl TableBuffer {
    fn new(table: Table) -> Self {
        Self {
            rows: Rows::new(table),
            partitions: BTreeMap::new(),
            oldest: None,
            taken: None,
            dates: BTreeSet::new(),
            seen: SeenOrigins::default(),
            stored_marks: HashMap::new(),
        }
    }
}

/// All tables' rows.
#[derive(Debug)]
pub(crate) struct Buffer {
    limits: Limits,
    tables: BTreeMap<Table, TableBuffer>,
    /// When records came last.
    newest: Option<Instant>,
}

impl Buffer {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            tables: BTreeMap::new(),
            newest: None,
        }
    }

    /// Takes a partition from its stored position on, `None` where none is stored.
    pub(crate) fn assign(
        &mut self,
        table: Table,
        partition: TopicPartition,
        stored: Option<Offset>,
    ) {
        let buffer = self
            .tables
            .entry(table)
            .or_insert_with(|| TableBuffer::new(table));
        buffer.partitions.insert(
            partition,
            Progress {
                from: stored,
                next: stored,
                is_first: true,
            },
        );
    }

    /// Takes over which dead letters the table holds.
    pub(crate) fn set_marks(&mut self, table: Table, marks: &HashMap<String, i64>) {
        let buffer = self
            .tables
            .entry(table)
            .or_insert_with(|| TableBuffer::new(table));
        buffer.seen.merge(&SeenOrigins::from_marks(marks));
        buffer.stored_marks = buffer.seen.marks();
    }

    /// Whether `partition` is one of this buffer's.
    pub(crate) fn holds(&self, table: Table, partition: &TopicPartition) -> bool {
        self.tables
            .get(&table)
            .is_some_and(|buffer| buffer.partitions.contains_key(partition))
    }

    /// Forgets everything of a table and returns its partitions: what was not
    /// written has to be read again.
    pub(crate) fn reset(&mut self, table: Table) -> Vec<TopicPartition> {
        let buffer = self.tables.remove(&table);
        buffer
            .map(|buffer| buffer.partitions.into_keys().collect())
            .unwrap_or_default()
    }

    /// Gives a partition up; what it has must have been taken before.
    pub(crate) fn release(&mut self, table: Table, partition: &TopicPartition) {
        if let Some(buffer) = self.tables.get_mut(&table) {
            buffer.partitions.remove(partition);
        }
    }

    /// Adds records. Those below what the buffer has are left out.
    pub(crate) fn push(&mut self, source: Source, records: Records, now: Instant) -> Pushed {
        let Some(buffer) = self.tables.get_mut(&source.table()) else {
            return Pushed::In(Vec::new()); // given up in the meantime
        };
        let Some(progress) = buffer.partitions.get_mut(&records.partition) else {
            return Pushed::In(Vec::new());
        };
        let next = progress.next.unwrap_or(records.from);
        if records.from > next && !progress.is_first {
            return Pushed::Gap;
        }
        progress.is_first = false;
        progress.from.get_or_insert(records.from);
        if records.next <= next {
            return Pushed::In(Vec::new());
        }
        progress.next = Some(records.next);
        let mut bad = Vec::new();
        let mut last_date = None;
        for record in records
            .records
            .into_iter()
            .filter(|record| record.offset >= next)
        {
            match buffer
                .rows
                .push(&records.partition, &record, &mut buffer.seen)
            {
                Ok(date) if date == last_date => {}
                Ok(date) => {
                    last_date = date;
                    buffer.dates.extend(date);
                }
                Err(error) => bad.push(BadRecord {
                    partition: records.partition.clone(),
                    record,
                    error,
                }),
            }
        }
        buffer.oldest.get_or_insert(now);
        self.newest = Some(now);
        Pushed::In(bad)
    }

    /// Memory of all rows, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.tables.values().map(|buffer| buffer.rows.bytes()).sum()
    }

    /// The table that has to be written now, if any.
    pub(crate) fn due(&self, now: Instant) -> Option<Table> {
        let waited = |since: Option<Instant>, limit| {
            since.is_some_and(|since| now.duration_since(since) >= limit)
        };
        let is_idle = waited(self.newest, self.limits.flush_idle);
        let is_due = |buffer: &TableBuffer| {
            let factor = buffer
                .dates
                .len()
                .saturating_sub(1)
                .clamp(1, DATES_FACTOR_MAX);
            let rested = buffer.taken.is_none() || waited(buffer.taken, self.limits.flush_age);
            buffer.rows.bytes() >= self.limits.flush_bytes
                || waited(buffer.oldest, self.limits.flush_age * factor as u32)
                || (buffer.oldest.is_some() && is_idle && rested)
        };
        if let Some((table, _)) = self.tables.iter().find(|(_, buffer)| is_due(buffer)) {
            return Some(*table);
        }
        if self.bytes() < self.limits.total_bytes {
            return None;
        }
        self.tables
            .iter()
            .max_by_key(|(_, buffer)| buffer.rows.bytes())
            .map(|(table, _)| *table)
    }

    /// Tables with anything to write.
    pub(crate) fn unwritten(&self) -> Vec<Table> {
        self.tables
            .iter()
            .filter(|(_, buffer)| buffer.oldest.is_some())
            .map(|(table, _)| *table)
            .collect()
    }

    /// Takes a table's rows out, with what they cover. The buffer goes on behind
    /// them; if they cannot be written, it has to be [reset](Buffer::reset).
    pub(crate) fn take(&mut self, table: Table, now: Instant) -> Option<Flush> {
        let buffer = self.tables.get_mut(&table)?;
        buffer.oldest.take()?;
        buffer.taken = Some(now);
        buffer.dates.clear();
        let mut advances = Vec::new();
        for (partition, progress) in &mut buffer.partitions {
            if let (Some(from), Some(to)) = (progress.from, progress.next)
                && to > from
            {
                advances.push(Advance {
                    partition: partition.clone(),
                    from,
                    to,
                });
                progress.from = Some(to);
            }
        }
        let marks = buffer.seen.marks();
        let changed = marks
            .iter()
            .filter(|(name, next)| buffer.stored_marks.get(*name) != Some(*next));
        let changed = changed.map(|(name, next)| (name.clone(), *next)).collect();
        buffer.stored_marks = marks;
        let bytes = buffer.rows.bytes();
        Some(Flush {
            table,
            rows: buffer.rows.take(),
            advances,
            marks: changed,
            bytes,
        })
    }
}

impl Flush {
    /// How many rows they are.
    pub(crate) fn row_count(&self) -> usize {
        self.rows.iter().map(RecordBatch::num_rows).sum()
    }
}

#[cfg(test)]
mod tests;
