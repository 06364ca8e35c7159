//! DataFusion set up for read-only queries within limits.

use std::sync::Arc;

use datafusion::execution::FunctionRegistry;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionConfig;
use object_store::ObjectStore;

use crate::query::bounded::bound_functions;
use crate::query::catalog::{CATALOG, SCHEMA};
use crate::query::engine::QueryConfig;
use crate::query::files::store_url;
use crate::query::json_get::JsonGet;
use crate::query::split_pool::SplitPool;
use crate::query::{QueryError, QueryResult};

/// Footers of Parquet files kept in memory, bytes.
const METADATA_CACHE_BYTES: usize = 64 << 20;

/// Least memory of one of the parts that work side by side.
const PARTITION_BYTES: usize = 32 << 20;
/// What a sort keeps free to merge what it has spilled, where there is enough.
const SORT_MERGE_BYTES: usize = 10 << 20;
/// How many spilled files a sort of a sorted join merges at once: there are several such
/// sorts, and one that merged all of its files would leave the others nothing.
const JOINED_FILES_AT_ONCE: usize = 4;
/// Rows of a batch then.
const JOINED_ROWS_AT_ONCE: usize = 2_048;

/// The state that every query starts from.
pub(crate) fn base_state(
    config: &QueryConfig,
    store: Arc<dyn ObjectStore>,
) -> QueryResult<SessionState> {
    let mut session = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    // Each partition of a sort holds memory for its merge: there must be enough for all.
    let partitions = (config.memory_bytes / PARTITION_BYTES).clamp(1, session.target_partitions());
    // DataFusion joins sorted sides in two partitions or more, never in one.
    let partitions = partitions.max(1 + usize::from(config.sorted_joins));
    // A sorted join has a sort for each of its sides.
    let sorts = partitions * (1 + usize::from(config.sorted_joins));
    let for_merge = config.memory_bytes / (8 * sorts);
    session = session
        .with_target_partitions(partitions)
        .with_sort_spill_reservation_bytes(for_merge.min(SORT_MERGE_BYTES));
    if config.sorted_joins {
        // A merge holds batches of every file that it reads.
        session = session.with_batch_size(JOINED_ROWS_AT_ONCE);
    }
    let options = session.options_mut();
    options.optimizer.prefer_hash_join = !config.sorted_joins;
    options.execution.time_zone = Some("UTC".to_owned());
    // Columns are Utf8 in lake and tail; a mix would have to be converted.
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    let mut state = SessionStateBuilder::new()
        .with_config(session)
        .with_runtime_env(runtime(config, store)?)
        .with_default_features()
        .build();
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(JsonGet::default())))?;
    bound_functions(&mut state, call_bytes_max(config))?;
    Ok(state)
}

/// Bytes that one call of a function may make of a batch of rows: several are at
/// work at once, on several cores.
pub(crate) fn call_bytes_max(config: &QueryConfig) -> u64 {
    (config.memory_bytes as u64 / 8).max(1 << 20)
}

fn runtime(config: &QueryConfig, store: Arc<dyn ObjectStore>) -> QueryResult<Arc<RuntimeEnv>> {
    let mode = match &config.spill_dir {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| {
                QueryError::Internal(format!(
                    "spill folder {} cannot be created: {error}",
                    folder.display()
                ))
            })?;
            DiskManagerMode::Directories(vec![folder.clone()])
        }
        None => DiskManagerMode::OsTmpDirectory,
    };
    let disk = DiskManagerBuilder::default()
        .with_mode(mode)
        .with_max_temp_directory_size(config.spill_bytes)
        .with_max_spill_merge_fan_in(match config.sorted_joins {
            true => JOINED_FILES_AT_ONCE,
            false => 0, // as many as memory has room for
        });
    let pool: Arc<dyn MemoryPool> = match config.sorted_joins {
        true => Arc::new(SplitPool::new(config.memory_bytes)),
        false => Arc::new(FairSpillPool::new(config.memory_bytes)),
    };
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(disk)
        .with_metadata_cache_limit(METADATA_CACHE_BYTES)
        .build_arc()?;
    runtime.register_object_store(store_url()?.as_ref(), store);
    Ok(runtime)
}

/// Nothing but queries.
pub(crate) fn read_only_options() -> SQLOptions {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
}
