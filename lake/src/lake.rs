//! The lake: its tables, their snapshots and commits.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use bytes::Bytes;
use events::{Advance, Offset, TopicPartition};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use parking_lot::{Mutex, RwLock};

use crate::dated_files::{EncodedFile, order_rows};
use crate::delta::{self, TableLog, Written};
use crate::parquet_file::encode_file;
use crate::storage::Storage;
use crate::{DataFile, Error, LakeConfig, NewFile, Result, Snapshot, Table};

/// Attempts to get a version before a commit gives way to the other writers.
const MAX_COMMIT_ATTEMPTS: usize = 50;
/// A version not looked at for this long is loaded anew: the commit files after
/// it may have been cleaned up.
const MAX_SNAPSHOT_AGE: Duration = Duration::from_secs(3600);
/// Larger files go up in parts.
const PART_BYTES: usize = 8 << 20;
/// Files that go up at the same time: a small one is mostly waiting.
const PUTS_AT_ONCE: usize = 4;

/// Files that are not committed this long after they were written must be written
/// anew: vacuum takes them for left over.
pub const FILE_COMMIT_LIMIT: Duration = Duration::from_secs(3600);

/// What one commit makes visible together.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Files from [`Lake::write_files`] or [`Lake::put_files`].
    pub files: Vec<NewFile>,
    /// The log ranges that the files cover. Refused unless each `from` is the
    /// stored position (any `from` is taken where none is stored).
    pub advances: Vec<Advance>,
    /// Further counters to set, by name. A name of the form `topic/partition`
    /// would be a position: begin it with another path element.
    pub marks: HashMap<String, i64>,
    /// Names of [`Commit::marks`] that must be new: refused with
    /// [`Error::AlreadyMarked`] where the table has one of them.
    pub once: Vec<String>,
}

/// Dates of a view, computed anew.
#[derive(Clone, Debug, Default)]
pub struct Replacement {
    /// Days since the epoch: all that the table has of them goes.
    pub dates: Vec<i32>,
    /// Files of these dates, from [`Lake::write_files`], which come.
    pub files: Vec<NewFile>,
    /// Counters to set, by name (see [`Commit::marks`]).
    pub marks: HashMap<String, i64>,
    /// What counters must be when it comes to the commit; `None`: not be there.
    pub expected: HashMap<String, Option<i64>>,
}

/// Every table, on one storage.
pub struct Lake {
    storage: Storage,
    tables: HashMap<Table, TableHandle>,
}

struct TableHandle {
    log: TableLog,
    /// Held while following or committing: within this process one at a time.
    turn: tokio::sync::Mutex<()>,
    known: RwLock<Known>,
    /// Every version that was given to anybody; see [`Lake::held_snapshots`].
    handed_out: Mutex<Vec<Weak<Snapshot>>>,
}

struct Known {
    snapshot: Option<Arc<Snapshot>>,
    looked_at: Instant,
}

impl Lake {
    /// Opens the lake; tables are created when they are first written. A server
    /// is not contacted yet: use [`Lake::ping`] to know whether it answers.
    pub async fn open(config: LakeConfig) -> Result<Arc<Lake>> {
        let storage = Storage::open(&config)?;
        let mut tables = HashMap::new();
        for table in Table::all_and_drafts() {
            let known = Known {
                snapshot: None,
                looked_at: Instant::now(),
            };
            let log = TableLog::open(&storage, table)?;
            tables.insert(
                table,
                TableHandle {
                    log,
                    turn: tokio::sync::Mutex::default(),
                    known: RwLock::new(known),
                    handed_out: Mutex::default(),
                },
            );
        }
        Ok(Arc::new(Lake { storage, tables }))
    }

    /// Folder or bucket, as people know it.
    pub fn url(&self) -> &str {
        &self.storage.url
    }

