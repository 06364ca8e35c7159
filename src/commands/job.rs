//! `citypulse job`: SQL with its result as files.

mod cluster;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use batch_layer::jobs::file::JobFile;
use batch_layer::jobs::history::{history, record, shown};
use batch_layer::jobs::run::{plan, with_scheduled};
use batch_layer::jobs::status::RunProgress;
use batch_layer::jobs::{
    Job, JobDeps, JobError, JobLimits, Progress, RunOf, run as runs, scheduler,
};
use lake::export::{ExportFormat, Exported};
use lake::job_runs::JobRun;
use lake::query::{Parameters, check_job};

use crate::cli::{JobCommand, JobFormat, JobHistoryArgs, JobRunArgs};
use crate::commands::replay::{bad_usage, stop_on_signal};
use crate::config::Config;
use crate::instance::running_address;
use crate::jobs::{self, Board};
use crate::platform::{Platform, open_lake};
use crate::progress::{Display, bytes};
use crate::terminal::{print, tell};

/// `citypulse job ...`
pub async fn run(config: Config, command: JobCommand) -> Result<()> {
    match command {
        JobCommand::Run(args) => run_one(config, &args).await,
        JobCommand::List => list(config).await,
        JobCommand::History(args) => show_history(config, args).await,
        JobCommand::Cancel(args) => cancel(config, &args.name).await,
        JobCommand::Scheduler(args) => cluster::scheduler(args).await,
        JobCommand::Executor(args) => cluster::executor(config, args).await,
    }
}

async fn run_one(config: Config, args: &JobRunArgs) -> Result<()> {
    let job = job(args);
    let run = RunOf::by_hand();
    let parameters = with_scheduled(&job.parameters, run.started_us);
    if let Err(error) = check_job(&job.sql, &parameters) {
        return bad_usage(format!("{}: {error}", args.file.display()));
    }
    let cluster = match &args.distributed {
        Some(scheduler) => Some(distributed::connect(scheduler).await?),
        None => None,
    };
    let stop = stop_on_signal()?;
    let (mut deps, platform) = open(config, args).await?;
    deps.cluster = cluster;
    if args.dry_run {
        let planned = plan(&deps, &job, &run).await;
        close(platform).await?;
        return match planned {
            Ok(plan) => print(in_lines(&plan)),
            Err(error) => fail(error),
        };
    }
    let began = Instant::now();
    let mut display = Display::new(&job.name);
    let bar = display.handle();
    let mut show = move |progress: Progress| {
        // How many rows there will be nobody knows beforehand.
        let figures = format!(
            "{} rows read ({:.0} rows/s), {} written, {}",
            progress.rows_read,
            display.rate(progress.rows_read),
            progress.rows_written,
            bytes(progress.bytes_written)
        );
        display.show(None, &figures);
    };
    let outcome = runs::run(&deps, &job, &run, &mut show, &stop).await;
    bar.clear();
    let row = scheduler::ending(&job, &run, &outcome);
    // Bad usage is no run.
    let is_run = !matches!(outcome, Err(JobError::Usage(_)));
    if is_run && let Err(error) = record(&deps.lake, &row).await {
        tell(&format!(
            "the run is not in the history (table job_runs): {error}"
        ));
    }
    if let Some(cluster) = &deps.cluster {
        cluster.settle().await;
    }
    close(platform).await?;
    match outcome {
        Ok(done) => print(summary(&done, &row.output, began.elapsed())),
        Err(error) => fail(error),
    }
}

/// Wrong statements, parameters and places are bad usage: exit code 2.
fn fail(error: JobError) -> Result<()> {
    match error {
        JobError::Usage(text) => bad_usage(text),
        other => Err(other.into()),
    }
}

fn job(args: &JobRunArgs) -> Job {
    let file = JobFile::read(&args.file).unwrap_or_else(bad_usage);
    let mut names: Vec<&str> = args.params.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        bad_usage(format!(
            "--param {}: given twice; expected one value",
            twice[0]
        ))
    }
    let name = args.file.file_stem().unwrap_or_default();
    Job {
        name: name.to_string_lossy().into_owned(),
        sql: file.sql,
        parameters: Parameters {
            declared: file.declared,
            given: args.params.iter().cloned().collect(),
            ..Parameters::default()
        },
        output: args.output.clone(),
        format: match args.format {
            JobFormat::Parquet => ExportFormat::Parquet,
            JobFormat::Csv => ExportFormat::Csv,
            JobFormat::Json => ExportFormat::Json,
        },
        partition_by: args.partition_by.clone(),
        overwrite: args.overwrite,
        limits: JobLimits {
            memory_bytes: args.memory_limit << 20,
            spill_bytes: args.spill_limit << 20,
            retries: args.retries,
            timeout: Duration::from_secs(args.timeout),
        },
    }
}

