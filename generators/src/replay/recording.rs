//! A recording's rows as events, for those who take them without a wire between.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use events::{Event, decode};

use super::input::{self, ContentHash};
use super::records::Records;
use super::row::{Content, Outcome, Row};
use super::{Format, ReplayError, ReplayOptions, format};

/// The rows of one file, in its order. An error is the last item.
pub struct Recording {
    rows: format::Rows,
    extent: Extent,
    format: Format,
    hash: ContentHash,
}

/// Rows of a table; an error is the last item.
pub type RecordedRows = Box<dyn Iterator<Item = Result<RecordedRow, ReplayError>> + Send>;

/// The rows of a table in the file at `path`: `options` say what its columns mean.
///
/// # Errors
/// Where a column is missing, or what is said of them does not fit.
pub fn rows_of(
    table: Box<dyn Records>,
    path: PathBuf,
    options: &ReplayOptions,
) -> Result<RecordedRows, ReplayError> {
    let rows = format::rows_of(table, path, options)?;
    Ok(Box::new(rows.map(|row| row.map(RecordedRow))))
}

/// How far a [`Recording`] has been read; a clone follows it from elsewhere.
#[derive(Clone, Debug)]
pub struct Extent {
    read_bytes: Arc<AtomicU64>,
    /// Size of the file as stored; `None` on standard input.
    pub total_bytes: Option<u64>,
}

impl Extent {
    /// Bytes of the file read so far, as stored.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }
}

/// A row that is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// Field, value and what was expected.
    pub cause: String,
    /// The row as it is in the file, or as the event would have been.
    pub text: Bytes,
}

/// One row of a recording, read but not yet checked as an event.
pub struct RecordedRow(Row);

impl Recording {
    /// Opens the file that `options` name; their speed, shift and progress have no
    /// meaning here.
    ///
    /// # Errors
    /// Where the file cannot be read, or is not what its format says.
    pub fn open(options: &ReplayOptions) -> Result<Self, ReplayError> {
        let opened = input::open(&options.input)?;
        let extent = Extent {
            read_bytes: Arc::clone(&opened.read_bytes),
            total_bytes: opened.total_bytes,
        };
        let hash = opened.hash.clone();
        let format = format::of(&opened, options)?;
        let rows = format::rows(opened, format, options)?;
        Ok(Self {
            rows,
            extent,
            format,
            hash,
        })
    }

    /// Its format, told from its content where the options left that open.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The hash of its content: of all of it, once the last row was taken.
    pub fn hash(&self) -> ContentHash {
        self.hash.clone()
    }

    /// How far it has been read.
    pub fn extent(&self) -> Extent {
        self.extent.clone()
    }
}

impl Iterator for Recording {
    type Item = Result<RecordedRow, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.rows.next()?.map(RecordedRow))
    }
}

impl RecordedRow {
    /// Its line in the file, from 1, header included; the entity's number where
    /// the format has no lines.
    pub fn line(&self) -> u64 {
        self.0.line
    }

    /// The event; `None` where the row is nothing that the platform takes.
    /// `now_us` is the moment of taking it in: events far ahead of it are refused.
    ///
    /// # Errors
    /// Field, value and what was expected, with the row.
    pub fn into_event(self, now_us: i64) -> Result<Option<Event>, RefusedRow> {
        let text = self.0.text;
        match self.0.outcome {
            Outcome::Bad(cause) => Err(RefusedRow { cause, text }),
            Outcome::Skipped(_) => Ok(None),
            Outcome::Message(draft) => match draft.content {
                Content::Event(event) if needs_no_check(&event, now_us) => Ok(Some(*event)),
                _ => {
                    let stream = draft.stream;
                    checked(stream, draft.into_bytes(0), now_us)
                }
            },
        }
    }
}

/// What formats make of checked fields is valid but for its time and its name.
fn needs_no_check(event: &Event, now_us: i64) -> bool {
    (1..=128).contains(&event.device_id.len())
        && events::time::is_acceptable(event.timestamp_us, now_us)
}

fn checked(stream: events::Stream, value: Bytes, now_us: i64) -> Result<Option<Event>, RefusedRow> {
    decode(stream, &value, now_us)
        .map(Some)
        .map_err(|error| RefusedRow {
            cause: error.to_string(),
            text: value,
        })
}
