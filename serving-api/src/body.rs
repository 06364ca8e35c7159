//! Reading a request's body within its bounds.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use crate::problem::{Problem, shorten};

/// A body that is too long is read on and thrown away for this many bytes: a client
/// that is still sending would not see an earlier answer.
const DRAIN_BYTES_MAX: usize = 64 << 20;

/// The whole body.
///
/// # Errors
/// 413 beyond `limit` bytes, 408 when it takes longer than `timeout`, 400 when
/// the connection breaks.
pub(crate) async fn read(body: Body, limit: usize, timeout: Duration) -> Result<Bytes, Problem> {
    let reading = tokio::time::timeout(timeout, collect(body, limit));
    reading.await.unwrap_or_else(|_| {
        let detail = format!(
            "the request's body did not arrive within {} s",
            timeout.as_secs()
        );
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
    })
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut collected = BytesMut::new();
    let mut received = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                format!("the request's body broke off: {error}"),
            )
        })?;
        received += chunk.len();
        if received <= limit {
            collected.extend_from_slice(&chunk);
        } else if received - limit > DRAIN_BYTES_MAX {
            break;
        }
    }
    if received > limit {
        return Err(Problem::too_large(format!(
            "the request's body is longer than {limit} bytes, the most that this path takes"
        )));
    }
    Ok(collected.freeze())
}

/// The body's length as announced, at most `limit`; `limit` where it is not.
pub(crate) fn announced_length(headers: &HeaderMap, limit: usize) -> usize {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    announced.unwrap_or(limit).min(limit)
}

/// Refuses what says of itself that it is something else than JSON. Clients that
/// say nothing, or what their tool says by default, are taken at their content.
pub(crate) fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(given) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let given = String::from_utf8_lossy(given.as_bytes()).to_ascii_lowercase();
    let media = given.split(';').next().unwrap_or_default().trim();
    let unspecific = [
        "",
        "text/plain",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
    ];
    let packed = ["application/gzip", "application/x-gzip", "application/zstd"];
    if media.contains("json") || unspecific.contains(&media) || packed.contains(&media) {
        return Ok(());
    }
    let detail = format!(
        "content-type: got {}, expected application/json or application/x-ndjson",
        shorten(media)
    );
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}
