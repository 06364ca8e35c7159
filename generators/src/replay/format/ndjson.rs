//! One JSON object a line, sent byte for byte as it is; only `--rebase` puts
//! another text in the place of its timestamp.
//!
//! The topic is that of `--stream`, otherwise what the line says in `stream` or
//! `topic`. CloudEvents are looked into for device and time.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use events::Stream;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Context, Rows, shown};
use crate::replay::ReplayError;
use crate::replay::input::{Content, Lines};
use crate::replay::row::{self, Draft, Outcome, Row};

struct Ndjson {
    lines: Lines,
    context: Context,
}

/// What is needed to route a line; a wrong type is for the receiver to refuse.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    device_id: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
    #[serde(borrow)]
    topic: Option<&'a RawValue>,
    // CloudEvents.
    #[serde(borrow)]
    specversion: Option<&'a RawValue>,
    #[serde(borrow)]
    subject: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

pub(crate) fn rows(content: Content, context: Context) -> Rows {
    Box::new(Ndjson {
        lines: Lines::new(content),
        context,
    })
}

impl Iterator for Ndjson {
    type Item = Result<Row, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (line, bytes) = match self.lines.next_line() {
                Ok(next) => next?,
                Err(source) => {
                    return Some(Err(ReplayError::Read {
                        path: self.context.path.clone(),
                        source,
                    }));
                }
            };
            let row = match bytes {
                Ok([]) => continue,
                Ok(bytes) => {
                    let draft = draft(bytes, &self.context);
                    let outcome = draft.map_or_else(Outcome::Bad, Outcome::Message);
                    Row::new(line, outcome).keeping(|| bytes.to_vec())
                }
                Err(cause) => Row::bad(line, cause),
            };
            return Some(Ok(row));
        }
    }
}

/// `bytes` are not empty.
fn draft(bytes: &[u8], context: &Context) -> Result<Draft, String> {
    let refusal = |reason: String| {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
        format!("line: got {start:?} ({reason}), expected one JSON object")
    };
    if bytes[0] != b'{' {
        return Err(refusal("no object".to_owned()));
    }
    let mut head: Head<'_> =
        serde_json::from_slice(bytes).map_err(|error| refusal(error.to_string()))?;
    let stream = stream(&head, context)?;
    if let (Some(_), Some(data)) = (head.specversion, head.data) {
        let data: Head<'_> = serde_json::from_str(data.get()).unwrap_or_default();
        head.timestamp = data.timestamp.or(head.time);
        head.device_id = data.device_id.or(head.subject);
    }
    let time = head.timestamp.and_then(|time| {
        let timestamp_us = events::time::parse_rfc3339_us(&text(time)?)?;
        Some((timestamp_us, place(bytes, time)))
    });
    let device_id = head.device_id.or(head.id).and_then(text);
    Ok(Draft {
        stream,
        device_id: device_id.unwrap_or_default().into(),
        timestamp_us: time.as_ref().map(|(timestamp_us, _)| *timestamp_us),
        content: row::Content::Raw(Bytes::copy_from_slice(bytes), time.map(|(_, place)| place)),
    })
}

fn stream(head: &Head<'_>, context: &Context) -> Result<Stream, String> {
    if let Some(stream) = context.stream {
        return Ok(stream);
    }
    let Some((field, value)) = (head.stream.map(|value| ("stream", value)))
        .or_else(|| head.topic.map(|value| ("topic", value)))
    else {
        return Err(
            "field \"stream\": got nothing, expected a topic's name there or in --stream".into(),
        );
    };
    text(value)
        .and_then(|name| context.topics.stream(&name))
        .ok_or_else(|| {
            let got = shown(value.get());
            format!("field {field:?}: got {got}, expected a topic's name")
        })
}

/// A JSON string's content; `None` for anything else.
fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let inner = value.get().strip_prefix('"')?.strip_suffix('"')?;
    match inner.contains('\\') {
        false => Some(inner.into()),
        true => serde_json::from_str::<String>(value.get())
            .ok()
            .map(Into::into),
    }
}

/// Where in `line` the value stands that was read from it.
fn place(line: &[u8], value: &RawValue) -> Range<usize> {
    let start = value.get().as_ptr() as usize - line.as_ptr() as usize;
    start..start + value.get().len()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use events::TopicNames;

    use super::*;

    fn context(stream: Option<Stream>) -> Context {
        Context {
            path: PathBuf::new(),
            stream,
            map: Vec::new(),
            set: Vec::new(),
            time_format: None,
            topics: TopicNames::default(),
        }
    }

    #[test]
    fn only_the_timestamp_is_replaced() {
        let line = br#"{ "topic":"gps_data", "timestamp" : "2024-01-01T00:00:00", "speed":1.50 }"#;
        let draft = draft(line, &context(None)).expect("a draft");
        assert_eq!(draft.stream, Stream::GpsData);
        assert_eq!(
            draft.into_bytes(1_000_000),
            &br#"{ "topic":"gps_data", "timestamp" : "2024-01-01T00:00:01Z", "speed":1.50 }"#[..]
        );
    }

    #[test]
    fn an_envelope_is_looked_into() {
        let line = br#"{"specversion":"1.0","subject":"bus-1","time":"2024-01-01T00:00:00Z","data":{"timestamp":"2024-01-01T00:00:09Z"}}"#;
        let draft = draft(line, &context(Some(Stream::GpsData))).expect("a draft");
        assert_eq!(draft.device_id, "bus-1");
        let shifted = draft.into_bytes(1_000_000);
        assert!(shifted.ends_with(br#""data":{"timestamp":"2024-01-01T00:00:10Z"}}"#));
    }

    #[test]
    fn a_line_without_a_topic_is_refused() {
        let cause = |line: &str| {
            draft(line.as_bytes(), &context(None))
                .err()
                .expect("refused")
        };
        assert!(cause("{}").contains("--stream"));
        assert!(cause(r#"{"stream":"tram_data"}"#).contains("tram_data"));
        assert!(cause("[1]").contains("expected one JSON object"));
    }
}
