//! What is written when: vehicles at once, what is slow in parts.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use event_log::NewRecord;
use events::{Advance, TopicPartition};
use hot_store::{Cell, HotBatch, Update};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Session, now_us};
use crate::alert_outbox::NOTED;
use crate::error::Error;
use crate::outbox::OUTBOX;
use crate::state::{Device, combined_cells_of};
use crate::write::{Write, Written};

/// The longest that the last write may take when the process is to stop.
const LAST_WRITE: Duration = Duration::from_secs(3);
/// What is found once a second is written over so much of the second, evenly: what moves
/// is not kept waiting by what does not, and the rest is left for writes that took long.
const SLOW_OVER: Duration = Duration::from_millis(750);
/// Values of both lanes in one write, at least and at most.
const SLOW_AT_LEAST: usize = 100;
const SLOW_AT_MOST: usize = 1_000;
/// The same while the log is behind: fewer and larger writes, but none that takes much
/// memory.
const SLOW_BEHIND: usize = 2_000;
/// Vehicles in one write, so that their values do not take memory all at once.
const VEHICLES_AT_ONCE: usize = 10_000;
/// Partitions that are checkpointed in one write, so that none takes long or much memory.
const CHECKPOINTS_AT_ONCE: usize = 1;
/// The pace of writes while the log is behind: nobody waits for a single value, and
/// what is written seldom leaves time to read.
const PACE_BEHIND: Duration = Duration::from_millis(500);
const TRAILS_BEHIND: Duration = Duration::from_secs(5);

/// Figures of the whole city, found once a second, a part of them in each write. Windows
/// and roads wait in the state: they are the first.
#[derive(Default)]
pub(super) struct CombinedLane {
    pub(super) updates: Vec<Update>,
    /// When windows and roads are written, the city's summary is to be made.
    has_summary: bool,
    /// What says that all of it is written.
    cells: Vec<Cell>,
}

/// Trails that grew, once a second, a part of them in each write. Each is made when its
/// turn comes, so that making all does not hold up the rest.
#[derive(Default)]
pub(super) struct TrailLane {
    grown: VecDeque<Device>,
    /// What says that all of them are written.
    cells: Vec<Cell>,
}

impl TrailLane {
    pub(super) fn is_written(&self) -> bool {
        self.grown.is_empty() && self.cells.is_empty()
    }
}

/// What is stored when all vehicles are written that had moved when a write was begun:
/// positions, and the checkpoints that were made at them. Where those are many, several
/// writes take them in; folding goes on meanwhile.
pub(super) struct Round {
    cells: Vec<Cell>,
    advances: Vec<Advance>,
}

