//! What has been read and not yet written: rows per table, files that some of them are
//! already, and per partition the offsets that both cover. Pure: no I/O, and time is
//! passed in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use event_log::{Record, Records};
use events::{Advance, DecodeError, Offset, TopicPartition};
use lake::rows::{RowBuilder, SeenOrigins, Source};
use lake::{DatedFiles, Table};

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
    /// Rows of many dates that are encoded and wait for more take this much, bytes.
    pub(crate) encoded_bytes: usize,
}

/// Each date is a file of its own. A table whose rows are of more dates than this waits
/// longer, by one age for each further date, and its rows are encoded where memory is
/// short, which makes them small, so that late events of old dates are gathered into few
/// files. Queries see them meanwhile in the log.
const FEW_DATES: usize = 2;
/// At most this many ages.
const DATES_FACTOR_MAX: usize = 10;

/// What has to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The table's rows are to be committed.
    Commit(Table),
    /// The table's rows are to be made smaller.
    Encode(Table),
}

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
#[derive(Debug)]
pub(crate) struct Flush {
    pub(crate) table: Table,
    /// Those that are encoded already.
    pub(crate) files: DatedFiles,
    pub(crate) rows: Vec<RecordBatch>,
    pub(crate) advances: Vec<Advance>,
    pub(crate) marks: HashMap<String, i64>,
    /// How many rows both are.
    pub(crate) row_count: usize,
    /// Memory of both, bytes.
    pub(crate) bytes: usize,
    life: u64,
    since: Instant,
    dates: BTreeSet<i32>,
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
            let piece = self.growing.finish();
            // With what its arrays have room for: they have doubled on the way.
            self.pieces_bytes += piece.get_array_memory_size();
            self.pieces.push(piece);
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
    /// Rows that are encoded already, and how many.
    encoded: Option<(DatedFiles, usize)>,
    /// Another one after each reset.
    life: u64,
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
    fn new(table: Table, life: u64) -> Self {
        Self {
            rows: Rows::new(table),
            encoded: None,
            life,
            partitions: BTreeMap::new(),
            oldest: None,
            taken: None,
            dates: BTreeSet::new(),
            seen: SeenOrigins::default(),
            stored_marks: HashMap::new(),
        }
    }

    fn encoded_bytes(&self) -> usize {
        self.encoded.as_ref().map_or(0, |(files, _)| files.bytes())
    }
}

/// All tables' rows.
#[derive(Debug)]
pub(crate) struct Buffer {
    limits: Limits,
    tables: BTreeMap<Table, TableBuffer>,
    lives: u64,
    /// When records came last.
    newest: Option<Instant>,
}

impl Buffer {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            tables: BTreeMap::new(),
            lives: 0,
            newest: None,
        }
    }

    fn table(&mut self, table: Table) -> &mut TableBuffer {
        self.tables.entry(table).or_insert_with(|| {
            self.lives += 1;
            TableBuffer::new(table, self.lives)
        })
    }

    /// Takes a partition from its stored position on, `None` where none is stored.
    pub(crate) fn assign(
        &mut self,
        table: Table,
        partition: TopicPartition,
        stored: Option<Offset>,
    ) {
        self.table(table).partitions.insert(
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
        let buffer = self.table(table);
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

    /// Memory of all that is held, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.row_bytes() + self.encoded_bytes()
    }

    fn row_bytes(&self) -> usize {
        self.tables.values().map(|buffer| buffer.rows.bytes()).sum()
    }

    fn encoded_bytes(&self) -> usize {
        self.tables.values().map(TableBuffer::encoded_bytes).sum()
    }

    /// What has to be done now, if anything.
    pub(crate) fn due(&self, now: Instant) -> Option<Due> {
        let waited = |since: Option<Instant>, limit| {
            since.is_some_and(|since| now.duration_since(since) >= limit)
        };
        let is_idle = waited(self.newest, self.limits.flush_idle);
        let has_waited = |buffer: &TableBuffer| {
            let further = buffer.dates.len().saturating_sub(FEW_DATES - 1);
            let factor = further.clamp(1, DATES_FACTOR_MAX);
            let rested = buffer.taken.is_none() || waited(buffer.taken, self.limits.flush_age);
            waited(buffer.oldest, self.limits.flush_age * factor as u32)
                || (buffer.oldest.is_some() && is_idle && rested)
        };
        let mut tables = self.tables.iter();
        if let Some((table, _)) = tables.find(|(_, buffer)| has_waited(buffer)) {
            return Some(Due::Commit(*table));
        }
        let largest = self.tables.iter();
        let (table, buffer) = largest.max_by_key(|(_, buffer)| buffer.rows.bytes())?;
        let is_large = buffer.rows.bytes() >= self.limits.flush_bytes;
        if !is_large && self.row_bytes() < self.limits.total_bytes {
            return None;
        }
        let gathers = buffer.dates.len() > FEW_DATES;
        match gathers && self.encoded_bytes() < self.limits.encoded_bytes {
            true => Some(Due::Encode(*table)),
            false => Some(Due::Commit(*table)),
        }
    }

    /// Tables with anything to write.
    pub(crate) fn unwritten(&self) -> BTreeSet<Table> {
        self.tables
            .iter()
            .filter(|(_, buffer)| buffer.oldest.is_some())
            .map(|(table, _)| *table)
            .collect()
    }

    /// Takes all of a table out, with what it covers. The buffer goes on behind
    /// that; if it cannot be written, the table has to be [reset](Buffer::reset).
    pub(crate) fn take(&mut self, table: Table, now: Instant) -> Option<Flush> {
        let buffer = self.tables.get_mut(&table)?;
        let since = buffer.oldest.take()?;
        buffer.taken = Some(now);
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
        let bytes = buffer.rows.bytes() + buffer.encoded_bytes();
        let rows = buffer.rows.take();
        let (files, encoded_rows) = buffer
            .encoded
            .take()
            .unwrap_or_else(|| (DatedFiles::new(table), 0));
        Some(Flush {
            table,
            files,
            row_count: encoded_rows + rows.iter().map(RecordBatch::num_rows).sum::<usize>(),
            rows,
            advances,
            marks: changed,
            bytes,
            life: buffer.life,
            since,
            dates: std::mem::take(&mut buffer.dates),
        })
    }

    /// Takes back what was [taken](Buffer::take) and is encoded now. Where the table was
    /// reset meanwhile it is forgotten: it is read again.
    pub(crate) fn put_back(&mut self, flush: Flush) {
        let Some(buffer) = self.tables.get_mut(&flush.table) else {
            return;
        };
        if buffer.life != flush.life {
            return;
        }
        for advance in flush.advances {
            if let Some(progress) = buffer.partitions.get_mut(&advance.partition) {
                progress.from = Some(advance.from);
            }
        }
        for mark in flush.marks.keys() {
            buffer.stored_marks.remove(mark);
        }
        buffer.encoded = Some((flush.files, flush.row_count));
        buffer.oldest = Some(flush.since);
        buffer.dates.extend(flush.dates);
    }
}

#[cfg(test)]
mod tests;
