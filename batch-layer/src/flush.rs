//! Writes what a buffer gave: files first, then one commit of files and positions.

use std::sync::Arc;
use std::time::Instant;

use events::Advance;
use events::backoff::Backoff;
use lake::{Commit, FILE_COMMIT_LIMIT, Lake, NewFile, Table};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::buffer::Flush;
use crate::problems::{Part, Problems};

/// How a flush ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is in the table.
    Written(Vec<Advance>),
    /// Another writer has moved a position: the table's partitions have to be read
    /// again from the stored positions.
    Moved(Table),
    /// The shutdown came first; nothing was committed by then, or it will be found
    /// at the next start.
    Stopped(Table),
}

/// Writes `flush`, trying again until that works or `stop`.
pub(crate) async fn write(
    lake: Arc<Lake>,
    flush: Flush,
    problems: Problems,
    stop: CancellationToken,
) -> Result<Outcome, Error> {
    let started = Instant::now();
    let table = flush.table;
    let mut backoff = Backoff::new();
    let mut files: Option<Written> = None;
    loop {
        match attempt(&lake, &flush, &mut files).await {
            Ok(()) => {
                problems.works(Part::Lake);
                let files = files.map(|written| written.files).unwrap_or_default();
                record(&flush, &files, started);
                return Ok(Outcome::Written(flush.advances));
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

/// Files that are up, and since when.
struct Written {
    files: Vec<NewFile>,
    at: Instant,
}

/// Files that are up stay so for the next attempt, unless that comes so late that
/// vacuum may have taken them for left over. A commit whose answer was lost is found
/// by the next attempt, which then changes nothing.
async fn attempt(
    lake: &Lake,
    flush: &Flush,
    files: &mut Option<Written>,
) -> Result<(), lake::Error> {
    let written = match files.take() {
        Some(written) if written.at.elapsed() < FILE_COMMIT_LIMIT => written,
        _ => write_files(lake, flush).await?,
    };
    let commit = Commit {
        files: written.files,
        advances: flush.advances.clone(),
        marks: flush.marks.clone(),
        once: Vec::new(),
    };
    let committed = lake.commit(flush.table, &commit).await;
    *files = Some(Written {
        files: commit.files,
        at: written.at,
    });
    committed.map(drop)
}

async fn write_files(lake: &Lake, flush: &Flush) -> Result<Written, lake::Error> {
    let at = Instant::now();
    let files = lake.write_files(flush.table, flush.rows.clone()).await?;
    Ok(Written { files, at })
}

fn record(flush: &Flush, files: &[NewFile], started: Instant) {
    let table = flush.table.name();
    let bytes: u64 = files.iter().map(|file| file.size_bytes).sum();
    metrics::counter!("citypulse_batch_rows_total", "table" => table)
        .increment(flush.row_count() as u64);
    metrics::counter!("citypulse_batch_files_total", "table" => table)
        .increment(files.len() as u64);
    metrics::counter!("citypulse_batch_bytes_total", "table" => table).increment(bytes);
    metrics::counter!("citypulse_batch_commits_total", "table" => table).increment(1);
    metrics::histogram!("citypulse_batch_flush_seconds", "table" => table)
        .record(started.elapsed().as_secs_f64());
    tracing::debug!(
        table,
        rows = flush.row_count(),
        files = files.len(),
        bytes,
        elapsed_ms = started.elapsed().as_millis() as u64,
        "rows written"
    );
}
