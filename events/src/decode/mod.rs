//! From the bytes of one log record to one valid [`Event`].
//!
//! Lenient on spelling: places as list, object or two fields, directions as
//! degrees or compass words, timestamps without a zone, camelCase names, a
//! CloudEvents envelope. Strict on content: what is missing, of the wrong type or
//! out of range is refused with the field, what was there and what belongs there.
//! Fields that a stream does not know are kept in [`Event::extra`].
//!
//! The text is walked over once, each field parsed where it stands: no tree of
//! values is built.

mod cloud_event;
mod compass;
mod reader;
mod scan;

use std::borrow::Cow;
use std::fmt;

pub(crate) use reader::{READING_MAX, Reader, SPEED};

use crate::{Event, Stream};
use cloud_event::CloudEvent;
use scan::Scanner;

/// Why a record cannot be read.
///
/// Reads `field "speed": got -3, expected a number of km/h from 0 to 2000`. A
/// failure of the record as a whole has no field and reads `message: got ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The field's name as the producer wrote it; empty where the record as a
    /// whole cannot be read.
    pub field: String,
    /// What was there, as JSON text, cut to [`DecodeError::VALUE_CHARS_MAX`];
    /// `nothing` where the field is missing or null.
    pub value: String,
    /// What belongs there.
    pub expected: String,
}

impl DecodeError {
    /// Longer values are cut.
    pub const VALUE_CHARS_MAX: usize = 120;

    #[cold]
    fn new(field: &str, value: &str, expected: impl Into<String>) -> Self {
        let (field, value) = (cut(field), cut(value));
        Self {
            field,
            value,
            expected: expected.into(),
        }
    }

    #[cold]
    fn missing(field: &str, expected: impl Into<String>) -> Self {
        Self::new(field, "nothing", expected)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str("message")?;
        } else {
            write!(f, "field \"{}\"", self.field)?;
        }
        write!(f, ": got {}, expected {}", self.value, self.expected)
    }
}

impl std::error::Error for DecodeError {}

/// The text, its end replaced by an ellipsis where it is too long.
fn cut(text: &str) -> String {
    match text.char_indices().nth(DecodeError::VALUE_CHARS_MAX) {
        Some((end, _)) => {
            let last = text[..end]
                .char_indices()
                .next_back()
                .map_or(0, |(start, _)| start);
            format!("{}…", &text[..last])
        }
        None => text.to_owned(),
    }
}

/// Reads one record of `stream`. `appended_at_us` is when the log took it in: an
/// event more than 24 hours ahead of that is refused.
///
/// # Errors
/// Where the value is not one JSON object in UTF-8, or a field of the stream is
/// missing, of the wrong type or out of range.
pub fn decode(stream: Stream, value: &[u8], appended_at_us: i64) -> Result<Event, DecodeError> {
    let text = std::str::from_utf8(value).map_err(|error| {
        let expected = format!("UTF-8 text; byte {} is not", error.valid_up_to());
        DecodeError::new("", &String::from_utf8_lossy(value), expected)
    })?;
    let mut reader = Reader::new(text, appended_at_us);
    let event = stream
        .decode_body(&mut reader)
        .and_then(|body| reader.finish(body));
    // Envelopes are rare: plain events do not pay for looking for one.
    if (event.is_err() || reader.may_be_envelope())
        && let Some(envelope) = CloudEvent::find(text)
    {
        return envelope.decode(stream, appended_at_us);
    }
    event
}

/// The text that the member `name` of a JSON object holds, where it is one without
/// escapes.
pub(crate) fn text_member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let mut json = Scanner::new(object);
    if !json.pass(b'{') {
        return None;
    }
    loop {
        let is_wanted = json.string().ok()?.unescaped().ok()? == name;
        if !json.pass(b':') {
            return None;
        }
        if is_wanted {
            return match json.string().ok()?.unescaped().ok()? {
                Cow::Borrowed(text) => Some(text),
                Cow::Owned(_) => None,
            };
        }
        json.value().ok()?;
        if !json.pass(b',') {
            return None;
        }
    }
}

/// The members of a JSON object that are numbers, in its order; up to where it is no
/// JSON.
pub(crate) fn number_members(object: &str) -> impl Iterator<Item = (Cow<'_, str>, f64)> {
    let mut json = Scanner::new(object);
    let mut is_open = json.pass(b'{');
    std::iter::from_fn(move || {
        while is_open {
            let name = json.string().ok()?.unescaped().ok()?;
            if !json.pass(b':') {
                return None;
            }
            let is_number = matches!(json.peek(), Some(b'-' | b'0'..=b'9'));
            let number = match is_number {
                true => Some(json.number().ok()?),
                false => json.value().ok().map(|_| None)?,
            };
            is_open = json.pass(b',');
            if let Some(number) = number {
                return Some((name, number));
            }
        }
        None
    })
}
