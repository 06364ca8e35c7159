//! The rows of a job that is done, from the executors that hold them.

use std::collections::HashMap;
use std::future::Future;

use arrow::array::RecordBatch;
use async_stream::try_stream;
use ballista_core::client::BallistaClient;
use ballista_core::serde::protobuf::{ExecutorMetadata, PartitionLocation};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use futures::{Stream, StreamExt};
use lake::query::QueryError;

use crate::client::error_of_stream;
use crate::job::Job;
use crate::limits::{MESSAGE_BYTES_MAX, ROWS_TIMEOUT};

/// How often a request for rows is made, and how long between, milliseconds.
const TRIES: u8 = 3;
const BETWEEN_TRIES_MS: u64 = 500;

/// All rows, part after part: a sorted result is one part.
pub(crate) fn rows(job: Job) -> impl Stream<Item = Result<RecordBatch>> + Send {
    try_stream! {
        let mut clients = HashMap::new();
        for location in job.locations() {
            let mut part = part(&mut clients, location).await?;
            while let Some(batch) = in_time(location, part.next()).await? {
                yield batch.map_err(|error| lost(location, &error.to_string()))?;
            }
        }
        // Until here: with it the cluster removes what it holds.
        drop(job);
    }
}

async fn part(
    clients: &mut HashMap<String, BallistaClient>,
    location: &PartitionLocation,
) -> Result<SendableRecordBatchStream> {
    let failed = |error: ballista_core::error::BallistaError| lost(location, &error.to_string());
    let (Some(executor), Some(id)) = (&location.executor_meta, location.partition_id.clone())
    else {
        return Err(lost(location, "the scheduler does not say where they are"));
    };
    let client = match clients.get_mut(&executor.id) {
        Some(client) => client,
        None => {
            let client = in_time(location, connect(executor))
                .await?
                .map_err(failed)?;
            clients.entry(executor.id.clone()).or_insert(client)
        }
    };
    let id = id.into();
    let rows = client.fetch_partition(&executor.id, &id, location.file_id, location.layout(), true);
    in_time(location, rows).await?.map_err(failed)
}

async fn connect(executor: &ExecutorMetadata) -> ballista_core::error::Result<BallistaClient> {
    BallistaClient::try_new(
        &executor.host,
        executor.port as u16,
        MESSAGE_BYTES_MAX,
        false,
        None,
        TRIES,
        BETWEEN_TRIES_MS,
        0,
        0,
    )
    .await
}

/// A machine that went away without a word never answers.
async fn in_time<T>(location: &PartitionLocation, work: impl Future<Output = T>) -> Result<T> {
    let outcome = tokio::time::timeout(ROWS_TIMEOUT, work).await;
    outcome.map_err(|_| {
        lost(
            location,
            &format!("no answer within {} s", ROWS_TIMEOUT.as_secs()),
        )
    })
}

/// Rows that nobody has any more are computed again by another run.
fn lost(location: &PartitionLocation, reason: &str) -> DataFusionError {
    let executor = location
        .executor_meta
        .as_ref()
        .map_or("an executor".to_owned(), |executor| {
            format!("the executor at {}:{}", executor.host, executor.port)
        });
    error_of_stream(QueryError::Unavailable(format!(
        "{executor} does not give its rows of the result: {reason}"
    )))
}
