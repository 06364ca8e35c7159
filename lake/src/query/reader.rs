//! SQL over given versions of tables, for the batch layer's own work: the lake alone,
//! without the log's tail.

use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;

use crate::query::engine::{Limits, run_pinned};
use crate::query::provider::PinnedTable;
use crate::query::session::{base_state, call_bytes_max};
use crate::query::statement::{parse, tables_of};
use crate::query::threads::QueryThreads;
use crate::query::{QueryConfig, QueryError, QueryResult};
use crate::{Lake, Snapshot, Table};

/// Reads versions of tables within a memory limit; what does not fit spills to disk.
pub struct LakeReader {
    state: SessionState,
    threads: QueryThreads,
    call_bytes: u64,
}

impl LakeReader {
    /// Of `config` the limits on memory and disk count.
    pub fn new(lake: &Lake, config: &QueryConfig) -> QueryResult<Self> {
        Ok(Self {
            state: base_state(config, lake.store())?,
            threads: QueryThreads::new()?,
            call_bytes: call_bytes_max(config),
        })
    }

    /// The rows of one SELECT over `versions`. Dropping the stream stops it.
    ///
    /// # Errors
    /// Also where it names a table of which no version is given.
    pub async fn read(
        &self,
        sql: &str,
        versions: &[(Table, Arc<Snapshot>)],
    ) -> QueryResult<SendableRecordBatchStream> {
        let statement = parse(&self.state, sql)?;
        let mut pinned = Vec::with_capacity(versions.len());
        for table in tables_of(&self.state, &statement)? {
            let version = versions.iter().find(|(of, _)| *of == table);
            let (_, snapshot) = version
                .ok_or_else(|| QueryError::Internal(format!("no version of {table} is given")))?;
            pinned.push(PinnedTable::new(table, snapshot.clone(), &[], None)?);
        }
        let limits = Limits {
            rows: usize::MAX,
            call_bytes: self.call_bytes,
        };
        let state = self.state.clone();
        self.threads
            .run(async move { run_pinned(state, statement, pinned, limits).await })
            .await
    }
}
