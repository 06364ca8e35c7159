//! History straight into the lake, past the log: files of events, each once.
//!
//! Enters: the rows of files, each file under a mark that its content decides.
//! Leaves: Parquet files, and one commit per table of these and of the marks of
//! the files whose rows they hold. Promises: a file whose mark a table has adds
//! nothing to that table, whatever was interrupted when; a file that cannot be read
//! to its end adds nothing, and takes nothing from those before it; rows that are no
//! events are in the table `dead_letters`. Never: more than some files' worth of rows in
//! memory.

mod known;
mod letters;
mod parquet_table;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use events::columns::ColumnBuilder;
use events::{Event, Stream};
use lake::{Commit, Lake, NewFile, Snapshot, Table};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Error;

use known::{Known, newest_date, recall};
pub use letters::KEPT_MAX;
use letters::Letters;
pub use parquet_table::{ParquetTable, is_parquet};

/// Rows that travel together between threads.
const CHUNK_ROWS: usize = 16_384;
/// Rows of a table that become one write, a full row group: about 50 MB of memory, three
/// times that while they are sorted and encoded. Few enough that little is left to be
/// written when all is read.
const WRITE_ROWS: usize = 262_144;
/// Rows after which finished files are committed.
const COMMIT_ROWS: u64 = 4_000_000;
/// Chunks in conversion, and writes under way, at once.
const PARALLEL: usize = 2;
/// The number of a write that is for no file in work.
const FINISHED: u64 = 0;

/// A row as its file has it, not yet checked.
pub trait ImportRow: Send + 'static {
    /// Its line, from 1.
    fn line(&self) -> u64;

    /// The event; `None` where the row is none of the platform's. `now_us` is when
    /// it is taken in, microseconds since the epoch.
    ///
    /// # Errors
    /// Why it is none.
    fn into_event(self, now_us: i64) -> Result<Option<Event>, BadRow>;
}

/// A row that is no valid event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// Field, value and what was expected.
    pub cause: String,
    /// What it says, as far as that can be kept.
    pub text: Bytes,
}

/// A file to be imported.
pub struct ImportFile<R> {
    /// As people know it.
    pub name: String,
    /// The topic whose events its rows are; empty where it has several.
    pub topic: String,
    /// What a table remembers it by: the same bytes read in the same way, the same mark.
    pub mark: String,
    /// Its rows; an error ends it.
    pub rows: Box<dyn Iterator<Item = Result<R, String>> + Send>,
    /// Asked after the last row: what a table remembers its content by, however it was
    /// compressed and its format was told.
    pub content_mark: Box<dyn FnOnce() -> String + Send>,
}

/// What became of one file's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSummary {
    /// Rows that are in, or will be with the next commit.
    pub added: u64,
    /// Rows of tables that have this file already.
    pub known: u64,
    /// Rows that are no valid event.
    pub bad: u64,
    /// Of these, rows that `dead_letters` has not.
    pub not_kept: u64,
    /// Rows of something else.
    pub skipped: u64,
}

/// Why a file is not in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The lake cannot be read or written.
    #[error(transparent)]
    Lake(#[from] lake::Error),
    /// The file cannot be read to its end.
    #[error("{0}")]
    Read(String),
    /// Somebody asked for the end.
    #[error("interrupted")]
    Interrupted,
    /// Another import brought one of the files in meanwhile: those that were to be
    /// committed with it are not in, and may be taken in again.
    #[error("another import has brought the same file in meanwhile")]
    Overtaken,
    /// A fault of ours.
    #[error("the import failed: {0}")]
    Internal(String),
}

impl From<ImportError> for Error {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Lake(error) => Error::Lake(error),
            other => Error::Internal(other.to_string()),
        }
    }
}

/// Takes files in, one after another.
pub struct Importer {
    lake: Arc<Lake>,
    now_us: i64,
    writes: JoinSet<Result<Written, lake::Error>>,
    /// What finished files have brought and no commit holds yet.
    finished: HashMap<Table, Held>,
    /// The file in work, counted, and what it has brought until now.
    file: u64,
    current: HashMap<Table, Held>,
    uncommitted_rows: u64,
}

