//! Plans that other machines run: the port to them, and what a plan has to be like to
//! get there.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::streaming::StreamingTableExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use object_store::ObjectStore;

use crate::query::engine::QueryConfig;
use crate::query::session::base_state;
use crate::query::{QueryError, QueryResult};

/// Rows of the log travel inside the plan, to every machine that reads the table.
const LOG_BYTES_MAX: usize = 32 << 20;

/// Rows that a plan has read from tables so far, wherever it runs.
#[derive(Clone, Debug, Default)]
pub struct RowsRead(Arc<AtomicU64>);

impl RowsRead {
    /// So many by now.
    pub fn set(&self, rows: u64) {
        self.0.store(rows, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Machines that run a plan together.
///
/// Every one of them finds the lake's files under the URL that is in the plan, by a
/// state that [`worker_state`] made; the plan itself holds no address and no secret.
#[async_trait]
pub trait Cluster: fmt::Debug + Send + Sync {
    /// The state that makes plans which can be cut into pieces that run apart.
    fn planning_state(&self, state: SessionState) -> SessionState;

    /// Runs `plan`, which was made under `state`: each of its rows once, whatever happens
    /// to single machines meanwhile, or an error. An error is retryable exactly where
    /// running the plan again may work. Dropping the stream ends the work over there.
    fn run(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        state: &SessionState,
        rows_read: RowsRead,
    ) -> QueryResult<SendableRecordBatchStream>;

    /// Waits until everybody over there has heard of what was dropped.
    async fn settle(&self);
}

/// What a machine needs that runs parts of plans which others have made: the functions
/// that they name, and `store` under the URL by which they name the lake.
///
/// # Errors
/// Where the folder for spilled rows cannot be made.
pub fn worker_state(
    store: Arc<dyn ObjectStore>,
    config: &QueryConfig,
) -> QueryResult<SessionState> {
    base_state(config, store)
}

/// `plan` with nothing in it that only this process can read: rows of the log become
/// rows in memory, and files lose the bounds by which they have been chosen already.
pub(crate) async fn portable(
    plan: Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
) -> QueryResult<Arc<dyn ExecutionPlan>> {
    let mut read = Vec::new();
    let mut bytes_left = LOG_BYTES_MAX;
    for leaf in leaves_of_the_log(&plan)? {
        let rows = all_rows(Arc::clone(&leaf), context, &mut bytes_left).await?;
        read.push((leaf, rows));
    }
    let portable = plan.transform_up(|node| {
        if let Some((_, rows)) = read.iter().find(|(leaf, _)| Arc::ptr_eq(leaf, &node)) {
            let in_memory =
                MemorySourceConfig::try_new_exec(std::slice::from_ref(rows), node.schema(), None)?;
            return Ok(Transformed::yes(in_memory as Arc<dyn ExecutionPlan>));
        }
        match node
            .downcast_ref::<DataSourceExec>()
            .map(DataSourceExec::data_source)
        {
            Some(source) => match source.downcast_ref::<FileScanConfig>() {
                Some(scan) => Ok(Transformed::yes(DataSourceExec::from_data_source(
                    without_statistics(scan),
                ))),
                None => Ok(Transformed::no(node)),
            },
            None => Ok(Transformed::no(node)),
        }
    })?;
    Ok(portable.data)
}

fn leaves_of_the_log(plan: &Arc<dyn ExecutionPlan>) -> QueryResult<Vec<Arc<dyn ExecutionPlan>>> {
    let mut leaves = Vec::new();
    plan.apply(|node| {
        if node.is::<StreamingTableExec>() {
            leaves.push(Arc::clone(node));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(leaves)
}

async fn all_rows(
    leaf: Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
    bytes_left: &mut usize,
) -> QueryResult<Vec<RecordBatch>> {
    let mut batches = execute_stream(leaf, Arc::clone(context))?;
    let mut rows = Vec::new();
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let fits = bytes_left.checked_sub(batch.get_array_memory_size());
        *bytes_left = fits.ok_or_else(too_much_log)?;
        rows.push(batch);
    }
    Ok(rows)
}

fn too_much_log() -> QueryError {
    QueryError::Unavailable(format!(
        "the log holds more than {} MiB of these tables that the lake does not have yet, too much to send to \
         every executor; run the batch layer until it has caught up, or read the lake alone (--lake-only)",
        LOG_BYTES_MAX >> 20
    ))
}

/// Bounds of every column of every file would be most of the plan's bytes.
fn without_statistics(scan: &FileScanConfig) -> FileScanConfig {
    let groups = scan.file_groups.iter().map(|group| {
        let files = group.files().iter().cloned().map(|mut file| {
            file.statistics = None;
            file
        });
        FileGroup::new(files.collect())
    });
    let groups = groups.collect();
    FileScanConfigBuilder::from(scan.clone())
        .with_file_groups(groups)
        .build()
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::SchemaRef;
    use datafusion::common::Statistics;
    use datafusion::datasource::listing::PartitionedFile;
    use datafusion::datasource::physical_plan::ParquetSource;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use datafusion::physical_plan::streaming::PartitionStream;
    use datafusion::physical_plan::union::UnionExec;

    use super::*;
    use crate::query::files::store_url;

    /// A log with one batch of rows again and again.
    #[derive(Debug)]
    struct Log {
        rows: RecordBatch,
        times: usize,
    }

    impl PartitionStream for Log {
        fn schema(&self) -> &SchemaRef {
            self.rows.schema_ref()
        }

        fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
            let rows = futures::stream::iter(vec![self.rows.clone(); self.times]).map(Ok);
            Box::pin(RecordBatchStreamAdapter::new(self.rows.schema(), rows))
        }
    }

    fn rows(count: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
        RecordBatch::try_from_iter([("n", numbers)]).expect("rows")
    }

    fn of_log(rows: RecordBatch, times: usize) -> Arc<dyn ExecutionPlan> {
        let schema = rows.schema();
        let log = Arc::new(Log { rows, times });
        let plan = StreamingTableExec::try_new(schema, vec![log], None, [], false, None);
        Arc::new(plan.expect("a plan"))
    }

    fn of_files(schema: SchemaRef) -> Arc<dyn ExecutionPlan> {
        let file = PartitionedFile::new("t/date=2026-03-01/f.parquet", 100)
            .with_statistics(Arc::new(Statistics::new_unknown(&schema)));
        let source = Arc::new(ParquetSource::new(schema));
        let scan = FileScanConfigBuilder::new(store_url().expect("a URL"), source)
            .with_file_groups(vec![FileGroup::new(vec![file])]);
        DataSourceExec::from_data_source(scan.build())
    }

    #[tokio::test]
    async fn a_plan_that_travels_has_the_rows_of_the_log_in_it_and_no_bounds_of_files() {
        let context = Arc::new(TaskContext::default());
        let plan = UnionExec::try_new(vec![of_log(rows(3), 2), of_files(rows(0).schema())]);
        let plan = portable(plan.expect("a plan"), &context).await;
        let plan = plan.expect("a plan that travels");
        assert!(leaves_of_the_log(&plan).expect("leaves").is_empty());
        let [log, files] = plan.children()[..] else {
            panic!("two parts: {plan:?}")
        };
        let mut batches = execute_stream(Arc::clone(log), context).expect("rows");
        let mut read = 0;
        while let Some(batch) = batches.next().await {
            read += batch.expect("rows").num_rows();
        }
        assert_eq!(read, 6);
        let files = files.downcast_ref::<DataSourceExec>().expect("a scan");
        let scan = files.data_source().downcast_ref::<FileScanConfig>();
        let groups = &scan.expect("files").file_groups;
        assert_eq!(groups[0].files()[0].object_meta.size, 100);
        assert!(groups[0].files()[0].statistics.is_none());
    }

    #[tokio::test]
    async fn a_log_that_is_too_long_to_travel_is_refused() {
        let context = Arc::new(TaskContext::default());
        let half = (LOG_BYTES_MAX / 8 / 2) as i64;
        let plan = portable(of_log(rows(half), 1), &context).await;
        assert!(plan.is_ok());
        let error = portable(of_log(rows(half), 3), &context).await;
        let error = error.expect_err("too long").to_string();
        assert!(error.contains("more than 32 MiB"), "{error}");
    }
}
