//! Records of named columns, whatever file they are in.

use std::io;

use super::ReplayError;
use super::format::shown;

/// How the values of a column are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The file does not say: `7` may be a number or a name.
    Untold,
    /// Text, also where it looks like a number.
    Text,
    /// JSON: a list or an object.
    Json,
}

/// A line from 1, and why the record there is none.
pub type Advanced = (u64, Result<(), String>);

/// A table that is read record by record, its values as text.
pub trait Records: Send {
    /// What the file is, for messages and for columns whose name is taken: `csv`.
    fn kind(&self) -> &'static str;

    /// The columns' names.
    fn headers(&self) -> &[String];

    /// How the values of a column are meant.
    fn form(&self, column: usize) -> Form;

    /// Moves on to the next record; `None` after the last one.
    ///
    /// # Errors
    /// Where reading cannot go on.
    fn advance(&mut self) -> io::Result<Option<Advanced>>;

    /// The current record's value in that column; empty where there is none.
    fn value(&self, column: usize) -> &[u8];

    /// How many ends of lines are within the current record, where the file has lines.
    fn line_ends(&self) -> u64 {
        0
    }

    /// The current record as a line of CSV.
    fn line_of_csv(&self) -> Vec<u8> {
        csv_line((0..self.headers().len()).map(|column| self.value(column)))
    }
}

/// A record's line with its fields, or why it is none.
pub(crate) type Record<'a> = (u64, Result<Fields<'a>, String>);

impl dyn Records + '_ {
    /// The next record; `None` after the last one.
    pub(crate) fn next_record(&mut self) -> io::Result<Option<Record<'_>>> {
        let Some((line, is_whole)) = self.advance()? else {
            return Ok(None);
        };
        Ok(Some((line, is_whole.map(|()| Fields(self)))))
    }

    /// Where the column of that name is, in any case.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.headers()
            .iter()
            .position(|header| header.eq_ignore_ascii_case(name))
    }

    /// Where a column that the format needs is.
    pub(crate) fn required(&self, name: &str) -> Result<usize, ReplayError> {
        self.position(name).ok_or_else(|| {
            let listed = self.headers().join(", ");
            ReplayError::Format(format!("no column {name:?}; the header has {listed}"))
        })
    }
}

/// One record's fields by column.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(&'a dyn Records);

impl<'a> Fields<'a> {
    /// The field without blanks around it; empty where there is none. The error
    /// says that it is not text.
    pub fn text(self, column: usize) -> Result<&'a str, String> {
        let bytes = self.0.value(column).trim_ascii();
        std::str::from_utf8(bytes).map_err(|_| {
            let got = shown(&String::from_utf8_lossy(bytes));
            format!("column {}: got {got}, expected UTF-8 text", column + 1)
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

pub(crate) fn csv_line<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing to memory cannot fail.
    let _ = writer.write_record(fields);
    let mut line = writer.into_inner().unwrap_or_default();
    line.truncate(line.trim_ascii_end().len());
    line
}