/// Rows of one table on their way.
#[derive(Default)]
struct Held {
    pending: Vec<RecordBatch>,
    written: Vec<NewFile>,
    rows: u64,
    /// Of the finished files, each with the newest date of its rows.
    marks: Vec<(String, i64)>,
    /// Days since the epoch.
    newest_date: i64,
}

/// A write that has ended, and for which file in work it was.
struct Written {
    file: u64,
    table: Table,
    files: Vec<NewFile>,
}

/// One chunk as columns.
#[derive(Default)]
struct Converted {
    batches: Vec<RecordBatch>,
    tables: Vec<Table>,
    bad: Vec<(u64, BadRow)>,
    summary: FileSummary,
}

impl Importer {
    /// Into `lake`; `now_us` is what the rows get as `appended_at`.
    pub fn new(lake: Arc<Lake>, now_us: i64) -> Self {
        Self {
            lake,
            now_us,
            writes: JoinSet::new(),
            finished: HashMap::new(),
            file: 0,
            current: HashMap::new(),
            uncommitted_rows: 0,
        }
    }

    /// The tables that have the file of that mark.
    ///
    /// # Errors
    /// Where the lake cannot be read.
    pub async fn tables_with(&self, mark: &str) -> Result<HashSet<Table>, ImportError> {
        let mut with = HashSet::new();
        for table in tables() {
            let waiting = self.finished.get(&table);
            let is_waiting =
                waiting.is_some_and(|held| held.marks.iter().any(|(one, _)| one == mark));
            if is_waiting || self.has(table, mark).await? {
                with.insert(table);
            }
        }
        Ok(with)
    }

    async fn has(&self, table: Table, mark: &str) -> Result<bool, ImportError> {
        let snapshot = self.lake.refresh(table).await?;
        Ok(matches!(recall(&snapshot, mark), Known::In))
    }

    /// Takes one file in. Bad rows are told to `on_bad` with line and cause.
    ///
    /// # Errors
    /// Nothing of this file is in any table, and files before it are as they were.
    pub async fn add<R: ImportRow>(
        &mut self,
        file: ImportFile<R>,
        on_bad: &mut (dyn FnMut(u64, String) + Send),
        stop: &CancellationToken,
    ) -> Result<FileSummary, ImportError> {
        self.file += 1;
        let taken = match self.take(file, on_bad, stop).await {
            Ok(summary) => Ok(summary),
            Err(error) => {
                self.drop_current().await;
                Err(error)
            }
        };
        let summary = taken?;
        self.uncommitted_rows += summary.added;
        if self.uncommitted_rows >= COMMIT_ROWS {
            self.commit().await?;
        }
        Ok(summary)
    }

