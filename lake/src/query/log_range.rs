//! Reads what neither the lake nor the tail in memory holds from the log itself.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use event_log::{EventLog, Polled, Records};
use events::{Offset, TopicPartition};
use futures::Stream;

use crate::Table;
use crate::query::QueryError;
use crate::query::provider::conform;
use crate::rows::{RowBuilder, SeenOrigins};

const POLL_WAIT: Duration = Duration::from_millis(500);
/// A log that brings nothing for this long, below its own end, is not reachable.
const STALLED: Duration = Duration::from_secs(15);

/// The records `from..to` of one partition.
#[derive(Clone, Debug)]
pub(crate) struct LogRange {
    pub(crate) partition: TopicPartition,
    pub(crate) from: Offset,
    pub(crate) to: Offset,
}

/// Ranges of one table's partitions, read when the query runs.
pub(crate) struct LogRanges {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) table: Table,
    pub(crate) ranges: Vec<LogRange>,
    /// Which dead letters lie before the ranges.
    pub(crate) seen: SeenOrigins,
    /// The table's columns.
    pub(crate) schema: SchemaRef,
}

impl fmt::Debug for LogRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogRanges")
            .field("table", &self.table)
            .field("ranges", &self.ranges)
            .finish()
    }
}

impl PartitionStream for LogRanges {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = read(
            self.log.clone(),
            self.table,
            self.ranges.clone(),
            self.seen.clone(),
            self.schema.clone(),
        );
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows))
    }
}

fn read(
    log: Arc<dyn EventLog>,
    table: Table,
    ranges: Vec<LogRange>,
    mut seen: SeenOrigins,
    schema: SchemaRef,
) -> impl Stream<Item = Result<RecordBatch, DataFusionError>> + Send {
    async_stream::try_stream! {
        let positions: Vec<_> = ranges.iter().map(|range| (range.partition.clone(), range.from)).collect();
        let mut ends: HashMap<TopicPartition, Offset> =
            ranges.into_iter().map(|range| (range.partition, range.to)).collect();
        let mut reader = log.read_from(&positions).await.map_err(log_error)?;
        let mut last_records = Instant::now();
        while !ends.is_empty() {
            match reader.poll(POLL_WAIT).await.map_err(log_error)? {
                Polled::Records(batches) => {
                    last_records = Instant::now();
                    for records in batches {
                        let Some(end) = ends.get(&records.partition).copied() else { continue };
                        if records.next >= end {
                            ends.remove(&records.partition);
                        }
                        let rows = rows_below(table, &records, end, &mut seen);
                        if rows.num_rows() > 0 {
                            yield conform(&rows, &schema)?;
                        }
                    }
                }
                _ if last_records.elapsed() > STALLED => {
                    Err(stalled(&ends))?;
                }
                _ => {}
            }
        }
    }
}

fn rows_below(table: Table, records: &Records, end: Offset, seen: &mut SeenOrigins) -> RecordBatch {
    let mut rows = RowBuilder::new(table);
    for record in records
        .records
        .iter()
        .take_while(|record| record.offset < end)
    {
        // What cannot be decoded is a row of dead_letters, by way of its topic.
        let _ = rows.push(&records.partition, record, seen);
    }
    rows.finish()
}

fn log_error(error: event_log::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn stalled(ends: &HashMap<TopicPartition, Offset>) -> DataFusionError {
    let partitions: Vec<String> = ends.keys().map(ToString::to_string).collect();
    DataFusionError::External(Box::new(QueryError::Unavailable(format!(
        "the log brings no more records of {}; is it reachable?",
        partitions.join(", ")
    ))))
}
