//! Pinning a table for a query: one snapshot, the tail's rows behind it, and what
//! has to be read from the log, so that together they are every event once.

use std::collections::HashMap;

use event_log::Bounds;
use events::{Offset, TopicPartition};
use tokio::time::Instant;

use crate::Table;
use crate::query::engine::{Freshness, Shared};
use crate::query::error::{QueryError, QueryResult};
use crate::query::log_range::{LogRange, LogRanges};
use crate::query::provider::PinnedTable;
use crate::query::tail::TableView;
use crate::rows::SeenOrigins;

/// A tail that is further behind than this is not waited for.
const MAX_WAIT_RECORDS: i64 = 50_000;

impl Shared {
    /// Pins `table`. With [`Freshness::Exact`] every event is in it that was
    /// acknowledged before the call.
    pub(crate) async fn pin(&self, table: Table, freshness: Freshness) -> QueryResult<PinnedTable> {
        if let Table::View(_) | Table::Draft(_) = table {
            // In the lake alone, and replaced at any moment.
            let snapshot = self.lake.refresh(table).await;
            let snapshot = snapshot.map_err(QueryError::from_lake)?;
            return Ok(PinnedTable::new(table, snapshot, &[], None)?);
        }
        let bounds = match freshness {
            Freshness::Exact => self.table_bounds(table).await?,
            Freshness::Relaxed => Vec::new(),
        };
        self.wait_for_tail(table, &bounds).await;
        let mut view = self.view(table).await?;
        if is_behind_retention(&view, &bounds) {
            // The log has dropped records that the snapshot at hand lacks: a newer one has them.
            let snapshot = self
                .lake
                .refresh(table)
                .await
                .map_err(QueryError::from_lake)?;
            self.tail.lock().set_snapshot(table, snapshot);
            view = self.view(table).await?;
        }
        let ranges = ranges_behind(&view, &bounds);
        let log = self.log.clone().filter(|_| !ranges.is_empty());
        let ranges = log.map(|log| {
            metrics::counter!("citypulse_sql_log_reads_total").increment(1);
            LogRanges {
                log,
                table,
                ranges,
                seen: view.seen.clone(),
                schema: view.snapshot.schema.clone(),
            }
        });
        Ok(PinnedTable::new(table, view.snapshot, &view.rows, ranges)?)
    }

    async fn table_bounds(&self, table: Table) -> QueryResult<Vec<Bounds>> {
        let mut all = Vec::new();
        for (topic, source) in &self.sources {
            if source.table() == table {
                all.extend(self.bounds(topic).await?);
            }
        }
        Ok(all)
    }

    /// Waits until the tail has reached the ends, where that is a matter of
    /// moments. Where it is not, the query reads the rest itself.
    async fn wait_for_tail(&self, table: Table, bounds: &[Bounds]) {
        let deadline = Instant::now() + self.config.tail_wait;
        loop {
            let advanced = self.advanced.notified();
            tokio::pin!(advanced);
            advanced.as_mut().enable();
            if !self.is_worth_waiting(table, bounds) {
                return;
            }
            if tokio::time::timeout_at(deadline, advanced).await.is_err() {
                return;
            }
        }
    }

    fn is_worth_waiting(&self, table: Table, bounds: &[Bounds]) -> bool {
        let tail = self.tail.lock();
        let is_full = tail.bytes() > self.config.tail_bytes;
        let mut missing = false;
        for bounds in bounds {
            let Some(reached) = tail.reached(table, &bounds.partition) else {
                self.request_list();
                return false;
            };
            if bounds.end - reached > MAX_WAIT_RECORDS {
                return false;
            }
            missing |= reached < bounds.end;
        }
        missing && !is_full
    }

    async fn view(&self, table: Table) -> QueryResult<TableView> {
        if let Some(view) = self.tail.lock().view(table) {
            return Ok(view);
        }
        // Nobody follows the log: the lake alone, and the log behind it.
        let snapshot = self
            .lake
            .refresh(table)
            .await
            .map_err(QueryError::from_lake)?;
        let seen = SeenOrigins::from_marks(&snapshot.marks);
        Ok(TableView {
            snapshot,
            rows: Vec::new(),
            next: HashMap::new(),
            seen,
        })
    }
}

/// Where snapshot and rows end in `partition`.
fn reached(view: &TableView, partition: &TopicPartition) -> Offset {
    view.next
        .get(partition)
        .copied()
        .unwrap_or_else(|| view.snapshot.position(partition))
}

fn ranges_behind(view: &TableView, bounds: &[Bounds]) -> Vec<LogRange> {
    let behind = |bounds: &Bounds| {
        let from = reached(view, &bounds.partition).max(bounds.start);
        (from < bounds.end).then(|| LogRange {
            partition: bounds.partition.clone(),
            from,
            to: bounds.end,
        })
    };
    bounds.iter().filter_map(behind).collect()
}

fn is_behind_retention(view: &TableView, bounds: &[Bounds]) -> bool {
    bounds
        .iter()
        .any(|bounds| reached(view, &bounds.partition) < bounds.start)
}
