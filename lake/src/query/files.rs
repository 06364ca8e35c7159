//! A snapshot's Parquet files as a plan: which of them a predicate leaves, and
//! what is known of them before they are opened.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, Field};
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;

use crate::snapshot::DATE;
use crate::{DataFile, Snapshot, Table};

/// Read with the end of each file, so that most footers need one request.
const FOOTER_BYTES: usize = 128 << 10;

/// Of a large file all cores read, each a part of about this size at a time.
const PART_BYTES: u64 = 16 << 20;

/// Under this URL a session finds the lake's own store.
pub(crate) fn store_url() -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse("lake://citypulse")
}

/// The plan that reads the snapshot's files, or `None` where the predicate leaves
/// none. `projection` counts in the columns of [`Snapshot::schema`].
pub(crate) fn files_plan(
    state: &dyn Session,
    table: Table,
    snapshot: &Snapshot,
    projection: Option<&Vec<usize>>,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    limit: Option<usize>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let files = remaining(snapshot, predicate.as_ref());
    if files.is_empty() {
        return Ok(None);
    }
    let date = Arc::new(Field::new(DATE, DataType::Date32, true));
    let schema = TableSchema::builder(snapshot.file_schema.clone())
        .with_table_partition_cols(vec![date])
        .build();
    let mut source = ParquetSource::new(schema.clone())
        .with_table_parquet_options(state.default_table_options().parquet)
        .with_metadata_size_hint(FOOTER_BYTES);
    if let Some(predicate) = predicate {
        // Column positions differ: in the scan the date comes last.
        let adapted = datafusion::physical_expr::utils::reassign_expr_columns(
            predicate,
            schema.table_schema(),
        )?;
        source = source.with_predicate(adapted);
    }
    let statistics = total(&files, snapshot);
    let parts = files.iter().flat_map(|file| parts(table, file));
    let group = FileGroup::new(parts.collect());
    let config = FileScanConfigBuilder::new(store_url()?, Arc::new(source))
        .with_file_groups(group.split_files(state.config().target_partitions()))
        .with_statistics(statistics)
        .with_projection_indices(Some(scan_projection(snapshot, projection)))?
        .with_limit(limit)
        .build();
    Ok(Some(DataSourceExec::from_data_source(config)))
}

/// Positions in the scan (file columns, then the date) of the wanted columns.
fn scan_projection(snapshot: &Snapshot, projection: Option<&Vec<usize>>) -> Vec<usize> {
    let in_scan = |index: usize| {
        let name = snapshot.schema.field(index).name();
        snapshot
            .file_schema
            .index_of(name)
            .unwrap_or(snapshot.file_schema.fields().len())
    };
    match projection {
        Some(indices) => indices.iter().copied().map(in_scan).collect(),
        None => (0..snapshot.schema.fields().len()).map(in_scan).collect(),
    }
}

/// The file in parts that are read side by side: a row group belongs to the part that it
/// begins in.
fn parts(table: Table, file: &DataFile) -> impl Iterator<Item = PartitionedFile> {
    let whole = PartitionedFile::new(format!("{table}/{}", file.path), file.size_bytes)
        .with_partition_values(vec![ScalarValue::Date32(file.date)])
        .with_statistics(file.statistics.clone());
    let size = file.size_bytes as i64;
    // Also one of a file without bytes.
    let count = file.size_bytes.div_ceil(PART_BYTES).max(1) as i64;
    (0..count).map(move |number| match count {
        1 => whole.clone(),
        _ => {
            let at = |number: i64| (number * PART_BYTES as i64).min(size);
            whole.clone().with_range(at(number), at(number + 1))
        }
    })
}

/// Rows and sizes of all files; exact where every writer gave them.
fn total(files: &[Arc<DataFile>], snapshot: &Snapshot) -> Statistics {
    let rows: Option<u64> = files.iter().map(|file| file.rows).sum();
    let size: u64 = files.iter().map(|file| file.size_bytes).sum();
    Statistics {
        num_rows: rows.map_or(Precision::Absent, |rows| Precision::Exact(rows as usize)),
        total_byte_size: Precision::Inexact(size as usize),
        column_statistics: vec![ColumnStatistics::new_unknown(); snapshot.schema.fields().len()],
    }
}

/// The files that may hold rows for which the predicate is true. A predicate that
/// says nothing about bounds leaves all of them.
fn remaining(snapshot: &Snapshot, predicate: Option<&Arc<dyn PhysicalExpr>>) -> Vec<Arc<DataFile>> {
    let files: Vec<Arc<DataFile>> = snapshot.files.values().cloned().collect();
    let Some(predicate) = predicate else {
        return files;
    };
    let pruning = PruningPredicateBuilder::new()
        .with_file_schema(snapshot.schema.clone())
        .build(predicate.clone());
    match pruning.map(|pruning| {
        pruning.prune(&FileBounds {
            files: &files,
            snapshot,
        })
    }) {
        Some(Ok(keep)) => files
            .into_iter()
            .zip(keep)
            .filter_map(|(file, keep)| keep.then_some(file))
            .collect(),
        _ => files,
    }
}

/// Bounds of each file's columns, as a pruning predicate asks for them.
struct FileBounds<'a> {
    files: &'a [Arc<DataFile>],
    snapshot: &'a Snapshot,
}

impl FileBounds<'_> {
    fn bounds(
        &self,
        column: &Column,
        pick: impl Fn(&ColumnStatistics) -> &Precision<ScalarValue>,
    ) -> Option<ArrayRef> {
        if column.name() == DATE {
            return ScalarValue::iter_to_array(
                self.files.iter().map(|file| ScalarValue::Date32(file.date)),
            )
            .ok();
        }
        let index = self.snapshot.file_schema.index_of(column.name()).ok()?;
        let data_type = self.snapshot.file_schema.field(index).data_type();
        let unknown = ScalarValue::try_from(data_type).ok()?;
        let values = self.files.iter().map(|file| {
            let statistics = file.statistics.column_statistics.get(index);
            statistics
                .and_then(|column| pick(column).get_value().cloned())
                .unwrap_or_else(|| unknown.clone())
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for FileBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |column| &column.min_value)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |column| &column.max_value)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let index = self.snapshot.file_schema.index_of(column.name()).ok()?;
        let counts = self.files.iter().map(|file| {
            let count = file
                .statistics
                .column_statistics
                .get(index)?
                .null_count
                .get_value()?;
            Some(*count as u64)
        });
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(
            self.files
                .iter()
                .map(|file| file.rows)
                .collect::<UInt64Array>(),
        ))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;

    use super::*;

    #[test]
    fn the_parts_of_a_file_are_all_of_it_once() {
        for size_bytes in [0, 1, PART_BYTES, PART_BYTES + 1, 5 * PART_BYTES - 1] {
            let file = DataFile {
                path: "date=2026-03-01/a.parquet".to_owned(),
                size_bytes,
                rows: Some(7),
                date: Some(20_513),
                statistics: Arc::new(Statistics::new_unknown(&Schema::empty())),
            };
            let table = Table::Stream(events::Stream::VehicleData);
            let mut read_to = 0;
            for part in parts(table, &file) {
                let (start, end) = part.range();
                assert_eq!(start, read_to);
                assert!(end - start <= PART_BYTES);
                read_to = end;
            }
            assert_eq!(read_to, size_bytes);
        }
    }
}
