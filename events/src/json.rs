//! Writes flat JSON objects: fast, escaped, numbers in their shortest form that
//! reads back as the same `f64`.

use crate::Location;
use crate::time::write_rfc3339;

/// Writes one JSON object, member by member.
///
/// ```
/// let mut object = events::json::ObjectWriter::new();
/// object.text("device_id", "car-1").number("speed", 42.5);
/// assert_eq!(object.finish(), br#"{"device_id":"car-1","speed":42.5}"#);
/// ```
#[derive(Debug)]
pub struct ObjectWriter {
    out: Vec<u8>,
}

impl Default for ObjectWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl ObjectWriter {
    /// An object without members yet.
    pub fn new() -> Self {
        let mut out = Vec::with_capacity(320);
        out.push(b'{');
        Self { out }
    }

    /// A text member.
    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        write_text(&mut self.out, value);
        self
    }

    /// A number member; what JSON has no number for (NaN, infinity) is `null`.
    pub fn number(&mut self, name: &str, value: f64) -> &mut Self {
        self.name(name);
        write_number(&mut self.out, value);
        self
    }

    /// A whole number member.
    pub fn integer(&mut self, name: &str, value: i64) -> &mut Self {
        self.name(name);
        write_integer(&mut self.out, value);
        self
    }

    /// A truth value member.
    pub fn boolean(&mut self, name: &str, value: bool) -> &mut Self {
        self.name(name);
        self.out
            .extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    /// An RFC 3339 member from microseconds since the epoch.
    pub fn timestamp(&mut self, name: &str, timestamp_us: i64) -> &mut Self {
        self.name(name);
        self.out.push(b'"');
        write_rfc3339(&mut self.out, timestamp_us);
        self.out.push(b'"');
        self
    }

    /// `[latitude, longitude]`, as events carry places.
    pub fn location(&mut self, name: &str, value: Location) -> &mut Self {
        self.name(name);
        self.out.push(b'[');
        write_number(&mut self.out, value.latitude);
        self.out.push(b',');
        write_number(&mut self.out, value.longitude);
        self.out.push(b']');
        self
    }

    /// A list of texts.
    pub fn texts<'t>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = &'t str>,
    ) -> &mut Self {
        self.name(name);
        self.out.push(b'[');
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write_text(&mut self.out, value);
        }
        self.out.push(b']');
        self
    }

    /// A member whose value is JSON text already.
    pub fn raw(&mut self, name: &str, json: &[u8]) -> &mut Self {
        self.name(name);
        self.out.extend_from_slice(json);
        self
    }

    /// A text member, left out where there is none.
    pub fn optional_text(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// A number member, left out where there is none.
    pub fn optional_number(&mut self, name: &str, value: Option<f64>) -> &mut Self {
        match value {
            Some(value) => self.number(name, value),
            None => self,
        }
    }

    /// A whole number member, left out where there is none.
    pub fn optional_integer(&mut self, name: &str, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.integer(name, value),
            None => self,
        }
    }

    /// A truth value member, left out where there is none.
    pub fn optional_boolean(&mut self, name: &str, value: Option<bool>) -> &mut Self {
        match value {
            Some(value) => self.boolean(name, value),
            None => self,
        }
    }

    /// Every member of another JSON object, given as its text.
    pub fn members_of(&mut self, object: &str) -> &mut Self {
        let members = object
            .trim()
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        if let Some(members) = members.map(str::trim).filter(|members| !members.is_empty()) {
            self.separate();
            self.out.extend_from_slice(members.as_bytes());
        }
        self
    }

    /// Closes the object and returns its text, UTF-8.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    /// Closes the object and returns its text.
    pub fn finish_text(self) -> String {
        let text = String::from_utf8(self.finish());
        // Only `raw` takes bytes, and what is not UTF-8 is not JSON.
        text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// Whether no member was written yet.
    pub fn is_empty(&self) -> bool {
        self.out.len() == 1
    }

    fn name(&mut self, name: &str) {
        self.separate();
        write_text(&mut self.out, name);
        self.out.push(b':');
    }

    fn separate(&mut self) {
        if !self.is_empty() {
            self.out.push(b',');
        }
    }
}

/// Appends `value` as a JSON string.
pub fn write_text(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    let bytes = value.as_bytes();
    let mut written = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[written..index]);
        written = index + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

/// Appends `value` in its shortest form that reads back the same; `null` for NaN
/// and infinity.
pub fn write_number(out: &mut Vec<u8>, value: f64) {
    serde_json::to_writer(out, &value).expect("writing a number to memory cannot fail");
}

/// Appends a whole number.
pub fn write_integer(out: &mut Vec<u8>, value: i64) {
    serde_json::to_writer(out, &value).expect("writing a number to memory cannot fail");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_of_member() {
        let mut object = ObjectWriter::new();
        assert!(object.is_empty());
        object
            .text("text", "a \"quoted\" \\ line\nend\u{1}")
            .number("number", 0.1)
            .number("nothing", f64::NAN)
            .integer("integer", -7)
            .boolean("truth", true)
            .timestamp("time", 1_500_000)
            .location(
                "location",
                Location {
                    latitude: 57.7,
                    longitude: -12.0,
                },
            )
            .texts("texts", ["a", "b"])
            .raw("raw", b"[1]")
            .optional_text("absent", None)
            .optional_number("absent", None)
            .optional_integer("present", Some(3))
            .members_of(r#" { "x": 1, "y":{} } "#)
            .members_of("{ }");
        let text = object.finish_text();
        assert_eq!(
            text,
            "{\"text\":\"a \\\"quoted\\\" \\\\ line\\nend\\u0001\",\"number\":0.1,\"nothing\":null,\
             \"integer\":-7,\"truth\":true,\"time\":\"1970-01-01T00:00:01.500000Z\",\
             \"location\":[57.7,-12.0],\"texts\":[\"a\",\"b\"],\"raw\":[1],\"present\":3,\
             \"x\": 1, \"y\":{}}"
        );
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn an_object_without_members() {
        assert_eq!(ObjectWriter::new().finish(), b"{}");
        let mut object = ObjectWriter::new();
        object.members_of("{}");
        assert_eq!(object.finish(), b"{}");
    }

    proptest! {
        #[test]
        fn any_text_reads_back(name: String, value: String) {
            let mut object = ObjectWriter::new();
            object.text(&name, &value);
            let read: serde_json::Value = serde_json::from_slice(&object.finish()).expect("JSON");
            prop_assert_eq!(&read[&name], &serde_json::Value::from(value));
        }

        #[test]
        fn any_number_reads_back(value: f64) {
            let mut out = Vec::new();
            write_number(&mut out, value);
            let text = std::str::from_utf8(&out).expect("ASCII");
            prop_assert_eq!(text.parse::<f64>(), Ok(value));
        }
    }
}
