//! Records that could not be read: what they were, where they lay, and why.
//!
//! In the log a dead letter is the original bytes with Kafka Connect's
//! `__connect.errors.*` headers, on `<topic>.dlq`; in the lake it is a row of the
//! table [`TABLE`].

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, Date32Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;

use crate::columns::{Origin, date_of, timestamp_type};

/// The table that holds every topic's dead letters.
pub const TABLE: &str = "dead_letters";

const TOPIC: &str = "__connect.errors.topic";
const PARTITION: &str = "__connect.errors.partition";
const OFFSET: &str = "__connect.errors.offset";
const STAGE: &str = "__connect.errors.stage";
const MESSAGE: &str = "__connect.errors.exception.message";

/// A record that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The topic it was read from.
    pub topic: String,
    /// Its partition and offset there; none where it was refused before it was in
    /// the log.
    pub origin: Option<(i32, i64)>,
    /// Where it failed: `decode`, `ingest` where it was refused at the door, or `import`.
    pub stage: String,
    /// Why, for people.
    pub message: String,
    /// The record's bytes, unchanged.
    pub value: Bytes,
    /// When the log took the record in, microseconds since the epoch.
    pub appended_at_us: i64,
}

/// A record of a dead-letter topic whose headers do not say what it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("header \"{name}\": got {value}, expected {expected}")]
pub struct HeaderError {
    /// The header.
    pub name: &'static str,
    /// What was there.
    pub value: String,
    /// What belongs there.
    pub expected: &'static str,
}

impl DeadLetter {
    /// The headers of its record in the dead-letter topic.
    pub fn to_headers(&self) -> Vec<(String, Bytes)> {
        let mut headers = vec![(TOPIC.into(), Bytes::from(self.topic.clone()))];
        if let Some((partition, offset)) = self.origin {
            headers.push((PARTITION.into(), Bytes::from(partition.to_string())));
            headers.push((OFFSET.into(), Bytes::from(offset.to_string())));
        }
        headers.push((STAGE.into(), Bytes::from(self.stage.clone())));
        headers.push((MESSAGE.into(), Bytes::from(self.message.clone())));
        headers
    }

    /// Reads a record of a dead-letter topic. `appended_at_us` is that record's.
    ///
    /// # Errors
    /// When the topic is missing, or partition or offset are unreadable or only one
    /// of them is there. Stage and message are for people: other writers may leave
    /// them out.
    pub fn from_record(
        headers: &[(String, Bytes)],
        value: Bytes,
        appended_at_us: i64,
    ) -> Result<Self, HeaderError> {
        let topic = required(headers, TOPIC, "the topic's name")?;
        let has_no_origin = [PARTITION, OFFSET]
            .iter()
            .all(|name| text(headers, name).is_none());
        let origin = match has_no_origin {
            true => None,
            false => Some((
                number(headers, PARTITION, "the partition's number")?,
                number(headers, OFFSET, "the record's offset")?,
            )),
        };
        Ok(Self {
            topic,
            origin,
            stage: text(headers, STAGE).unwrap_or_default(),
            message: text(headers, MESSAGE).unwrap_or_default(),
            value,
            appended_at_us,
        })
    }
}

/// The value of the last header of that name.
fn text(headers: &[(String, Bytes)], name: &str) -> Option<String> {
    let (_, value) = headers.iter().rev().find(|(other, _)| other == name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn required(
    headers: &[(String, Bytes)],
    name: &'static str,
    expected: &'static str,
) -> Result<String, HeaderError> {
    text(headers, name).ok_or_else(|| HeaderError {
        name,
        value: "nothing".into(),
        expected,
    })
}

fn number<N: std::str::FromStr>(
    headers: &[(String, Bytes)],
    name: &'static str,
    expected: &'static str,
) -> Result<N, HeaderError> {
    let value = required(headers, name, expected)?;
    value.parse().map_err(|_| HeaderError {
        name,
        value,
        expected,
    })
}

/// The columns of the table of dead letters: topic, partition, offset (of the
/// bad record, null where it was refused before it had one), stage, message, value (as text, unreadable bytes replaced),
/// appended_at, date (of appended_at), log_partition, log_offset (of the record
/// in the dead-letter topic, null for a row of an imported file).
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("topic", DataType::Utf8, true),
        Field::new("partition", DataType::Int32, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("stage", DataType::Utf8, true),
        Field::new("message", DataType::Utf8, true),
        Field::new("value", DataType::Utf8, true),
        Field::new("appended_at", timestamp_type(), true),
        Field::new("date", DataType::Date32, true),
        Field::new("log_partition", DataType::Int32, true),
        Field::new("log_offset", DataType::Int64, true),
    ]))
}

/// Gathers dead letters as rows of [`schema`].
#[derive(Debug)]
pub struct DeadLetterBuilder {
    topic: StringBuilder,
    partition: Int32Builder,
    offset: Int64Builder,
    stage: StringBuilder,
    message: StringBuilder,
    value: StringBuilder,
    appended_at: TimestampMicrosecondBuilder,
    date: Date32Builder,
    log_partition: Int32Builder,
    log_offset: Int64Builder,
    bytes: usize,
}

impl Default for DeadLetterBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl DeadLetterBuilder {
    /// Bytes of a row beside its texts.
    const FIXED_ROW_BYTES: usize = 60;