/// The lake, and the log where it can be had: an embedded log belongs to the instance
/// that runs on the data folder.
async fn open(config: Config, args: &JobRunArgs) -> Result<(JobDeps, Option<Platform>)> {
    let folder = config.data_dir.clone();
    let is_embedded = !config.uses_kafka();
    if is_embedded && !folder.is_dir() {
        bail!(
            "data folder {} does not exist, so there is nothing to ask; `citypulse up` fills one, \
             --data-dir names another",
            folder.display()
        );
    }
    let lake = open_lake(&config).await?;
    if args.lake_only {
        return Ok((jobs::deps(&config, lake, None), None));
    }
    if is_embedded && let Some(address) = running_address(&folder) {
        tell(&format!(
            "the instance at {address} holds the log, so the lake alone is read: what was appended since its last \
             commit (at most batch.flush_age_s ago) is not in the result"
        ));
        return Ok((jobs::deps(&config, lake, None), None));
    }
    let mut platform = match is_embedded {
        true => Platform::new(config)?,
        false => Platform::for_one_role(config, "job run", false)?,
    };
    let log = platform.open_log()?;
    Ok((
        jobs::deps(&platform.config, lake, Some(log)),
        Some(platform),
    ))
}

async fn close(platform: Option<Platform>) -> Result<()> {
    match platform {
        Some(platform) => platform.close().await,
        None => Ok(()),
    }
}

fn summary(done: &Exported, output: &str, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    let files = done.files.len();
    let size = bytes(done.bytes);
    format!(
        "{} rows in {files} files of {size} in {seconds:.1} s to {output}\n",
        done.rows
    )
}

fn in_lines(plan: &runs::Plan) -> String {
    let mut text = format!("output: {}\n", plan.output);
    for (title, lines) in [
        ("columns", &plan.columns),
        ("parameters", &plan.parameters),
        ("tables", &plan.tables),
    ] {
        text.push_str(&format!("{title}:\n"));
        for line in lines {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text.push_str(&format!("plan:\n{}\n", plan.operators.trim_end()));
    text
}

async fn list(config: Config) -> Result<()> {
    if config.jobs.is_empty() {
        return print("no jobs are configured; see [[jobs]] in docs/jobs.md\n");
    }
    let lake = open_lake(&config).await?;
    let heads = [
        "name", "schedule", "last run", "state", "progress", "next run", "error",
    ];
    let mut lines = vec![heads.map(str::to_owned)];
    for job in Board::new(&config, lake)?.status().await? {
        let due = |run: &JobRun| shown(run.scheduled_us.or(Some(run.started_us)));
        let rows = |progress: RunProgress| {
            let (read, written) = (progress.rows_read, progress.rows_written);
            format!("{read} rows read, {written} written")
        };
        lines.push([
            job.name,
            format!("{} ({})", job.cron, job.timezone),
            job.last_run.as_ref().map(due).unwrap_or_default(),
            job.state,
            job.progress.map(rows).unwrap_or_default(),
            shown(job.next_run_us),
            job.last_run.and_then(|run| run.error).unwrap_or_default(),
        ]);
    }
    print(in_columns(&lines))
}

async fn show_history(config: Config, args: JobHistoryArgs) -> Result<()> {
    let lake = open_lake(&config).await?;
    let runs = history(&lake, args.name.as_deref(), args.limit).await?;
    if runs.is_empty() {
        return print("no runs yet\n");
    }
    let heads = [
        "job",
        "state",
        "scheduled",
        "started",
        "ended",
        "rows",
        "bytes",
        "output",
        "error",
    ];
    let mut lines = vec![heads.map(str::to_owned)];
    for run in runs {
        let number = |number: Option<i64>| number.map(|number| number.to_string());
        lines.push([
            run.job,
            run.state,
            shown(run.scheduled_us),
            shown(Some(run.started_us)),
            shown(run.ended_us),
            number(run.rows).unwrap_or_default(),
            number(run.bytes).unwrap_or_default(),
            run.output,
            run.error.unwrap_or_default(),
        ]);
    }
    print(in_columns(&lines))
}

async fn cancel(config: Config, name: &str) -> Result<()> {
    let scheduled = jobs::scheduled(&config)?;
    let Some(one) = scheduled.iter().find(|one| one.job.name == name) else {
        let names: Vec<&str> = scheduled.iter().map(|one| one.job.name.as_str()).collect();
        let known = match names.is_empty() {
            true => "none is; see [[jobs]] in docs/jobs.md".to_owned(),
            false => names.join(", "),
        };
        return bad_usage(format!(
            "job {name:?}: expected one that is configured ({known})"
        ));
    };
    let lake = open_lake(&config).await?;
    match scheduler::cancel(&lake, &one.job).await? {
        true => print("cancelled; the process that runs it stops within some seconds\n"),
        false => bail!("no run of {name} is under way"),
    }
}

/// Texts below each other.
fn in_columns<const N: usize>(lines: &[[String; N]]) -> String {
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = width(column);
            row.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}
