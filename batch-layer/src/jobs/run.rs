//! One run of a job: plan, copy, publish; again where a failure may pass.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use events::backoff::Backoff;
use events::time::format_rfc3339;
use futures::StreamExt;
use lake::export::scratch::Scratch;
use lake::export::{ExportError, Exported, Exporter, Manifest, Target};
use lake::query::{
    Freshness, ParameterValue, Parameters, Prepared, QueryConfig, QueryError, ReadCounter,
    SqlEngine,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::claim::Claim;
use super::{Job, JobDeps, RunOf};

/// The parameter that every job has: when the run was due.
pub const SCHEDULED: &str = "scheduled";
/// How often somebody who watches hears of it.
const TELL_EVERY: Duration = Duration::from_millis(200);
const TEMP_PREFIX: &str = "job-";

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows that came from tables.
    pub rows_read: u64,
    /// Rows of the result so far.
    pub rows_written: u64,
    /// Bytes of the result so far.
    pub bytes_written: u64,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The statement, its parameters or the output are wrong: somebody has to change
    /// something.
    #[error("{0}")]
    Usage(String),
    /// It may work another time.
    #[error("{0}")]
    Unavailable(String),
    /// It does not work like this, or a fault of ours.
    #[error("{0}")]
    Failed(String),
    /// It took too long.
    #[error("the run took longer than {limit_s} s and was stopped; nothing was written")]
    TimedOut {
        /// The limit, seconds.
        limit_s: u64,
    },
    /// Somebody asked for the end.
    #[error("cancelled; nothing was written")]
    Cancelled,
    /// The run is another process's by now, or was cancelled there.
    #[error("the run is no longer this process's; nothing was written")]
    Lost,
    /// It needs more memory or disk than it may use.
    #[error("{0}")]
    Resources(String),
    /// The same, where it joined by hash and may join by sorting.
    #[error("{0}")]
    JoinTooLarge(String),
}

impl From<QueryError> for JobError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::User(text) => JobError::Usage(text),
            retryable if retryable.is_retryable() => JobError::Unavailable(retryable.to_string()),
            QueryError::Resources(text) => JobError::Resources(format!(
                "the run needs more memory or disk for spilled rows than it may use; raise the memory limit \
                 (--memory-limit, memory_mib) or the spill limit (--spill-limit, spill_mib), or narrow the query: \
                 {text}"
            )),
            other => JobError::Failed(other.to_string()),
        }
    }
}

impl From<ExportError> for JobError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Refused { .. } => JobError::Usage(error.to_string()),
            ExportError::Unavailable { .. } | ExportError::Overtaken { .. } => {
                JobError::Unavailable(error.to_string())
            }
            ExportError::Internal(_) => JobError::Failed(error.to_string()),
        }
    }
}

/// What a run would do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the result would go.
    pub output: String,
    /// `name: type` of each column.
    pub columns: Vec<String>,
    /// `name = value` of each parameter.
    pub parameters: Vec<String>,
    /// What is read: table, version, and whether the log's tail too.
    pub tables: Vec<String>,
    /// The operators.
    pub operators: String,
}

/// Plans a run, reads no rows and writes nothing.
///
/// # Errors
/// As the run would have.
pub async fn plan(deps: &JobDeps, job: &Job, run: &RunOf) -> Result<Plan, JobError> {
    let output = run.output(&job.output);
    let target = Target::open(&output, &deps.s3, deps.lake.url())?;
    target.check(job.overwrite, &run.id).await?;
    let scratch = scratch(deps, run)?;
    let engine = engine(deps, job, &scratch, Joins::ByHash)?;
    let prepared = prepare(&engine, job, run).await?;
    let columns = prepared.schema();
    let columns = columns.fields().iter();
    let tables = prepared.tables().iter().map(|pinned| {
        let version = pinned
            .version
            .map_or("does not exist yet".to_owned(), |version| {
                format!("version {version}")
            });
        let tail = match pinned.with_tail {
            true => ", and the log behind it",
            false => "",
        };
        format!("{}: {version}{tail}", pinned.table)
    });
    Ok(Plan {
        output: target.url().to_owned(),
        columns: columns
            .map(|field| format!("{}: {}", field.name(), field.data_type()))
            .collect(),
        parameters: prepared
            .parameters()
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect(),
        tables: tables.collect(),
        operators: prepared.explain(),
    })
}

/// Runs to the end, to `stop`, or to the limits. Until it returns `Ok` nothing of the
/// result is visible.
///
/// # Errors
/// [`JobError`]; nothing remains of the result.
pub async fn run(
    deps: &JobDeps,
    job: &Job,
    run: &RunOf,
    on_progress: &mut (dyn FnMut(Progress) + Send),
    stop: &CancellationToken,
) -> Result<Exported, JobError> {
    under_claim(deps, job, run, None, on_progress, stop).await
}

