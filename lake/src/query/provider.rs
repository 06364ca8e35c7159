//! One table as a query sees it: pinned files, rows of the tail, and what has to
//! be read from the log.

use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::streaming::StreamingTableExec;
use datafusion::physical_plan::union::UnionExec;

use crate::query::files::files_plan;
use crate::query::log_range::LogRanges;
use crate::{Snapshot, Table};

/// A table pinned for one query.
#[derive(Debug)]
pub(crate) struct PinnedTable {
    pub(crate) table: Table,
    pub(crate) snapshot: Arc<Snapshot>,
    /// Rows of the tail, in the table's columns.
    rows: Vec<RecordBatch>,
    /// Rows that neither files nor tail hold.
    ranges: Option<Arc<LogRanges>>,
}

impl PinnedTable {
    pub(crate) fn new(
        table: Table,
        snapshot: Arc<Snapshot>,
        rows: &[RecordBatch],
        ranges: Option<LogRanges>,
    ) -> Result<Self> {
        let rows = rows
            .iter()
            .map(|rows| conform(rows, &snapshot.schema))
            .collect::<Result<_>>()?;
        Ok(Self {
            table,
            snapshot,
            rows,
            ranges: ranges.map(Arc::new),
        })
    }

    /// Whether there are rows beyond the snapshot.
    pub(crate) fn has_tail(&self) -> bool {
        !self.rows.is_empty() || self.ranges.is_some()
    }

    fn tail_plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
    ) -> Result<Arc<DataSourceExec>> {
        let count = state
            .config()
            .target_partitions()
            .min(self.rows.len())
            .max(1);
        let mut partitions = vec![Vec::new(); count];
        for (index, rows) in self.rows.iter().enumerate() {
            partitions[index % count].push(rows.clone());
        }
        MemorySourceConfig::try_new_exec(
            &partitions,
            self.snapshot.schema.clone(),
            projection.cloned(),
        )
    }

    fn predicate(
        &self,
        state: &dyn Session,
        filters: &[Expr],
    ) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some(filter) = conjunction(filters.iter().cloned()) else {
            return Ok(None);
        };
        let schema = DFSchema::try_from(self.snapshot.schema.as_ref().clone())?;
        state.create_physical_expr(filter, &schema).map(Some)
    }
}

#[async_trait]
impl TableProvider for PinnedTable {
    fn schema(&self) -> SchemaRef {
        self.snapshot.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // Files and row groups are skipped by it; rows are filtered above.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        let predicate = self.predicate(state, filters)?;
        if let Some(files) = files_plan(
            state,
            self.table,
            &self.snapshot,
            projection,
            predicate,
            limit,
        )? {
            parts.push(files);
        }
        if !self.rows.is_empty() {
            parts.push(self.tail_plan(state, projection)?);
        }
        if let Some(ranges) = &self.ranges {
            let schema = self.snapshot.schema.clone();
            parts.push(Arc::new(StreamingTableExec::try_new(
                schema,
                vec![ranges.clone()],
                projection,
                [],
                false,
                limit,
            )?));
        }
        match parts.len() {
            0 => Ok(Arc::new(EmptyExec::new(projected(
                &self.snapshot.schema,
                projection,
            )?))),
            1 => Ok(parts.swap_remove(0)),
            _ => UnionExec::try_new(parts),
        }
    }
}

fn projected(schema: &SchemaRef, projection: Option<&Vec<usize>>) -> Result<SchemaRef> {
    match projection {
        Some(indices) => Ok(Arc::new(schema.project(indices)?)),
        None => Ok(schema.clone()),
    }
}

/// The rows in the columns of `schema`: a column that a newer writer added to the
/// table is null in rows that this version of the program decoded.
pub(crate) fn conform(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if rows.schema_ref() == schema {
        return Ok(rows.clone());
    }
    let columns = schema
        .fields()
        .iter()
        .map(|field| match rows.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
            Some(column) => Ok(cast(column, field.data_type())?),
            None => Ok(new_null_array(field.data_type(), rows.num_rows())),
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
