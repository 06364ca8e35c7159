//! Keeps the tail: reads the log on behind it, and takes newer snapshots.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::{Consumer, Polled, Records};
use events::backoff::Backoff;
use events::{Offset, TopicPartition};
use tokio_util::sync::CancellationToken;

use crate::Table;
use crate::query::engine::Shared;
use crate::query::error::{QueryError, QueryResult};
use crate::query::tail::Chunk;
use crate::rows::{RowBuilder, SeenOrigins, Source};

/// One poll's wait; also how soon a shutdown is noticed.
const POLL_WAIT: Duration = Duration::from_millis(200);
/// How often new partitions are looked for.
const LIST_INTERVAL: Duration = Duration::from_secs(10);
/// How often newer snapshots are looked for, where rows wait for one.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// The same where no rows wait.
const IDLE_REFRESHES: u32 = 10;

/// Reads the log's tail until `shutdown`; waits out what fails.
pub(crate) async fn follow_log(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut backoff = Backoff::new();
    let mut failing = false;
    while !shutdown.is_cancelled() {
        match follow_once(&shared, &shutdown, &mut backoff).await {
            Ok(()) => failing = false,
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "cannot follow the log for SQL; queries read it themselves until that works again");
                }
                failing = true;
                wait(backoff.next_delay(), &shutdown).await;
            }
        }
    }
}

/// Follows the partitions that exist now, until there are others.
async fn follow_once(
    shared: &Shared,
    shutdown: &CancellationToken,
    backoff: &mut Backoff,
) -> QueryResult<()> {
    let positions = assign(shared).await?;
    let mut listed_at = Instant::now();
    if positions.is_empty() {
        wait(REFRESH_INTERVAL, shutdown).await;
        return Ok(());
    }
    let Some(log) = &shared.log else {
        return Ok(()); // without a log there are no positions
    };
    let mut reader = log
        .read_from(&positions)
        .await
        .map_err(QueryError::from_log)?;
    while !shutdown.is_cancelled() {
        if listed_at.elapsed() > LIST_INTERVAL || shared.take_list_request() {
            if list(shared).await?.len() != positions.len() {
                return Ok(());
            }
            listed_at = Instant::now();
        }
        if shared.tail.lock().bytes() > shared.config.tail_bytes {
            // Full: the log keeps the rest until a snapshot makes room.
            let _ = tokio::time::timeout(POLL_WAIT, shared.trimmed.notified()).await;
            continue;
        }
        poll(shared, reader.as_mut(), shutdown).await?;
        backoff.reset();
    }
    Ok(())
}

async fn poll(
    shared: &Shared,
    reader: &mut dyn Consumer,
    shutdown: &CancellationToken,
) -> QueryResult<()> {
    let polled = tokio::select! {
        polled = reader.poll(POLL_WAIT) => polled.map_err(QueryError::from_log)?,
        () = shutdown.cancelled() => return Ok(()),
    };
    if let Polled::Records(batches) = polled {
        let mut seen = shared.tail.lock().seen();
        for records in batches {
            if let Some(source) = shared.sources.get(&records.partition.topic).copied() {
                push(shared, source, records, &mut seen);
            }
        }
        shared.advanced.notify_waiters();
    }
    Ok(())
}

/// Decodes outside of the lock: queries do not wait for it.
fn push(shared: &Shared, source: Source, records: Records, seen: &mut SeenOrigins) {
    let mut rows = RowBuilder::new(source.table());
    for record in &records.records {
        // What cannot be decoded is a row of dead_letters, by way of its topic.
        let _ = rows.push(&records.partition, record, seen);
    }
    let chunk = Chunk::new(records.from, records.next, rows.finish());
    shared
        .tail
        .lock()
        .push(source.table(), &records.partition, chunk, seen);
}

/// Makes every existing partition part of the tail and says where to read on.
async fn assign(shared: &Shared) -> QueryResult<Vec<(TopicPartition, Offset)>> {
    for table in Table::all() {
        let snapshot = shared
            .lake
            .refresh(table)
            .await
            .map_err(QueryError::from_lake)?;
        shared.tail.lock().set_snapshot(table, snapshot);
    }
    let partitions = list(shared).await?;
    let mut tail = shared.tail.lock();
    let follow = |(partition, table): (TopicPartition, Table)| {
        let position = tail.follow(table, &partition)?;
        Some((partition, position))
    };
    Ok(partitions.into_iter().filter_map(follow).collect())
}

async fn list(shared: &Shared) -> QueryResult<HashMap<TopicPartition, Table>> {
    let mut partitions = HashMap::new();
    for (topic, source) in &shared.sources {
        for bounds in shared.bounds(topic).await? {
            partitions.insert(bounds.partition, source.table());
        }
    }
    Ok(partitions)
}

/// Takes newer snapshots as they come, until `shutdown`.
pub(crate) async fn follow_lake(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut ticks: u32 = 0;
    while !shutdown.is_cancelled() {
        for table in Table::all() {
            let rows_wait = shared.tail.lock().has_rows(table);
            if !rows_wait && !ticks.is_multiple_of(IDLE_REFRESHES) {
                continue;
            }
            match shared.lake.refresh(table).await {
                Ok(snapshot) => shared.tail.lock().set_snapshot(table, snapshot),
                // Queries go on with the version at hand and the log behind it.
                Err(error) => tracing::debug!(%table, %error, "cannot look for a newer version"),
            }
        }
        shared.trimmed.notify_waiters();
        let tail_bytes = shared.tail.lock().bytes();
        metrics::gauge!("citypulse_sql_tail_bytes").set(tail_bytes as f64);
        ticks = ticks.wrapping_add(1);
        wait(REFRESH_INTERVAL, &shutdown).await;
    }
}

async fn wait(duration: Duration, shutdown: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(duration) => {}
        () = shutdown.cancelled() => {}
    }
}
