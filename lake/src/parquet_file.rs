//! How rows become Parquet files.
//!
//! One file a date, sorted by device and time, so that one vehicle's day lies
//! together; page index, bloom filter on the device, zstd.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{
    SortColumn, concat_batches, lexsort_to_indices, max, min, partition, take_record_batch,
};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use uuid::Uuid;

use crate::snapshot::{DATE, NewFile};
use crate::statistics::{format_date, write};
use crate::{Error, Result, Table};

/// Small enough that one vehicle's rows are a fraction of a group's pages.
const ROW_GROUP_ROWS: usize = 262_144;
const PAGE_ROWS: usize = 20_000;
/// Distinct devices expected in one row group.
const BLOOM_DISTINCT: u64 = 4_096;

/// A file in memory.
pub(crate) struct EncodedFile {
    pub(crate) file: NewFile,
    pub(crate) bytes: Bytes,
}

/// Sorts the rows and encodes one file a date. Takes CPU time: call it where
/// blocking is allowed.
pub(crate) fn encode(table: Table, batches: &[RecordBatch]) -> Result<Vec<EncodedFile>> {
    let Some(first) = batches.first() else {
        return Ok(Vec::new());
    };
    let refused = |reason: String| Error::Schema {
        table: table.name().to_owned(),
        reason,
    };
    let rows = sorted(&first.schema(), batches).map_err(|error| refused(error.to_string()))?;
    let Ok(date_index) = rows.schema().index_of(DATE) else {
        return Err(refused("the rows have no date column".to_owned()));
    };
    let dates = rows.column(date_index).clone();
    let ranges = partition(&[dates.clone()])
        .map_err(|error| refused(error.to_string()))?
        .ranges();
    let mut in_file = rows;
    in_file.remove_column(date_index);
    ranges
        .into_iter()
        .map(|range| {
            let slice = in_file.slice(range.start, range.len());
            let date =
                date_text(&dates, &range).ok_or_else(|| refused("a row has no date".to_owned()))?;
            encode_date(table, &slice, date).map_err(|error| refused(error.to_string()))
        })
        .collect()
}

fn sorted(
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> std::result::Result<RecordBatch, ArrowError> {
    let rows = concat_batches(schema, batches)?;
    let columns: Vec<SortColumn> = [
        DATE,
        "device_id",
        "timestamp",
        "log_partition",
        "log_offset",
    ]
    .iter()
    .filter_map(|name| rows.column_by_name(name))
    .map(|values| SortColumn {
        values: values.clone(),
        options: None,
    })
    .collect();
    take_record_batch(&rows, &lexsort_to_indices(&columns, None)?)
}

fn date_text(dates: &ArrayRef, range: &Range<usize>) -> Option<String> {
    let dates = dates.as_primitive_opt::<Date32Type>()?;
    if dates.is_null(range.start) {
        None
    } else {
        format_date(dates.value(range.start))
    }
}

fn encode_date(
    table: Table,
    rows: &RecordBatch,
    date: String,
) -> std::result::Result<EncodedFile, ParquetError> {
    let mut writer =
        ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties(&rows.schema())))?;
    writer.write(rows)?;
    let bytes = Bytes::from(writer.into_inner()?);
    let name = format!(
        "{table}-{}-{}.parquet",
        partition_range(rows),
        Uuid::new_v4()
    );
    let file = NewFile {
        path: format!("{DATE}={date}/{name}"),
        size_bytes: bytes.len() as u64,
        rows: rows.num_rows() as u64,
        date_text: date,
        statistics_json: write(rows),
    };
    Ok(EncodedFile { file, bytes })
}

/// `p0-3`: which log partitions the rows are from, for people who look at the folder.
fn partition_range(rows: &RecordBatch) -> String {
    let partitions = rows
        .column_by_name("log_partition")
        .and_then(|column| column.as_primitive_opt::<Int32Type>());
    match partitions.and_then(|values| Some((min(values)?, max(values)?))) {
        Some((low, high)) => format!("p{low}-{high}"),
        None => "p".to_owned(),
    }
}

fn properties(schema: &Arc<Schema>) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("citypulse version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_enabled(true);
    for field in schema.fields() {
        let path = ColumnPath::from(field.name().as_str());
        builder = column_properties(builder, path, field.name(), field.data_type());
    }
    builder.build()
}

fn column_properties(
    builder: WriterPropertiesBuilder,
    path: ColumnPath,
    name: &str,
    data_type: &DataType,
) -> WriterPropertiesBuilder {
    match (name, data_type) {
        ("device_id", _) => {
            let builder = builder.set_column_bloom_filter_enabled(path.clone(), true);
            builder.set_column_bloom_filter_max_ndv(path, BLOOM_DISTINCT)
        }
        // No two are equal: a dictionary would hold every one of them.
        ("id" | "extra" | "value", _) => builder.set_column_dictionary_enabled(path, false),
        // Neighbours differ by little.
        (_, DataType::Timestamp(..)) | ("log_offset", _) => builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
        _ => builder,
    }
}
