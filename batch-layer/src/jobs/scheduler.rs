//! Begins runs when they are due, in whichever process is first.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use events::backoff::Backoff;
use lake::Lake;
use lake::export::Exported;
use lake::job_runs::JobRun;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::claim::{Claim, Claims, lease_from_now_us};
use super::run::{self, JobError};
use super::schedule::{Schedule, Step, Stored, TRIES_MAX, step};
use super::{Job, JobDeps, RunOf};
use crate::now_us;

const RENEW_EVERY: Duration = Duration::from_secs(10);
/// At least so often a process looks whether another one has died.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// How long the end of a run is tried to be noted before it is left to the lease.
const NOTE_WITHIN: Duration = Duration::from_secs(120);
/// The same while the process stops.
const NOTE_WHILE_STOPPING: Duration = Duration::from_secs(3);

/// A job and when it runs.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// What.
    pub job: Job,
    /// When.
    pub schedule: Schedule,
}

/// Runs jobs when they are due until `stop`. A run that is under way then is given up
/// and taken up by another process, or the next one.
pub async fn run(deps: JobDeps, jobs: Vec<Scheduled>, stop: CancellationToken) {
    let mut loops = JoinSet::new();
    for scheduled in jobs {
        let (deps, stop) = (deps.clone(), stop.clone());
        loops.spawn(async move { follow(&deps, &scheduled, &stop).await });
    }
    while loops.join_next().await.is_some() {}
}

async fn follow(deps: &JobDeps, scheduled: &Scheduled, stop: &CancellationToken) {
    let claims = Claims::new(Arc::clone(&deps.lake), &scheduled.job.name);
    let mut backoff = Backoff::new();
    while !stop.is_cancelled() {
        let pause = match turn(deps, scheduled, &claims, stop).await {
            Ok(pause) => {
                backoff.reset();
                pause
            }
            Err(error) => {
                tracing::warn!(job = scheduled.job.name, %error, "cannot tell whether the job is due; trying again");
                backoff.next_delay()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Does what is to be done now and says how long there is nothing more.
async fn turn(
    deps: &JobDeps,
    scheduled: &Scheduled,
    claims: &Claims,
    stop: &CancellationToken,
) -> Result<Duration, lake::Error> {
    let stored = claims.stored().await?;
    let now_us = now_us();
    let (scheduled_us, tries) = match step(&scheduled.schedule, &stored, now_us) {
        Step::Register => {
            let registered = Stored {
                scheduled_us: Some(now_us),
                ..Stored::default()
            };
            claims.change(&stored, &registered, None).await?;
            return Ok(Duration::ZERO);
        }
        Step::Wait { until_us } => {
            let wait_us = u64::try_from(until_us.saturating_sub(now_us)).unwrap_or(0);
            return Ok(Duration::from_micros(wait_us).min(LOOK_EVERY));
        }
        Step::Begin { scheduled_us } => (scheduled_us, 1),
        Step::TakeOver { scheduled_us } => (scheduled_us, stored.tries + 1),
        Step::GiveUp { scheduled_us } => {
            let run = RunOf::scheduled(&scheduled.job.name, scheduled_us);
            let mut row = row_of(&scheduled.job, &run, "failed");
            row.ended_us = Some(now_us);
            row.error = Some(format!(
                "given up: the process died in each of {TRIES_MAX} tries"
            ));
            let over = Stored {
                lease_us: 0,
                ..stored
            };
            claims.change(&stored, &over, Some(&row)).await?;
            return Ok(Duration::ZERO);
        }
    };
    let claimed = Stored {
        scheduled_us: Some(scheduled_us),
        lease_us: lease_from_now_us(),
        tries,
        ..Stored::default()
    };
    let run = RunOf::scheduled(&scheduled.job.name, scheduled_us);
    let row = row_of(&scheduled.job, &run, "running");
    if claims.change(&stored, &claimed, Some(&row)).await? {
        let claim = Claim::new(claims.clone(), claimed);
        execute(deps, &scheduled.job, &run, &claim, stop).await;
    }
    Ok(Duration::ZERO)
}

/// Runs what is claimed, keeps the claim meanwhile, and notes how it ended.
async fn execute(deps: &JobDeps, job: &Job, run: &RunOf, claim: &Claim, stop: &CancellationToken) {
    tracing::info!(job = job.name, run_id = run.id, "run begins");
    let cancel = stop.child_token();
    let mut tell = |progress| claim.tell(progress);
    let running = run::under_claim(deps, job, run, Some(claim), &mut tell, &cancel);
    let keeping = async {
        keep(claim).await;
        tracing::warn!(
            job = job.name,
            run_id = run.id,
            "the run was cancelled, or taken over by another process; stopping it here"
        );
        cancel.cancel();
        std::future::pending::<Infallible>().await
    };
    let outcome = tokio::select! {
        outcome = running => outcome,
        never = keeping => match never {},
    };
    let is_lost = cancel.is_cancelled() && !stop.is_cancelled();
    if is_lost || matches!(outcome, Err(JobError::Lost)) {
        return; // somebody else's by now
    }
    let is_interrupted = matches!(outcome, Err(JobError::Cancelled));
    let ended = |stored: Stored| Stored {
        // An expired lease: whoever looks next takes the run up at once.
        lease_us: i64::from(is_interrupted),
        // A try that was stopped in good order is none that died.
        tries: stored.tries - i64::from(is_interrupted),
        ..stored
    };
    let row = ending(job, run, &outcome);
    say(job, run, &row);
    let within = match stop.is_cancelled() {
        true => NOTE_WHILE_STOPPING,
        false => NOTE_WITHIN,
    };
    let noted = note_end(claim, ended, &row);
    if tokio::time::timeout(within, noted).await.is_err() {
        tracing::warn!(
            job = job.name,
            run_id = run.id,
            "could not note how the run ended; it is looked at again when its lease is over"
        );
    }
}

/// Renews the claim until it is lost: to somebody else, or because its end came before
/// the lake could be written.
async fn keep(claim: &Claim) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        match claim.renew().await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "cannot renew the claim on a run; trying again");
                if now_us() >= claim.lease_us().await - us(RENEW_EVERY) {
                    return;
                }
            }
        }
    }
}

