//! The door for SQL.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::parser::Statement;
use event_log::{Bounds, EventLog};
use events::{Topic, TopicNames};
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::query::catalog::catalog_of;
use crate::query::cluster::Cluster;
use crate::query::follower::{follow_lake, follow_log};
use crate::query::guard::Guarded;
use crate::query::plan_check::{check_constants, check_rows};
use crate::query::provider::PinnedTable;
use crate::query::session::{base_state, call_bytes_max, read_only_options};
use crate::query::statement::{parse, read_only, tables_of};
use crate::query::tail::Tail;
use crate::query::threads::QueryThreads;
use crate::query::{QueryError, QueryResult};
use crate::rows::{Source, sources};
use crate::{Lake, Snapshot};

/// How long a query waits for a place among those that run.
const PLACE_WAIT: Duration = Duration::from_secs(2);

/// Limits of [`SqlEngine`].
#[derive(Clone, Debug)]
pub struct QueryConfig {
    /// Memory that all running queries share, bytes; beyond it they spill or fail.
    pub memory_bytes: usize,
    /// Where sorts, joins and aggregates spill; `None` takes the system's folder.
    pub spill_dir: Option<PathBuf>,
    /// Most bytes spilled at once.
    pub spill_bytes: u64,
    /// A query is stopped after this.
    pub timeout: Duration,
    /// A result longer than this is an error that asks for a LIMIT.
    pub max_rows: usize,
    /// Queries that run at once.
    pub max_concurrent: usize,
    /// Memory of the log tail, bytes; what does not fit is read from the log.
    pub tail_bytes: usize,
    /// How long a query waits until the tail has reached the log's end, before it
    /// reads the rest from the log itself.
    pub tail_wait: Duration,
    /// Whether joins sort both sides, which spills and takes longer, rather than keep the
    /// smaller one in memory.
    pub sorted_joins: bool,
    /// Who runs prepared queries; `None` for this process. Others run here always.
    pub cluster: Option<Arc<dyn Cluster>>,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            spill_dir: None,
            spill_bytes: 10 << 30,
            timeout: Duration::from_secs(60),
            max_rows: 1_000_000,
            max_concurrent: 8,
            tail_bytes: 128 << 20,
            tail_wait: Duration::from_secs(1),
            sorted_joins: false,
            cluster: None,
        }
    }
}

/// How new the answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Freshness {
    /// Every event acknowledged before the query began is in the answer.
    #[default]
    Exact,
    /// What is at hand, without waiting for the log.
    Relaxed,
}

/// What queries and followers share.
pub(crate) struct Shared {
    pub(crate) lake: Arc<Lake>,
    /// `None` where only the lake is asked; then there are no sources either.
    pub(crate) log: Option<Arc<dyn EventLog>>,
    pub(crate) sources: HashMap<Topic, Source>,
    pub(crate) config: QueryConfig,
    pub(crate) tail: Mutex<Tail>,
    /// The tail has new rows.
    pub(crate) advanced: Notify,
    /// The tail may have room again.
    pub(crate) trimmed: Notify,
    list_requested: AtomicBool,
}

impl Shared {
    /// The retained ranges of a topic; none while it does not exist.
    pub(crate) async fn bounds(&self, topic: &Topic) -> QueryResult<Vec<Bounds>> {
        let Some(log) = &self.log else {
            return Ok(Vec::new());
        };
        match log.bounds(topic).await {
            Ok(bounds) => Ok(bounds),
            Err(event_log::Error::UnknownTopic(_)) => Ok(Vec::new()),
            Err(error) => Err(QueryError::from_log(error)),
        }
    }

    /// Asks the follower to look for partitions that it does not follow yet.
    pub(crate) fn request_list(&self) {
        self.list_requested.store(true, Ordering::Relaxed);
    }

    pub(crate) fn take_list_request(&self) -> bool {
        self.list_requested.swap(false, Ordering::Relaxed)
    }
}

/// Read-only SQL over lake and log tail. One per process.
pub struct SqlEngine {
    shared: Arc<Shared>,
    state: SessionState,
    places: Arc<Semaphore>,
    threads: QueryThreads,
}

impl SqlEngine {
    /// Prepares. Without [`SqlEngine::run`] every query reads the log's tail itself.
    pub fn new(
        lake: Arc<Lake>,
        log: Arc<dyn EventLog>,
        topics: TopicNames,
        config: QueryConfig,
    ) -> QueryResult<Arc<Self>> {
        Self::with_sources(lake, Some(log), sources(&topics), config)
    }

    /// Asks the lake alone, as of its newest version.
    pub fn over_lake(lake: Arc<Lake>, config: QueryConfig) -> QueryResult<Arc<Self>> {
        Self::with_sources(lake, None, HashMap::new(), config)
    }