impl Session<'_> {
    /// Whether all figures of the whole city are written.
    pub(super) fn is_combined_written(&self) -> bool {
        let lane = &self.combined;
        let is_empty = lane.updates.is_empty() && lane.cells.is_empty() && !lane.has_summary;
        is_empty && self.state.is_combined_shown()
    }

    /// Whether this process speaks for the whole city, and can.
    pub(super) fn is_combining(&self) -> bool {
        self.outbox.is_some() && self.state.can_combine()
    }

    /// Begins to write what is known now, with the checkpoints of some partitions.
    fn begin_round(&mut self, checkpoints: &HashSet<TopicPartition>) -> Round {
        self.state.gather_vehicles();
        let now_us = now_us();
        let mut cells = Vec::new();
        for partition in checkpoints {
            if let Some(progress) = self.progress.get_mut(partition)
                && !progress.is_behind()
            {
                cells.extend(self.state.checkpoint(progress.slot, now_us));
                cells.extend(progress.first_checkpoint(partition));
                cells.push(Cell {
                    partition: partition.clone(),
                    key: NOTED.to_owned(),
                    value: Some(self.alerts_noted.clone()),
                });
                progress.checkpointed(self.deps.config.checkpoint_interval_ms);
            }
        }
        Round {
            cells,
            advances: self.progress.advances(),
        }
    }

    /// Vehicles, and with the last of a round what else is written as soon as it is
    /// known, and what the round stores.
    fn batch(&mut self, round: Round) -> HotBatch {
        let now_us = now_us();
        let mut batch = HotBatch {
            updates: self.state.drain_vehicles(VEHICLES_AT_ONCE, now_us),
            ..HotBatch::default()
        };
        if !self.state.are_vehicles_shown() {
            self.round = Some(round);
            batch.advances = self.progress.fences();
            return batch;
        }
        batch.updates.extend(self.state.drain_alerts(now_us));
        if self.is_combining() {
            let latest = self.state.drain_latest(now_us);
            if !latest.is_empty() {
                batch.updates.extend(latest);
                batch.cells.push(self.state.latest_shown(&self.first));
            }
        }
        batch.cells.extend(round.cells);
        batch.advances = round.advances;
        batch
    }

    /// Trails that grew, besides those that wait already.
    pub(super) fn drain_trails(&mut self) {
        let waiting: HashSet<Device> = self.trails.grown.iter().copied().collect();
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

    /// Figures of the whole city.
    pub(super) fn combine(&mut self, now_us: i64) {
        self.unsaid.extend(self.state.combine(now_us));
        self.combined
            .cells
            .extend(self.state.combined_cells(&self.first));
        self.combined.has_summary = true;
    }

    /// Puts a part of both lanes into a batch, at most `most` values. Returns the windows
    /// among them that are closed, which are appended to the log before the store says
    /// that they are.
    fn take_slow(&mut self, most: usize, batch: &mut HotBatch) -> Vec<NewRecord> {
        let now_us = now_us();
        let mut windows = Vec::new();
        let outbox = &mut self.outbox;
        let combined = self.state.drain_combined(most, now_us, |window| {
            let outbox = outbox.as_mut();
            windows.extend(outbox.and_then(|outbox| outbox.record(&window)));
        });
        let part = combined.len();
        batch.updates.extend(combined);
        if self.state.is_combined_shown() {
            self.finish_combined(now_us, batch);
        }
        let lane = &mut self.trails;
        let trails = lane.grown.len().min(most - part);
        let grown = lane.grown.drain(..trails);
        let trails = grown.filter_map(|grown| self.state.trail(grown, now_us));
        batch.updates.extend(trails);
        if lane.grown.is_empty() {
            batch.cells.append(&mut lane.cells);
        }
        windows
    }

    /// What follows windows and roads, and says that they are written.
    fn finish_combined(&mut self, now_us: i64, batch: &mut HotBatch) {
        let lane = &mut self.combined;
        batch.updates.append(&mut lane.updates);
        if std::mem::take(&mut lane.has_summary) {
            batch.updates.extend(self.state.summary(now_us));
        }
        if lane.cells.is_empty() {
            return;
        }
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

    /// What there is to write now, with `slow_most` values of what is slow.
    fn next_write(&mut self, checkpoints: &HashSet<TopicPartition>, slow_most: usize) -> Write {
        let round = match self.round.take() {
            Some(round) => round,
            None => self.begin_round(checkpoints),
        };
        let mut batch = self.batch(round);
        let windows = self.take_slow(slow_most, &mut batch);
        let mut steps = std::mem::take(&mut self.unsaid);
        steps.extend(self.state.take_alert_steps());
        Write {
            alerts: self.alerts.records(&steps),
            windows,
            batch,
            fences: self.progress.fences(),
        }
    }

    /// Writes all that waits, and these checkpoints, before partitions come or go: in as
    /// many writes as at other times, so that it takes no more memory.
    pub(super) async fn write_all(
        &mut self,
        checkpoints: &HashSet<TopicPartition>,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        self.settle().await?;
        self.drain_trails();
        let mut checkpoints: Vec<_> = checkpoints.iter().cloned().collect();
        loop {
            let next = match self.round {
                None => checkpoints.pop().into_iter().collect(),
                Some(_) => HashSet::new(),
            };
            let write = self.next_write(&next, SLOW_BEHIND);
            self.in_flight = Some(write.start(self.deps, shutdown));
            self.settle().await?;
            if checkpoints.is_empty() && !self.has_to_write() {
                return Ok(());
            }
        }
    }

    /// Starts the next write; none may be under way.
    pub(super) fn write(&mut self, shutdown: &CancellationToken) {
        let slow = match self.is_behind {
            true => SLOW_BEHIND,
            false => self.slow_share(),
        };
        let due = self.progress.due(CHECKPOINTS_AT_ONCE);
        let write = self.next_write(&due, slow);
        self.wrote_at = Instant::now();
        self.in_flight = Some(write.start(self.deps, shutdown));
    }

    /// Notes how much both lanes have to write until the next tick.
    pub(super) fn measure_slow(&mut self) {
        let combined = self.combined.updates.len() + self.state.combined_due();
        self.slow_found = combined + self.trails.grown.len();
    }

    /// What of it falls on the time since the last write.
    fn slow_share(&self) -> usize {
        let passed = self.wrote_at.elapsed().as_secs_f64() / SLOW_OVER.as_secs_f64();
        let share = (self.slow_found as f64 * passed) as usize;
        share.clamp(SLOW_AT_LEAST, SLOW_AT_MOST)
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