/// Ends the run of `job` that a process holds or is to take up: it stops within some
/// seconds with nothing written, unless it was writing its last. `false` where there
/// is none.
///
/// # Errors
/// Where the lake cannot be read or written.
pub async fn cancel(lake: &Arc<Lake>, job: &Job) -> Result<bool, lake::Error> {
    let claims = Claims::new(Arc::clone(lake), &job.name);
    loop {
        let stored = claims.stored().await?;
        let Some(scheduled_us) = stored.scheduled_us.filter(|_| stored.lease_us > 0) else {
            return Ok(false);
        };
        let run = RunOf::scheduled(&job.name, scheduled_us);
        let mut row = row_of(job, &run, "cancelled");
        row.ended_us = Some(row.timestamp_us);
        row.error = Some("cancelled by hand".to_owned());
        let over = Stored {
            lease_us: 0,
            ..stored
        };
        // Refused where a renewal was first.
        if claims.change(&stored, &over, Some(&row)).await? {
            return Ok(true);
        }
    }
}

async fn note_end(claim: &Claim, ended: impl Fn(Stored) -> Stored, row: &JobRun) {
    let mut backoff = Backoff::new();
    while let Err(error) = claim.advance(&ended, Some(row)).await {
        tracing::warn!(%error, "cannot note how a run ended; trying again");
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

fn say(job: &Job, run: &RunOf, row: &JobRun) {
    metrics::counter!("citypulse_job_runs_total", "job" => job.name.clone(), "state" => row.state.clone())
        .increment(1);
    match &row.error {
        None => tracing::info!(
            job = job.name,
            run_id = run.id,
            rows = row.rows,
            bytes = row.bytes,
            output = row.output,
            "run succeeded"
        ),
        Some(error) => {
            tracing::warn!(
                job = job.name,
                run_id = run.id,
                state = row.state,
                error,
                "run ended without a result"
            );
        }
    }
}

fn us(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The row about a run that is in that state now.
fn row_of(job: &Job, run: &RunOf, state: &str) -> JobRun {
    let trigger = match run.scheduled_us {
        Some(_) => "schedule",
        None => "command",
    };
    JobRun {
        job: job.name.clone(),
        run_id: run.id.clone(),
        trigger: trigger.to_owned(),
        state: state.to_owned(),
        scheduled_us: run.scheduled_us,
        started_us: run.started_us,
        output: run.output(&job.output),
        timestamp_us: now_us(),
        ..JobRun::default()
    }
}

/// The row about how a run ended.
pub fn ending(job: &Job, run: &RunOf, outcome: &Result<Exported, JobError>) -> JobRun {
    let state = match outcome {
        Ok(_) => "succeeded",
        Err(JobError::Cancelled) => "cancelled",
        Err(_) => "failed",
    };
    let mut row = row_of(job, run, state);
    row.ended_us = Some(row.timestamp_us);
    match outcome {
        Ok(done) => {
            row.rows = i64::try_from(done.rows).ok();
            row.bytes = i64::try_from(done.bytes).ok();
        }
        Err(error) => row.error = Some(error.to_string()),
    }
    row
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use events::TopicNames;
    use lake::export::ExportFormat;
    use lake::query::Parameters;
    use lake::{LakeConfig, S3Options};

    use super::super::JobLimits;
    use super::super::history::history;
    use super::*;

    const DUE_US: i64 = 1_772_366_400_000_000;

    /// A lake of its own is what each process has.
    async fn lake(folder: &Path) -> Arc<Lake> {
        let config = LakeConfig {
            url: folder.join("lake").display().to_string(),
            s3: S3Options::default(),
        };
        Lake::open(config).await.expect("a lake")
    }

    fn daily(folder: &Path) -> Job {
        Job {
            name: "daily".into(),
            sql: "SELECT 1 AS one".into(),
            parameters: Parameters::default(),
            output: folder.join("out").display().to_string(),
            format: ExportFormat::Csv,
            partition_by: Vec::new(),
            overwrite: true,
            limits: JobLimits::default(),
        }
    }

    /// The claim of a process that begins the run, or takes it over.
    async fn claim(folder: &Path, tries: i64) -> Claim {
        let claims = Claims::new(lake(folder).await, "daily");
        let stored = claims.stored().await.expect("what is stored");
        let claimed = Stored {
            scheduled_us: Some(DUE_US),
            lease_us: lease_from_now_us(),
            tries,
            ..Stored::default()
        };
        let given = claims.change(&stored, &claimed, None).await;
        assert!(given.expect("an answer"));
        Claim::new(claims, claimed)
    }

    async fn run_under(
        folder: &Path,
        claim: &Claim,
        on_progress: &mut (dyn FnMut(run::Progress) + Send),
    ) -> Result<Exported, JobError> {
        let deps = JobDeps {
            lake: lake(folder).await,
            log: None,
            topics: TopicNames::default(),
            s3: S3Options::default(),
            temp_dir: folder.join("tmp"),
            cluster: None,
        };
        let run = RunOf::scheduled("daily", DUE_US);
        let stop = CancellationToken::new();
        run::under_claim(&deps, &daily(folder), &run, Some(claim), on_progress, &stop).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_process_that_slept_while_its_run_was_taken_over_publishes_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().to_owned();
        let (all_written, written) = tokio::sync::oneshot::channel();
        let (wake, woken) = std::sync::mpsc::channel::<()>();
        let first = claim(&path, 1).await;
        let asleep = tokio::spawn({
            let path = path.clone();
            let mut all_written = Some(all_written);
            async move {
                // As SIGSTOP would: the thread stands still when every row is written.
                let mut sleep = move |progress: run::Progress| {
                    if progress.rows_written > 0
                        && let Some(all_written) = all_written.take()
                    {
                        all_written.send(()).expect("the test waits");
                        woken.recv().expect("it is woken");
                    }
                };
                run_under(&path, &first, &mut sleep).await
            }
        });
        written.await.expect("every row is written");
        let second = claim(&path, 2).await;
        let done = run_under(&path, &second, &mut |_| {}).await;
        let done = done.expect("it publishes");
        wake.send(()).expect("it sleeps");
        let outcome = asleep.await.expect("no panic");
        assert!(matches!(outcome, Err(JobError::Lost)), "{outcome:?}");

        let names = std::fs::read_dir(path.join("out")).expect("the result");
        let names: BTreeSet<String> = names
            .map(|entry| entry.expect("an entry").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        let published = BTreeSet::from([done.files[0].path.clone(), "_SUCCESS".to_owned()]);
        assert_eq!(names, published, "the result of the one that holds the run");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cancelled_run_is_no_longer_its_processes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let lake = lake(folder.path()).await;
        let job = daily(folder.path());
        assert!(!cancel(&lake, &job).await.expect("an answer"), "none runs");

        let claims = Claims::new(lake.clone(), &job.name);
        let claimed = Stored {
            scheduled_us: Some(DUE_US),
            lease_us: lease_from_now_us(),
            tries: 1,
            ..Stored::default()
        };
        let run = RunOf::scheduled(&job.name, DUE_US);
        let row = row_of(&job, &run, "running");
        let unknown = Stored::default();
        let begun = claims.change(&unknown, &claimed, Some(&row)).await;
        assert!(begun.expect("an answer"));
        let claim = Claim::new(claims, claimed);
        assert!(claim.renew().await.expect("an answer"), "it is its own");

        assert!(cancel(&lake, &job).await.expect("an answer"));
        assert!(!claim.renew().await.expect("an answer"), "it has to stop");
        assert!(!cancel(&lake, &job).await.expect("an answer"), "once");
        let runs = history(&lake, Some("daily"), 5).await.expect("the history");
        let states: Vec<&str> = runs.iter().map(|run| run.state.as_str()).collect();
        assert_eq!(states, ["cancelled"]);
    }
}