    /// The lake's files; paths begin with a table's name.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        self.storage.lake.clone()
    }

    /// Whether the storage answers now.
    pub async fn ping(&self) -> Result<()> {
        match self
            .storage
            .lake
            .list_with_delimiter(Some(&Path::from("_ping")))
            .await
        {
            Ok(_) => Ok(()),
            Err(object_store::Error::NotFound { source, .. }) => {
                let missing = object_store::Error::Generic {
                    store: "lake",
                    source,
                };
                match self.storage.error(&missing) {
                    error @ Error::Configuration { .. } => Err(error),
                    _ => Ok(()),
                }
            }
            Err(error) => Err(self.storage.error(&error)),
        }
    }

    /// Whether the storage takes an object now; it is removed at once.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping_writing(&self) -> Result<()> {
        let path = Path::from("_ping");
        let failed = |error| self.storage.error(&error);
        let store = &self.storage.lake;
        store
            .put(&path, PutPayload::from_static(b"ping"))
            .await
            .map_err(failed)?;
        store.delete(&path).await.map_err(failed)
    }

    /// The newest stored position of every log partition of `table`; a partition
    /// that is absent has never been written.
    pub async fn positions(&self, table: Table) -> Result<HashMap<TopicPartition, Offset>> {
        Ok(self.refresh(table).await?.positions.as_ref().clone())
    }

    /// The last known version: no I/O once the table has been looked at.
    pub async fn snapshot(&self, table: Table) -> Result<Arc<Snapshot>> {
        let known = self.tables[&table].known.read().snapshot.clone();
        match known {
            Some(snapshot) => Ok(snapshot),
            None => self.refresh(table).await,
        }
    }

    /// The newest version: one small read where nothing has changed.
    pub async fn refresh(&self, table: Table) -> Result<Arc<Snapshot>> {
        let handle = &self.tables[&table];
        let _turn = handle.turn.lock().await;
        handle.follow().await
    }

    /// Writes rows as Parquet, one file a date, one after the other, so that only
    /// one of them is in memory. Nobody sees them before [`Lake::commit`]. On an
    /// error nothing remains but what a crash would leave.
    pub async fn write_files(
        &self,
        table: Table,
        batches: Vec<RecordBatch>,
    ) -> Result<Vec<NewFile>> {
        let (rows, parts) = in_background(table, move || order_rows(table, &batches)).await?;
        let mut files = Vec::with_capacity(parts.len());
        for (date, order) in parts {
            let rows = Arc::clone(&rows);
            let encoded = in_background(table, move || {
                encode_file(table, date, &rows, &order)
                    .map_err(|error| refused(table, error.to_string()))
            });
            let put = match encoded.await {
                Ok((bytes, file)) => self.put(table, &[bytes], &file.path).await.map(|()| file),
                Err(error) => Err(error),
            };
            match put {
                Ok(file) => files.push(file),
                Err(error) => {
                    self.discard_files(table, &files).await;
                    return Err(error);
                }
            }
        }
        Ok(files)
    }

    /// Puts files where their names say, a few at a time. Nobody sees them before
    /// [`Lake::commit`], and doing it again is harmless.
    ///
    /// # Errors
    /// What the storage says; some of the files may be up then.
    pub async fn put_files(&self, table: Table, files: &[EncodedFile]) -> Result<()> {
        for some in files.chunks(PUTS_AT_ONCE) {
            let puts = some
                .iter()
                .map(|EncodedFile { file, content }| self.put(table, content, &file.path));
            futures::future::try_join_all(puts).await?;
        }
        Ok(())
    }

    async fn put(&self, table: Table, content: &[Bytes], path: &str) -> Result<()> {
        let store = self.storage.table_store(table);
        let location = Path::from(path);
        let put = async {
            if content.iter().map(Bytes::len).sum::<usize>() <= 2 * PART_BYTES {
                let whole: PutPayload = content.iter().cloned().collect();
                store.put(&location, whole).await?;
            } else {
                let mut upload = WriteMultipart::new_with_chunk_size(
                    store.put_multipart(&location).await?,
                    PART_BYTES,
                );
                for piece in content {
                    upload.put(piece.clone());
                }
                upload.finish().await?;
            }
            Ok(())
        };
        put.await.map_err(|error| self.storage.error(&error))?;
        self.storage.sync(&format!("{table}/{path}")).await
    }

    /// Removes files that no commit will name. Best effort: what stays is invisible
    /// and harmless. Call it only when a commit of them cannot be under way.
    pub async fn discard_files(&self, table: Table, files: &[NewFile]) {
        let store = self.storage.table_store(table);
        for file in files {
            if let Err(error) = store.delete(&Path::from(file.path.as_str())).await {
                tracing::debug!(%table, path = file.path, %error, "could not remove a file that was not committed");
            }
        }
    }

    /// Makes files and positions visible together, or neither, and returns the
    /// version. Calling it again with the same commit after an error is safe: if
    /// the first call did get through, the second finds that and changes nothing.
    /// After [`Error::PositionMoved`] or [`Error::AlreadyMarked`] the files have been
    /// removed.
    pub async fn commit(&self, table: Table, commit: &Commit) -> Result<u64> {
        let handle = &self.tables[&table];
        let turn = handle.turn.lock().await;
        handle.writable().await?;
        let decide = |snapshot: &Snapshot| {
            if already_in(snapshot, commit) {
                return Ok(Decision::Nothing);
            }
            check_positions(table, snapshot, commit)?;
            check_marks(table, snapshot, commit)?;
            Ok(Decision::Write(delta::encode_commit(commit, now_ms())))
        };
        let committed = self.commit_when(handle, decide).await;
        drop(turn);
        let is_refused = |error: &Error| {
            matches!(
                error,
                Error::PositionMoved { .. } | Error::AlreadyMarked { .. }
            )
        };
        if committed.as_ref().is_err_and(is_refused) {
            self.discard_files(table, &commit.files).await;
        }
        committed
    }

    /// Exchanges files of a table, positions untouched. Commits of others that came
    /// in between do no harm as long as they left the removed files alone; otherwise
    /// this is [`Error::FilesChanged`] and changes nothing.
    pub(crate) async fn replace(&self, table: Table, rewrite: &Rewrite) -> Result<u64> {
        let handle = &self.tables[&table];
        let _turn = handle.turn.lock().await;
        self.commit_when(handle, |snapshot| {
            let is_live = |file: &Arc<DataFile>| snapshot.files.contains_key(&file.path);
            let done = match rewrite.add.first() {
                Some(added) => snapshot.files.contains_key(&added.path),
                None => !rewrite.remove.iter().any(is_live),
            };
            if done {
                return Ok(Decision::Nothing);
            }
            if !rewrite.remove.iter().all(is_live) {
                return Err(Error::FilesChanged {
                    table: table.name().to_owned(),
                });
            }
            Ok(Decision::Write(delta::encode_rewrite(rewrite, now_ms())))
        })
        .await
    }

    /// Puts files in the place of all that `table` has of some dates, in one commit:
    /// readers see all of the old or all of the new. Whoever has exchanged files of
    /// the same rows meanwhile is no obstacle; whoever has set one of the expected
    /// counters is: [`Error::FilesChanged`], and the files have been removed. Calling
    /// it again with the same replacement after an error is safe.
    pub async fn replace_dates(&self, table: Table, replacement: &Replacement) -> Result<u64> {
        let handle = &self.tables[&table];
        let turn = handle.turn.lock().await;
        handle.writable().await?;
        let is_of_them = |file: &DataFile| {
            let date = file.date.as_ref();
            date.is_some_and(|date| replacement.dates.contains(date))
        };
        let committed = self
            .commit_when(handle, |snapshot| {
                let mark = |name: &String| snapshot.marks.get(name).copied();
                let is_there = match replacement.files.first() {
                    Some(file) => snapshot.files.contains_key(&file.path),
                    None => !snapshot.files.values().any(|file| is_of_them(file)),
                };
                let mut marks = replacement.marks.iter();
                if is_there && marks.all(|(name, value)| mark(name) == Some(*value)) {
                    return Ok(Decision::Nothing);
                }
                let mut expected = replacement.expected.iter();
                if expected.any(|(name, value)| mark(name) != *value) {
                    return Err(Error::FilesChanged {
                        table: table.name().to_owned(),
                    });
                }
                let old = snapshot.files.values().filter(|file| is_of_them(file));
                let rewrite = Rewrite {
                    remove: old.cloned().collect(),
                    add: replacement.files.clone(),
                    data_change: true,
                    operation: "WRITE",
                };
                Ok(Decision::Write(
                    delta::encode_rewrite(&rewrite, now_ms()).and_then(|mut actions| {
                        delta::push_counters(&mut actions, &replacement.marks, now_ms())?;
                        Ok(actions)
                    }),
                ))
            })
            .await;
        drop(turn);
        if matches!(committed, Err(Error::FilesChanged { .. })) {
            self.discard_files(table, &replacement.files).await;
        }
        committed
    }

    /// Writes what `decide` makes of the newest version, as the version after it;
    /// decides anew when somebody was faster. The caller holds the turn.
    async fn commit_when(
        &self,
        handle: &TableHandle,
        decide: impl Fn(&Snapshot) -> Result<Decision>,
    ) -> Result<u64> {
        let table = handle.log.table;
        for _ in 0..MAX_COMMIT_ATTEMPTS {
            let snapshot = handle.follow().await?;
            let actions = match decide(&snapshot)? {
                Decision::Nothing => return Ok(snapshot.version.unwrap_or_default()),
                Decision::Write(actions) => {
                    actions.map_err(|error| handle.log.damaged(error.to_string()))?
                }
            };
            let version = snapshot.version.map_or(0, |version| version + 1);
            if handle.log.write(version, actions.into()).await? == Written::Taken {
                continue; // somebody was faster: look at what they wrote, then decide
            }
            self.storage
                .sync(&format!("{table}/_delta_log/{version:020}.json"))
                .await?;
            handle.follow().await?;
            if delta::is_due(version) {
                tokio::spawn(checkpoint(handle.log.clone()));
            }
            return Ok(version);
        }
        Err(self
            .storage
            .unavailable(format!("table {table} has too many writers at once")))
    }

    /// Every version of `table` that somebody in this process still holds, the
    /// newest known one included: a query, the tail, a compaction.
    pub(crate) fn held_snapshots(&self, table: Table) -> Vec<Arc<Snapshot>> {
        let held = self.tables[&table].handed_out.lock();
        held.iter().filter_map(Weak::upgrade).collect()
    }

    /// One table's folder; for maintenance.
    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }
}

