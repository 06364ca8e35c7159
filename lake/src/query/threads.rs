//! Threads of their own for queries, so that a heavy one never holds up ingest,
//! live answers or the shutdown: some operators compute for seconds without a
//! pause, and a task that does not pause cannot be cancelled.

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::query::error::{QueryError, QueryResult};

/// Batches between the query and its reader.
const BATCHES_IN_FLIGHT: usize = 2;

/// Where queries are planned and run.
pub(crate) struct QueryThreads {
    runtime: Option<Runtime>,
}

impl QueryThreads {
    pub(crate) fn new() -> QueryResult<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("sql")
            .enable_all()
            .build()
            .map_err(|error| QueryError::Internal(format!("cannot start threads: {error}")))?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    /// Starts a query there and hands its rows over. Dropping the stream stops the
    /// query at its next pause.
    pub(crate) async fn run(
        &self,
        start: impl Future<Output = QueryResult<SendableRecordBatchStream>> + Send + 'static,
    ) -> QueryResult<SendableRecordBatchStream> {
        let gone = || QueryError::Unavailable("the process is stopping".to_owned());
        let runtime = self.runtime.as_ref().ok_or_else(gone)?;
        let (started, starting) = oneshot::channel();
        let (batches, mut arriving) = mpsc::channel::<Result<RecordBatch>>(BATCHES_IN_FLIGHT);
        let task = runtime.spawn(async move {
            let mut rows = match start.await {
                Ok(rows) => rows,
                Err(error) => {
                    // Nobody waits for the answer any more: it needs none.
                    let _ = started.send(Err(error));
                    return;
                }
            };
            if started.send(Ok(rows.schema())).is_err() {
                return;
            }
            while let Some(batch) = rows.next().await {
                if batches.send(batch).await.is_err() {
                    return;
                }
            }
        });
        let stop = StopOnDrop(task.abort_handle());
        let schema = starting.await.map_err(|_| gone())??;
        let rows = futures::stream::poll_fn(move |context| {
            let _held = &stop;
            arriving.poll_recv(context)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

impl Drop for QueryThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Without waiting: what still computes ends with the process.
            runtime.shutdown_background();
        }
    }
}

struct StopOnDrop(AbortHandle);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
