//! How columns are encoded, chosen by what their values are. Measured in
//! `bench/benches/batch.rs`; docs/lake.md has the figures.

use arrow::datatypes::{DataType, Schema};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

/// Most rows of a row group.
const ROW_GROUP_ROWS: usize = 262_144;
/// A row group ends with its block of time once it has this many rows.
pub(crate) const ROW_GROUP_MIN_ROWS: usize = 131_072;
/// Small enough that a vehicle's three hours do not bring many others along, and that
/// a page of a vehicle that reports each second is from a small part of the map. Half
/// of it makes files 8 % larger, twice of it reads nearly twice as much.
const PAGE_ROWS: usize = 2_048;
/// Distinct devices expected in one row group.
const BLOOM_DISTINCT: u64 = 4_096;
const BLOOM_FALSE_POSITIVES: f64 = 0.02;
/// Level 3 makes larger files of this: ids, half of the bytes, suit level 1 better.
const ZSTD_LEVEL: i32 = 1;

/// The writer's properties for files of these columns.
pub(crate) fn properties(schema: &Schema) -> WriterProperties {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default();
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("citypulse version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page)
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
        ("device_id", _) => builder
            .set_column_bloom_filter_enabled(path.clone(), true)
            .set_column_bloom_filter_fpp(path.clone(), BLOOM_FALSE_POSITIVES)
            .set_column_bloom_filter_max_ndv(path, BLOOM_DISTINCT),
        // No two are equal, but neighbours of one device begin alike. Bounds of
        // random texts skip nothing.
        ("id", DataType::Utf8) => builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path.clone(), Encoding::DELTA_BYTE_ARRAY)
            .set_column_statistics_enabled(path, EnabledStatistics::Chunk),
        ("extra" | "value" | "message" | "aggregate", _) => {
            builder.set_column_dictionary_enabled(path, false)
        }
        // No two fixes are quite alike: equal bytes of neighbours go together.
        ("latitude" | "longitude", DataType::Float64) => builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT),
        // Records that came together have the same: they are found as repeats.
        ("appended_at", _) => builder.set_column_dictionary_enabled(path, false),
        // Neighbours are equal or differ by little, which takes no dictionary to say.
        (_, DataType::Timestamp(..) | DataType::Int32)
        | ("log_offset" | "offset", DataType::Int64) => builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
        _ => builder,
    }
}
