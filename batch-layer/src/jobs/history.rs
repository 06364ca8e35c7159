//! What became of runs, from the table `job_runs`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use events::time::format_rfc3339;
use futures::TryStreamExt;
use lake::job_runs::JobRun;
use lake::query::{Freshness, Parameters, QueryConfig, QueryError, QueryResult, SqlEngine};
use lake::{Lake, Table};

use super::claim::{Claims, note};
use super::schedule::Stored;
use crate::now_us;

/// The newest `limit` runs, of all jobs or of one, the newest first. A run that says
/// that it is running and that no process holds is `lost`: it is taken up again.
///
/// # Errors
/// Where the lake cannot be read.
pub async fn history(
    lake: &Arc<Lake>,
    job: Option<&str>,
    limit: usize,
) -> QueryResult<Vec<JobRun>> {
    let filter = match job {
        Some(_) => "WHERE job = $job",
        None => "",
    };
    // Two rows a run.
    let sql = format!(
        "SELECT * FROM {} {filter} ORDER BY timestamp DESC LIMIT {}",
        lake::job_runs::TABLE,
        limit.saturating_mul(2)
    );
    let given = job.map(|job| ("job".to_owned(), job.to_owned()));
    let steps = steps(lake, &sql, BTreeMap::from_iter(given)).await?;
    let held = held(lake, &steps).await?;
    let mut runs = fold(steps, &held);
    runs.truncate(limit);
    Ok(runs)
}

/// Rows of `job_runs` that a statement finds.
pub(crate) async fn steps(
    lake: &Arc<Lake>,
    sql: &str,
    given: BTreeMap<String, String>,
) -> QueryResult<Vec<JobRun>> {
    let parameters = Parameters {
        given,
        ..Parameters::default()
    };
    let config = QueryConfig {
        memory_bytes: 64 << 20,
        ..QueryConfig::default()
    };
    let engine = SqlEngine::over_lake(Arc::clone(lake), config)?;
    let prepared = engine
        .prepare(sql, &parameters, &[], Freshness::Exact)
        .await?;
    let rows = engine.run_prepared(prepared).await?;
    let batches: Vec<_> = rows.try_collect().await.map_err(QueryError::from)?;
    Ok(batches.iter().flat_map(JobRun::from_rows).collect())
}

/// The counters of a job.
pub(crate) async fn stored(lake: &Arc<Lake>, job: &str) -> QueryResult<Stored> {
    let stored = Claims::new(Arc::clone(lake), job).stored().await;
    stored.map_err(|error| QueryError::Unavailable(error.to_string()))
}

/// The due times of the runs that a process holds now, by job.
async fn held(lake: &Arc<Lake>, steps: &[JobRun]) -> QueryResult<HashMap<String, i64>> {
    let jobs: HashSet<&String> = steps.iter().map(|step| &step.job).collect();
    let mut held = HashMap::new();
    for job in jobs {
        let stored = stored(lake, job).await?;
        if let Some(scheduled_us) = stored.scheduled_us.filter(|_| stored.lease_us > now_us()) {
            held.insert(job.clone(), scheduled_us);
        }
    }
    Ok(held)
}

/// One entry a run, of the newest step; steps come newest first.
fn fold(steps: Vec<JobRun>, held: &HashMap<String, i64>) -> Vec<JobRun> {
    let mut seen = HashSet::new();
    let mut runs: Vec<JobRun> = steps
        .into_iter()
        .filter(|step| seen.insert(step.run_id.clone()))
        .collect();
    for run in &mut runs {
        let is_held = held.get(&run.job).copied() == run.scheduled_us && run.scheduled_us.is_some();
        if run.state == "running" && !is_held {
            run.state = "lost".to_owned();
        }
    }
    runs
}

/// Notes how a run ended that was started by hand.
///
/// # Errors
/// Where the lake cannot be written.
pub async fn record(lake: &Lake, run: &JobRun) -> Result<(), lake::Error> {
    note(lake, run).await
}

/// `Table::JobRuns` by its SQL name, for people.
pub const TABLE: &str = Table::JobRuns.name();

/// A time for people; empty for none.
pub fn shown(time_us: Option<i64>) -> String {
    time_us.map(format_rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_shown_once_and_as_lost_when_nobody_holds_it() {
        let step = |run_id: &str, state: &str, scheduled_us| JobRun {
            job: "daily".into(),
            run_id: run_id.into(),
            state: state.into(),
            scheduled_us: Some(scheduled_us),
            ..JobRun::default()
        };
        let steps = vec![
            step("3", "running", 30),
            step("2", "running", 20),
            step("1", "succeeded", 10),
            step("1", "running", 10),
        ];
        let held = HashMap::from([("daily".to_owned(), 30)]);
        let runs = fold(steps.clone(), &held);
        let states: Vec<_> = runs.iter().map(|run| run.state.as_str()).collect();
        assert_eq!(states, ["running", "lost", "succeeded"]);
        assert_eq!(fold(steps, &HashMap::new())[0].state, "lost");
    }
}
