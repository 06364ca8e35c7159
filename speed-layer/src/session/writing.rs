//! What is written when: vehicles at once, what is slow in parts.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use event_log::NewRecord;
use events::TopicPartition;
use hot_store::{Cell, HotBatch, Update};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Session, now_us};
use crate::alert_outbox::NOTED;
use crate::error::Error;
use crate::outbox::OUTBOX;
use crate::state::{Grown, combined_cells_of};
use crate::write::{Write, Written};

/// The longest that the last write may take when the process is to stop.
const LAST_WRITE: Duration = Duration::from_secs(3);
/// Values of both lanes in one write: what moves is not kept waiting by what does not.
const SLOW_AT_ONCE: usize = 1_000;
/// Partitions that are checkpointed in one write, so that none takes long.
const CHECKPOINTS_AT_ONCE: usize = 1;
/// The pace of writes while the log is behind: nobody waits for a single value, and
/// what is written seldom leaves time to read.
const PACE_BEHIND: Duration = Duration::from_millis(500);
const TRAILS_BEHIND: Duration = Duration::from_secs(5);

/// Figures of the whole city, made once a second, a part of them in each write.
#[derive(Default)]
pub(super) struct CombinedLane {
    pub(super) updates: VecDeque<Update>,
    /// What says that all of it is written.
    cells: Vec<Cell>,
    /// Closed windows, to be appended before.
    windows: Vec<NewRecord>,
}

impl CombinedLane {
    pub(super) fn is_written(&self) -> bool {
        self.updates.is_empty() && self.cells.is_empty() && self.windows.is_empty()
    }
}

/// Trails that grew, once a second, a part of them in each write. Each is made when its
/// turn comes, so that making all does not hold up the rest.
#[derive(Default)]
pub(super) struct TrailLane {
    grown: VecDeque<Grown>,
    /// What says that all of them are written.
    cells: Vec<Cell>,
}

impl TrailLane {
    pub(super) fn is_written(&self) -> bool {
        self.grown.is_empty() && self.cells.is_empty()
    }
}

