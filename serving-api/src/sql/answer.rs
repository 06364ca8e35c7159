//! An SQL answer on its way: held back until it is long, then streamed, and given
//! up when nobody reads it.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use lake::query::output::Format;
use lake::query::{QueryError, QueryResult};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;

use crate::problem::Problem;

/// Chunks between the statement and the connection.
const CHUNKS_WAITING: usize = 2;

/// What a client gets for a statement without an answer.
pub(crate) fn problem(error: QueryError) -> Problem {
    match error {
        QueryError::User(detail) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail),
        QueryError::Busy { .. } => Problem::busy(error.to_string(), Duration::from_secs(1)),
        QueryError::Unavailable(detail) => Problem::unavailable(detail),
        // The statement asks for more than it may have: its author can change it.
        QueryError::Timeout { .. } | QueryError::Resources(_) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
        }
        QueryError::Internal(_) => Problem::internal(&error),
    }
}

/// Answers with `chunks`. An error among the first `held_back_bytes` becomes the
/// answer; a later one cuts the connection, so that nobody takes the part for the whole.
pub(crate) async fn answer(
    format: Format,
    mut chunks: BoxStream<'static, QueryResult<Bytes>>,
    held_back_bytes: usize,
    stalled: Duration,
) -> Result<Response, Problem> {
    let mut held_back = Vec::new();
    let mut length = 0;
    let is_whole = loop {
        match chunks.next().await {
            None => break true,
            Some(Err(error)) => return Err(problem(error)),
            Some(Ok(chunk)) => {
                length += chunk.len();
                held_back.push(chunk);
            }
        }
        if length > held_back_bytes {
            break false;
        }
    };
    let body = if is_whole {
        Body::from(held_back.concat())
    } else {
        let first = stream::iter(held_back.into_iter().map(Ok));
        Body::from_stream(first.chain(pumped(chunks, stalled)))
    };
    Ok(([(CONTENT_TYPE, format.content_type())], body).into_response())
}

/// Reads `chunks` in a task of its own: a stream that a stalled connection does
/// not poll would keep its statement running for as long.
fn pumped(
    mut chunks: BoxStream<'static, QueryResult<Bytes>>,
    stalled: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    tokio::spawn(async move {
        while let Some(chunk) = chunks.next().await {
            let sent = sender.send_timeout(Some(chunk), stalled).await;
            if let Err(SendTimeoutError::Timeout(_)) = &sent {
                tracing::info!(?stalled, "sql answer given up, the client does not read it");
            }
            if sent.is_err() {
                return;
            }
        }
        // The end is told, so that a channel that just closes is known for a failure.
        let _ = sender.send_timeout(None, stalled).await;
    });
    stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Some(Ok(chunk))) => Some((Ok(chunk), Some(receiver))),
            Some(Some(Err(error))) => {
                tracing::info!(%error, "sql answer cut off by an error");
                Some((Err(io::Error::other(error)), None))
            }
            Some(None) => None,
            None => Some((Err(io::ErrorKind::BrokenPipe.into()), None)),
        }
    })
}
