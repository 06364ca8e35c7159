//! What the serving layer needs of the lake, small enough to stand in for it.

use std::collections::HashMap;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use events::{Offset, Stream, TopicPartition};
use lake::query::{Freshness, QueryResult, SqlEngine};
use lake::{Lake, Table};

/// Runs read-only SQL over lake and log tail.
#[async_trait]
pub trait QueryEngine: Send + Sync + 'static {
    /// Plans and starts `sql`. Rows come as the stream is polled; dropping the
    /// stream ends the statement.
    async fn query(
        &self,
        sql: &str,
        freshness: Freshness,
    ) -> QueryResult<(SchemaRef, SendableRecordBatchStream)>;
}

#[async_trait]
impl QueryEngine for SqlEngine {
    async fn query(
        &self,
        sql: &str,
        freshness: Freshness,
    ) -> QueryResult<(SchemaRef, SendableRecordBatchStream)> {
        SqlEngine::query(self, sql, freshness).await
    }
}

/// How far the batch layer is.
#[async_trait]
pub trait LakePositions: Send + Sync + 'static {
    /// The next offset to come into the stream's table, per partition of the log.
    async fn positions(&self, stream: Stream) -> lake::Result<HashMap<TopicPartition, Offset>>;
}

#[async_trait]
impl LakePositions for Lake {
    async fn positions(&self, stream: Stream) -> lake::Result<HashMap<TopicPartition, Offset>> {
        Lake::positions(self, Table::Stream(stream)).await
    }
}