/// What to do about the newest version.
enum Decision {
    /// It is as wanted.
    Nothing,
    /// These actions come next.
    Write(serde_json::Result<Vec<u8>>),
}

/// Files that take the place of others.
#[derive(Clone, Debug)]
pub(crate) struct Rewrite {
    pub(crate) remove: Vec<Arc<DataFile>>,
    pub(crate) add: Vec<NewFile>,
    /// Whether rows go or come; false where the same rows lie in other files.
    pub(crate) data_change: bool,
    /// As the table's history shows it.
    pub(crate) operation: &'static str,
}

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

pub(crate) fn refused(table: Table, reason: String) -> Error {
    Error::Schema {
        table: table.name().to_owned(),
        reason,
    }
}

/// Computes on a thread that may block.
async fn in_background<T: Send + 'static>(
    table: Table,
    compute: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(compute).await {
        Ok(result) => result,
        Err(error) => Err(refused(table, format!("encoding failed: {error}"))),
    }
}

/// Whether an earlier attempt at this very commit got through.
fn already_in(snapshot: &Snapshot, commit: &Commit) -> bool {
    let done = |advance: &Advance| snapshot.positions.get(&advance.partition) == Some(&advance.to);
    match commit.files.first() {
        // All files of a commit become visible together, and names are unique.
        Some(file) => snapshot.files.contains_key(&file.path),
        None => !commit.advances.is_empty() && commit.advances.iter().all(done),
    }
}

