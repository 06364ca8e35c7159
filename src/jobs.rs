//! The configured jobs, ready to be run.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use batch_layer::jobs::file::JobFile;
use batch_layer::jobs::run::with_scheduled;
use batch_layer::jobs::status::{JobStatus, status};
use batch_layer::jobs::{Job, JobDeps, JobLimits, RunOf, Schedule, Scheduled};
use event_log::EventLog;
use events::time::format_rfc3339;
use futures::future::BoxFuture;
use lake::Lake;
use lake::export::{ExportFormat, Target};
use lake::job_runs::JobRun;
use lake::query::{Parameters, QueryResult, check_job};
use serving_api::{JobProgress, LastRun, ScheduledJob, ScheduledJobs};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::{Config, JobSection};

/// What runs work on.
pub fn deps(config: &Config, lake: Arc<Lake>, log: Option<Arc<dyn EventLog>>) -> JobDeps {
    JobDeps {
        lake,
        log,
        topics: config.topic_names(),
        s3: config.s3.access(),
        temp_dir: config.data_dir.join("tmp"),
        cluster: None,
    }
}

/// Every configured job, its file read and looked at.
///
/// # Errors
/// Names the setting, its value and what is wrong.
pub fn scheduled(config: &Config) -> Result<Vec<Scheduled>> {
    config.jobs.iter().map(|job| one(config, job)).collect()
}

fn one(config: &Config, section: &JobSection) -> Result<Scheduled> {
    let key = |field: &str| format!("setting jobs.{}.{field}", section.name);
    let file = JobFile::read(&section.file)
        .map_err(|error| anyhow!("{} cannot be used: {error}", key("file")))?;
    let given = section.params.iter();
    let parameters = Parameters {
        declared: file.declared,
        given: given
            .map(|(name, value)| (name.clone(), value.to_string()))
            .collect(),
        ..Parameters::default()
    };
    let run = RunOf::by_hand();
    check_job(&file.sql, &with_scheduled(&parameters, run.started_us)).with_context(|| {
        let path = section.file.display();
        format!("{} is {path}, with {}", key("file"), key("params"))
    })?;
    Target::open(
        &run.output(&section.output),
        &config.s3.access(),
        &config.lake_url(),
    )
    .with_context(|| format!("{} is {}", key("output"), section.output))?;
    let schedule = schedule(section)?;
    let format = ExportFormat::from_name(&section.format).ok_or_else(|| {
        anyhow!(
            "{} is {}; expected parquet, csv or json",
            key("format"),
            section.format
        )
    })?;
    Ok(Scheduled {
        schedule,
        job: Job {
            name: section.name.clone(),
            sql: file.sql,
            parameters,
            output: section.output.clone(),
            format,
            partition_by: section.partition_by.clone(),
            overwrite: section.overwrite,
            limits: JobLimits {
                memory_bytes: section.memory_mib << 20,
                spill_bytes: section.spill_mib << 20,
                retries: section.retries,
                timeout: Duration::from_secs(section.timeout_s),
            },
        },
    })
}

fn schedule(section: &JobSection) -> Result<Schedule> {
    Schedule::new(&section.cron, &section.timezone).map_err(|expected| {
        let (name, cron) = (&section.name, &section.cron);
        anyhow!("setting jobs.{name}.cron is {cron}; expected {expected}")
    })
}

/// What is told is at most so old: asking often costs no more.
const TOLD_FOR: Duration = Duration::from_secs(2);

/// How the configured jobs stand, in whichever process they run.
pub struct Board {
    lake: Arc<Lake>,
    jobs: Vec<(String, Schedule)>,
    told: Mutex<Option<(Instant, Vec<ScheduledJob>)>>,
}

impl Board {
    /// Of names and schedules alone: the SQL files may be elsewhere.
    ///
    /// # Errors
    /// Names the setting, its value and what is wrong.
    pub fn new(config: &Config, lake: Arc<Lake>) -> Result<Self> {
        let jobs = config.jobs.iter();
        let jobs = jobs.map(|section| Ok((section.name.clone(), schedule(section)?)));
        Ok(Self {
            lake,
            jobs: jobs.collect::<Result<_>>()?,
            told: Mutex::default(),
        })
    }

    /// How they stand now.
    ///
    /// # Errors
    /// Where the lake cannot be read.
    pub async fn status(&self) -> QueryResult<Vec<JobStatus>> {
        match self.jobs.is_empty() {
            true => Ok(Vec::new()),
            false => status(&self.lake, &self.jobs).await,
        }
    }
}

impl ScheduledJobs for Board {
    fn list(&self) -> BoxFuture<'_, QueryResult<Vec<ScheduledJob>>> {
        Box::pin(async {
            let mut told = self.told.lock().await;
            if let Some((at, list)) = &*told
                && at.elapsed() < TOLD_FOR
            {
                return Ok(list.clone());
            }
            let list: Vec<_> = self.status().await?.into_iter().map(shown).collect();
            *told = Some((Instant::now(), list.clone()));
            Ok(list)
        })
    }
}

fn shown(job: JobStatus) -> ScheduledJob {
    let run = |run: JobRun| LastRun {
        run_id: run.run_id,
        trigger: run.trigger,
        scheduled: run.scheduled_us.map(format_rfc3339),
        started: format_rfc3339(run.started_us),
        ended: run.ended_us.map(format_rfc3339),
        rows: run.rows,
        bytes: run.bytes,
        output: run.output,
        error: run.error,
    };
    ScheduledJob {
        name: job.name,
        schedule: job.cron,
        timezone: job.timezone,
        state: job.state,
        last_run: job.last_run.map(run),
        next_run: job.next_run_us.map(format_rfc3339),
        progress: job.progress.map(|progress| JobProgress {
            rows_read: progress.rows_read,
            rows_written: progress.rows_written,
        }),
    }
}
