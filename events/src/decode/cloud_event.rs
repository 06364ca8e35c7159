//! CloudEvents 1.0 in structured JSON: an envelope around the event.
//!
//! `id`, `time` and `subject` fill `id`, `timestamp` and `device_id` where the
//! data lack them; the other attributes are kept in `extra` as `ce_<name>`.
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>

use super::reader::{Common, RawMember};
use super::scan::Scanner;
use super::{DecodeError, Reader};
use crate::{Event, Stream};

/// An envelope, its data not yet read.
pub(super) struct CloudEvent<'a> {
    data: &'a str,
    attributes: Vec<RawMember<'a>>,
}

impl<'a> CloudEvent<'a> {
    /// The envelope in `text`, if it is a JSON object with `specversion` and `data`.
    pub(super) fn find(text: &'a str) -> Option<Self> {
        let mut json = Scanner::new(text);
        let mut data = None;
        let mut attributes = Vec::new();
        if !json.pass(b'{') {
            return None;
        }
        loop {
            let name = json.string().ok()?;
            name.check().ok()?;
            let name = name.raw;
            if !json.pass(b':') {
                return None;
            }
            let value = json.value().ok()?;
            match name {
                "data" => data = Some(value),
                _ => attributes.push(RawMember { name, value }),
            }
            if json.pass(b'}') {
                break;
            }
            if !json.pass(b',') {
                return None;
            }
        }
        let is_envelope =
            json.peek().is_none() && attributes.iter().any(|one| one.name == "specversion");
        data.filter(|_| is_envelope)
            .map(|data| Self { data, attributes })
    }

    /// Reads the event in it.
    pub(super) fn decode(self, stream: Stream, appended_at_us: i64) -> Result<Event, DecodeError> {
        let version = self.attributes.iter().find(|one| one.name == "specversion");
        if let Some(version) = version.filter(|version| !version.value.starts_with("\"1.")) {
            return Err(DecodeError::new(
                "specversion",
                version.value,
                "\"1.0\" as in CloudEvents 1.0",
            ));
        }
        if !self.data.starts_with('{') {
            return Err(DecodeError::new(
                "data",
                self.data,
                "a JSON object: the event",
            ));
        }
        let mut reader = Reader::new(self.data, appended_at_us);
        let body = stream.decode_body(&mut reader)?;
        for attribute in self.attributes {
            let fills = match attribute.name {
                "id" => reader.fill_from_elsewhere(Common::Id, attribute)?,
                "time" => reader.fill_from_elsewhere(Common::Timestamp, attribute)?,
                "subject" => reader.fill_from_elsewhere(Common::DeviceId, attribute)?,
                _ => false,
            };
            if !fills {
                reader.keep_member("ce_", attribute.name, attribute.value);
            }
        }
        reader.finish(body)
    }
}
