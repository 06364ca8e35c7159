//! How rows become a Parquet file.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use uuid::Uuid;

use crate::Table;
use crate::layout::{Gather, Order, ROW_GROUP_MIN_ROWS, properties};
use crate::snapshot::{DATE, NewFile};
use crate::statistics::FileStatistics;

/// Rows are put in order and encoded in pieces of this many, so that the ordered
/// copy stays small and in the processor's cache.
const PIECE_ROWS: usize = 16_384;

/// A file in the making. Takes CPU time: use it where blocking is allowed.
pub(crate) struct FileEncoder {
    table: Table,
    date: String,
    writer: ArrowWriter<Vec<u8>>,
    schema: SchemaRef,
    drained_bytes: u64,
}

impl FileEncoder {
    /// Begins a file of rows of `date` (`YYYY-MM-DD`), which lies in the path and
    /// so not in `schema`.
    pub(crate) fn new(table: Table, date: String, schema: SchemaRef) -> Result<Self, ParquetError> {
        let properties = properties(&schema);
        Ok(Self {
            table,
            date,
            schema: schema.clone(),
            writer: ArrowWriter::try_new(Vec::new(), schema, Some(properties))?,
            drained_bytes: 0,
        })
    }

    /// Adds the rows of `batches` that `order` names, in that order.
    pub(crate) fn write(
        &mut self,
        batches: &[RecordBatch],
        order: &Order,
    ) -> Result<(), ParquetError> {
        let gather = Gather::of(batches);
        for block in &order.blocks {
            if self.writer.in_progress_rows() >= ROW_GROUP_MIN_ROWS {
                self.writer.flush()?;
            }
            for piece in order.rows[block.clone()].chunks(PIECE_ROWS) {
                self.writer.write(&gather.rows(piece)?)?;
            }
        }
        Ok(())
    }

    /// What comes next lies apart from what was written until now.
    pub(crate) fn end_row_group(&mut self) -> Result<(), ParquetError> {
        self.writer.flush()
    }

    /// What is encoded so far and was not taken yet.
    pub(crate) fn take_bytes(&mut self) -> Result<Bytes, ParquetError> {
        self.writer.sync()?;
        let bytes = Bytes::from(std::mem::take(self.writer.inner_mut()));
        self.drained_bytes += bytes.len() as u64;
        Ok(bytes)
    }

    /// About how large the file is by now, what is still to be encoded included.
    pub(crate) fn size_bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Ends the file: the bytes that were not taken yet, and how a commit names it.
    /// Where it has no `name` yet, it gets one.
    pub(crate) fn finish(mut self, name: Option<String>) -> Result<(Bytes, NewFile), ParquetError> {
        let footer = self.writer.finish()?;
        self.writer.sync()?;
        let bytes = Bytes::from(std::mem::take(self.writer.inner_mut()));
        let statistics = FileStatistics::of(self.schema, &footer)?;
        let name = name.unwrap_or_else(|| new_name(self.table, &statistics));
        let file = NewFile {
            path: format!("{DATE}={}/{name}", self.date),
            size_bytes: self.drained_bytes + bytes.len() as u64,
            rows: statistics.rows(),
            date_text: self.date,
            statistics_json: statistics.to_json(),
        };
        Ok((bytes, file))
    }
}

/// A name that no other file has. `p0-3`: which log partitions the rows are from, for
/// people who look at the folder.
fn new_name(table: Table, statistics: &FileStatistics) -> String {
    let partitions = match statistics.whole_bounds("log_partition") {
        Some((low, high)) => format!("p{low}-{high}"),
        None => "p".to_owned(),
    };
    format!("{table}-{partitions}-{}.parquet", Uuid::new_v4())
}

/// The columns that lie in a file.
pub(crate) fn without_date(rows: &RecordBatch) -> RecordBatch {
    let mut in_file = rows.clone();
    if let Ok(date) = rows.schema().index_of(DATE) {
        in_file.remove_column(date);
    }
    in_file
}

/// Encodes the rows that `order` names, all of one date, as a whole file.
pub(crate) fn encode_file(
    table: Table,
    date: String,
    batches: &[RecordBatch],
    order: &Order,
) -> Result<(Bytes, NewFile), ParquetError> {
    let first = batches
        .first()
        .ok_or(ParquetError::General("no rows".to_owned()))?;
    let mut file = FileEncoder::new(table, date, Arc::clone(first.schema_ref()))?;
    file.write(batches, order)?;
    file.finish(None)
}