    fn with_sources(
        lake: Arc<Lake>,
        log: Option<Arc<dyn EventLog>>,
        sources: HashMap<Topic, Source>,
        config: QueryConfig,
    ) -> QueryResult<Arc<Self>> {
        let state = base_state(&config, lake.store())?;
        let places = Arc::new(Semaphore::new(config.max_concurrent.max(1)));
        let shared = Arc::new(Shared {
            sources,
            lake,
            log,
            config,
            tail: Mutex::default(),
            advanced: Notify::new(),
            trimmed: Notify::new(),
            list_requested: AtomicBool::new(false),
        });
        Ok(Arc::new(Self {
            shared,
            state,
            places,
            threads: QueryThreads::new()?,
        }))
    }

    /// Follows the log's tail and the lake's versions until `shutdown`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        tokio::join!(
            follow_log(self.shared.clone(), shutdown.clone()),
            follow_lake(self.shared.clone(), shutdown)
        );
    }

    /// Runs one SELECT, WITH, EXPLAIN, SHOW or DESCRIBE. Errors that the stream
    /// yields convert to [`QueryError`] with `from`. Dropping the stream stops the
    /// query.
    pub async fn query(
        &self,
        sql: &str,
        freshness: Freshness,
    ) -> QueryResult<(SchemaRef, SendableRecordBatchStream)> {
        let timeout = self.shared.config.timeout;
        let deadline = Instant::now() + timeout;
        let place = self.place().await?;
        let start = start(
            self.shared.clone(),
            self.state.clone(),
            sql.to_owned(),
            freshness,
            self.shared.config.max_rows,
        );
        let started = tokio::time::timeout_at(deadline, self.threads.run(start)).await;
        let rows = started.map_err(|_| QueryError::Timeout {
            limit_s: timeout.as_secs(),
        })??;
        let guarded = Guarded::new(rows, deadline, timeout, self.shared.config.max_rows, place);
        Ok((
            datafusion::execution::RecordBatchStream::schema(&guarded),
            Box::pin(guarded),
        ))
    }

    /// The same for this process's own work: no limit on rows or time, and no place
    /// among those that ask.
    pub async fn scan(&self, sql: &str) -> QueryResult<SendableRecordBatchStream> {
        let start = start(
            self.shared.clone(),
            self.state.clone(),
            sql.to_owned(),
            Freshness::Exact,
            usize::MAX,
        );
        self.threads.run(start).await
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn state(&self) -> &SessionState {
        &self.state
    }

    pub(crate) fn threads(&self) -> &QueryThreads {
        &self.threads
    }

    async fn place(&self) -> QueryResult<OwnedSemaphorePermit> {
        let busy = || QueryError::Busy {
            limit: self.shared.config.max_concurrent,
        };
        let place = tokio::time::timeout(PLACE_WAIT, self.places.clone().acquire_owned()).await;
        place.map_err(|_| busy())?.map_err(|_| busy())
    }
}

async fn start(
    shared: Arc<Shared>,
    state: SessionState,
    sql: String,
    freshness: Freshness,
    max_rows: usize,
) -> QueryResult<SendableRecordBatchStream> {
    let statement = parse(&state, &sql)?;
    let tables = tables_of(&state, &statement)?;
    let mut pinned = Vec::with_capacity(tables.len());
    for table in tables {
        pinned.push(shared.pin(table, freshness).await?);
    }
    let limits = Limits {
        rows: max_rows,
        call_bytes: call_bytes_max(&shared.config),
    };
    run_pinned(state, statement, pinned, limits).await
}

/// What a statement may come to.
pub(crate) struct Limits {
    pub(crate) rows: usize,
    /// Of one call of a function.
    pub(crate) call_bytes: u64,
}

/// Runs a statement whose tables are pinned.
pub(crate) async fn run_pinned(
    state: SessionState,
    statement: Statement,
    pinned: Vec<PinnedTable>,
    limits: Limits,
) -> QueryResult<SendableRecordBatchStream> {
    let held: Vec<Arc<Snapshot>> = pinned.iter().map(|table| table.snapshot.clone()).collect();
    let mut state = SessionStateBuilder::new_from_existing(state)
        .with_catalog_list(catalog_of(pinned)?)
        .build();
    // What now() says, once for the whole query.
    state.mark_start_execution();
    Ok(hold(run(&state, statement, limits).await?, held))
}

/// Keeps the versions that a query reads until its stream is dropped: vacuum leaves
/// the files of a version that somebody holds.
pub(crate) fn hold(
    rows: SendableRecordBatchStream,
    held: Vec<Arc<Snapshot>>,
) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let rows = rows.inspect(move |_| {
        let _ = &held;
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

async fn run(
    state: &SessionState,
    statement: Statement,
    limits: Limits,
) -> QueryResult<SendableRecordBatchStream> {
    let plan = state.statement_to_plan(statement).await?;
    read_only_options()
        .verify_plan(&plan)
        .map_err(|_| read_only())?;
    let plan = state.optimize(&plan)?;
    check_constants(&plan, state.config().batch_size(), limits.call_bytes)?;
    let plan = state
        .query_planner()
        .create_physical_plan(&plan, state)
        .await?;
    check_rows(plan.as_ref(), limits.rows)?;
    Ok(execute_stream(plan, state.task_ctx())?)
}
