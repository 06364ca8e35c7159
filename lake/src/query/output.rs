//! Query results as bytes: JSON, CSV, NDJSON, Arrow, Parquet, text table.

use std::time::Instant;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use futures::stream::BoxStream;

use crate::query::QueryResult;

/// How rows leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `{"columns":[{"name","type"}],"rows":[{..}],"row_count":n,"elapsed_ms":n}`
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
    /// Reads `json`, `csv`, `ndjson`, `arrow`, `parquet` or `table`.
    pub fn from_name(_name: &str) -> Option<Self> {
        unimplemented!()
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
}

/// Renders a result as it comes. `started` is when the query came in. The first
/// item is produced with the first batch, so that a caller who looks at it before
/// answering can still answer with an error.
pub fn encode(
    _format: Format,
    _schema: SchemaRef,
    _stream: SendableRecordBatchStream,
    _started: Instant,
) -> BoxStream<'static, QueryResult<Bytes>> {
    unimplemented!()
}
