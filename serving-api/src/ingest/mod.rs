//! From a request's body to records of the log: unpack, split, validate, append.
//!
//! Works batch by batch, so that beside the body itself only
//! [`BATCH_EVENTS`] records are in memory.

mod dead_letters;
mod records;
mod unpack;

use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use event_log::{EventLog, NewRecord};
use events::{Stream, Topic};
use tokio::sync::OwnedSemaphorePermit;

use crate::problem::Problem;
use crate::schema::{IngestReport, LineError};
use dead_letters::DeadLetters;
use records::{Batch, Records};
pub(crate) use unpack::{Packing, Unpacker};

/// Events that are decoded and appended at a time.
const BATCH_EVENTS: usize = 10_000;

/// Reasons that an answer lists.
const ERRORS_MAX: usize = 100;

/// A log that takes longer for one batch is taken for away.
const APPEND_MAX: Duration = Duration::from_secs(30);

/// Where the events go.
pub(crate) struct Target<'a> {
    pub log: &'a dyn EventLog,
    pub stream: Stream,
    pub topic: &'a Topic,
    /// Where what is refused goes.
    pub dead_letters: &'a Topic,
}

/// Appends every valid event of `body`, then what was refused as dead letters.
/// Returns once both are durable.
///
/// # Errors
/// 422 when nothing in the body is JSON, 503 when the log does not take it (with
/// how many are durable already).
pub(crate) async fn run(
    target: Target<'_>,
    body: Bytes,
    unpacker: Unpacker,
    room: OwnedSemaphorePermit,
) -> Result<IngestReport, Problem> {
    let stream = target.stream;
    let (body, _room) = blocking(move || unpacker.unpack(body, room)).await??;
    let split = body.clone();
    let split = blocking(move || Records::new(split, stream)).await?;
    let mut records = match split {
        Ok(records) => records,
        Err(reason) => {
            if !body.trim_ascii().is_empty() {
                DeadLetters::whole(body, &reason).keep(&target).await?;
            }
            return Err(not_json(reason));
        }
    };
    let mut report = IngestReport::default();
    let mut dead_letters = DeadLetters::default();
    let mut is_json = false;
    loop {
        let (batch, rest) = blocking(move || {
            let batch = records.next_batch(BATCH_EVENTS, crate::json::now_us());
            (batch, records)
        })
        .await?;
        let Some(batch) = batch else { break };
        records = rest;
        is_json |= batch.is_json();
        let appended = batch.records.len() as u64;
        note_rejected(&mut report, &batch);
        append(target.log, target.topic, batch.records)
            .await
            .map_err(|problem| problem.with_accepted(report.accepted))?;
        report.accepted += appended;
        dead_letters.extend(batch.rejected);
    }
    // Last: a request that fails before is sent again, and its letters with it.
    dead_letters
        .keep(&target)
        .await
        .map_err(|problem| problem.with_accepted(report.accepted))?;
    count(stream, &report);
    match report.errors.first() {
        Some(first) if !is_json => Err(not_json(first.detail.clone())),
        _ => Ok(report),
    }
}

async fn append(log: &dyn EventLog, topic: &Topic, records: Vec<NewRecord>) -> Result<(), Problem> {
    if records.is_empty() {
        return Ok(());
    }
    match tokio::time::timeout(APPEND_MAX, log.append(topic, records)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error @ event_log::Error::Invalid(_))) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            error.to_string(),
        )),
        Ok(Err(error)) if error.is_retryable() => Err(Problem::unavailable(error.to_string())),
        Ok(Err(error)) => Err(Problem::internal(&error)),
        Err(_) => Err(Problem::unavailable(format!(
            "the event log did not answer within {APPEND_MAX:?}"
        ))),
    }
}

fn note_rejected(report: &mut IngestReport, batch: &Batch) {
    report.rejected += batch.rejected.len() as u64;
    let room = ERRORS_MAX - report.errors.len();
    let listed = batch.rejected.iter().take(room);
    report.errors.extend(listed.map(|rejected| LineError {
        line: rejected.line,
        detail: rejected.detail.clone(),
    }));
    report.errors_omitted = report.rejected - report.errors.len() as u64;
}

fn count(stream: Stream, report: &IngestReport) {
    let counted = |outcome| metrics::counter!("citypulse_ingest_events_total", "stream" => stream.name(), "outcome" => outcome);
    counted("accepted").increment(report.accepted);
    counted("rejected").increment(report.rejected);
}

fn not_json(reason: String) -> Problem {
    let expected = "expected one JSON object, a JSON array of objects, or one JSON object per line";
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        format!("body: {reason}; {expected}"),
    )
}

/// What a request is told when the log does not keep up.
pub(crate) fn no_room() -> Problem {
    Problem::busy(
        "the event log does not keep up with what is sent; send it again later",
        Duration::from_secs(1),
    )
}

/// Decoding keeps a core busy for a while: not on the threads that serve others.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Problem::internal(&error))
}
