//! What the serving layer needs of the scheduled jobs.

use futures::future::BoxFuture;
use lake::query::QueryResult;
use serde::Serialize;
use utoipa::ToSchema;

/// Tells how the configured jobs stand.
pub trait ScheduledJobs: Send + Sync + 'static {
    /// Every job of the configuration, in its order.
    fn list(&self) -> BoxFuture<'_, QueryResult<Vec<ScheduledJob>>>;
}

/// A scheduled job as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "daily-kilometres", "schedule": "0 3 * * *", "timezone": "Europe/Stockholm",
    "state": "running",
    "last_run": {"run_id": "5b0d1a3e-93a1-5f4e-9f2e-0a6f0c6d2f11", "trigger": "schedule",
        "scheduled": "2026-03-02T02:00:00Z", "started": "2026-03-02T02:00:01Z", "ended": null,
        "rows": null, "bytes": null, "output": "s3://reports/km/2026-03-02/", "error": null},
    "next_run": "2026-03-03T02:00:00Z",
    "progress": {"rows_read": 48_000_000, "rows_written": 0}
}))]
pub struct ScheduledJob {
    /// Its name.
    pub name: String,
    /// When it runs, a cron text.
    pub schedule: String,
    /// The time zone of that.
    pub timezone: String,
    /// `never` (it has not run), `running`, `succeeded`, `failed`, `cancelled`, or `lost`
    /// (its process is gone; another takes it up).
    pub state: String,
    /// The run under way, or else the last one.
    pub last_run: Option<LastRun>,
    /// When it is due next.
    pub next_run: Option<String>,
    /// How far the run under way is.
    pub progress: Option<JobProgress>,
}

/// A run of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LastRun {
    /// As in the table `job_runs` and in `_SUCCESS`.
    pub run_id: String,
    /// `schedule` or `command`.
    pub trigger: String,
    /// When it was due; null for one started by hand.
    pub scheduled: Option<String>,
    /// When it began.
    pub started: String,
    /// When it ended; null while it runs.
    pub ended: Option<String>,
    /// Rows of the result.
    pub rows: Option<i64>,
    /// Size of the result.
    pub bytes: Option<i64>,
    /// Where the result is, or is to be.
    pub output: String,
    /// Why there is none.
    pub error: Option<String>,
}

/// How far a run is; at most some 10 s ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct JobProgress {
    /// Rows that came from tables. How many there will be nobody knows beforehand.
    pub rows_read: u64,
    /// Rows of the result.
    pub rows_written: u64,
}
