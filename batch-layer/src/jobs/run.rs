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
}

impl From<QueryError> for JobError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::User(text) => JobError::Usage(text),
            retryable if retryable.is_retryable() => JobError::Unavailable(retryable.to_string()),
            QueryError::Resources(text) => JobError::Failed(format!(
                "the run needs more memory or disk for spilled rows than it may use; raise the memory limit \
                 (--memory-limit, memory_mib) or narrow the query: {text}"
            )),
            other => JobError::Failed(other.to_string()),
        }
    }
}

impl From<ExportError> for JobError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Refused { .. } => JobError::Usage(error.to_string()),
            ExportError::Unavailable { .. } => JobError::Unavailable(error.to_string()),
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
    target.check(job.overwrite).await?;
    let scratch = scratch(deps, run)?;
    let engine = engine(deps, job, &scratch)?;
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
    let limits = Limits {
        deadline: Instant::now() + job.limits.timeout,
        timeout: job.limits.timeout,
        stop,
    };
    let mut backoff = Backoff::new();
    let mut retries_left = job.limits.retries;
    loop {
        match attempt(deps, job, run, on_progress, &limits).await {
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

async fn attempt(
    deps: &JobDeps,
    job: &Job,
    run: &RunOf,
    on_progress: &mut (dyn FnMut(Progress) + Send),
    limits: &Limits<'_>,
) -> Result<Exported, JobError> {
    let target = Target::open(&run.output(&job.output), &deps.s3, deps.lake.url())?;
    // An earlier process may have died between the result and the word for it, or
    // while it published.
    if let Some(done) = limits.keep(already_there(&target, run)).await?? {
        return Ok(done);
    }
    limits.keep(target.remove_leftovers(&run.id)).await??;
    limits.keep(target.check(job.overwrite)).await??;
    let scratch = scratch(deps, run)?;
    let engine = engine(deps, job, &scratch)?;
    let prepared = limits.keep(prepare(&engine, job, run)).await??;
    let manifest = manifest(job, run, &prepared);
    let mut exporter = Exporter::begin(
        &target,
        job.format,
        &prepared.schema(),
        &job.partition_by,
        &run.id,
    )?;
    let copied = copy(&engine, prepared, &mut exporter, on_progress);
    let copied = limits.keep(copied).await;
    // Before the result is visible: what spilled may go.
    drop(engine);
    match copied {
        Ok(Ok(())) => match exporter.publish(manifest, job.overwrite).await {
            Ok(done) => Ok(done),
            // Another try of this run may have been first, or only the answer was lost.
            Err(error) => match already_there(&target, run).await {
                Ok(Some(done)) => Ok(done),
                _ => Err(error.into()),
            },
        },
        Ok(Err(error)) | Err(error) => {
            exporter.discard().await;
            Err(error)
        }
    }
}

/// The result of this run, where one of its tries has published it.
async fn already_there(target: &Target, run: &RunOf) -> Result<Option<Exported>, ExportError> {
    let Some(manifest) = target.manifest().await? else {
        return Ok(None);
    };
    if manifest.run_id != run.id {
        return Ok(None);
    }
    target.keep_only(&manifest).await?;
    Ok(Some(Exported {
        rows: manifest.rows,
        bytes: manifest.bytes,
        files: manifest.files,
    }))
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

fn engine(deps: &JobDeps, job: &Job, scratch: &Scratch) -> Result<Arc<SqlEngine>, JobError> {
    let config = QueryConfig {
        memory_bytes: job.limits.memory_bytes,
        spill_dir: Some(scratch.path().to_owned()),
        spill_bytes: job.limits.spill_bytes,
        timeout: job.limits.timeout,
        max_rows: usize::MAX,
        max_concurrent: 1,
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
