//! What a format makes of a row.

use std::ops::Range;

use bytes::Bytes;
use events::json::ObjectWriter;
use events::time::write_rfc3339;
use events::{DeviceId, Event, Stream};

/// One step of a recording: a message, or why there is none.
pub(crate) struct Row {
    /// Where it is in the file, from 1, header included; the entity's number
    /// where a format has no lines.
    pub line: u64,
    /// How many rows of the file it stands for. A format that makes several
    /// messages of several rows counts all of them on the first.
    pub rows: u32,
    pub outcome: Outcome,
    /// As it is in the file, where it is not readable.
    pub text: Bytes,
}

pub(crate) enum Outcome {
    /// A message.
    Message(Draft),
    /// Not readable, and why.
    Bad(String),
    /// Readable, but nothing that the platform takes: what it is.
    Skipped(&'static str),
}

/// A message whose time may still be shifted.
pub(crate) struct Draft {
    pub stream: Stream,
    pub device_id: DeviceId,
    /// Microseconds since the epoch; `None` only where the row has no readable
    /// time, which the receiver will say.
    pub timestamp_us: Option<i64>,
    pub content: Content,
}

pub(crate) enum Content {
    Event(Box<Event>),
    /// Every member but the timestamp.
    Members(ObjectWriter),
    /// JSON as it is in the file, and where in it the value of the timestamp is.
    Raw(Bytes, Option<Range<usize>>),
}

impl Row {
    pub fn new(line: u64, outcome: Outcome) -> Self {
        Self {
            line,
            rows: 1,
            outcome,
            text: Bytes::new(),
        }
    }

    /// Keeps what a row that is not readable says.
    pub fn keeping(mut self, text: impl FnOnce() -> Vec<u8>) -> Self {
        if matches!(self.outcome, Outcome::Bad(_)) {
            self.text = text().into();
        }
        self
    }

    pub fn bad(line: u64, cause: impl Into<String>) -> Self {
        Self::new(line, Outcome::Bad(cause.into()))
    }

    pub fn of(line: u64, event: Result<Event, String>) -> Self {
        let outcome = match event {
            Ok(event) => Outcome::Message(Draft {
                stream: event.stream(),
                device_id: event.device_id.clone(),
                timestamp_us: Some(event.timestamp_us),
                content: Content::Event(Box::new(event)),
            }),
            Err(cause) => Outcome::Bad(cause),
        };
        Self::new(line, outcome)
    }
}

impl Draft {
    /// The wire form, later by `shift_us`.
    pub fn into_bytes(self, shift_us: i64) -> Bytes {
        let shifted_us = self
            .timestamp_us
            .map(|recorded_us| recorded_us.saturating_add(shift_us));
        match (self.content, shifted_us) {
            (Content::Event(mut event), _) => {
                event.timestamp_us = event.timestamp_us.saturating_add(shift_us);
                event.to_json().into()
            }
            (Content::Members(mut object), shifted_us) => {
                if let Some(shifted_us) = shifted_us {
                    object.timestamp("timestamp", shifted_us);
                }
                object.finish().into()
            }
            (Content::Raw(raw, Some(place)), Some(shifted_us)) if shift_us != 0 => {
                let mut out = Vec::with_capacity(raw.len() + 8);
                out.extend_from_slice(&raw[..place.start]);
                out.push(b'"');
                write_rfc3339(&mut out, shifted_us);
                out.push(b'"');
                out.extend_from_slice(&raw[place.end..]);
                out.into()
            }
            // Where it has no readable time the receiver says so.
            (Content::Raw(raw, _), _) => raw,
        }
    }
}
