//! An SQL answer on its way: held back until it is long or whole, then sent, and
//! given up when nobody reads it.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, TRAILER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use http_body::Frame;
use http_body_util::StreamBody;
use lake::query::output::Format;
use lake::query::{QueryError, QueryResult};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio_util::io::ReaderStream;

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

/// How an answer leaves.
pub(crate) struct Delivery {
    pub format: Format,
    /// An error among the first bytes becomes the answer.
    pub held_back_bytes: usize,
    /// The longest answer of a format that is sent when it is whole.
    pub whole_bytes_max: u64,
    /// How long a client may not read.
    pub stalled: Duration,
    /// Whether the client reads trailers.
    pub takes_trailers: bool,
}

/// The trailer that says why an answer ends early, as a problem's `detail`.
const PROBLEM: &str = "citypulse-problem";

impl Delivery {
    /// Answers with `chunks`. JSON and Parquet are worth nothing in part: they are
    /// sent when they are whole, so that every error is told as one. Other formats
    /// are streamed. An error in the middle cuts the connection, so that nobody
    /// takes the part for the whole; a client that reads trailers (`TE: trailers`)
    /// is told the cause in one.
    pub async fn answer(
        self,
        mut chunks: BoxStream<'static, QueryResult<Bytes>>,
    ) -> Result<Response, Problem> {
        let mut held_back = Vec::new();
        let mut length = 0;
        while length <= self.held_back_bytes {
            match chunks.next().await {
                None => return Ok(self.response(Body::from(held_back.concat()))),
                Some(Err(error)) => return Err(problem(error)),
                Some(Ok(chunk)) => {
                    length += chunk.len();
                    held_back.push(chunk);
                }
            }
        }
        if matches!(self.format, Format::Json | Format::Parquet) {
            let spooled = spool(held_back, chunks, self.whole_bytes_max).await?;
            return Ok(self.response(spooled));
        }
        let first = stream::iter(held_back.into_iter().map(Ok));
        let rows = first.chain(pumped(chunks, self.stalled));
        if !self.takes_trailers {
            return Ok(self.response(Body::from_stream(rows.map_err(io::Error::other))));
        }
        let frames = rows.map(|row| match row {
            Ok(bytes) => Ok::<_, Infallible>(Frame::data(bytes)),
            Err(error) => Ok(Frame::trailers(problem_trailer(&error))),
        });
        let mut response = self.response(Body::new(StreamBody::new(frames)));
        let headers = response.headers_mut();
        headers.insert(TRAILER, HeaderValue::from_static(PROBLEM));
        Ok(response)
    }

    fn response(&self, body: Body) -> Response {
        ([(CONTENT_TYPE, self.format.content_type())], body).into_response()
    }
}

/// Why the answer ends, in one line of ASCII as a header has to be.
fn problem_trailer(error: &QueryError) -> HeaderMap {
    let text = error.to_string();
    let shown = text.chars().map(|letter| match letter {
        ' '..='~' => letter,
        _ => '?',
    });
    let value = HeaderValue::try_from(shown.collect::<String>());
    let value = value.unwrap_or_else(|_| HeaderValue::from_static("the answer broke off"));
    HeaderMap::from_iter([(HeaderName::from_static(PROBLEM), value)])
}

/// Gathers the answer in a temporary file that has no name and is gone with its
/// last reader.
async fn spool(
    held_back: Vec<Bytes>,
    mut chunks: BoxStream<'static, QueryResult<Bytes>>,
    bytes_max: u64,
) -> Result<Body, Problem> {
    let failed = |error: io::Error| Problem::internal(&format!("cannot spool an answer: {error}"));
    let file = tokio::task::spawn_blocking(tempfile::tempfile).await;
    let file = file.map_err(|error| Problem::internal(&error))?;
    let mut file = tokio::fs::File::from_std(file.map_err(failed)?);
    let mut length = 0;
    for chunk in held_back {
        length += chunk.len() as u64;
        file.write_all(&chunk).await.map_err(failed)?;
    }
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(problem)?;
        length += chunk.len() as u64;
        if length > bytes_max {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!(
                    "the answer is longer than {} MiB; add a LIMIT, or ask for csv, ndjson or arrow, \
                     which are streamed",
                    bytes_max >> 20
                ),
            ));
        }
        file.write_all(&chunk).await.map_err(failed)?;
    }
    file.rewind().await.map_err(failed)?;
    Ok(Body::from_stream(ReaderStream::with_capacity(
        file,
        64 << 10,
    )))
}

/// Reads `chunks` in a task of its own: a stream that a stalled connection does
/// not poll would keep its statement running for as long.
fn pumped(
    mut chunks: BoxStream<'static, QueryResult<Bytes>>,
    stalled: Duration,
) -> impl Stream<Item = QueryResult<Bytes>> + Send {
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
                Some((Err(error), None))
            }
            Some(None) => None,
            None => {
                let reason = "the answer was not read in time".to_owned();
                Some((Err(QueryError::Unavailable(reason)), None))
            }
        }
    })
    // What compresses it asks once more after the end.
    .fuse()
}
