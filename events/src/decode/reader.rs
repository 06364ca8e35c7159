//! Reads the fields of one event, member by member.

mod common;
mod values;

use std::borrow::Cow;

use compact_str::CompactString;

use super::DecodeError;
use super::scan::{Fault, NESTING_MAX, Scanner};
use crate::Location;

pub(super) use common::Common;
pub(crate) use values::{READING_MAX, SPEED};

type Result<T> = std::result::Result<T, DecodeError>;

/// Walks over the members of one event and fills slots from them.
///
/// A stream calls [`Reader::next_field`] until there is none, and for each name
/// one of the methods that read the value into a slot. `null` leaves a slot
/// empty. A slot that is filled twice must get the same value both times: of two
/// different ones nobody knows which is true.
pub(crate) struct Reader<'a> {
    json: Scanner<'a>,
    appended_at_us: i64,
    /// No member was read yet.
    at_start: bool,
    /// The current field's name as written.
    name: &'a str,
    /// Where the current field's value starts.
    value_start: usize,
    id: Option<CompactString>,
    device_id: Option<CompactString>,
    timestamp_us: Option<i64>,
    location: Option<Location>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    /// Members that the stream does not know, without the closing brace.
    extra: String,
    may_be_envelope: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, appended_at_us: i64) -> Self {
        Self {
            json: Scanner::new(text),
            appended_at_us,
            at_start: true,
            name: "",
            value_start: 0,
            id: None,
            device_id: None,
            timestamp_us: None,
            location: None,
            latitude: None,
            longitude: None,
            extra: String::new(),
            may_be_envelope: false,
        }
    }

    /// The name of the next field of the stream itself. Those of every stream
    /// are read on the way.
    #[inline]
    pub(crate) fn next_field(&mut self) -> Result<Option<Cow<'a, str>>> {
        loop {
            let Some(name) = self.next_member()? else {
                return Ok(None);
            };
            match name.as_ref() {
                "id" => self.id()?,
                "device_id" | "deviceId" => self.device_id()?,
                "timestamp" => self.event_time()?,
                "location" => self.place()?,
                "latitude" => self.latitude()?,
                "longitude" => self.longitude()?,
                _ => return Ok(Some(name)),
            }
        }
    }

    #[inline]
    fn next_member(&mut self) -> Result<Option<Cow<'a, str>>> {
        let opening = std::mem::replace(&mut self.at_start, false);
        if opening && !self.json.pass(b'{') {
            return Err(self.no_object("one JSON object"));
        }
        if self.json.pass(b'}') {
            return Ok(None);
        }
        if !opening && !self.json.pass(b',') {
            return Err(self.no_object("a comma or a closing brace"));
        }
        let name = self
            .json
            .string()
            .and_then(|raw| Ok((raw.raw, raw.unescaped()?)));
        let Ok((raw, name)) = name else {
            return Err(self.no_object("a field name in quotes"));
        };
        if !self.json.pass(b':') {
            return Err(self.no_object("a colon after the field name"));
        }
        self.json.peek();
        self.name = raw;
        self.value_start = self.json.position();
        Ok(Some(name))
    }

    /// A field that the stream does not know: kept as it is.
    #[cold]
    pub(crate) fn keep(&mut self) -> Result<()> {
        self.may_be_envelope |= self.name == "specversion";
        let name = self.name;
        let value = self.any_value()?;
        self.keep_member("", name, value);
        Ok(())
    }

    /// Adds a member to what is kept; name and value are JSON text.
    pub(super) fn keep_member(&mut self, prefix: &str, name: &str, value: &str) {
        self.separate_extra();
        for part in ["\"", prefix, name, "\":", value] {
            self.extra.push_str(part);
        }
    }

    fn separate_extra(&mut self) {
        self.extra
            .push(if self.extra.is_empty() { '{' } else { ',' });
    }

    fn any_value(&mut self) -> Result<&'a str> {
        self.json.value().map_err(|fault| match fault {
            Fault::Syntax => self.wrong("a JSON value"),
            Fault::TooDeep => self.wrong(&format!("at most {NESTING_MAX} levels of nesting")),
        })
    }

    /// Whether it has a member that only CloudEvents have.
    pub(super) fn may_be_envelope(&self) -> bool {
        self.may_be_envelope
    }

    #[inline]
    fn fill<T: PartialEq>(&self, slot: &mut Option<T>, value: T) -> Result<()> {
        match slot {
            None => {
                *slot = Some(value);
                Ok(())
            }
            Some(before) => self.check_repeated(*before == value),
        }
    }

    #[cold]
    fn check_repeated(&self, is_same: bool) -> Result<()> {
        match is_same {
            true => Ok(()),
            false => Err(self.wrong("the value that the same field has earlier in the message")),
        }
    }

    /// The current field's value is not what belongs there.
    #[cold]
    fn wrong(&self, expected: &str) -> DecodeError {
        let mut json = self.json.clone();
        json.rewind(self.value_start);
        let value = json.value().unwrap_or_else(|_| {
            json.rewind(self.value_start);
            json.token()
        });
        DecodeError::new(self.name, value, expected)
    }

    /// The message is not one JSON object.
    #[cold]
    fn no_object(&self, expected: &str) -> DecodeError {
        let position = self.json.position();
        let mut json = self.json.clone();
        json.rewind(0);
        let message = if json.rest().trim().is_empty() {
            "nothing"
        } else {
            json.rest()
        };
        DecodeError::new("", message, format!("{expected} at byte {position}"))
    }
}

/// A member's name and value as JSON text.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawMember<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
}

#[cold]
fn missing(name: &str, expected: &str) -> DecodeError {
    DecodeError::missing(name, expected)
}
