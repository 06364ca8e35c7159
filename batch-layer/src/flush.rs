//! Writes what a buffer gave: rows become files in memory, then the files go up, then
//! one commit names files and positions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arrow::array::RecordBatch;
use events::Advance;
use events::backoff::Backoff;
use lake::{Commit, DatedFiles, EncodedFile, FILE_COMMIT_LIMIT, Lake, NewFile, Table};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::buffer::Flush;
use crate::problems::{Part, Problems};

/// How a flush ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is in the table.
    Written(Vec<Advance>),
    /// Its rows are files in memory now; see [`encode`].
    Encoded(Flush),
    /// Another writer has moved a position: the table's partitions have to be read
    /// again from the stored positions.
    Moved(Table),
    /// The shutdown came first; nothing was committed by then, or it will be found
    /// at the next start.
    Stopped(Table),
}

/// Makes files of the rows, which nobody sees until [`write`] has ended them.
pub(crate) async fn encode(mut flush: Flush) -> Result<Outcome, Error> {
    let encoded = in_background(move || {
        flush.files.add(&std::mem::take(&mut flush.rows))?;
        Ok(flush)
    });
    encoded.await.map(Outcome::Encoded)
}

/// Writes `flush`, trying again until that works or `stop`. What it holds in memory
/// becomes less on the way: `held_bytes` says it.
pub(crate) async fn write(
    lake: Arc<Lake>,
    flush: Flush,
    held_bytes: Arc<AtomicUsize>,
    problems: Problems,
    stop: CancellationToken,
) -> Result<Outcome, Error> {
    let started = Instant::now();
    let table = flush.table;
    let (row_count, advances) = (flush.row_count, flush.advances);
    let mut pending = Pending {
        files: end(flush.files, flush.rows).await?,
        up_since: None,
        commit: Commit {
            advances: advances.clone(),
            marks: flush.marks,
            ..Commit::default()
        },
    };
    let files = pending.files.iter();
    pending.commit.files = files.map(|encoded| encoded.file.clone()).collect();
    held_bytes.store(pending.bytes(), Ordering::Relaxed);
    let mut backoff = Backoff::new();
    loop {
        match pending.attempt(&lake, table).await {
            Ok(()) => {
                problems.works(Part::Lake);
                record(table, row_count, &pending.commit.files, started);
                return Ok(Outcome::Written(advances));
            }
            Err(moved @ lake::Error::PositionMoved { .. }) => {
                tracing::info!(%table, %moved, "another process writes these partitions; reading on from its position");
                return Ok(Outcome::Moved(table));
            }
            Err(error) if error.is_retryable() => {
                problems.failed(Part::Lake, error.to_string());
                tokio::select! {
                    () = tokio::time::sleep(backoff.next_delay()) => {}
                    () = stop.cancelled() => return Ok(Outcome::Stopped(table)),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn end(mut files: DatedFiles, rows: Vec<RecordBatch>) -> Result<Vec<EncodedFile>, Error> {
    in_background(move || {
        files.add(&rows)?;
        drop(rows);
        files.finish()
    })
    .await
}

/// Computes on a thread that may block.
async fn in_background<T: Send + 'static>(
    compute: impl FnOnce() -> Result<T, lake::Error> + Send + 'static,
) -> Result<T, Error> {
    let computed = tokio::task::spawn_blocking(compute).await;
    Ok(computed.map_err(|error| Error::Internal(format!("encoding failed: {error}")))??)
}

/// What is to be committed.
struct Pending {
    files: Vec<EncodedFile>,
    /// Since when all of them are up.
    up_since: Option<Instant>,
    commit: Commit,
}

impl Pending {
    fn bytes(&self) -> usize {
        self.files
            .iter()
            .map(|file| file.file.size_bytes as usize)
            .sum()
    }

    /// Files that are up stay so for the next attempt, unless that comes so late that
    /// vacuum may have taken them for left over. A commit whose answer was lost is found
    /// by the next attempt, which then changes nothing.
    async fn attempt(&mut self, lake: &Lake, table: Table) -> Result<(), lake::Error> {
        let is_fresh = |since: Instant| since.elapsed() < FILE_COMMIT_LIMIT;
        if !self.up_since.is_some_and(is_fresh) {
            let began = Instant::now();
            lake.put_files(table, &self.files).await?;
            self.up_since = Some(began);
        }
        lake.commit(table, &self.commit).await.map(drop)
    }
}

fn record(table: Table, rows: usize, files: &[NewFile], started: Instant) {
    let table = table.name();
    let bytes: u64 = files.iter().map(|file| file.size_bytes).sum();
    metrics::counter!("citypulse_batch_rows_total", "table" => table).increment(rows as u64);
    metrics::counter!("citypulse_batch_files_total", "table" => table)
        .increment(files.len() as u64);
    metrics::counter!("citypulse_batch_bytes_total", "table" => table).increment(bytes);
    metrics::counter!("citypulse_batch_commits_total", "table" => table).increment(1);
    metrics::histogram!("citypulse_batch_flush_seconds", "table" => table)
        .record(started.elapsed().as_secs_f64());
    tracing::debug!(
        table,
        rows,
        files = files.len(),
        bytes,
        elapsed_ms = started.elapsed().as_millis() as u64,
        "rows written"
    );
}
