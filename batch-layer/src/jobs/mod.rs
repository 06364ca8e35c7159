//! Batch jobs: one SELECT over every table, its result as files, by hand or on a
//! schedule.
//!
//! Enters: an SQL file with parameters. Leaves: a result as [`lake::export`] writes
//! it, and two rows in the table `job_runs`. Promises: a scheduled run is begun by one
//! process at a time, and taken up by another where that dies; of the runs that were
//! missed while nothing ran the latest is made up. Never: changes a table of events,
//! or shows half a result.
//!
//! - [`file`]: the SQL file and what its head says.
//! - [`run`]: one run, with its limits.
//! - [`schedule`]: when runs are due (pure).
//! - `claim`: which process begins one; `scheduler`: the loop around it.
//! - [`history`]: what became of runs; [`status`]: how jobs stand now.

mod claim;
pub mod file;
pub mod history;
pub mod run;
pub mod schedule;
pub mod scheduler;
pub mod status;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use event_log::EventLog;
use events::TopicNames;
use events::time::format_rfc3339;
use lake::export::ExportFormat;
use lake::query::{Cluster, Parameters};
use lake::{Lake, S3Options};

use crate::now_us;

pub use run::{JobError, Progress};
pub use schedule::Schedule;
pub use scheduler::Scheduled;

/// What is run, and within which limits.
#[derive(Clone, Debug)]
pub struct Job {
    /// As people know it.
    pub name: String,
    /// One SELECT.
    pub sql: String,
    /// Values of its parameters.
    pub parameters: Parameters,
    /// A folder or `s3://bucket/prefix`; `{date}` and `{time}` stand for when the run
    /// was due.
    pub output: String,
    /// What the files are.
    pub format: ExportFormat,
    /// Columns that make folders.
    pub partition_by: Vec<String>,
    /// Whether an earlier result gives way.
    pub overwrite: bool,
    /// How much it may take.
    pub limits: JobLimits,
}

/// How much a run may take.
#[derive(Clone, Debug)]
pub struct JobLimits {
    /// Memory of sorts, joins and aggregates, bytes; beyond it they spill to disk.
    pub memory_bytes: usize,
    /// Most bytes spilled at once.
    pub spill_bytes: u64,
    /// How often a run begins again after a failure that may pass.
    pub retries: u32,
    /// A run is stopped after this, all tries together.
    pub timeout: Duration,
}

impl Default for JobLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            spill_bytes: 50 << 30,
            retries: 3,
            timeout: Duration::from_secs(6 * 3600),
        }
    }
}

/// What runs work on.
#[derive(Clone)]
pub struct JobDeps {
    /// The tables.
    pub lake: Arc<Lake>,
    /// What is not in the tables yet; without it a run reads the tables alone.
    pub log: Option<Arc<dyn EventLog>>,
    /// Which topic carries which stream.
    pub topics: TopicNames,
    /// How to reach buckets.
    pub s3: S3Options,
    /// Where sorts spill.
    pub temp_dir: PathBuf,
    /// Who runs the plans; without it this process does.
    pub cluster: Option<Arc<dyn Cluster>>,
}

/// One run of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOf {
    /// Tells runs apart: the same for every try of one scheduled run.
    pub id: String,
    /// When it was due; none for one started by hand.
    pub scheduled_us: Option<i64>,
    /// When it began.
    pub started_us: i64,
}

impl RunOf {
    /// A run started by hand, now.
    pub fn by_hand() -> Self {
        Self {
            id: uuid::Uuid::now_v7().to_string(),
            scheduled_us: None,
            started_us: now_us(),
        }
    }

    /// The run of `job` that was due then.
    pub fn scheduled(job: &str, scheduled_us: i64) -> Self {
        let name = format!("citypulse/job/{job}/{scheduled_us}");
        Self {
            id: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).to_string(),
            scheduled_us: Some(scheduled_us),
            started_us: now_us(),
        }
    }

    /// The time that it is about.
    pub fn due_us(&self) -> i64 {
        self.scheduled_us.unwrap_or(self.started_us)
    }

    /// Where its result goes.
    pub fn output(&self, template: &str) -> String {
        let due = format_rfc3339(self.due_us());
        let (date, time) = due.split_once('T').unwrap_or((&due, ""));
        let time: String = time.chars().filter(char::is_ascii_digit).take(6).collect();
        template.replace("{date}", date).replace("{time}", &time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduled_run_has_one_id_and_one_place() {
        let noon_us = 1_772_366_400_000_000;
        let run = RunOf::scheduled("daily", noon_us);
        assert_eq!(run.id, RunOf::scheduled("daily", noon_us).id);
        assert_ne!(run.id, RunOf::scheduled("hourly", noon_us).id);
        assert_eq!(
            run.output("s3://a/{date}/{time}"),
            "s3://a/2026-03-01/120000"
        );
    }
}