    async fn take<R: ImportRow>(
        &mut self,
        file: ImportFile<R>,
        on_bad: &mut (dyn FnMut(u64, String) + Send),
        stop: &CancellationToken,
    ) -> Result<FileSummary, ImportError> {
        let known = Arc::new(self.tables_with(&file.mark).await?);
        let mut chunks = read_ahead(file.rows);
        let mut conversions = JoinSet::new();
        let mut summary = FileSummary::default();
        let mut letters = Letters::new(&file.name, &file.topic, self.now_us);
        let mut is_read = false;
        while !is_read || !conversions.is_empty() {
            let room = !is_read && conversions.len() < PARALLEL;
            tokio::select! {
                () = stop.cancelled() => return Err(ImportError::Interrupted),
                chunk = chunks.recv(), if room => match chunk {
                    None => is_read = true,
                    Some(Ok(rows)) => {
                        let (known, now_us) = (Arc::clone(&known), self.now_us);
                        conversions.spawn_blocking(move || convert(rows, &known, now_us));
                    }
                    Some(Err(cause)) => return Err(ImportError::Read(cause)),
                },
                Some(converted) = conversions.join_next(), if !conversions.is_empty() => {
                    let converted = converted.map_err(|error| ImportError::Internal(error.to_string()))?;
                    summary.count(&converted.summary);
                    for (line, bad) in converted.bad {
                        letters.push(line, &bad);
                        on_bad(line, bad.cause);
                    }
                    for (table, batch) in converted.tables.into_iter().zip(converted.batches) {
                        self.hold(table, batch).await?;
                    }
                }
            }
        }
        summary.not_kept = summary.bad - letters.len();
        if let Some(letters) = letters.finish()
            && !known.contains(&Table::DeadLetters)
        {
            self.hold(Table::DeadLetters, letters).await?;
        }
        let content_mark = (file.content_mark)();
        let content_known = self.tables_with(&content_mark).await?;
        for table in content_known {
            if let Some(held) = self.current.get(&table) {
                if table != Table::DeadLetters {
                    summary.added -= held.rows;
                    summary.known += held.rows;
                }
                self.drop_current_of(table).await;
            }
        }
        for (table, mut current) in self.current.drain() {
            let finished = self.finished.entry(table).or_default();
            finished.pending.append(&mut current.pending);
            finished.written.append(&mut current.written);
            let newest_date = current.newest_date;
            finished.marks.push((file.mark.clone(), newest_date));
            if content_mark != file.mark {
                finished.marks.push((content_mark.clone(), newest_date));
            }
        }
        // What is still being written is a finished file's from now on.
        self.file += 1;
        Ok(summary)
    }

    /// Whether all files that were taken in are in their tables.
    pub fn is_committed(&self) -> bool {
        self.finished.is_empty()
    }

    /// Commits what is left.
    ///
    /// # Errors
    /// Where the lake cannot be written.
    pub async fn finish(&mut self) -> Result<(), ImportError> {
        self.commit().await
    }

    async fn hold(&mut self, table: Table, batch: RecordBatch) -> Result<(), ImportError> {
        let held = self.current.entry(table).or_default();
        held.rows += batch.num_rows() as u64;
        held.newest_date = held.newest_date.max(newest_date(&batch));
        held.pending.push(batch);
        let rows: usize = held.pending.iter().map(RecordBatch::num_rows).sum();
        if rows >= WRITE_ROWS {
            let batches = std::mem::take(&mut held.pending);
            self.write(self.file, table, batches).await?;
        }
        Ok(())
    }

    async fn write(
        &mut self,
        file: u64,
        table: Table,
        batches: Vec<RecordBatch>,
    ) -> Result<(), ImportError> {
        while self.writes.len() >= PARALLEL {
            self.take_written().await?;
        }
        let lake = Arc::clone(&self.lake);
        self.writes.spawn(async move {
            let files = lake.write_files(table, batches).await?;
            Ok(Written { file, table, files })
        });
        Ok(())
    }

