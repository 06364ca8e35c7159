//! A Parquet file as the reader of tables takes it.

use std::io;

use batch_layer::import::ParquetTable;
use generators::replay::{Advanced, Form, Records};

pub(super) struct FromParquet(pub ParquetTable);

impl Records for FromParquet {
    fn kind(&self) -> &'static str {
        "parquet"
    }

    fn headers(&self) -> &[String] {
        self.0.names()
    }

    fn form(&self, column: usize) -> Form {
        match (self.0.is_text(column), self.0.is_nested(column)) {
            (true, _) => Form::Text,
            (_, true) => Form::Json,
            _ => Form::Untold,
        }
    }

    fn advance(&mut self) -> io::Result<Option<Advanced>> {
        let row = self.0.advance().map_err(io::Error::other)?;
        Ok(row.map(|row| (row, Ok(()))))
    }

    fn value(&self, column: usize) -> &[u8] {
        self.0.value(column).as_bytes()
    }
}
