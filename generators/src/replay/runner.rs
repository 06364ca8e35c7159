//! The replay itself: paces, sends, retries, remembers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use events::Stream;
use events::backoff::Backoff;
use events::time::DAY_US;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::progress::{Progress, ProgressFile};
use super::reader::{self, Chunk, Read, Ready};
use super::sink::{Outgoing, SendError, Sent, Sink};
use super::{ReplayError, ReplayOptions, Speed, format, input};

/// At recorded speed nothing waits for less than this: what falls due within it
/// is sent together.
const PACE_STEP: Duration = Duration::from_millis(50);
/// Windows wait this long for what is out of order, unless configured otherwise.
const BEHIND_US_MAX: i64 = 60_000_000;
/// A request in flight gets this long to be answered after a shutdown.
const FINISH_MAX: Duration = Duration::from_secs(4);

/// What a replay tells while it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// How far it is; at most once a batch.
    Progress(Status),
    /// A row was not taken: by the format, or by the receiver.
    BadRow {
        /// From 1, header included; the entity's number where the format has no
        /// lines.
        line: u64,
        /// Field, value and what was expected.
        cause: String,
    },
    /// Something the user should know, in one line.
    Notice(String),
}

/// How far a replay is, an interrupted run before it included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Rows of the file that are done with: sent, refused, skipped or reported.
    pub rows: u64,
    /// Bytes of the file read, as stored. A little ahead of `rows`.
    pub read_bytes: u64,
    /// Size of the file; `None` on standard input.
    pub total_bytes: Option<u64>,
    /// Events that are durable at the receiver.
    pub accepted: u64,
    /// Events that the receiver refused.
    pub rejected: u64,
    /// Rows that could not be read.
    pub bad: u64,
    /// Events accepted a second since this run began.
    pub events_per_s: f64,
}

/// What a replay came to, an interrupted run before it included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Rows of the file that are done with.
    pub rows: u64,
    /// Events that are durable at the receiver.
    pub accepted: u64,
    /// Events that the receiver refused.
    pub rejected: u64,
    /// Rows that could not be read.
    pub bad: u64,
    /// Rows that are nothing for the platform, by what they are.
    pub skipped: BTreeMap<String, u64>,
    /// The row of an interrupted run after which this one went on.
    pub resumed_after: Option<u64>,
    /// Events accepted by this run alone.
    pub accepted_now: u64,
    /// Stopped by `shutdown` before the end; run again to go on.
    pub is_interrupted: bool,
}

/// Replays one recording into `sink`. Rows keep the order that the format gives
/// them, which is told where it is not that of time. What cannot be read or is refused is reported and counted; what the sink cannot take now is
/// sent again until it can, or until `shutdown`. After a shutdown the batch in
/// flight is finished, for up to 4 seconds.
///
/// # Errors
/// Where the file cannot be read (on), is not in its format, or the receiver
/// refuses it or has not answered once within `options.give_up_after`. What was
/// acknowledged by then is remembered.
pub async fn run_replay(
    options: &ReplayOptions,
    sink: &mut dyn Sink,
    report: &mut (dyn FnMut(Update) + Send),
    shutdown: &CancellationToken,
) -> Result<Summary, ReplayError> {
    let opened = input::open(&options.input)?;
    let format = format::of(&opened, options)?;
    let file = ProgressFile::of(options, format, &sink.identity())?;
    let before = resume(file.as_ref(), options.restart)?;
    if let Some(before) = &before {
        let rows = before.rows;
        report(Update::Notice(format!(
            "goes on after row {rows} of an interrupted replay (--restart begins anew)"
        )));
    }
    let progress = before.clone().unwrap_or_default();
    let (total_bytes, read_bytes) = (opened.total_bytes, Arc::clone(&opened.read_bytes));
    let rows = format::rows(opened, format, options)?;
    let chunks = reader::start(
        rows,
        progress.next_row,
        progress.shift_us,
        options.rebase_to_now,
    );
    let run = Run {
        sink,
        report,
        shutdown,
        options,
        file,
        accepted_before: progress.accepted,
        acknowledged: progress.clone(),
        progress,
        batch: Batch::default(),
        began: Instant::now(),
        pace_from: None,
        has_answered: false,
        is_ahead_told: false,
        newest_us: BTreeMap::new(),
        is_disorder_told: false,
        total_bytes,
        read_bytes,
    };
    let mut summary = run.run_to_the_end(chunks).await?;
    summary.resumed_after = before.map(|before| before.rows);
    Ok(summary)
}

