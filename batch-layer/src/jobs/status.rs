//! What is configured, what became of it last, and how far the run under way is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lake::Lake;
use lake::job_runs::{JobRun, TABLE};
use lake::query::QueryResult;

use super::history::{steps, stored};
use super::schedule::Schedule;
use crate::now_us;

/// A scheduled job as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStatus {
    /// Its name.
    pub name: String,
    /// The cron text of its schedule.
    pub cron: String,
    /// The time zone of that.
    pub timezone: String,
    /// As in the history; `never` where it has not run yet.
    pub state: String,
    /// The newest step of its last run.
    pub last_run: Option<JobRun>,
    /// When it is due next, microseconds since the epoch.
    pub next_run_us: Option<i64>,
    /// How far the run under way was at its last sign of life.
    pub progress: Option<RunProgress>,
}

/// How far a run was at its last sign of life, some seconds ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunProgress {
    /// Rows that came from tables.
    pub rows_read: u64,
    /// Rows of the result.
    pub rows_written: u64,
}

/// How the jobs of these names and schedules stand, in whichever process they run.
///
/// # Errors
/// Where the lake cannot be read.
pub async fn status(lake: &Arc<Lake>, jobs: &[(String, Schedule)]) -> QueryResult<Vec<JobStatus>> {
    let sql = format!(
        "SELECT step.* FROM {TABLE} AS step \
         JOIN (SELECT job, max(timestamp) AS timestamp FROM {TABLE} GROUP BY job) AS newest \
         ON step.job = newest.job AND step.timestamp = newest.timestamp"
    );
    let newest = steps(lake, &sql, BTreeMap::new()).await?;
    let mut newest: HashMap<String, JobRun> = newest
        .into_iter()
        .map(|step| (step.job.clone(), step))
        .collect();
    let now_us = now_us();
    let mut all = Vec::with_capacity(jobs.len());
    for (name, schedule) in jobs {
        let stored = stored(lake, name).await?;
        let is_held = stored.lease_us > now_us;
        let last_run = newest.remove(name);
        let state = match &last_run {
            _ if is_held => "running",
            None => "never",
            // It is taken up again.
            Some(run) if run.state == "running" => "lost",
            Some(run) => &run.state,
        };
        let count = |rows: i64| u64::try_from(rows).unwrap_or(0);
        all.push(JobStatus {
            name: name.clone(),
            cron: schedule.cron().to_owned(),
            timezone: schedule.timezone().to_owned(),
            state: state.to_owned(),
            next_run_us: schedule.next_after(now_us),
            progress: is_held.then(|| RunProgress {
                rows_read: count(stored.rows_read),
                rows_written: count(stored.rows_written),
            }),
            last_run,
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use lake::{LakeConfig, S3Options};

    use super::super::claim::{Claim, Claims, lease_from_now_us};
    use super::super::run::Progress;
    use super::super::schedule::Stored;
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn how_far_a_run_is_can_be_seen_from_other_processes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = LakeConfig {
            url: folder.path().display().to_string(),
            s3: S3Options::default(),
        };
        let here = Lake::open(config.clone()).await.expect("a lake");
        let there = Lake::open(config).await.expect("a lake");
        let schedule = Schedule::new("0 3 * * *", "Europe/Stockholm").expect("a schedule");
        let jobs = [("daily".to_owned(), schedule)];
        let seen = async || {
            let all = status(&there, &jobs).await.expect("the jobs");
            let [one] = <[JobStatus; 1]>::try_from(all).expect("one job");
            assert_eq!(
                (one.cron.as_str(), one.timezone.as_str()),
                ("0 3 * * *", "Europe/Stockholm")
            );
            assert!(one.next_run_us > Some(now_us()));
            one
        };
        let new = seen().await;
        assert_eq!((new.state.as_str(), new.progress), ("never", None));
        assert_eq!(new.last_run, None);

        let step = |state: &str, timestamp_us| JobRun {
            job: "daily".into(),
            run_id: "1".into(),
            state: state.into(),
            timestamp_us,
            ..JobRun::default()
        };
        let claims = Claims::new(here, "daily");
        let claimed = Stored {
            scheduled_us: Some(1),
            lease_us: lease_from_now_us(),
            tries: 1,
            ..Stored::default()
        };
        let begun = claims.change(&Stored::default(), &claimed, Some(&step("running", 1)));
        assert!(begun.await.expect("an answer"));
        let claim = Claim::new(claims, claimed);
        claim.tell(Progress {
            rows_read: 5_000,
            rows_written: 20,
            bytes_written: 300,
        });
        assert!(claim.renew().await.expect("an answer"));
        let running = seen().await;
        assert_eq!(running.state, "running");
        let progress = RunProgress {
            rows_read: 5_000,
            rows_written: 20,
        };
        assert_eq!(running.progress, Some(progress));

        let over = |stored| Stored {
            lease_us: 0,
            ..stored
        };
        let ended = claim.advance(over, Some(&step("succeeded", 2))).await;
        assert!(ended.expect("an answer"));
        let done = seen().await;
        assert_eq!((done.state.as_str(), done.progress), ("succeeded", None));
        assert_eq!(done.last_run, Some(step("succeeded", 2)));
    }
}
