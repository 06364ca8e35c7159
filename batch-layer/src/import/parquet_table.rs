//! Any Parquet file as a table of text: what its columns mean is for the caller to say.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

const BATCH_ROWS: usize = 8_192;
const MAGIC: &[u8] = b"PAR1";

/// Whether `path` is a Parquet file, by its first bytes.
///
/// # Errors
/// Where the file cannot be read.
pub fn is_parquet(path: &Path) -> std::io::Result<bool> {
    let mut start = Vec::with_capacity(MAGIC.len());
    File::open(path)?
        .take(MAGIC.len() as u64)
        .read_to_end(&mut start)?;
    Ok(start == MAGIC)
}

/// A Parquet file, read row by row: numbers as they are written, times as RFC 3339, lists
/// and structures as JSON.
pub struct ParquetTable {
    batches: ParquetRecordBatchReader,
    names: Vec<String>,
    /// Their types in the file.
    types: Vec<DataType>,
    /// The columns of the batch in work.
    values: Vec<StringArray>,
    /// Its rows, and how many of them were taken.
    batch_rows: usize,
    taken: usize,
    row: u64,
    read: Arc<AtomicU64>,
    total_rows: u64,
}

impl ParquetTable {
    /// Opens `path`.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn open(path: &Path) -> Result<Self, String> {
        let refused = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let file = File::open(path).map_err(|error| refused(&error))?;
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| refused(&error))?;
        let total_rows = builder.metadata().file_metadata().num_rows().max(0) as u64;
        let fields = builder.schema().fields();
        let names = fields.iter().map(|field| field.name().clone()).collect();
        let types = fields.iter().map(|field| field.data_type().clone());
        let types = types.collect();
        let batches = builder
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|error| refused(&error))?;
        Ok(Self {
            batches,
            names,
            types,
            values: Vec::new(),
            batch_rows: 0,
            taken: 0,
            row: 0,
            read: Arc::default(),
            total_rows,
        })
    }

    /// How many rows the file has.
    pub fn total_rows(&self) -> u64 {
        self.total_rows
    }

    /// How many rows have been read; it goes on counting.
    pub fn rows_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// The columns' names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether a column is of text.
    pub fn is_text(&self, column: usize) -> bool {
        match &self.types[column] {
            DataType::Dictionary(_, values) => values.is_string(),
            data_type => data_type.is_string(),
        }
    }

    /// Whether a column is of lists or structures, which are JSON here.
    pub fn is_nested(&self, column: usize) -> bool {
        self.types[column].is_nested()
    }

    /// Moves on to the next row and tells its number, from 1; `None` after the last one.
    ///
    /// # Errors
    /// Where the file cannot be read on.
    pub fn advance(&mut self) -> Result<Option<u64>, ArrowError> {
        while self.taken == self.batch_rows {
            let Some(batch) = self.batches.next().transpose()? else {
                return Ok(None);
            };
            self.values = batch
                .columns()
                .iter()
                .map(as_text)
                .collect::<Result<_, _>>()?;
            self.batch_rows = batch.num_rows();
            self.taken = 0;
        }
        self.taken += 1;
        self.row += 1;
        self.read.store(self.row, Ordering::Relaxed);
        Ok(Some(self.row))
    }

    /// The row's value in that column; empty where it has none.
    pub fn value(&self, column: usize) -> &str {
        match (self.values.get(column), self.taken.checked_sub(1)) {
            (Some(values), Some(row)) if values.is_valid(row) => values.value(row),
            _ => "",
        }
    }
}

fn as_text(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let text = match column.data_type() {
        nested if nested.is_nested() => return as_json(column),
        // The instant counts, not the zone that it is to be shown in.
        DataType::Timestamp(unit, Some(_)) => {
            let instants = cast(column, &DataType::Int64)?;
            let utc = cast(&instants, &DataType::Timestamp(*unit, None))?;
            cast(&utc, &DataType::Utf8)?
        }
        _ => cast(column, &DataType::Utf8)?,
    };
    Ok(text.as_string::<i32>().clone())
}

fn as_json(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let schema = Schema::new(vec![Field::new("v", column.data_type().clone(), true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::clone(column)])?;
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(&batch)?;
    writer.finish()?;
    let lines = writer.into_inner();
    let lines =
        String::from_utf8(lines).map_err(|error| ArrowError::JsonError(error.to_string()))?;
    // `{"v":[1,2]}`, or `{}` where there is none.
    let value = |line: &str| Some(line.strip_prefix("{\"v\":")?.strip_suffix('}')?.to_owned());
    Ok(lines.lines().map(value).collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Date32Array, Float32Array, Float64Array, Int64Array, ListArray, TimestampNanosecondArray,
    };
    use arrow::datatypes::Float64Type;
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn table(folder: &tempfile::TempDir, columns: Vec<(&str, ArrayRef)>) -> ParquetTable {
        let path = folder.path().join("part-0.parquet");
        let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
        let file = File::create(&path).expect("a file");
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
        writer.write(&batch).expect("written");
        writer.close().expect("closed");
        assert!(is_parquet(&path).expect("readable"));
        ParquetTable::open(&path).expect("a table")
    }

    #[test]
    fn values_of_every_type_are_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let noon_ns = 1_700_049_600_123_456_789;
        let zoned = TimestampNanosecondArray::from(vec![Some(noon_ns), None]);
        let points = [Some(vec![Some(57.7), Some(11.97)]), None];
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("day", Arc::new(Date32Array::from(vec![20_454, 20_455]))),
            ("at", Arc::new(zoned.with_timezone("Europe/Stockholm"))),
            ("whole", Arc::new(Int64Array::from(vec![Some(-7), None]))),
            ("single", Arc::new(Float32Array::from(vec![57.7, 0.5]))),
            ("double", Arc::new(Float64Array::from(vec![1.7e9, 31.5]))),
            ("name", Arc::new(StringArray::from(vec!["007", "a\"b"]))),
            (
                "point",
                Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(points)),
            ),
        ];
        let mut table = table(&folder, columns);
        assert_eq!(table.total_rows(), 2);
        let mut rows = Vec::new();
        while let Some(row) = table.advance().expect("readable") {
            let values = (0..table.names().len()).map(|column| table.value(column).to_owned());
            rows.push((row, values.collect::<Vec<_>>()));
        }
        let first = [
            "2026-01-01",
            "2023-11-15T12:00:00.123456789",
            "-7",
            "57.7",
            "1700000000.0",
            "007",
            "[57.7,11.97]",
        ];
        let second = ["2026-01-02", "", "", "0.5", "31.5", "a\"b", ""];
        assert_eq!(rows[0], (1, first.map(str::to_owned).to_vec()));
        assert_eq!(rows[1], (2, second.map(str::to_owned).to_vec()));
        assert!(table.is_text(5) && !table.is_text(2) && table.is_nested(6));
        assert_eq!(table.rows_read().load(Ordering::Relaxed), 2);
    }
}