    async fn take_written(&mut self) -> Result<(), ImportError> {
        let Some(written) = self.writes.join_next().await else {
            return Ok(());
        };
        let written = written.map_err(|error| ImportError::Internal(error.to_string()))??;
        let of = match written.file == self.file {
            true => &mut self.current,
            false => &mut self.finished,
        };
        let held = of.entry(written.table).or_default();
        held.written.extend(written.files);
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), ImportError> {
        let tables: Vec<Table> = self.finished.keys().copied().collect();
        for table in tables {
            let held = self.finished.entry(table).or_default();
            let batches = std::mem::take(&mut held.pending);
            if !batches.is_empty() {
                self.write(FINISHED, table, batches).await?;
            }
        }
        while !self.writes.is_empty() {
            self.take_written().await?;
        }
        self.uncommitted_rows = 0;
        let mut finished: Vec<_> = std::mem::take(&mut self.finished).into_iter().collect();
        // A file that is known to its stream's table is not read again: its bad rows first.
        finished.sort_by_key(|(table, _)| *table != Table::DeadLetters);
        for (table, held) in finished {
            let snapshot = self.lake.refresh(table).await?;
            let marks = held.marks.iter();
            let marks: Option<HashMap<String, i64>> = marks
                .map(|(mark, newest_date)| new_mark(&snapshot, mark, *newest_date))
                .collect();
            let Some(marks) = marks else {
                self.lake.discard_files(table, &held.written).await;
                return Err(ImportError::Overtaken);
            };
            let commit = Commit {
                files: held.written,
                once: marks.keys().cloned().collect(),
                marks,
                ..Commit::default()
            };
            match self.lake.commit(table, &commit).await {
                Ok(_) => {}
                Err(lake::Error::AlreadyMarked { .. }) => return Err(ImportError::Overtaken),
                Err(error) => {
                    self.lake.discard_files(table, &commit.files).await;
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// Removes what the file in work has brought. Best effort.
    async fn drop_current(&mut self) {
        let tables: Vec<Table> = self.current.keys().copied().collect();
        for table in tables {
            self.drop_current_of(table).await;
        }
    }

    async fn drop_current_of(&mut self, table: Table) {
        // Its last writes may still be under way.
        while !self.writes.is_empty() {
            if let Err(error) = self.take_written().await {
                tracing::debug!(%error, "a write of a file that is given up failed");
            }
        }
        if let Some(held) = self.current.remove(&table) {
            self.lake.discard_files(table, &held.written).await;
        }
    }
}

impl FileSummary {
    /// Of a file that was not read again.
    pub fn of_known_file() -> Self {
        Self {
            known: 1,
            ..Self::default()
        }
    }

    fn count(&mut self, other: &Self) {
        self.added += other.added;
        self.known += other.known;
        self.bad += other.bad;
        self.not_kept += other.not_kept;
        self.skipped += other.skipped;
    }
}

/// The tables that rows of files come into.
fn tables() -> impl Iterator<Item = Table> {
    let streams = Stream::ALL.into_iter().map(Table::Stream);
    streams.chain([Table::DeadLetters])
}

/// The name that a file is to get in the table, with the newest date of its rows; `None`
/// where it is in already.
fn new_mark(snapshot: &Snapshot, mark: &str, newest_date: i64) -> Option<(String, i64)> {
    match recall(snapshot, mark) {
        Known::In => None,
        Known::Not { as_name } => Some((as_name, newest_date)),
    }
}

type Chunks<R> = mpsc::Receiver<Result<Vec<R>, String>>;

/// Reads on a thread of its own, a bounded number of chunks ahead.
fn read_ahead<R: ImportRow>(
    mut rows: Box<dyn Iterator<Item = Result<R, String>> + Send>,
) -> Chunks<R> {
    let (sender, receiver) = mpsc::channel(2 * PARALLEL);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK_ROWS);
            while chunk.len() < CHUNK_ROWS {
                match rows.next() {
                    Some(Ok(row)) => chunk.push(row),
                    Some(Err(cause)) => {
                        // The receiver may be gone: then nobody asks any more.
                        let _ = sender.blocking_send(Err(cause));
                        return;
                    }
                    None => {
                        let _ = sender.blocking_send(Ok(chunk));
                        return;
                    }
                }
            }
            if sender.blocking_send(Ok(chunk)).is_err() {
                return;
            }
        }
    });
    receiver
}

fn convert<R: ImportRow>(rows: Vec<R>, known: &HashSet<Table>, now_us: i64) -> Converted {
    let mut converted = Converted::default();
    let mut builders: HashMap<Stream, ColumnBuilder> = HashMap::new();
    for row in rows {
        let line = row.line();
        match row.into_event(now_us) {
            Ok(Some(event)) if known.contains(&Table::Stream(event.stream())) => {
                converted.summary.known += 1;
            }
            Ok(Some(event)) => {
                let stream = event.stream();
                let builder = builders
                    .entry(stream)
                    .or_insert_with(|| ColumnBuilder::new(stream));
                builder.push_imported(&event, now_us);
                converted.summary.added += 1;
            }
            Ok(None) => converted.summary.skipped += 1,
            Err(bad) => {
                converted.summary.bad += 1;
                converted.bad.push((line, bad));
            }
        }
    }
    for (stream, mut builder) in builders {
        converted.tables.push(Table::Stream(stream));
        converted.batches.push(builder.finish());
    }
    converted
}
