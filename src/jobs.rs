//! The configured jobs, ready to be run.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use batch_layer::jobs::file::JobFile;
use batch_layer::jobs::run::with_scheduled;
use batch_layer::jobs::{Job, JobDeps, JobLimits, RunOf, Schedule, Scheduled};
use event_log::EventLog;
use lake::Lake;
use lake::export::{ExportFormat, Target};
use lake::query::{Parameters, check_job};

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
    let schedule = Schedule::new(&section.cron, &section.timezone)
        .map_err(|expected| anyhow!("{} is {}; expected {expected}", key("cron"), section.cron))?;
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
