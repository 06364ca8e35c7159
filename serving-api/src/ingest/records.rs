//! Splitting a body into events, and validating each.

use std::ops::Range;

use bytes::Bytes;
use event_log::NewRecord;
use events::Stream;
use memchr::memchr;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// The events of one body, read batch by batch.
pub(crate) struct Records {
    body: Bytes,
    stream: Stream,
    parts: Parts,
}

/// Where the events are in the body.
enum Parts {
    /// One object that may go over several lines.
    Single(Option<Range<usize>>),
    /// The elements of an array; `next` is the first not yet read.
    Elements {
        ranges: Vec<Range<u32>>,
        next: usize,
    },
    /// One per line; `start` is where the next line begins, `line` its number.
    Lines { start: usize, line: u64 },
}

/// Some events of a body.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The valid ones, ready to append.
    pub records: Vec<NewRecord>,
    /// The others.
    pub rejected: Vec<Rejected>,
}

/// An event that was not valid.
#[derive(Debug)]
pub(crate) struct Rejected {
    pub line: u64,
    pub detail: String,
    /// As it was sent.
    pub value: Bytes,
    is_json: bool,
}

impl Batch {
    /// Whether anything in it is JSON at all.
    pub fn is_json(&self) -> bool {
        !self.records.is_empty() || self.rejected.iter().any(|rejected| rejected.is_json)
    }
}

impl Records {
    /// Finds the form by content: what begins with `[` is an array; what has a
    /// whole JSON value on its first line is one event per line; what is JSON only
    /// as a whole is one event.
    ///
    /// # Errors
    /// Says why when the body is empty or an array that does not end.
    pub fn new(body: Bytes, stream: Stream) -> Result<Self, String> {
        let body = body
            .strip_prefix(b"\xef\xbb\xbf")
            .map(|rest| body.slice_ref(rest))
            .unwrap_or(body);
        let text = body.trim_ascii();
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        let parts = if text.starts_with(b"[") {
            Parts::Elements {
                ranges: elements(&body)?,
                next: 0,
            }
        } else if has_lines(text) {
            Parts::Lines { start: 0, line: 1 }
        } else {
            Parts::Single(Some(0..body.len()))
        };
        Ok(Self {
            body,
            stream,
            parts,
        })
    }

    /// The next events, at most `max`; `None` when there are no more.
    pub fn next_batch(&mut self, max: usize, now_us: i64) -> Option<Batch> {
        let mut batch = Batch::default();
        for _ in 0..max {
            let Some((line, range)) = self.parts.next(&self.body) else {
                break;
            };
            self.decode(line, range, now_us, &mut batch);
        }
        (!batch.records.is_empty() || !batch.rejected.is_empty()).then_some(batch)
    }

    fn decode(&self, line: u64, range: Range<usize>, now_us: i64, batch: &mut Batch) {
        let value = self.body.slice_ref(self.body[range].trim_ascii());
        match events::decode(self.stream, &value, now_us) {
            Ok(event) => batch.records.push(NewRecord {
                key: Some(Bytes::copy_from_slice(event.device_id.as_bytes())),
                value,
                ..NewRecord::default()
            }),
            Err(error) => {
                let is_json = is_json(&value);
                batch.rejected.push(Rejected {
                    line,
                    detail: error.to_string(),
                    value,
                    is_json,
                });
            }
        }
    }
}

impl Parts {
    fn next(&mut self, body: &[u8]) -> Option<(u64, Range<usize>)> {
        match self {
            Parts::Single(range) => Some((1, range.take()?)),
            Parts::Elements { ranges, next } => {
                let range = ranges.get(*next)?;
                *next += 1;
                Some((*next as u64, range.start as usize..range.end as usize))
            }
            Parts::Lines { start, line } => loop {
                let rest = body.get(*start..).filter(|rest| !rest.is_empty())?;
                let length = memchr(b'\n', rest).unwrap_or(rest.len());
                let (range, number) = (*start..*start + length, *line);
                *start += length + 1;
                *line += 1;
                if !body[range.clone()].trim_ascii().is_empty() {
                    return Some((number, range));
                }
            },
        }
    }
}

/// Whether to read `text` line by line rather than as one object.
fn has_lines(text: &[u8]) -> bool {
    let Some(end) = memchr(b'\n', text) else {
        return true;
    };
    is_json(&text[..end]) || !is_json(text)
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// Where the elements of the array `body` are.
fn elements(body: &[u8]) -> Result<Vec<Range<u32>>, String> {
    let elements: Vec<&RawValue> = serde_json::from_slice(body)
        .map_err(|error| format!("the array is not valid JSON: {error}"))?;
    let base = body.as_ptr() as usize;
    let range_of = |element: &&RawValue| {
        let start = element.get().as_ptr() as usize - base;
        // A body is far shorter than 4 GiB by its limit.
        start as u32..(start + element.get().len()) as u32
    };
    Ok(elements.iter().map(range_of).collect())
}
