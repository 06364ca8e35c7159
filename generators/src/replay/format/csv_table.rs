//! CSV with a header, read record by record. The header's line tells what is between
//! fields: commas, semicolons, tabs or bars.

use std::io::{self, BufRead, Read};

use csv::ByteRecord;

use crate::replay::ReplayError;
use crate::replay::input::Content;
use crate::replay::records::{Advanced, Form, Records, csv_line};

/// A record is not longer; a quote that is never closed would otherwise take in
/// the rest of the file.
const RECORD_BYTES_MAX: u64 = 4 << 20;
/// Is read after the content, as a record of its own; where it is part of another one,
/// the content ended within quotes.
const END: &[u8] = b"\n\x1aend of content\x1a";
const DELIMITERS: [u8; 4] = *b",;\t|";

struct CsvTable {
    reader: csv::Reader<Limited>,
    headers: Vec<String>,
    record: ByteRecord,
    /// The first record was looked at, and comes next.
    is_ahead: bool,
}

struct Limited {
    content: Content,
    /// Bytes that the record may still take.
    left_bytes: u64,
    /// What is to be read of [`END`].
    end: &'static [u8],
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        if count == 0 {
            return self.end.read(buffer);
        }
        if self.left_bytes == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.left_bytes = self.left_bytes.saturating_sub(count as u64);
        Ok(count)
    }
}

/// What is between the fields of a header.
pub(crate) fn delimiter(header: &[u8]) -> u8 {
    let unquoted = header.split(|byte| *byte == b'"').step_by(2).flatten();
    let mut counts = [0; DELIMITERS.len()];
    for byte in unquoted {
        if let Some(which) = DELIMITERS.iter().position(|delimiter| delimiter == byte) {
            counts[which] += 1;
        }
    }
    // Of several that are as frequent the last one counts, which is the comma.
    let most = (0..DELIMITERS.len())
        .rev()
        .max_by_key(|which| counts[*which]);
    DELIMITERS[most.unwrap_or(0)]
}

/// The table in `content`.
pub(crate) fn open(mut content: Content) -> Result<Box<dyn Records>, ReplayError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        ReplayError::Format(format!("cannot read the header: {error}"))
    };
    let start = content.fill_buf().map_err(|error| unreadable(&error))?;
    let header = start
        .split(|byte| *byte == b'\n')
        .find(|line| !line.trim_ascii().is_empty())
        .unwrap_or_default();
    let delimiter = delimiter(header);
    let limited = Limited {
        content,
        left_bytes: RECORD_BYTES_MAX,
        end: END,
    };
    let reader = csv::ReaderBuilder::new()
        .flexible(true)
        .has_headers(false)
        .delimiter(delimiter)
        .buffer_capacity(64 << 10)
        .from_reader(limited);
    let mut table = CsvTable {
        reader,
        headers: Vec::new(),
        record: ByteRecord::new(),
        is_ahead: false,
    };
    table.read().map_err(|error| unreadable(&error))?;
    table.headers = table
        .record
        .iter()
        .map(|name| {
            let name = String::from_utf8_lossy(name);
            name.trim_start_matches('\u{feff}').trim().to_owned()
        })
        .collect();
    table
        .look_ahead()
        .map_err(|error| ReplayError::Format(error.to_string()))?;
    Ok(Box::new(table))
}

impl CsvTable {
    /// Reads the next record; its line, or `None` after the last one.
    fn read(&mut self) -> io::Result<Option<u64>> {
        let line = self.reader.position().line();
        self.reader.get_mut().left_bytes = RECORD_BYTES_MAX;
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(self.unreadable(line, error)),
        }
        let line = self.record.position().map_or(line, csv::Position::line);
        let is_at_end = self.reader.get_ref().end.is_empty();
        let last = self.record.iter().next_back().unwrap_or_default();
        match is_at_end && last.ends_with(&END[1..]) {
            true if self.record.len() == 1 && last.len() + 1 == END.len() => Ok(None),
            true => Err(self.unclosed(line)),
            false => Ok(Some(line)),
        }
    }

    fn unreadable(&self, line: u64, error: csv::Error) -> io::Error {
        let is_too_long = self.reader.get_ref().left_bytes == 0;
        match error.into_kind() {
            csv::ErrorKind::Io(_) if is_too_long => io::Error::other(format!(
                "line {line}: got a record of more than {RECORD_BYTES_MAX} bytes, expected less; \
                 a quote in it may not be closed"
            )),
            csv::ErrorKind::Io(error) => error,
            other => io::Error::other(format!("line {line}: {other:?}")),
        }
    }

    fn unclosed(&self, line: u64) -> io::Error {
        let column = self.record.len().saturating_sub(1);
        let before = self.record.iter().take(column).map(line_ends).sum::<u64>();
        let line = line + before;
        let name = match self.headers.get(column) {
            Some(name) => format!("column {name:?}"),
            None => format!("column {}", column + 1),
        };
        io::Error::other(format!(
            "line {line}, {name}: got a quote that nothing closes, expected another one after the field \
             (a quote within quotes is written twice)"
        ))
    }

    /// Some programs write a row's name before its fields, and none for it in the header.
    fn look_ahead(&mut self) -> io::Result<()> {
        self.is_ahead = self.read()?.is_some();
        let has_ends = [self.record.iter().next(), self.record.iter().next_back()]
            .iter()
            .all(|end| end.is_some_and(|value| !value.is_empty()));
        if self.is_ahead && has_ends && self.record.len() == self.headers.len() + 1 {
            self.headers.insert(0, "row".to_owned());
        }
        Ok(())
    }
}

impl Records for CsvTable {
    fn kind(&self) -> &'static str {
        "csv"
    }

    fn headers(&self) -> &[String] {
        &self.headers
    }

    fn form(&self, _column: usize) -> Form {
        Form::Untold
    }

    fn advance(&mut self) -> io::Result<Option<Advanced>> {
        let line = match std::mem::take(&mut self.is_ahead) {
            true => self.record.position().map(csv::Position::line),
            false => self.read()?,
        };
        let Some(line) = line else { return Ok(None) };
        let (count, expected) = (self.record.len(), self.headers.len());
        if count == expected {
            return Ok(Some((line, Ok(()))));
        }
        let cause = format!("got {count} fields, expected {expected}");
        match self.line_ends() {
            0 => Ok(Some((line, Err(format!("record: {cause}"))))),
            // One stray quote makes one record of many good lines.
            more => Err(io::Error::other(format!(
                "lines {line} to {}: a quote makes them one record: {cause}",
                line + more
            ))),
        }
    }

    fn value(&self, column: usize) -> &[u8] {
        self.record.get(column).unwrap_or_default()
    }

    fn line_ends(&self) -> u64 {
        self.record.iter().map(line_ends).sum()
    }

    fn line_of_csv(&self) -> Vec<u8> {
        csv_line(self.record.iter())
    }
}

fn line_ends(field: &[u8]) -> u64 {
    field.iter().filter(|byte| **byte == b'\n').count() as u64
}
