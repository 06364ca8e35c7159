//! What the SQL door needs of the lake, small enough to stand in for it.

use std::collections::HashMap;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use events::{Offset, TopicPartition};
use lake::query::Freshness;

/// Runs read-only SQL over lake and log tail.
#[async_trait]
pub trait QueryEngine: Send + Sync + 'static {
    /// Plans and starts `sql`. Rows come as the stream is polled; dropping the
    /// stream ends the statement.
    async fn query(
        &self,
        sql: &str,
        freshness: Freshness,
    ) -> Result<(SchemaRef, SendableRecordBatchStream), QueryError>;
}

/// Why a statement has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The statement is wrong or asks for too much; the text says what to change.
    #[error("{0}")]
    Statement(String),
    /// It may work later: the lake or the log is not available.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

/// How far the batch layer is.
#[async_trait]
pub trait LakePositions: Send + Sync + 'static {
    /// The next offset to come into `table`, per partition of the log.
    async fn positions(&self, table: &str) -> Result<HashMap<TopicPartition, Offset>, QueryError>;
}