impl Session<'_> {
    /// Whether this process speaks for the whole city, and can.
    pub(super) fn is_combining(&self) -> bool {
        self.outbox.is_some() && self.state.can_combine()
    }

    /// What is written as soon as it is known, and the checkpoints of some
    /// partitions.
    fn batch(&mut self, checkpoints: &HashSet<TopicPartition>) -> HotBatch {
        let now_us = now_us();
        let mut batch = HotBatch {
            updates: self.state.drain_vehicles(now_us),
            ..HotBatch::default()
        };
        batch.updates.extend(self.state.drain_alerts(now_us));
        if self.is_combining() {
            let latest = self.state.drain_latest(now_us);
            if !latest.is_empty() {
                batch.updates.extend(latest);
                batch.cells.push(self.state.latest_shown(&self.first));
            }
        }
        for partition in checkpoints {
            if let Some(progress) = self.progress.get_mut(partition)
                && !progress.is_behind()
            {
                let cells = self.state.checkpoint(progress.slot, now_us);
                batch.cells.extend(cells);
                batch.cells.extend(progress.first_checkpoint(partition));
                batch.cells.push(Cell {
                    partition: partition.clone(),
                    key: NOTED.to_owned(),
                    value: Some(self.alerts_noted.clone()),
                });
                progress.checkpointed(self.deps.config.checkpoint_interval_ms);
            }
        }
        batch.advances = self.progress.advances();
        batch
    }

    /// Trails that grew, besides those that wait already.
    pub(super) fn drain_trails(&mut self) {
        let waiting: HashSet<Grown> = self.trails.grown.iter().copied().collect();
        let (grown, flushed) = self.state.drain_trails(now_us());
        let new = grown.into_iter().filter(|grown| !waiting.contains(grown));
        self.trails.grown.extend(new);
        self.trails.cells.extend(flushed);
        self.trails_at = Instant::now();
    }

    pub(super) fn are_trails_due(&self) -> bool {
        !self.is_behind || self.trails_at.elapsed() >= TRAILS_BEHIND
    }

    /// How long after the begin of a write the next one begins.
    pub(super) fn pace(&self) -> Duration {
        match self.is_behind {
            true => PACE_BEHIND,
            false => Duration::from_millis(self.deps.config.write_interval_ms),
        }
    }

    /// Figures of the whole city. Windows that are closed now are appended to the
    /// log before anything says that they are.
    pub(super) fn combine(&mut self, now_us: i64) {
        let combined = self.state.combine(now_us);
        self.combined.updates.extend(combined.updates);
        self.unsaid.extend(combined.alerts);
        self.combined
            .cells
            .extend(self.state.combined_cells(&self.first));
        if let Some(outbox) = self.outbox.as_mut() {
            let windows = outbox.records(&combined.closed);
            self.combined.windows.extend(windows);
        }
        self.combined.updates.extend(self.state.summary(now_us));
    }

    /// Puts a part of both lanes into a batch, at most `most` values.
    fn take_slow(&mut self, most: usize, batch: &mut HotBatch) {
        let lane = &mut self.combined;
        let part = lane.updates.len().min(most);
        batch.updates.extend(lane.updates.drain(..part));
        if lane.updates.is_empty() && !lane.cells.is_empty() {
            batch.cells.append(&mut lane.cells);
            if let Some(outbox) = self.outbox.as_mut() {
                let city = combined_cells_of(&self.first);
                let notes = [(OUTBOX, outbox.note()), (NOTED, self.alerts_noted.clone())];
                batch.cells.extend(notes.map(|(key, value)| Cell {
                    partition: city.clone(),
                    key: key.to_owned(),
                    value: Some(value),
                }));
            }
        }
        let now_us = now_us();
        let lane = &mut self.trails;
        let trails = lane.grown.len().min(most - part);
        let grown = lane.grown.drain(..trails);
        let trails = grown.filter_map(|grown| self.state.trail(grown, now_us));
        batch.updates.extend(trails);
        if lane.grown.is_empty() {
            batch.cells.append(&mut lane.cells);
        }
    }

    /// What there is to write now, with `slow_most` values of what is slow.
    fn next_write(&mut self, checkpoints: &HashSet<TopicPartition>, slow_most: usize) -> Write {
        let mut batch = self.batch(checkpoints);
        self.take_slow(slow_most, &mut batch);
        let mut steps = std::mem::take(&mut self.unsaid);
        steps.extend(self.state.take_alert_steps());
        Write {
            alerts: self.alerts.records(&steps),
            windows: std::mem::take(&mut self.combined.windows),
            batch,
            fences: self.progress.fences(),
        }
    }

    /// Writes all that waits, and these checkpoints, before partitions come or go.
    pub(super) async fn write_all(
        &mut self,
        checkpoints: &HashSet<TopicPartition>,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        self.settle().await?;
        self.drain_trails();
        let write = self.next_write(checkpoints, usize::MAX);
        self.in_flight = Some(write.start(self.deps, shutdown));
        self.settle().await
    }

    /// Starts the next write; none may be under way.
    pub(super) fn write(&mut self, shutdown: &CancellationToken) {
        // Fewer and larger ones, but none that takes the memory of all at once.
        let (checkpoints, slow) = match self.is_behind {
            true => (2 * CHECKPOINTS_AT_ONCE, 5 * SLOW_AT_ONCE),
            false => (CHECKPOINTS_AT_ONCE, SLOW_AT_ONCE),
        };
        let due = self.progress.due(checkpoints);
        let write = self.next_write(&due, slow);
        self.wrote_at = Instant::now();
        self.in_flight = Some(write.start(self.deps, shutdown));
    }

    /// Waits for the write that is under way.
    async fn settle(&mut self) -> Result<(), Error> {
        if let Some(mut write) = self.in_flight.take() {
            let written = write.done().await?;
            self.written(written);
        }
        Ok(())
    }

    pub(super) fn written(&mut self, written: Written) {
        self.alerts.appended(written.alerts);
        if let Some(outbox) = self.outbox.as_mut() {
            outbox.appended(written.windows);
        }
        self.progress.stored(&written.advances);
        // An empty write asks nobody.
        let is_answered = !written.advances.is_empty();
        let advances = written.advances.into_iter();
        let positions: Vec<_> = advances
            .filter(|advance| advance.from != advance.to)
            .map(|advance| (advance.partition, advance.to))
            .collect();
        if !positions.is_empty() {
            self.consumer.commit_advisory(&positions);
        }
        if is_answered {
            self.ready();
        }
    }

    pub(super) async fn save_before_exit(
        &mut self,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        let all = self.progress.partitions();
        let save = self.write_all(&all, shutdown);
        match tokio::time::timeout(LAST_WRITE, save).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(%error, "last write was not saved; the next start repeats it");
            }
            Err(_) => {
                warn!("hot store did not answer in time; the next start repeats the last write");
            }
        }
        Ok(())
    }
}