fn check_positions(table: Table, snapshot: &Snapshot, commit: &Commit) -> Result<()> {
    for advance in &commit.advances {
        let stored = snapshot.positions.get(&advance.partition).copied();
        if stored.is_some_and(|stored| stored != advance.from) {
            return Err(Error::PositionMoved {
                table: table.name().to_owned(),
                partition: advance.partition.clone(),
                expected: advance.from,
                stored,
            });
        }
    }
    Ok(())
}

fn check_marks(table: Table, snapshot: &Snapshot, commit: &Commit) -> Result<()> {
    match commit
        .once
        .iter()
        .find(|mark| snapshot.marks.contains_key(*mark))
    {
        Some(mark) => Err(Error::AlreadyMarked {
            table: table.name().to_owned(),
            mark: mark.clone(),
        }),
        None => Ok(()),
    }
}

/// Not on the way of the commit that made it due; a failure is made good by the next.
async fn checkpoint(log: TableLog) {
    if let Err(error) = delta::checkpoint(&log).await {
        tracing::warn!(table = %log.table, %error, "could not write a checkpoint; opening the table takes longer");
    }
}

impl TableHandle {
    /// Follows the log to its newest version. The caller holds the turn.
    async fn follow(&self) -> Result<Arc<Snapshot>> {
        let (known, age) = {
            let known = self.known.read();
            (known.snapshot.clone(), known.looked_at.elapsed())
        };
        let newest = match known {
            Some(known) if age < MAX_SNAPSHOT_AGE => match self.log.catch_up(&known).await? {
                Some(newer) => Arc::new(newer),
                None => known,
            },
            _ => Arc::new(
                delta::load(&self.log)
                    .await?
                    .unwrap_or_else(|| Snapshot::empty(self.log.table)),
            ),
        };
        self.hand_out(&newest);
        *self.known.write() = Known {
            snapshot: Some(newest.clone()),
            looked_at: Instant::now(),
        };
        Ok(newest)
    }

    /// Notes a version before anybody has it.
    fn hand_out(&self, snapshot: &Arc<Snapshot>) {
        let mut handed_out = self.handed_out.lock();
        let is_noted = handed_out
            .last()
            .is_some_and(|last| std::ptr::eq(last.as_ptr(), Arc::as_ptr(snapshot)));
        if !is_noted {
            handed_out.retain(|held| held.strong_count() > 0);
            handed_out.push(Arc::downgrade(snapshot));
        }
    }

    /// The newest version of a table that exists and has every column we write.
    async fn writable(&self) -> Result<Arc<Snapshot>> {
        let mut snapshot = self.follow().await?;
        if snapshot.version.is_none() {
            delta::create(&self.log).await?;
            snapshot = self.follow().await?;
        }
        if delta::evolve(&self.log, &snapshot).await? {
            snapshot = self.follow().await?;
        }
        Ok(snapshot)
    }
}
