//! The door for SQL.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use event_log::EventLog;
use events::TopicNames;
use tokio_util::sync::CancellationToken;

use crate::Lake;
use crate::query::QueryResult;

/// Limits of [`SqlEngine`].
#[derive(Clone, Debug)]
pub struct QueryConfig {
    /// Memory that all running queries share, bytes; beyond it they spill or fail.
    pub memory_bytes: usize,
    /// Where sorts, joins and aggregates spill; `None` takes the system's folder.
    pub spill_dir: Option<PathBuf>,
    /// Most bytes spilled at once.
    pub spill_bytes: u64,
    /// A query is stopped after this.
    pub timeout: Duration,
    /// A result longer than this is an error that asks for a LIMIT.
    pub max_rows: usize,
    /// Queries that run at once.
    pub max_concurrent: usize,
    /// Memory of the log tail, bytes; what does not fit is read from the log.
    pub tail_bytes: usize,
    /// How long a query waits until the tail has reached the log's end.
    pub tail_wait: Duration,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            spill_dir: None,
            spill_bytes: 10 << 30,
            timeout: Duration::from_secs(60),
            max_rows: 1_000_000,
            max_concurrent: 8,
            tail_bytes: 128 << 20,
            tail_wait: Duration::from_secs(5),
        }
    }
}

/// How new the answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Freshness {
    /// Every event acknowledged before the query began is in the answer.
    #[default]
    Exact,
    /// What is at hand, without waiting for the log.
    Relaxed,
}

/// Read-only SQL over lake and log tail. One per process.
pub struct SqlEngine {}

impl SqlEngine {
    /// Prepares; the tail is followed once [`SqlEngine::run`] runs.
    pub fn new(
        _lake: Arc<Lake>,
        _log: Arc<dyn EventLog>,
        _topics: TopicNames,
        _config: QueryConfig,
    ) -> QueryResult<Arc<Self>> {
        unimplemented!()
    }

    /// Follows the log's tail and the lake's versions until `shutdown`.
    pub async fn run(self: Arc<Self>, _shutdown: CancellationToken) {
        unimplemented!()
    }

    /// Runs one SELECT, WITH, EXPLAIN, SHOW or DESCRIBE. Errors that the stream
    /// yields convert to [`crate::query::QueryError`] with `from`.
    pub async fn query(&self, _sql: &str, _freshness: Freshness) -> QueryResult<(SchemaRef, SendableRecordBatchStream)> {
        unimplemented!()
    }
}