/// The same for a run that is this process's only as long as `claim` says so: what
/// others see is changed after that was asked.
pub(crate) async fn under_claim(
    deps: &JobDeps,
    job: &Job,
    run: &RunOf,
    claim: Option<&Claim>,
    on_progress: &mut (dyn FnMut(Progress) + Send),
    stop: &CancellationToken,
) -> Result<Exported, JobError> {
    let limits = Limits {
        deadline: Instant::now() + job.limits.timeout,
        timeout: job.limits.timeout,
        stop,
    };
    let mut backoff = Backoff::new();
    let mut retries_left = job.limits.retries;
    let mut joins = Joins::ByHash;
    loop {
        match attempt(deps, job, run, joins, claim, on_progress, &limits).await {
            Err(JobError::JoinTooLarge(reason)) => {
                tracing::info!(
                    job = job.name,
                    reason,
                    "a join does not fit into memory; the run begins again and joins by sorting, which spills"
                );
                joins = Joins::BySorting;
            }
            Err(JobError::Unavailable(reason)) if retries_left > 0 => {
                retries_left -= 1;
                let delay = backoff.next_delay() * 5;
                tracing::warn!(
                    job = job.name,
                    reason,
                    retries_left,
                    "the run failed and begins again in {:.1} s",
                    delay.as_secs_f64()
                );
                limits.keep(tokio::time::sleep(delay)).await?;
            }
            outcome => return outcome,
        }
    }
}

/// What ends a run early.
struct Limits<'a> {
    deadline: Instant,
    timeout: Duration,
    stop: &'a CancellationToken,
}

impl Limits<'_> {
    /// The outcome of `work`, unless a limit is met before.
    async fn keep<T>(&self, work: impl Future<Output = T>) -> Result<T, JobError> {
        tokio::select! {
            outcome = work => Ok(outcome),
            () = self.stop.cancelled() => Err(JobError::Cancelled),
            () = tokio::time::sleep_until(self.deadline) => Err(JobError::TimedOut {
                limit_s: self.timeout.as_secs(),
            }),
        }
    }
}

/// How rows of two sides find each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joins {
    /// Quickly, where one side fits into memory.
    ByHash,
    /// At any size, both sides sorted, which spills.
    BySorting,
}

async fn attempt(
    deps: &JobDeps,
    job: &Job,
    run: &RunOf,
    joins: Joins,
    claim: Option<&Claim>,
    on_progress: &mut (dyn FnMut(Progress) + Send),
    limits: &Limits<'_>,
) -> Result<Exported, JobError> {
    let target = Target::open(&run.output(&job.output), &deps.s3, deps.lake.url())?;
    // An earlier process may have died between the result and the word for it.
    if let Some(manifest) = limits.keep(published(&target, run)).await?? {
        let left = limits.keep(target.besides(&manifest)).await??;
        limits.keep(still_ours(claim)).await??;
        limits.keep(target.remove(left)).await??;
        return Ok(of_manifest(manifest));
    }
    limits.keep(target.check(job.overwrite, &run.id)).await??;
    let scratch = scratch(deps, run)?;
    let engine = engine(deps, job, &scratch, joins)?;
    let prepared = limits.keep(prepare(&engine, job, run)).await??;
    let may_sort = joins == Joins::ByHash && prepared.joins_by_hash();
    let manifest = manifest(job, run, &prepared);
    let mut exporter = Exporter::begin(
        &target,
        job.format,
        &prepared.schema(),
        &job.partition_by,
        &run.id,
    )?;
    let copied = copy(&engine, prepared, &mut exporter, on_progress);
    let copied = limits.keep(copied).await.unwrap_or_else(Err);
    // Before the result is visible: what spilled may go.
    drop(engine);
    if let Err(error) = copied {
        exporter.discard().await;
        return Err(match error {
            JobError::Resources(text) if may_sort => JobError::JoinTooLarge(text),
            error => error,
        });
    }
    let finished = exporter.finish(manifest, job.overwrite).await?;
    // Asked after the place was looked at: whoever is given the run later publishes later,
    // and finished results give way to what was published since.
    let still_ours = limits.keep(still_ours(claim)).await.unwrap_or_else(Err);
    if let Err(error) = still_ours {
        finished.discard().await;
        return Err(error);
    }
    match finished.publish().await {
        Ok(done) => Ok(done),
        // Another try of this run may have been first, or only the answer was lost.
        Err(error) => match published(&target, run).await {
            Ok(Some(manifest)) => Ok(of_manifest(manifest)),
            _ => Err(error.into()),
        },
    }
}

