//! One poll's records, copied out of librdkafka's memory.

use futures::{FutureExt, StreamExt};
use rdkafka::consumer::StreamConsumer;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message};

use super::chunk::Chunk;
use super::consumer::Cursor;
use super::context::Rebalances;
use crate::{MAX_RECORDS_PER_POLL, Record, Records};

/// One poll returns about this many bytes of values at most.
const POLL_BYTES_MAX: usize = 8 << 20;

/// Collects what has been fetched, up to the bounds of one poll, beginning with
/// `first`. Waits for nothing, so that a cancelled poll loses nothing. An error
/// behind records is left in `failed`.
pub(super) fn collect(
    inner: &StreamConsumer<Rebalances>,
    first: KafkaResult<BorrowedMessage<'_>>,
    cursors: &mut [Cursor],
    chunk: &mut Chunk,
    failed: &mut Option<KafkaError>,
) -> Vec<Records> {
    let mut batch = Batch {
        slots: vec![None; cursors.len()],
        ..Batch::default()
    };
    let mut stream = inner.stream();
    let mut next = Some(first);
    while let Some(message) = next.take() {
        match message {
            Ok(message) => batch.push(&message, cursors, chunk),
            Err(error) => {
                *failed = Some(error);
                break;
            }
        }
        if batch.count < MAX_RECORDS_PER_POLL && batch.bytes < POLL_BYTES_MAX {
            next = stream.next().now_or_never().flatten();
        }
    }
    batch.all
}

/// What one poll returns, in the making.
#[derive(Default)]
struct Batch {
    all: Vec<Records>,
    /// Where in `all` each cursor's records are.
    slots: Vec<Option<usize>>,
    /// The cursor of the last message: most often that of the next as well.
    last: usize,
    count: usize,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, message: &BorrowedMessage<'_>, cursors: &mut [Cursor], chunk: &mut Chunk) {
        let is_of =
            |c: &Cursor| c.id.partition == message.partition() && &*c.id.topic == message.topic();
        if !cursors.get(self.last).is_some_and(is_of) {
            // Fetched before its partition was given up: not ours any more.
            let Some(index) = cursors.iter().position(is_of) else {
                return;
            };
            self.last = index;
        }
        let Cursor { id, position } = &mut cursors[self.last];
        if message.offset() < *position {
            return;
        }
        let all = &mut self.all;
        let slot = *self.slots[self.last].get_or_insert_with(|| {
            all.push(Records {
                partition: id.clone(),
                from: *position,
                next: *position,
                records: Vec::new(),
            });
            all.len() - 1
        });
        *position = message.offset() + 1;
        self.all[slot].next = *position;
        self.all[slot].records.push(to_record(message, chunk));
        self.count += 1;
        self.bytes += message.payload_len();
    }
}

/// Copies a message out of librdkafka's memory.
fn to_record(message: &BorrowedMessage<'_>, chunk: &mut Chunk) -> Record {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let copied = headers
            .iter()
            .map(|h| (h.key.to_owned(), chunk.copy(h.value.unwrap_or_default())));
        copied.collect()
    });
    Record {
        offset: message.offset(),
        appended_at_us: message.timestamp().to_millis().unwrap_or(0) * 1_000,
        key: message.key().map(|key| chunk.copy(key)),
        // A tombstone has no value; to a reader of events it is an empty one.
        value: chunk.copy(message.payload().unwrap_or_default()),
        headers,
    }
}
