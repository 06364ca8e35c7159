//! CSV with a header, read record by record.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::ByteRecord;

use crate::replay::ReplayError;
use crate::replay::input::Content;

/// A record is not longer; a quote that is never closed would otherwise take in
/// the rest of the file.
const RECORD_BYTES_MAX: u64 = 4 << 20;

pub(crate) struct Table {
    reader: csv::Reader<Limited>,
    /// Bytes that the record may still take.
    left_bytes: Arc<AtomicU64>,
    headers: Vec<String>,
    record: ByteRecord,
}

struct Limited {
    content: Content,
    left_bytes: Arc<AtomicU64>,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.content.read(buffer)?;
        let left_bytes = self.left_bytes.load(Ordering::Relaxed);
        if count > 0 && left_bytes == 0 {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                format!(
                    "a record is longer than {RECORD_BYTES_MAX} bytes; a quote may not be closed"
                ),
            ));
        }
        self.left_bytes
            .store(left_bytes.saturating_sub(count as u64), Ordering::Relaxed);
        Ok(count)
    }
}

/// One record's fields by column.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    record: &'a ByteRecord,
}

impl<'a> Fields<'a> {
    /// The field without blanks around it; empty where there is none. The error
    /// says that it is not text.
    pub fn text(self, column: usize) -> Result<&'a str, String> {
        let bytes = self.record.get(column).unwrap_or_default().trim_ascii();
        std::str::from_utf8(bytes).map_err(|_| {
            let shown = String::from_utf8_lossy(bytes);
            format!("column {}: got {shown:?}, expected UTF-8 text", column + 1)
        })
    }

    /// As [`Fields::text`]; the error names the field where it is empty.
    pub fn required(self, field: &str, column: usize) -> Result<&'a str, String> {
        match self.text(column)? {
            "" => Err(format!("field {field:?}: got nothing, expected a value")),
            text => Ok(text),
        }
    }
}

impl Table {
    pub fn new(content: Content) -> Result<Self, ReplayError> {
        let left_bytes = Arc::new(AtomicU64::new(RECORD_BYTES_MAX));
        let limited = Limited {
            content,
            left_bytes: left_bytes.clone(),
        };
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .buffer_capacity(64 << 10)
            .from_reader(limited);
        let headers = reader
            .byte_headers()
            .map_err(|error| ReplayError::Format(format!("cannot read the header: {error}")))?;
        let headers = headers
            .iter()
            .map(|name| {
                let name = String::from_utf8_lossy(name);
                name.trim_start_matches('\u{feff}').trim().to_owned()
            })
            .collect();
        Ok(Self {
            reader,
            left_bytes,
            headers,
            record: ByteRecord::new(),
        })
    }

    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// Where the column of that name is, in any case.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.headers
            .iter()
            .position(|header| header.eq_ignore_ascii_case(name))
    }

    /// Where a column that the format needs is.
    pub fn required(&self, name: &str) -> Result<usize, ReplayError> {
        self.position(name).ok_or_else(|| {
            ReplayError::Format(format!(
                "no column {name:?}; the header has {}",
                self.headers.join(", ")
            ))
        })
    }

    /// The record that was read last, as a line of CSV.
    pub fn record_text(&self) -> Vec<u8> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        // Writing to memory cannot fail.
        let _ = writer.write_byte_record(&self.record);
        let mut line = writer.into_inner().unwrap_or_default();
        line.truncate(line.trim_ascii_end().len());
        line
    }

    /// The next record with its line, or why it is none. `Err` where reading
    /// cannot go on.
    pub fn next_record(&mut self) -> std::io::Result<Option<(u64, Result<Fields<'_>, String>)>> {
        let line = self.reader.position().line();
        self.left_bytes.store(RECORD_BYTES_MAX, Ordering::Relaxed);
        match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => Ok(None),
            Ok(true) => {
                let line = self.record.position().map_or(line, csv::Position::line);
                let (count, expected) = (self.record.len(), self.headers.len());
                if count != expected {
                    let cause = format!("record: got {count} fields, expected {expected}");
                    return Ok(Some((line, Err(cause))));
                }
                let fields = Fields {
                    record: &self.record,
                };
                Ok(Some((line, Ok(fields))))
            }
            Err(error) => match error.into_kind() {
                csv::ErrorKind::Io(error) => Err(error),
                other => Err(std::io::Error::other(format!("{other:?}"))),
            },
        }
    }
}