fn resume(file: Option<&ProgressFile>, restart: bool) -> Result<Option<Progress>, ReplayError> {
    match file {
        Some(file) if restart => file.remove().map(|()| None),
        Some(file) => file.load(),
        None => Ok(None),
    }
}

/// Whether to go on.
type Flow = std::ops::ControlFlow<()>;

struct Run<'a> {
    sink: &'a mut dyn Sink,
    report: &'a mut (dyn FnMut(Update) + Send),
    shutdown: &'a CancellationToken,
    options: &'a ReplayOptions,
    file: Option<ProgressFile>,
    accepted_before: u64,
    /// As saved.
    acknowledged: Progress,
    /// With what is in the batch.
    progress: Progress,
    batch: Batch,
    began: Instant,
    /// The event time of the first message sent, and when that was.
    pace_from: Option<(i64, Instant)>,
    /// The sink took a batch, or refused its rows one by one.
    has_answered: bool,
    is_ahead_told: bool,
    /// The newest event time of each stream so far.
    newest_us: BTreeMap<Stream, i64>,
    is_disorder_told: bool,
    total_bytes: Option<u64>,
    read_bytes: Arc<AtomicU64>,
}

impl Run<'_> {
    async fn run_to_the_end(mut self, mut chunks: reader::Chunks) -> Result<Summary, ReplayError> {
        while let Some(chunk) = chunks.recv().await {
            let flow = match chunk {
                Ok(chunk) => self.take(chunk).await?,
                Err(error) => {
                    // What was read before the file broke off is sent.
                    let _ = self.flush().await?;
                    return Err(error);
                }
            };
            if flow.is_break() {
                return Ok(self.summary(true));
            }
        }
        if self.flush().await?.is_break() {
            return Ok(self.summary(true));
        }
        if let Some(file) = &self.file {
            file.remove()?;
        }
        Ok(self.summary(false))
    }

    /// Only what is acknowledged counts.
    fn summary(self, is_interrupted: bool) -> Summary {
        let Progress {
            rows,
            accepted,
            rejected,
            bad,
            skipped,
            ..
        } = self.acknowledged;
        Summary {
            rows,
            accepted,
            rejected,
            bad,
            skipped,
            resumed_after: None,
            accepted_now: accepted - self.accepted_before,
            is_interrupted,
        }
    }

    async fn take(&mut self, chunk: Chunk) -> Result<Flow, ReplayError> {
        self.progress.shift_us = chunk.shift_us;
        for read in chunk.rows {
            if self.shutdown.is_cancelled() {
                return Ok(Flow::Break(()));
            }
            let Read {
                line,
                rows,
                outcome,
            } = read;
            match outcome {
                Ready::Message {
                    stream,
                    timestamp_us,
                    message,
                } => {
                    self.tell_when_disordered(line, stream, timestamp_us);
                    if self.pace(timestamp_us).await?.is_break() {
                        return Ok(Flow::Break(()));
                    }
                    self.batch.push(stream, message);
                }
                Ready::Bad(cause) => {
                    self.progress.bad += 1;
                    (self.report)(Update::BadRow { line, cause });
                }
                Ready::Skipped(what) => {
                    *self.progress.skipped.entry(what.to_owned()).or_default() += 1;
                }
            }
            self.progress.next_row += 1;
            self.progress.rows += u64::from(rows);
            if self.batch.is_full() && self.flush().await?.is_break() {
                return Ok(Flow::Break(()));
            }
        }
        Ok(Flow::Continue(()))
    }

    /// Waits until a message of that time is due; what is due already is sent
    /// before waiting.
    async fn pace(&mut self, timestamp_us: Option<i64>) -> Result<Flow, ReplayError> {
        let Some(timestamp_us) = timestamp_us else {
            return Ok(Flow::Continue(()));
        };
        let Speed::Times(times) = self.options.speed else {
            self.tell_when_ahead(timestamp_us);
            return Ok(Flow::Continue(()));
        };
        let (from_us, from) = *self.pace_from.get_or_insert((timestamp_us, Instant::now()));
        let after_s = (timestamp_us.saturating_sub(from_us) as f64 / 1e6 / times).max(0.0);
        let after = Duration::try_from_secs_f64(after_s).ok();
        // Farther than the clock goes: with a broken time, not worth the wait.
        let Some(due) = after.and_then(|after| from.checked_add(after)) else {
            return Ok(Flow::Continue(()));
        };
        if due <= Instant::now() + PACE_STEP {
            return Ok(Flow::Continue(()));
        }
        if self.flush().await?.is_break() {
            return Ok(Flow::Break(()));
        }
        tokio::select! {
            () = tokio::time::sleep_until(due) => Ok(Flow::Continue(())),
            () = self.shutdown.cancelled() => Ok(Flow::Break(())),
        }
    }

    /// Every layer refuses events from far in the future.
    fn tell_when_ahead(&mut self, timestamp_us: i64) {
        if !self.is_ahead_told && timestamp_us > reader::now_us().saturating_add(DAY_US) {
            self.is_ahead_told = true;
            let notice = "rows are more than 24 hours ahead of the clock by now and will be refused; \
                          replay at a lower --speed";
            (self.report)(Update::Notice(notice.to_owned()));
        }
    }

    /// A layout that tells nothing of its order is sent as it is; then the layers
    /// take what is far behind for late.
    fn tell_when_disordered(&mut self, line: u64, stream: Stream, timestamp_us: Option<i64>) {
        let Some(timestamp_us) = timestamp_us.filter(|_| !self.is_disorder_told) else {
            return;
        };
        let newest_us = self.newest_us.entry(stream).or_insert(timestamp_us);
        *newest_us = timestamp_us.max(*newest_us);
        let behind_us = newest_us.saturating_sub(timestamp_us);
        if behind_us > BEHIND_US_MAX {
            self.is_disorder_told = true;
            (self.report)(Update::Notice(format!(
                "line {line} is {} s behind a line before it: what comes this late is stored, \
                 but in no window; sort the file by time",
                behind_us / 1_000_000
            )));
        }
    }

    /// Sends the batch and remembers that it is done.
    async fn flush(&mut self) -> Result<Flow, ReplayError> {
        for (stream, messages) in self.batch.take() {
            let Some(sent) = self.send(stream, &messages).await? else {
                return Ok(Flow::Break(()));
            };
            self.progress.accepted += sent.accepted;
            self.progress.rejected += sent.rejected;
            for (index, cause) in sent.causes {
                let line = messages.get(index).map_or(0, |message| message.line);
                (self.report)(Update::BadRow { line, cause });
            }
        }
        if let Some(file) = &self.file {
            file.save(&self.progress)?;
        }
        self.acknowledged = self.progress.clone();
        let Progress {
            rows,
            accepted,
            rejected,
            bad,
            ..
        } = self.acknowledged;
        let elapsed_s = self.began.elapsed().as_secs_f64().max(1e-3);
        (self.report)(Update::Progress(Status {
            rows,
            read_bytes: self.read_bytes.load(Ordering::Relaxed),
            total_bytes: self.total_bytes,
            accepted,
            rejected,
            bad,
            events_per_s: (accepted - self.accepted_before) as f64 / elapsed_s,
        }));
        Ok(Flow::Continue(()))
    }

    /// Tries until the sink takes the messages; `None` after a shutdown.
    async fn send(
        &mut self,
        stream: Stream,
        messages: &[Outgoing],
    ) -> Result<Option<Sent>, ReplayError> {
        let mut backoff = Backoff::new();
        let began = Instant::now();
        let mut told: Option<String> = None;
        loop {
            let sent = tokio::select! {
                sent = self.sink.send(stream, messages) => sent,
                () = expired(self.shutdown) => return Ok(None),
            };
            let (reason, after) = match sent {
                Ok(sent) => {
                    self.has_answered = true;
                    return Ok(Some(sent));
                }
                Err(SendError::Refused(reason)) => return Err(ReplayError::Refused(reason)),
                Err(SendError::Busy { after, reason }) => (reason, Some(after)),
                Err(SendError::Unavailable(reason)) => (reason, None),
            };
            let limit = self.options.give_up_after;
            if !self.has_answered && began.elapsed() >= limit {
                return Err(ReplayError::Unreachable(format!(
                    "{reason}; gave up after {} s",
                    limit.as_secs()
                )));
            }
            // The same trouble is told once.
            if told.as_ref() != Some(&reason) {
                (self.report)(Update::Notice(format!("{reason}; trying again")));
                told = Some(reason);
            }
            let delay = backoff.next_delay();
            tokio::select! {
                () = tokio::time::sleep(after.unwrap_or(delay)) => {}
                () = self.shutdown.cancelled() => return Ok(None),
            }
        }
    }
}

/// A while after the shutdown.
async fn expired(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(FINISH_MAX).await;
}