    /// No rows yet.
    pub fn new() -> Self {
        Self {
            topic: StringBuilder::new(),
            partition: Int32Builder::new(),
            offset: Int64Builder::new(),
            stage: StringBuilder::new(),
            message: StringBuilder::new(),
            value: StringBuilder::new(),
            appended_at: TimestampMicrosecondBuilder::new().with_data_type(timestamp_type()),
            date: Date32Builder::new(),
            log_partition: Int32Builder::new(),
            log_offset: Int64Builder::new(),
            bytes: 0,
        }
    }

    /// Adds one row. `origin` is where the letter lies in the dead-letter topic;
    /// the row's time is the letter's own.
    pub fn push(&mut self, letter: &DeadLetter, origin: &Origin) {
        self.push_letter(letter);
        self.log_partition.append_value(origin.partition);
        self.log_offset.append_value(origin.offset);
    }

    /// Adds one row that came past the log.
    pub fn push_imported(&mut self, letter: &DeadLetter) {
        self.push_letter(letter);
        self.log_partition.append_null();
        self.log_offset.append_null();
    }

    fn push_letter(&mut self, letter: &DeadLetter) {
        let value = String::from_utf8_lossy(&letter.value);
        self.bytes += Self::FIXED_ROW_BYTES
            + letter.topic.len()
            + letter.stage.len()
            + letter.message.len()
            + value.len();
        self.topic.append_value(&letter.topic);
        let (partition, offset) = letter.origin.unzip();
        self.partition.append_option(partition);
        self.offset.append_option(offset);
        self.stage.append_value(&letter.stage);
        self.message.append_value(&letter.message);
        self.value.append_value(value);
        self.appended_at.append_value(letter.appended_at_us);
        self.date.append_value(date_of(letter.appended_at_us));
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.topic.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes of memory the rows take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the rows out; the builder is empty afterwards and can be used again.
    pub fn finish(&mut self) -> RecordBatch {
        self.bytes = 0;
        RecordBatch::try_new(
            schema(),
            vec![
                Arc::new(self.topic.finish()),
                Arc::new(self.partition.finish()),
                Arc::new(self.offset.finish()),
                Arc::new(self.stage.finish()),
                Arc::new(self.message.finish()),
                Arc::new(self.value.finish()),
                Arc::new(self.appended_at.finish()),
                Arc::new(self.date.finish()),
                Arc::new(self.log_partition.finish()),
                Arc::new(self.log_offset.finish()),
            ],
        )
        .expect("one array of each column's type, all of one length")
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;

    fn letter() -> DeadLetter {
        DeadLetter {
            topic: "gps_data".into(),
            origin: Some((3, 77)),
            stage: "decode".into(),
            message: "field \"speed\": got -3, expected more".into(),
            value: Bytes::from_static(b"{\"speed\":-3,\xff}"),
            appended_at_us: 1_700_049_600_000_000,
        }
    }

    #[test]
    fn headers_carry_everything() {
        let letter = letter();
        let headers = letter.to_headers();
        assert_eq!(
            headers[2],
            ("__connect.errors.offset".to_owned(), Bytes::from("77"))
        );
        let read = DeadLetter::from_record(&headers, letter.value.clone(), letter.appended_at_us);
        assert_eq!(read, Ok(letter));
    }

    #[test]
    fn a_letter_refused_at_the_door_has_no_origin() {
        let letter = DeadLetter {
            origin: None,
            ..letter()
        };
        let mut headers = letter.to_headers();
        assert_eq!(headers.len(), 3);
        let read = DeadLetter::from_record(&headers, letter.value.clone(), letter.appended_at_us);
        assert_eq!(read.as_ref(), Ok(&letter));
        let mut builder = DeadLetterBuilder::new();
        let origin = Origin {
            partition: 3,
            offset: 5,
            appended_at_us: 9,
        };
        builder.push(&letter, &origin);
        let batch = builder.finish();
        assert!(batch.column(1).is_null(0) && batch.column(2).is_null(0));
        // Half an origin is none that could be trusted.
        headers.push((OFFSET.into(), Bytes::from_static(b"5")));
        assert!(DeadLetter::from_record(&headers, Bytes::new(), 0).is_err());
    }

    #[test]
    fn unreadable_headers_are_named() {
        let mut headers = letter().to_headers();
        headers[1].1 = Bytes::from_static(b"three");
        let error = DeadLetter::from_record(&headers, Bytes::new(), 0).expect_err("not a number");
        assert_eq!(
            error.to_string(),
            "header \"__connect.errors.partition\": got three, expected the partition's number"
        );
        let error = DeadLetter::from_record(&[], Bytes::new(), 0).expect_err("no headers");
        assert_eq!(
            error.to_string(),
            "header \"__connect.errors.topic\": got nothing, expected the topic's name"
        );
    }

    #[test]
    fn rows_keep_the_letter() {
        let mut builder = DeadLetterBuilder::new();
        builder.push(
            &letter(),
            &Origin {
                partition: 3,
                offset: 5,
                appended_at_us: 9,
            },
        );
        assert!(builder.bytes() > 60);
        let batch = builder.finish();
        assert_eq!((batch.num_rows(), batch.schema()), (1, schema()));
        assert_eq!(
            batch.column(5).as_string::<i32>().value(0),
            "{\"speed\":-3,\u{fffd}}"
        );
        assert!(builder.is_empty());
        assert_eq!((builder.bytes(), builder.finish().num_rows()), (0, 0));
    }
}
