//! Which process begins a run. Counters of the table `job_runs` say for each job what is
//! stored about its runs; a commit that changes them is refused unless they are as its
//! writer believes, so of several processes one gets through. The row that says that a
//! run began or ended is in the same commit. How far a run is are counters too: they go
//! with the renewal of its claim and cost no file.

use std::sync::Arc;
use std::time::Duration;

use events::{Advance, TopicPartition};
use lake::job_runs::JobRun;
use lake::{Commit, Error, Lake, NewFile, Table};
use tokio::sync::{Mutex, watch};

use super::run::Progress;
use super::schedule::Stored;
use crate::now_us;

const TABLE: Table = Table::JobRuns;
/// A run belongs to its process for this long after the last sign of life.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

/// Until when a claim holds that is made now, microseconds since the epoch.
pub(crate) fn lease_from_now_us() -> i64 {
    let lease_us = i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX);
    now_us().saturating_add(lease_us)
}

/// A job's counters.
#[derive(Clone)]
pub(crate) struct Claims {
    lake: Arc<Lake>,
    job: String,
}

impl Claims {
    pub(crate) fn new(lake: Arc<Lake>, job: &str) -> Self {
        Self {
            lake,
            job: job.to_owned(),
        }
    }

    fn counter(&self, number: i32) -> TopicPartition {
        TopicPartition::new(format!("job:{}", self.job).as_str(), number)
    }

    /// As it is stored now.
    pub(crate) async fn stored(&self) -> Result<Stored, Error> {
        let snapshot = self.lake.refresh(TABLE).await?;
        let counter = |number| snapshot.positions.get(&self.counter(number)).copied();
        Ok(Stored {
            scheduled_us: counter(0),
            lease_us: counter(1).unwrap_or(0),
            tries: counter(2).unwrap_or(0),
            rows_read: counter(3).unwrap_or(0),
            rows_written: counter(4).unwrap_or(0),
        })
    }

    /// Goes from one state to another, with a row that says why. `false` where somebody
    /// else has changed it.
    pub(crate) async fn change(
        &self,
        from: &Stored,
        to: &Stored,
        row: Option<&JobRun>,
    ) -> Result<bool, Error> {
        let files = match row {
            Some(row) => written(&self.lake, row).await?,
            None => Vec::new(),
        };
        let values = [
            (from.scheduled_us.unwrap_or(0), to.scheduled_us.unwrap_or(0)),
            (from.lease_us, to.lease_us),
            (from.tries, to.tries),
            (from.rows_read, to.rows_read),
            (from.rows_written, to.rows_written),
        ];
        let advances = (0..).zip(values).map(|(number, (from, to))| Advance {
            partition: self.counter(number),
            from,
            to,
        });
        let commit = Commit {
            files,
            advances: advances.collect(),
            ..Commit::default()
        };
        match self.lake.commit(TABLE, &commit).await {
            Ok(_) => Ok(true),
            Err(Error::PositionMoved { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A claim on a run that this process was given, and may have lost since.
pub(crate) struct Claim {
    claims: Claims,
    run: Stored,
    /// As it was last known to be stored.
    known: Mutex<Stored>,
    progress: watch::Sender<Progress>,
}

impl Claim {
    pub(crate) fn new(claims: Claims, run: Stored) -> Self {
        Self {
            claims,
            run,
            known: Mutex::new(run),
            progress: watch::Sender::default(),
        }
    }

    /// What others are told with the next renewal.
    pub(crate) fn tell(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }

    /// Holds the run for another lease. `false` where it is lost: taken over by another
    /// process, cancelled, or over.
    pub(crate) async fn renew(&self) -> Result<bool, Error> {
        let progress = *self.progress.borrow();
        let renewed = |stored: Stored| Stored {
            lease_us: lease_from_now_us(),
            rows_read: i64::try_from(progress.rows_read).unwrap_or(i64::MAX),
            rows_written: i64::try_from(progress.rows_written).unwrap_or(i64::MAX),
            ..stored
        };
        self.advance(renewed, None).await
    }

    /// Goes to where `next` leads from what is stored, with a row that says why.
    pub(crate) async fn advance(
        &self,
        next: impl Fn(Stored) -> Stored,
        row: Option<&JobRun>,
    ) -> Result<bool, Error> {
        let mut known = self.known.lock().await;
        loop {
            let to = next(*known);
            if self.claims.change(&known, &to, row).await? {
                *known = to;
                return Ok(true);
            }
            // An earlier step may have been written although its answer was lost.
            let stored = self.claims.stored().await?;
            let is_ours = (stored.scheduled_us, stored.tries)
                == (self.run.scheduled_us, self.run.tries)
                && stored.lease_us != 0;
            if !is_ours {
                return Ok(false);
            }
            *known = stored;
        }
    }

    /// Until when it holds without another renewal.
    pub(crate) async fn lease_us(&self) -> i64 {
        self.known.lock().await.lease_us
    }
}

/// Adds a row about a run that nobody else can have begun.
pub(crate) async fn note(lake: &Lake, row: &JobRun) -> Result<(), Error> {
    let commit = Commit {
        files: written(lake, row).await?,
        ..Commit::default()
    };
    lake.commit(TABLE, &commit).await.map(drop)
}

/// A file with the row, which the next commit may name.
async fn written(lake: &Lake, row: &JobRun) -> Result<Vec<NewFile>, Error> {
    let rows = JobRun::to_rows(std::slice::from_ref(row)).map_err(|error| Error::Schema {
        table: TABLE.name().to_owned(),
        reason: error.to_string(),
    })?;
    lake.write_files(TABLE, vec![rows]).await
}

#[cfg(test)]
mod tests {
    use lake::{LakeConfig, S3Options};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_who_claim_the_same_run_one_gets_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = LakeConfig {
            url: folder.path().display().to_string(),
            s3: S3Options::default(),
        };
        let claim = |number: i64| {
            let config = config.clone();
            async move {
                // A lake of its own is what another process has.
                let lake = Lake::open(config).await.expect("a lake");
                let claims = Claims::new(lake, "daily");
                let stored = claims.stored().await.expect("what is stored");
                let to = Stored {
                    scheduled_us: Some(1_000),
                    lease_us: 2_000 + number,
                    tries: 1,
                    ..Stored::default()
                };
                let row = JobRun {
                    job: "daily".into(),
                    run_id: number.to_string(),
                    state: "running".into(),
                    ..JobRun::default()
                };
                let taken = stored.scheduled_us.is_none()
                    && claims
                        .change(&stored, &to, Some(&row))
                        .await
                        .expect("an answer");
                taken.then_some(to)
            }
        };
        let claimed = futures::future::join_all((0..6).map(claim)).await;
        let winners: Vec<_> = claimed.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        let lake = Lake::open(config.clone()).await.expect("a lake");
        let claims = Claims::new(Arc::clone(&lake), "daily");
        assert_eq!(claims.stored().await.expect("what is stored"), winners[0]);
        let snapshot = lake.refresh(TABLE).await.expect("a snapshot");
        assert_eq!(snapshot.rows(), Some(1), "the losers' rows are not in");
        let later = Stored {
            lease_us: 0,
            ..winners[0]
        };
        assert!(
            claims
                .change(&winners[0], &later, None)
                .await
                .expect("an answer")
        );
        assert!(
            !claims
                .change(&winners[0], &winners[0], None)
                .await
                .expect("an answer")
        );
    }
}
