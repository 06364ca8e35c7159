//! Which topic holds what, and log records as rows of a table. The batch layer
//! and the tail of a query turn records into rows here, so that they agree.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use event_log::Record;
use events::columns::{ColumnBuilder, Origin, date_of};
use events::dead_letter::{DeadLetter, DeadLetterBuilder};
use events::{DecodeError, Offset, Stream, Topic, TopicNames, TopicPartition, decode};

use crate::Table;

/// What a topic of the log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Events of a stream.
    Events(Stream),
    /// What of that stream could not be decoded.
    DeadLetters(Stream),
}

impl Source {
    /// The table that holds it.
    pub fn table(self) -> Table {
        match self {
            Source::Events(stream) => Table::Stream(stream),
            Source::DeadLetters(_) => Table::DeadLetters,
        }
    }
}

/// Every topic that goes into the lake, with what it holds.
pub fn sources(topics: &TopicNames) -> HashMap<Topic, Source> {
    let mut sources = HashMap::new();
    for (stream, topic) in topics.iter() {
        sources.insert(topic.clone(), Source::Events(stream));
        sources.insert(topics.dead_letters(stream), Source::DeadLetters(stream));
    }
    sources
}

/// Tells which dead letters are repeats. A dead letter is appended before the
/// position of its record is saved, so a crash between the two appends it again.
/// Per partition of origin the repeats begin at or below what was already there,
/// and nothing is left out, so the highest offset seen decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenOrigins {
    next: HashMap<TopicPartition, Offset>,
}

impl SeenOrigins {
    const MARK: &'static str = "dlq-origin/";

    /// As stored with the table; see [`SeenOrigins::marks`].
    pub fn from_marks(marks: &HashMap<String, i64>) -> Self {
        let next = marks.iter().filter_map(|(name, next)| {
            let origin = TopicPartition::parse(name.strip_prefix(Self::MARK)?)?;
            Some((origin, *next))
        });
        Self {
            next: next.collect(),
        }
    }

    /// The form in which it is stored with the table.
    pub fn marks(&self) -> HashMap<String, i64> {
        self.next
            .iter()
            .map(|(origin, next)| (format!("{}{origin}", Self::MARK), *next))
            .collect()
    }

    /// Notes the record `origin`@`offset` and says whether it is new.
    pub fn is_new(&mut self, origin: TopicPartition, offset: Offset) -> bool {
        let next = self.next.entry(origin).or_insert(0);
        let is_new = offset >= *next;
        *next = (*next).max(offset + 1);
        is_new
    }

    /// Takes over what `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        for (origin, offset) in &other.next {
            let next = self.next.entry(origin.clone()).or_insert(0);
            *next = (*next).max(*offset);
        }
    }
}

/// Rows of one table in the making.
#[derive(Debug)]
pub enum RowBuilder {
    /// Rows of a stream's table.
    Events(ColumnBuilder),
    /// Rows of `dead_letters`.
    DeadLetters(DeadLetterBuilder),
}

impl RowBuilder {
    /// No rows of `table` yet.
    ///
    /// # Panics
    /// For a view or the runs of jobs: no topic holds their rows.
    pub fn new(table: Table) -> Self {
        match table {
            Table::View(view) | Table::Draft(view) => {
                panic!("{view} is computed, not read from the log")
            }
            Table::Stream(stream) => Self::Events(ColumnBuilder::new(stream)),
            Table::DeadLetters => Self::DeadLetters(DeadLetterBuilder::new()),
            Table::JobRuns => panic!("{table} is written by runs, not read from the log"),
        }
    }

    /// Adds the record as a row and returns the row's date, days since the epoch. An
    /// event that cannot be decoded adds none and is returned as the error; of a dead
    /// letter that `seen` knows already nothing is added either.
    pub fn push(
        &mut self,
        from: &TopicPartition,
        record: &Record,
        seen: &mut SeenOrigins,
    ) -> Result<Option<i32>, DecodeError> {
        let origin = Origin {
            partition: from.partition,
            offset: record.offset,
            appended_at_us: record.appended_at_us,
        };
        match self {
            Self::Events(columns) => {
                let event = decode(columns.stream(), &record.value, record.appended_at_us)?;
                columns.push(&event, &origin);
                Ok(Some(date_of(event.timestamp_us)))
            }
            Self::DeadLetters(letters) => {
                let Some(letter) = first_of(from, record, seen) else {
                    return Ok(None);
                };
                letters.push(&letter, &origin);
                Ok(Some(date_of(letter.appended_at_us)))
            }
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Events(columns) => columns.len(),
            Self::DeadLetters(letters) => letters.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes of memory the rows take.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Events(columns) => columns.bytes(),
            Self::DeadLetters(letters) => letters.bytes(),
        }
    }

    /// Takes the rows out.
    pub fn finish(&mut self) -> RecordBatch {
        match self {
            Self::Events(columns) => columns.finish(),
            Self::DeadLetters(letters) => letters.finish(),
        }
    }
}

/// The dead letter in `record`, unless it is a repeat. One that was refused before
/// it was in the log is appended once and has no origin. A record without the
/// headers was put there by hand: its own place is its origin.
fn first_of(from: &TopicPartition, record: &Record, seen: &mut SeenOrigins) -> Option<DeadLetter> {
    match DeadLetter::from_record(&record.headers, record.value.clone(), record.appended_at_us) {
        Ok(letter) => {
            let is_new = letter.origin.is_none_or(|(partition, offset)| {
                let origin = TopicPartition::new(letter.topic.as_str(), partition);
                seen.is_new(origin, offset)
            });
            is_new.then_some(letter)
        }
        Err(error) => Some(DeadLetter {
            topic: from.topic.to_string(),
            origin: Some((from.partition, record.offset)),
            stage: "unknown".to_owned(),
            message: error.to_string(),
            value: record.value.clone(),
            appended_at_us: record.appended_at_us,
        }),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn record(offset: Offset, letter: &DeadLetter) -> Record {
        Record {
            offset,
            key: None,
            value: letter.value.clone(),
            headers: letter.to_headers(),
            appended_at_us: 1,
        }
    }

    #[test]
    fn repeats_are_told_by_origin_and_letters_without_one_never_repeat() {
        let from = TopicPartition::new("gps_data.dlq", 0);
        let letter = |origin| DeadLetter {
            topic: "gps_data".into(),
            origin,
            stage: "decode".into(),
            message: "no".into(),
            value: Bytes::from_static(b"{}"),
            appended_at_us: 1,
        };
        let mut rows = RowBuilder::new(Table::DeadLetters);
        let mut seen = SeenOrigins::default();
        let origins = [Some((0, 7)), None, Some((0, 7)), None, Some((0, 8))];
        for (offset, origin) in origins.into_iter().enumerate() {
            rows.push(&from, &record(offset as Offset, &letter(origin)), &mut seen)
                .expect("a dead letter is always a row or none");
        }
        assert_eq!(rows.len(), 4);
        let next: Vec<_> = seen.marks().into_values().collect();
        assert_eq!(next, [9]);
    }
}
