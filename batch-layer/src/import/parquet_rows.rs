//! Rows of any Parquet file, its columns named as fields.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray,
};
use arrow::compute::{cast, max};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use bytes::Bytes;
use events::{Event, Stream, decode};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use uuid::Uuid;

use super::{BadRow, ImportRow};

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

/// A Parquet file's rows. A column that has the name of a field, or is mapped to
/// one, is that field; the others are kept as they are called.
pub struct ParquetRows {
    batches: ParquetRecordBatchReader,
    stream: Stream,
    map: Vec<(String, String)>,
    set: Vec<(String, String)>,
    /// Of which ids are made where the file has none.
    name: String,
    ready: std::vec::IntoIter<ParquetRow>,
    row: u64,
    read: Arc<AtomicU64>,
    /// Rows of the whole file.
    total_rows: u64,
}

/// One row as the wire form's JSON.
pub struct ParquetRow {
    stream: Stream,
    row: u64,
    json: Bytes,
}

impl ParquetRows {
    /// Opens `path`, whose rows are of `stream`. `map` holds (field, column) pairs, `set`
    /// (field, value) pairs for every row.
    ///
    /// # Errors
    /// A sentence that names the file or the column.
    pub fn open(
        path: &Path,
        stream: Stream,
        map: &[(String, String)],
        set: &[(String, String)],
    ) -> Result<Self, String> {
        let refused = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let file = File::open(path).map_err(|error| refused(&error))?;
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| refused(&error))?;
        for (_, column) in map {
            if builder.schema().field_with_name(column).is_err() {
                let names: Vec<&str> = builder
                    .schema()
                    .fields()
                    .iter()
                    .map(|f| f.name().as_str())
                    .collect();
                let all = names.join(", ");
                return Err(refused(&format!(
                    "--map names column {column:?}; the file has {all}"
                )));
            }
        }
        let total_rows = builder.metadata().file_metadata().num_rows().max(0) as u64;
        let batches = builder
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|error| refused(&error))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            batches,
            stream,
            map: map.to_vec(),
            set: set.to_vec(),
            name: name.into_owned(),
            ready: Vec::new().into_iter(),
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

    fn rows_of(&mut self, batch: &RecordBatch) -> Result<Vec<ParquetRow>, ArrowError> {
        let named = renamed(batch, &self.map, &self.set)?;
        let has_id = named.schema().field_with_name("id").is_ok();
        let mut lines = LineDelimitedWriter::new(Vec::new());
        lines.write(&named)?;
        lines.finish()?;
        let text = Bytes::from(lines.into_inner());
        let mut rows = Vec::with_capacity(batch.num_rows());
        for line in text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            self.row += 1;
            let json = match has_id {
                true => text.slice_ref(line),
                false => with_id(line, &format!("parquet/{}/{}", self.name, self.row)),
            };
            rows.push(ParquetRow {
                stream: self.stream,
                row: self.row,
                json,
            });
        }
        self.read.store(self.row, Ordering::Relaxed);
        Ok(rows)
    }
}

impl Iterator for ParquetRows {
    type Item = Result<ParquetRow, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.ready.next() {
                return Some(Ok(row));
            }
            let rows = self.batches.next()?.and_then(|batch| self.rows_of(&batch));
            match rows {
                Ok(rows) => self.ready = rows.into_iter(),
                Err(error) => return Some(Err(format!("{}: {error}", self.name))),
            }
        }
    }
}

impl ImportRow for ParquetRow {
    fn line(&self) -> u64 {
        self.row
    }

    fn into_event(self, now_us: i64) -> Result<Option<Event>, BadRow> {
        decode(self.stream, &self.json, now_us)
            .map(Some)
            .map_err(|error| BadRow {
                cause: error.to_string(),
                text: self.json,
            })
    }
}

/// The same name gives the same id.
fn with_id(line: &[u8], name: &str) -> Bytes {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    let mut json = format!("{{\"id\":\"{id}\"").into_bytes();
    if line.len() > 2 {
        json.push(b',');
    }
    json.extend_from_slice(&line[1..]);
    json.into()
}

fn renamed(
    batch: &RecordBatch,
    map: &[(String, String)],
    set: &[(String, String)],
) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let mapped = map.iter().find(|(_, column)| column == field.name());
        let name = mapped.map_or(field.name().as_str(), |(field, _)| field.as_str());
        if set.iter().any(|(field, _)| field == name) {
            continue;
        }
        let column = as_field(name, column)?;
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    for (name, value) in set {
        let column = constant(name, value, batch.num_rows());
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// A number or truth value where the text is nothing else.
fn constant(field: &str, value: &str, rows: usize) -> ArrayRef {
    let is_name = matches!(field, "id" | "device_id");
    match (value.parse::<f64>(), value.parse::<bool>()) {
        (Ok(number), _) if number.is_finite() && !is_name => {
            Arc::new(Float64Array::from(vec![number; rows]))
        }
        (_, Ok(truth)) if !is_name => Arc::new(BooleanArray::from(vec![truth; rows])),
        _ => Arc::new(StringArray::from(vec![value; rows])),
    }
}

/// Names are text, and times are times, however the file keeps them.
fn as_field(name: &str, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match (name, column.data_type()) {
        ("id" | "device_id", data_type) if data_type.is_integer() => cast(column, &DataType::Utf8),
        ("timestamp", data_type) if data_type.is_integer() => {
            let whole = cast(column, &DataType::Int64)?;
            // Seconds below 1e11, milliseconds below 1e14, microseconds from there on.
            let unit = match max(whole.as_primitive::<Int64Type>()).unwrap_or(0) {
                ..100_000_000_000 => TimeUnit::Second,
                100_000_000_000..100_000_000_000_000 => TimeUnit::Millisecond,
                _ => TimeUnit::Microsecond,
            };
            cast(&whole, &DataType::Timestamp(unit, None))
        }
        _ => Ok(Arc::clone(column)),
    }
}
