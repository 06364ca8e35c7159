//! Reads and encodes rows on a thread of its own, a bounded number ahead of the
//! sender.

use std::time::{SystemTime, UNIX_EPOCH};

use events::Stream;
use tokio::sync::mpsc;

use super::row::{Draft, Outcome, Row};
use super::sink::Outgoing;
use super::{ReplayError, format};

/// Rows, or bytes of messages, that travel together between the threads.
const CHUNK_ROWS: usize = 1_000;
const CHUNK_BYTES: usize = 1 << 20;
/// Chunks that may wait for the sender: more than a batch, so that the next one
/// is ready when a batch is acknowledged.
const CHUNKS_AHEAD: usize = 12;

/// A row on its way to the sender.
pub(crate) struct Read {
    pub line: u64,
    pub rows: u32,
    pub outcome: Ready,
}

pub(crate) enum Ready {
    Message {
        stream: Stream,
        /// As sent, not as recorded.
        timestamp_us: Option<i64>,
        message: Outgoing,
    },
    Bad(String),
    Skipped(&'static str),
}

#[derive(Default)]
pub(crate) struct Chunk {
    pub rows: Vec<Read>,
    /// How much later than recorded its messages are, once that is known.
    pub shift_us: Option<i64>,
    bytes: usize,
}

pub(crate) type Chunks = mpsc::Receiver<Result<Chunk, ReplayError>>;

/// Starts reading at row `first`; the rows before it are read over, because
/// speeds are derived from them. `shift_us` is that of the interrupted run.
pub(crate) fn start(rows: format::Rows, first: u64, shift_us: Option<i64>, rebase: bool) -> Chunks {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let mut encoder = Encoder { shift_us, rebase };
    tokio::task::spawn_blocking(move || {
        let mut rows = rows
            .enumerate()
            .filter(|(number, row)| *number as u64 >= first || row.is_err());
        loop {
            let mut chunk = Chunk::default();
            let mut end = None;
            while end.is_none() && !chunk.is_full() {
                match rows.next() {
                    Some((_, Ok(row))) => chunk.push(encoder.read(row)),
                    Some((_, Err(error))) => end = Some(Err(error)),
                    None => end = Some(Ok(())),
                }
            }
            chunk.shift_us = encoder.shift_us;
            // The receiver is gone where the replay was interrupted.
            let is_gone = sender.blocking_send(Ok(chunk)).is_err();
            if let Some(Err(error)) = end {
                let _ = sender.blocking_send(Err(error));
                return;
            }
            if is_gone || end.is_some() {
                return;
            }
        }
    });
    receiver
}

impl Chunk {
    fn is_full(&self) -> bool {
        self.rows.len() >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES
    }

    fn push(&mut self, read: Read) {
        if let Ready::Message { message, .. } = &read.outcome {
            self.bytes += message.value.len();
        }
        self.rows.push(read);
    }
}

struct Encoder {
    shift_us: Option<i64>,
    rebase: bool,
}

impl Encoder {
    fn read(&mut self, row: Row) -> Read {
        let Row {
            line,
            rows,
            outcome,
            text: _,
        } = row;
        let outcome = match outcome {
            Outcome::Bad(cause) => Ready::Bad(cause),
            Outcome::Skipped(what) => Ready::Skipped(what),
            Outcome::Message(draft) => self.encode(line, draft),
        };
        Read {
            line,
            rows,
            outcome,
        }
    }

    fn encode(&mut self, line: u64, mut draft: Draft) -> Ready {
        let shift_us = self.shift_for(draft.timestamp_us);
        Ready::Message {
            stream: draft.stream,
            timestamp_us: draft
                .timestamp_us
                .map(|recorded_us| recorded_us.saturating_add(shift_us)),
            message: Outgoing {
                device_id: std::mem::take(&mut draft.device_id).into(),
                value: draft.into_bytes(shift_us),
                line,
            },
        }
    }

    /// The first message that has a time decides.
    fn shift_for(&mut self, timestamp_us: Option<i64>) -> i64 {
        if self.rebase && self.shift_us.is_none() {
            self.shift_us = timestamp_us.map(|first_us| now_us() - first_us);
        }
        self.shift_us.unwrap_or(0)
    }
}

/// The wall clock, microseconds since the epoch.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
