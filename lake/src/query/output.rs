//! Query results as bytes: JSON, CSV, NDJSON, Arrow, Parquet, text table.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{JsonArray, LineDelimited, WriterBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use futures::stream::BoxStream;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::query::{QueryError, QueryResult};

/// How rows leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// `{"columns":[{"name","type"}],"rows":[{..}],"row_count":n,"elapsed_ms":n}`
    #[default]
    Json,
    /// With a header line.
    Csv,
    /// One JSON object a line.
    Ndjson,
    /// Arrow IPC stream.
    Arrow,
    /// One Parquet file.
    Parquet,
    /// Text table for people.
    Table,
}

impl Format {
    /// Every format, in the order in which they are listed to people.
    pub const ALL: [Format; 6] = [
        Format::Json,
        Format::Csv,
        Format::Ndjson,
        Format::Arrow,
        Format::Parquet,
        Format::Table,
    ];

    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Ndjson => "ndjson",
            Format::Arrow => "arrow",
            Format::Parquet => "parquet",
            Format::Table => "table",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// The media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Csv => "text/csv; charset=utf-8",
            Format::Ndjson => "application/x-ndjson",
            Format::Arrow => "application/vnd.apache.arrow.stream",
            Format::Parquet => "application/vnd.apache.parquet",
            Format::Table => "text/plain; charset=utf-8",
        }
    }

    /// The format whose media type that is, parameters aside.
    pub fn from_content_type(media_type: &str) -> Option<Self> {
        let essence = |text: &str| {
            text.split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        };
        Self::ALL
            .into_iter()
            .find(|format| essence(format.content_type()) == essence(media_type))
    }
}

/// Renders a result as it comes, one item a batch. `started` is when the query
/// came in. The first item comes with the first batch, so that a caller who looks
/// at it before answering can still answer with an error. After an error nothing
/// follows.
pub fn encode(
    format: Format,
    schema: SchemaRef,
    mut rows: SendableRecordBatchStream,
    started: Instant,
) -> BoxStream<'static, QueryResult<Bytes>> {
    Box::pin(async_stream::try_stream! {
        let mut encoder = Encoder::new(format, unique_names(&schema), started)?;
        while let Some(batch) = rows.next().await {
            let bytes = encoder.batch(batch?)?;
            if !bytes.is_empty() {
                yield bytes;
            }
        }
        let rest = encoder.finish()?;
        if !rest.is_empty() {
            yield rest;
        }
    })
}

/// Renders a whole result; for results that are known to be small.
pub async fn encode_all(
    format: Format,
    schema: SchemaRef,
    rows: SendableRecordBatchStream,
    started: Instant,
) -> QueryResult<Vec<u8>> {
    let mut parts = encode(format, schema, rows, started);
    let mut bytes = Vec::new();
    while let Some(part) = parts.next().await {
        bytes.extend_from_slice(&part?);
    }
    Ok(bytes)
}