/// The list of this run's result, where one of its tries has published it.
async fn published(target: &Target, run: &RunOf) -> Result<Option<Manifest>, ExportError> {
    let manifest = target.manifest().await?;
    Ok(manifest.filter(|manifest| manifest.run_id == run.id))
}

fn of_manifest(manifest: Manifest) -> Exported {
    Exported {
        rows: manifest.rows,
        bytes: manifest.bytes,
        files: manifest.files,
    }
}

/// Waits for the lake where it is away: nobody else can be given the run meanwhile.
async fn still_ours(claim: Option<&Claim>) -> Result<(), JobError> {
    let Some(claim) = claim else {
        return Ok(()); // started by hand
    };
    let mut backoff = Backoff::new();
    loop {
        match claim.renew().await {
            Ok(true) => return Ok(()),
            Ok(false) => return Err(JobError::Lost),
            Err(error) => {
                tracing::warn!(%error, "cannot tell whether the run may publish; trying again");
                tokio::time::sleep(backoff.next_delay()).await;
            }
        }
    }
}

fn scratch(deps: &JobDeps, run: &RunOf) -> Result<Scratch, JobError> {
    // Two tries of one scheduled run may overlap for a moment in one folder.
    let name = format!("{}-{}", run.id, uuid::Uuid::new_v4().simple());
    Scratch::create(&deps.temp_dir, TEMP_PREFIX, &name).map_err(|error| {
        JobError::Failed(format!(
            "no temporary folder can be made in {}: {error}",
            deps.temp_dir.display()
        ))
    })
}

fn engine(
    deps: &JobDeps,
    job: &Job,
    scratch: &Scratch,
    joins: Joins,
) -> Result<Arc<SqlEngine>, JobError> {
    let config = QueryConfig {
        memory_bytes: job.limits.memory_bytes,
        spill_dir: Some(scratch.path().to_owned()),
        spill_bytes: job.limits.spill_bytes,
        timeout: job.limits.timeout,
        max_rows: usize::MAX,
        max_concurrent: 1,
        sorted_joins: joins == Joins::BySorting,
        cluster: deps.cluster.clone(),
        ..QueryConfig::default()
    };
    let lake = Arc::clone(&deps.lake);
    Ok(match &deps.log {
        Some(log) => SqlEngine::new(lake, Arc::clone(log), deps.topics.clone(), config)?,
        None => SqlEngine::over_lake(lake, config)?,
    })
}

async fn prepare(engine: &SqlEngine, job: &Job, run: &RunOf) -> Result<Prepared, JobError> {
    let parameters = with_scheduled(&job.parameters, run.due_us());
    let prepared = engine
        .prepare(&job.sql, &parameters, &job.partition_by, Freshness::Exact)
        .await?;
    Ok(prepared)
}

/// The parameters of a run that was due then.
pub fn with_scheduled(parameters: &Parameters, due_us: i64) -> Parameters {
    let mut parameters = parameters.clone();
    parameters
        .built_in
        .insert(SCHEDULED.to_owned(), ParameterValue::Timestamp(due_us));
    parameters
}

fn manifest(job: &Job, run: &RunOf, prepared: &Prepared) -> Manifest {
    let tables = prepared.tables();
    let values = prepared.parameters().iter();
    let tail = tables.iter().filter(|pinned| pinned.with_tail);
    Manifest {
        job: job.name.clone(),
        run_id: run.id.clone(),
        written_by: concat!("citypulse ", env!("CARGO_PKG_VERSION")).to_owned(),
        started: format_rfc3339(run.started_us),
        partition_by: job.partition_by.clone(),
        parameters: values
            .map(|(name, value)| (name.clone(), value.to_string()))
            .collect(),
        tables: tables
            .iter()
            .map(|pinned| (pinned.table.name().to_owned(), pinned.version))
            .collect::<BTreeMap<_, _>>(),
        with_tail: tail.map(|pinned| pinned.table.name().to_owned()).collect(),
        ..Manifest::default()
    }
}

async fn copy(
    engine: &SqlEngine,
    prepared: Prepared,
    exporter: &mut Exporter,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<(), JobError> {
    let counter = prepared.counter();
    let mut rows = engine.run_prepared(prepared).await?;
    let mut tick = tokio::time::interval(TELL_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        // A sort gives no row for long; those that it reads are told meanwhile.
        tokio::select! {
            batch = rows.next() => match batch {
                Some(batch) => exporter.write(&batch.map_err(QueryError::from)?).await?,
                None => break,
            },
            _ = tick.tick() => on_progress(progress(&counter, exporter)),
        }
    }
    on_progress(progress(&counter, exporter));
    Ok(())
}

fn progress(counter: &ReadCounter, exporter: &Exporter) -> Progress {
    let (rows_written, bytes_written) = exporter.progress();
    Progress {
        rows_read: counter.rows(),
        rows_written,
        bytes_written,
    }
}
