//! Limits on a running query: its time, its rows, its place among others.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::{Future, Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::query::QueryError;
use crate::query::plan_check::too_many_rows;

/// A result stream that ends with an error at the first limit it meets. Dropping
/// it stops the query and gives its place to another.
pub(crate) struct Guarded {
    rows: Option<SendableRecordBatchStream>,
    schema: SchemaRef,
    deadline: Pin<Box<Sleep>>,
    timeout: Duration,
    rows_left: usize,
    max_rows: usize,
    _place: OwnedSemaphorePermit,
}

impl Guarded {
    pub(crate) fn new(
        rows: SendableRecordBatchStream,
        deadline: Instant,
        timeout: Duration,
        max_rows: usize,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            schema: rows.schema(),
            rows: Some(rows),
            deadline: Box::pin(sleep_until(deadline)),
            timeout,
            rows_left: max_rows,
            max_rows,
            _place: place,
        }
    }

    /// The query is over: what it holds is given back at once.
    fn stop(&mut self, error: QueryError) -> Poll<Option<Result<RecordBatch>>> {
        self.rows = None;
        Poll::Ready(Some(Err(error.into_datafusion())))
    }
}

impl Stream for Guarded {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.rows.is_some() && self.deadline.as_mut().poll(context).is_ready() {
            let limit_s = self.timeout.as_secs();
            return self.stop(QueryError::Timeout { limit_s });
        }
        let Some(rows) = self.rows.as_mut() else {
            return Poll::Ready(None);
        };
        match rows.poll_next_unpin(context) {
            Poll::Ready(Some(Ok(batch))) if batch.num_rows() > self.rows_left => {
                let error = too_many_rows(self.max_rows);
                self.stop(error)
            }
            Poll::Ready(Some(Ok(batch))) => {
                self.rows_left -= batch.num_rows();
                Poll::Ready(Some(Ok(batch)))
            }
            other => other,
        }
    }
}

impl RecordBatchStream for Guarded {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
