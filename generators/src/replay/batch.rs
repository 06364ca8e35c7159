//! Messages that are sent together.

use std::collections::BTreeMap;

use events::Stream;

use super::sink::Outgoing;

/// Full at this many messages or bytes: well below what one request may carry.
const MESSAGES_MAX: usize = 5_000;
const BYTES_MAX: usize = 4 << 20;

/// Messages by stream, each stream in the order of the file.
#[derive(Default)]
pub(crate) struct Batch {
    by_stream: BTreeMap<Stream, Vec<Outgoing>>,
    count: usize,
    bytes: usize,
}

impl Batch {
    pub fn push(&mut self, stream: Stream, message: Outgoing) {
        self.count += 1;
        self.bytes += message.value.len() + 1;
        self.by_stream.entry(stream).or_default().push(message);
    }

    pub fn is_full(&self) -> bool {
        self.count >= MESSAGES_MAX || self.bytes >= BYTES_MAX
    }

    pub fn take(&mut self) -> BTreeMap<Stream, Vec<Outgoing>> {
        std::mem::take(self).by_stream
    }
}
