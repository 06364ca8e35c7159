//! One write, beside the fold: what was said to the log, then values and positions
//! to the hot store. Only vehicles do not wait for the log.

use std::time::{Duration, Instant};

use event_log::{EventLog, NewRecord};
use events::backoff::Backoff;
use events::{Advance, Offset, Topic};
use futures::stream::{self, StreamExt, TryStreamExt};
use hot_store::{Cell, HotBatch, Kind, Update};
use metrics::histogram;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::error::Error;
use crate::session::{Deps, OWNER, degrade};

/// Values of one batch; more are written in several.
const UPDATES_MAX: usize = 5_000;
/// Records of one append.
const RECORDS_MAX: usize = 1_000;
/// Appends of windows on their way at once.
const APPENDS_AT_ONCE: usize = 4;

/// The end of each partition that was appended to.
pub(crate) type Ends = Vec<(i32, Offset)>;

/// What is to be written, in this order. A crash after any part repeats it.
#[derive(Default)]
pub(crate) struct Write {
    /// Records for the topic of alerts.
    pub(crate) alerts: Vec<NewRecord>,
    /// Records for the topic of closed windows.
    pub(crate) windows: Vec<NewRecord>,
    pub(crate) batch: HotBatch,
    /// Refused when any partition is another process's by now.
    pub(crate) fences: Vec<Advance>,
}

/// A write that is done.
pub(crate) struct Written {
    pub(crate) advances: Vec<Advance>,
    pub(crate) alerts: Ends,
    pub(crate) windows: Ends,
}

/// A write under way; dropping it stops it somewhere.
pub(crate) struct InFlight {
    started: Instant,
    task: AbortOnDropHandle<Result<Written, Error>>,
}

impl InFlight {
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits for its end. Safe to cancel.
    pub(crate) async fn done(&mut self) -> Result<Written, Error> {
        match (&mut self.task).await {
            Ok(written) => written,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

impl Write {
    /// Starts it beside the caller. It ends when all is in, or with an error when
    /// another owner is found to have taken over; a back end that is away is
    /// waited for, until `shutdown`.
    pub(crate) fn start(self, deps: &Deps, shutdown: &CancellationToken) -> InFlight {
        let (deps, shutdown) = (deps.clone(), shutdown.clone());
        InFlight {
            started: Instant::now(),
            task: AbortOnDropHandle::new(tokio::spawn(self.run(deps, shutdown))),
        }
    }

    async fn run(self, deps: Deps, shutdown: CancellationToken) -> Result<Written, Error> {
        let started = Instant::now();
        let Self {
            alerts,
            windows,
            mut batch,
            fences,
        } = self;
        let fence = |updates: Vec<Update>, cells: Vec<Cell>| HotBatch {
            updates,
            cells,
            advances: fences.clone(),
        };
        if !alerts.is_empty() || !windows.is_empty() {
            // Nobody else may have taken over meanwhile. Vehicles are shown at once: a
            // crash before their positions only repeats them.
            let is_vehicle = |update: &mut Update| update.kind == Kind::Vehicle;
            let mut vehicles: Vec<_> = batch.updates.extract_if(.., is_vehicle).collect();
            loop {
                let part = vehicles.drain(..vehicles.len().min(UPDATES_MAX)).collect();
                apply(&deps, &fence(part, Vec::new()), &shutdown).await?;
                if vehicles.is_empty() {
                    break;
                }
            }
        }
        // What is said of one alert keeps its order; windows have none.
        let alerts = append(&deps, deps.topics.topic(events::Stream::Alerts), alerts, 1).await?;
        let topic = deps.topics.topic(events::Stream::Windows);
        let windows = append(&deps, topic, windows, APPENDS_AT_ONCE).await?;
        while batch.updates.len() > UPDATES_MAX {
            // Values first: a crash before their positions only repeats them.
            let part = batch.updates.drain(..UPDATES_MAX).collect();
            apply(&deps, &fence(part, Vec::new()), &shutdown).await?;
        }
        apply(&deps, &batch, &shutdown).await?;
        histogram!("citypulse_speed_apply_seconds").record(started.elapsed().as_secs_f64());
        Ok(Written {
            advances: batch.advances,
            alerts,
            windows,
        })
    }
}

async fn append(
    deps: &Deps,
    topic: &Topic,
    mut records: Vec<NewRecord>,
    at_once: usize,
) -> Result<Ends, Error> {
    let mut chunks = Vec::new();
    while !records.is_empty() {
        let rest = records.split_off(records.len().min(RECORDS_MAX));
        chunks.push(std::mem::replace(&mut records, rest));
    }
    let log: &dyn EventLog = deps.log.as_ref();
    let appends = stream::iter(chunks).map(|chunk| log.append(topic, chunk));
    let appended: Vec<_> = appends.buffered(at_once).try_collect().await?;
    let ends = appended.into_iter().flatten();
    Ok(ends
        .map(|(partition, last)| (partition, last + 1))
        .collect())
}

async fn apply(deps: &Deps, batch: &HotBatch, shutdown: &CancellationToken) -> Result<(), Error> {
    let mut backoff = Backoff::new();
    while let Err(error) = deps.hot.apply(OWNER, batch).await {
        let error = Error::from(error);
        if !error.is_retryable() || error.is_conflict() {
            return Err(error);
        }
        degrade(deps, &error);
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            // Not saved: the next start reads these records again.
            () = shutdown.cancelled() => return Err(error),
        }
    }
    Ok(())
}
