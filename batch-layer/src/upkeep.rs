//! Keeps tables in order beside ingest: small files into large ones; dates that are
//! too old, and files that nobody needs, away. One table and one date at a time, with
//! bounded memory, resting as long as it works. Several processes share the tables:
//! each is kept by the process that reads its first partition. Two that both believe
//! to be that one do no harm; one of them works in vain.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use lake::maintain::{CompactOptions, Pace, Retention, VacuumOptions};
use lake::{Lake, Table};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::now_us;

const FIRST_CLEAN: Duration = Duration::from_secs(120);
const FIRST_CLEAN_SPREAD: Duration = Duration::from_secs(240);

/// What is kept in order, and how often.
#[derive(Clone, Debug)]
pub struct UpkeepConfig {
    /// Small files are merged this often.
    pub compact_every: Duration,
    /// Old dates and unneeded files are removed this often, and some minutes after the
    /// start.
    pub clean_every: Duration,
    /// What is merged.
    pub compact: CompactOptions,
    /// What is unneeded.
    pub vacuum: VacuumOptions,
    /// What is too old.
    pub retention: Retention,
}

impl Default for UpkeepConfig {
    fn default() -> Self {
        Self {
            compact_every: Duration::from_secs(600),
            clean_every: Duration::from_secs(6 * 3600),
            compact: CompactOptions {
                min_files: 8,
                memory_bytes: 128 << 20,
                pace: Pace::Half,
                ..CompactOptions::default()
            },
            vacuum: VacuumOptions::default(),
            retention: Retention::default(),
        }
    }
}

/// Works until `stop`. A failure is logged, and made good at the next turn.
pub(crate) async fn run(
    lake: Arc<Lake>,
    kept: watch::Receiver<BTreeSet<Table>>,
    config: UpkeepConfig,
    stop: CancellationToken,
) {
    let mut compact_at = Instant::now() + config.compact_every;
    let mut clean_at = Instant::now() + first_clean(config.clean_every);
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(compact_at.min(clean_at)) => {}
            () = stop.cancelled() => return,
        }
        let cleans = Instant::now() >= clean_at;
        let tables = kept.borrow().clone();
        let keeps_none = tables.is_empty();
        for table in tables {
            if stop.is_cancelled() {
                return;
            }
            let done = match cleans {
                true => clean(&lake, table, &config).await,
                false => compact(&lake, table, &config, &stop).await,
            };
            if let Err(error) = done {
                tracing::warn!(%table, %error, "upkeep of the table failed; it is tried again at the next turn");
            }
        }
        match cleans {
            // Perhaps it has no partition yet.
            true if keeps_none => clean_at = Instant::now() + first_clean(config.clean_every),
            true => clean_at = Instant::now() + config.clean_every,
            false => compact_at = Instant::now() + config.compact_every,
        }
    }
}

/// When a process cleans first: soon, because one that is restarted often would never
/// come to it otherwise; not at once, because at a start there is other work; and each
/// process at another moment.
fn first_clean(clean_every: Duration) -> Duration {
    let chance = RandomState::new().hash_one(0) % FIRST_CLEAN_SPREAD.as_millis() as u64;
    (FIRST_CLEAN + Duration::from_millis(chance)).min(clean_every)
}

async fn compact(
    lake: &Arc<Lake>,
    table: Table,
    config: &UpkeepConfig,
    stop: &CancellationToken,
) -> Result<(), lake::Error> {
    for plan in lake.compaction_plan(table, &config.compact).await? {
        let began = std::time::Instant::now();
        let done = lake.compact(&plan, &config.compact, |_| {}, stop).await?;
        if stop.is_cancelled() {
            return Ok(());
        }
        if let Some(done) = done {
            metrics::counter!("citypulse_lake_compacted_rows_total", "table" => table.name())
                .increment(done.rows);
            metrics::counter!("citypulse_lake_compacted_files_total", "table" => table.name())
                .increment(done.files_before as u64);
            tracing::info!(
                %table,
                files_before = done.files_before,
                files_after = done.files_after,
                rows = done.rows,
                elapsed_ms = began.elapsed().as_millis() as u64,
                "small files merged"
            );
        }
    }
    Ok(())
}

async fn clean(lake: &Lake, table: Table, config: &UpkeepConfig) -> Result<(), lake::Error> {
    let now_us = now_us();
    let expired = lake.expire(table, &config.retention, now_us, false).await?;
    if !expired.dates.is_empty() {
        metrics::counter!("citypulse_lake_expired_rows_total", "table" => table.name())
            .increment(expired.rows);
        tracing::info!(%table, dates = expired.dates.len(), rows = expired.rows, "dates beyond their retention removed");
    }
    vacuum(lake, table, config, now_us).await?;
    match table {
        Table::View(view) => vacuum(lake, Table::Draft(view), config, now_us).await,
        _ => Ok(()),
    }
}

async fn vacuum(
    lake: &Lake,
    table: Table,
    config: &UpkeepConfig,
    now_us: i64,
) -> Result<(), lake::Error> {
    let vacuumed = lake
        .vacuum(table, &config.vacuum, now_us / 1_000, false)
        .await?;
    if !vacuumed.removed.is_empty() {
        metrics::counter!("citypulse_lake_vacuumed_bytes_total", "table" => table.name())
            .increment(vacuumed.bytes);
        tracing::info!(%table, files = vacuumed.removed.len(), bytes = vacuumed.bytes, "files that no version needs removed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_cleans_some_minutes_after_its_start() {
        let hours = Duration::from_secs(6 * 3600);
        let moments: BTreeSet<Duration> = (0..100).map(|_| first_clean(hours)).collect();
        let within = FIRST_CLEAN..FIRST_CLEAN + FIRST_CLEAN_SPREAD;
        assert!(moments.iter().all(|moment| within.contains(moment)));
        assert!(moments.len() > 50, "each at another moment");
        let minute = Duration::from_secs(60);
        assert_eq!(first_clean(minute), minute);
    }
}
