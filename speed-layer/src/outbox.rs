//! Appends what the speed layer itself has to say to a topic of the log, once.
//!
//! What is appended is durable before the positions that it follows from are
//! stored. So a crash between the two repeats it: a new session reads what was
//! appended since the noted positions, and leaves out what is already there.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use event_log::{Bounds, EventLog, NewRecord, Polled};
use events::{Event, Offset, Topic, TopicPartition};
use tracks::hash64;

use crate::error::Error;
use crate::write::Ends;

/// Cell of the combining process: where its outbox stands.
pub(crate) const OUTBOX: &str = "outbox";
/// The longest wait for a record that is known to be there.
const READ_WAIT: Duration = Duration::from_secs(5);
/// Without a note, so many of the newest records of each partition are read.
const TAIL: Offset = 2_000;
/// After so many notes, one a second, what was not repeated never will be.
const NOTES_MAX: u32 = 900;
/// What is remembered to be there already, at most.
const KNOWN_MAX: usize = 500_000;

/// One topic that is written to.
pub(crate) struct Outbox {
    /// Event id -> hash of the record, of what may be repeated.
    known: HashMap<Box<str>, u64>,
    /// Where each partition ended when it was last looked at.
    ends: HashMap<i32, Offset>,
    /// What a new session has to read from: `ends`, once nothing is to be repeated.
    noted: HashMap<i32, Offset>,
    notes: u32,
}

impl Outbox {
    /// Reads what was appended since `note`, a cell that [`Outbox::note`] made.
    /// `each` sees every event that is there.
    pub(crate) async fn open(
        log: &dyn EventLog,
        topic: &Topic,
        note: Option<&[u8]>,
        mut each: impl FnMut(&[u8]),
    ) -> Result<Self, Error> {
        let noted = note.map(decode).unwrap_or_default();
        let mut outbox = Self {
            known: HashMap::new(),
            ends: HashMap::new(),
            noted: HashMap::new(),
            notes: 0,
        };
        let mut starts = Vec::new();
        let mut missing = 0;
        for bounds in log.bounds(topic).await? {
            let number = bounds.partition.partition;
            let from = match noted.get(&number) {
                Some(noted) => (*noted).clamp(bounds.start, bounds.end),
                None => (bounds.end - TAIL).max(bounds.start),
            };
            missing += i64::from(from < bounds.end);
            starts.push((bounds.partition, from));
            outbox.ends.insert(number, bounds.end);
            outbox.noted.insert(number, from);
        }
        if missing == 0 {
            return Ok(outbox);
        }
        starts.retain(|(id, from)| outbox.ends[&id.partition] > *from);
        let mut reached: HashMap<TopicPartition, Offset> = starts.iter().cloned().collect();
        let mut consumer = log.read_from(&starts).await?;
        while reached
            .iter()
            .any(|(id, at)| *at < outbox.ends[&id.partition])
        {
            match consumer.poll(READ_WAIT).await? {
                Polled::Records(all) => {
                    for records in all {
                        for record in &records.records {
                            outbox.remember(&record.value);
                            each(&record.value);
                        }
                        reached.insert(records.partition, records.next);
                    }
                }
                Polled::Nothing => break,
                Polled::Assigned(_) | Polled::Revoked(_) => {}
            }
        }
        Ok(outbox)
    }

    fn remember(&mut self, value: &[u8]) {
        #[derive(serde::Deserialize)]
        struct Id {
            id: Box<str>,
        }
        if self.known.len() >= KNOWN_MAX {
            return;
        }
        if let Ok(Id { id }) = serde_json::from_slice(value) {
            self.known.insert(id, hash64(0, value));
        }
    }

    /// The record of an event, if it is not there as it is.
    pub(crate) fn record(&mut self, event: &Event) -> Option<NewRecord> {
        let value = event.to_json();
        let is_there = self.known.remove(event.id.as_str()) == Some(hash64(0, &value));
        (!is_there).then(|| NewRecord {
            key: Some(Bytes::copy_from_slice(event.device_id.as_bytes())),
            value: value.into(),
            ..NewRecord::default()
        })
    }

    /// Records were appended up to these ends.
    pub(crate) fn appended(&mut self, ends: Ends) {
        for (partition, end) in ends {
            let known = self.ends.entry(partition).or_default();
            *known = (*known).max(end);
        }
    }

    /// What to store with the positions, so that the next session reads on from
    /// there.
    pub(crate) fn note(&mut self) -> Bytes {
        self.notes = self.notes.saturating_add(1);
        if self.notes > NOTES_MAX {
            self.known.clear();
        }
        if self.known.is_empty() {
            self.noted.clone_from(&self.ends);
        }
        encode(self.noted.iter().map(|(number, end)| (*number, *end)))
    }
}

/// A note after which as much is read again as can be remembered.
pub(crate) fn rewound(all: &[Bounds]) -> Bytes {
    let each = (KNOWN_MAX / all.len().max(1)) as Offset;
    let from = |bounds: &Bounds| (bounds.end - each).max(bounds.start);
    encode(
        all.iter()
            .map(|bounds| (bounds.partition.partition, from(bounds))),
    )
}

fn encode(noted: impl Iterator<Item = (i32, Offset)>) -> Bytes {
    let mut noted: Vec<_> = noted.collect();
    noted.sort_unstable();
    let lines = noted.iter().map(|(number, end)| format!("{number}={end}"));
    lines.collect::<Vec<_>>().join("\n").into()
}

fn decode(note: &[u8]) -> HashMap<i32, Offset> {
    let text = std::str::from_utf8(note).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines
        .filter_map(|(number, end)| Some((number.parse().ok()?, end.parse().ok()?)))
        .collect()
}