/// Two columns of one name (of a join) would be one JSON field: the second gets a number.
pub(crate) fn unique_names(schema: &Schema) -> SchemaRef {
    let mut taken = HashSet::new();
    let fields = schema.fields().iter().map(|field| {
        let mut name = field.name().clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{}_{number}", field.name());
            number += 1;
        }
        field.as_ref().clone().with_name(name)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

enum Kind {
    Json { started: Instant, rows: usize },
    Ndjson,
    Csv { header_due: bool },
    Arrow(Box<StreamWriter<Vec<u8>>>),
    Parquet(Box<ArrowWriter<Vec<u8>>>),
    Table(Vec<RecordBatch>),
}

struct Encoder {
    schema: SchemaRef,
    kind: Kind,
}

impl Encoder {
    fn new(format: Format, schema: SchemaRef, started: Instant) -> QueryResult<Self> {
        let kind = match format {
            Format::Json => Kind::Json { started, rows: 0 },
            Format::Ndjson => Kind::Ndjson,
            Format::Csv => Kind::Csv { header_due: true },
            Format::Arrow => Kind::Arrow(Box::new(
                StreamWriter::try_new(Vec::new(), &schema).map_err(arrow_error)?,
            )),
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .build();
                let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties));
                Kind::Parquet(Box::new(
                    writer.map_err(|error| QueryError::Internal(error.to_string()))?,
                ))
            }
            Format::Table => Kind::Table(Vec::new()),
        };
        Ok(Self { schema, kind })
    }

    fn batch(&mut self, batch: RecordBatch) -> QueryResult<Bytes> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(
            self.schema.clone(),
            batch.columns().to_vec(),
            &options,
        )
        .map_err(arrow_error)?;
        match &mut self.kind {
            Kind::Json { rows, .. } => {
                let mut bytes = if *rows == 0 {
                    head(&self.schema)
                } else {
                    Vec::new()
                };
                append_objects(&mut bytes, &batch, *rows == 0).map_err(arrow_error)?;
                *rows += batch.num_rows();
                Ok(bytes.into())
            }
            Kind::Ndjson => ndjson(&batch).map_err(arrow_error),
            Kind::Csv { header_due } => {
                let bytes = csv(&batch, *header_due).map_err(arrow_error)?;
                *header_due = false;
                Ok(bytes)
            }
            Kind::Arrow(writer) => {
                writer.write(&batch).map_err(arrow_error)?;
                Ok(std::mem::take(writer.get_mut()).into())
            }
            Kind::Parquet(writer) => {
                writer.write(&batch).map_err(parquet_error)?;
                // Finished row groups leave; the writer counts what it wrote itself.
                Ok(std::mem::take(writer.inner_mut()).into())
            }
            Kind::Table(batches) => {
                batches.push(batch);
                Ok(Bytes::new())
            }
        }
    }

    fn finish(self) -> QueryResult<Bytes> {
        match self.kind {
            Kind::Json { started, rows } => {
                let mut bytes = if rows == 0 {
                    head(&self.schema)
                } else {
                    Vec::new()
                };
                let elapsed_ms = started.elapsed().as_millis();
                bytes.extend_from_slice(
                    format!("],\"row_count\":{rows},\"elapsed_ms\":{elapsed_ms}}}").as_bytes(),
                );
                Ok(bytes.into())
            }
            Kind::Ndjson => Ok(Bytes::new()),
            Kind::Csv { header_due: false } => Ok(Bytes::new()),
            Kind::Csv { header_due: true } => {
                csv(&RecordBatch::new_empty(self.schema), true).map_err(arrow_error)
            }
            Kind::Arrow(writer) => Ok(writer.into_inner().map_err(arrow_error)?.into()),
            Kind::Parquet(writer) => Ok(writer.into_inner().map_err(parquet_error)?.into()),
            Kind::Table(mut batches) => {
                if batches.is_empty() {
                    batches.push(RecordBatch::new_empty(self.schema));
                }
                Ok(format!(
                    "{}\n",
                    pretty_format_batches(&batches).map_err(arrow_error)?
                )
                .into())
            }
        }
    }
}

fn head(schema: &Schema) -> Vec<u8> {
    let columns: Vec<_> = schema
        .fields()
        .iter()
        .map(
            |field| serde_json::json!({"name": field.name(), "type": type_name(field.data_type())}),
        )
        .collect();
    format!(
        "{{\"columns\":{},\"rows\":[",
        serde_json::Value::from(columns)
    )
    .into_bytes()
}

/// The SQL name of a type, for people and for clients that have no Arrow.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "integer".to_owned(),
        DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => "bigint".to_owned(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "double".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        DataType::Null => "null".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

/// Appends the rows as JSON objects, with commas between them.
fn append_objects(
    bytes: &mut Vec<u8>,
    batch: &RecordBatch,
    is_first: bool,
) -> Result<(), ArrowError> {
    if batch.num_rows() == 0 {
        return Ok(());
    }
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, JsonArray>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    let array = writer.into_inner();
    if !is_first {
        bytes.push(b',');
    }
    // Between the brackets of the array.
    bytes.extend_from_slice(&array[1..array.len() - 1]);
    Ok(())
}

pub(crate) fn ndjson(batch: &RecordBatch) -> Result<Bytes, ArrowError> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner().into())
}

pub(crate) fn csv(batch: &RecordBatch, with_header: bool) -> Result<Bytes, ArrowError> {
    let mut bytes = Vec::new();
    let batch = flat(batch)?;
    let mut writer = arrow::csv::WriterBuilder::new()
        .with_header(with_header)
        .build(&mut bytes);
    writer.write(&batch)?;
    drop(writer);
    Ok(bytes.into())
}

/// CSV has no lists: they become text.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if field.data_type().is_nested() {
            columns.push(Arc::new(displayed(column.as_ref())?) as ArrayRef);
            fields.push(field.as_ref().clone().with_data_type(DataType::Utf8));
        } else {
            columns.push(column.clone());
            fields.push(field.as_ref().clone());
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn displayed(column: &dyn Array) -> Result<StringArray, ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let text = |row| {
        column
            .is_valid(row)
            .then(|| formatter.value(row).to_string())
    };
    Ok((0..column.len()).map(text).collect())
}

fn arrow_error(error: ArrowError) -> QueryError {
    QueryError::Internal(error.to_string())
}

fn parquet_error(error: parquet::errors::ParquetError) -> QueryError {
    QueryError::Internal(error.to_string())
}
