//! The city as the speed layer knows it. Pure: no clock, no I/O, no async.
//!
//! A [`Partition`] is all that one partition's records amount to; it is stored
//! as cells at checkpoints and depends on nothing else. What follows from
//! several partitions is combined of them ([`Combined`]) when it is written.

#[cfg(test)]
mod alert_tests;
mod alerts;
mod breaks;
mod city;
mod city_hooks;
mod closing;
mod combined;
mod details;
mod fenced;
#[cfg(test)]
mod fenced_tests;
mod hooks;
mod keyed;
mod latest;
mod panes;
mod partition;
mod shared;
mod shown;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use events::hexagons::Hexagons;
use events::{Event, Offset, Stream, TopicPartition};
use fences::FenceIndex;
use foldhash::HashSet;
use hot_store::{Cell, Kind};
use rules::{AlertStep, RuleSet};
use streets::StreetNetwork;
use tracks::Streets;

use crate::config::SpeedConfig;
use combined::Combined;
pub(crate) use combined::{CLOSED, Observation, SHOWN};
pub(crate) use details::Details;
use fenced::Fences;
use partition::{Folded, Partition, Surroundings};
use shared::Remote;
pub(crate) use shown::Device;

/// Index of a partition within one session.
pub type Slot = u16;

const CHECKPOINT: &str = "checkpoint";
pub(crate) const FLUSHED: &str = "flushed";

/// Counts that the shell publishes as metrics, per stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events folded.
    pub events: u64,
    /// Same device, same id as one before.
    pub duplicates: u64,
    /// Fixes at (0,0).
    pub null_island: u64,
    /// Fixes that state a bad accuracy.
    pub inaccurate: u64,
    /// Fixes too far from the one before.
    pub teleports: u64,
    /// Fixes older than the newest of their device.
    pub out_of_order: u64,
    /// Events that came after their window was closed.
    pub late: u64,
}

/// How much is kept, and what the limits cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sizes {
    pub(crate) devices: usize,
    pub(crate) panes: usize,
    pub(crate) ids: usize,
    pub(crate) ids_forgotten: u64,
    pub(crate) panes_refused: u64,
    pub(crate) windows_missed: u64,
    pub(crate) windows_corrected: u64,
    pub(crate) alerts_dropped: u64,
}

/// Everything that the streams have said so far, of the partitions that are this
/// process's, and what it takes to speak for the whole city.
pub struct State {
    streets: Streets,
    config: SpeedConfig,
    partitions: Vec<Option<Partition>>,
    slots: HashMap<TopicPartition, Slot>,
    hexagons: Hexagons,
    fences: Fences,
    combined: Combined,
    /// Which partition a device is in, by its hash.
    homes: foldhash::HashMap<u64, Slot>,
    /// Devices whose records are in several partitions: their producer does not
    /// key by device.
    spread: HashSet<u64>,
    rules: Arc<RuleSet>,
    counts: [Counts; Stream::ALL.len()],
    rate: city::EventRate,
    /// Vehicles that wait to be shown.
    moved: VecDeque<Device>,
    /// Vehicles that are to be shown and of which no fix was believed since the restart:
    /// what they say of themselves is in their stored values.
    unknown: HashSet<Device>,
    /// The partition that was looked at for vehicles that fell silent.
    silence_turn: usize,
}

impl State {
    /// An empty city on `streets`.
    pub fn new(streets: Arc<StreetNetwork>, config: SpeedConfig) -> Self {
        Self {
            streets: Streets::new(streets.clone(), config.match_distance_m),
            config,
            partitions: Vec::new(),
            slots: HashMap::new(),
            hexagons: Hexagons::default(),
            fences: Fences::default(),
            combined: Combined::new(streets),
            homes: foldhash::HashMap::default(),
            spread: HashSet::default(),
            rules: Arc::default(),
            counts: [Counts::default(); Stream::ALL.len()],
            rate: city::EventRate::default(),
            moved: VecDeque::new(),
            unknown: HashSet::default(),
            silence_turn: 0,
        }
    }

    /// Goes on with other rules; before the first partition is assigned, with these.
    pub fn set_rules(&mut self, rules: Arc<RuleSet>) {
        for partition in self.partitions.iter_mut().flatten() {
            partition.hooks.set_rules(rules.clone());
        }
        self.combined.hooks.set_rules(rules.clone());
        self.rules = rules;
    }

    /// The fences that are watched.
    pub fn fences_mut(&mut self) -> &mut FenceIndex {
        &mut self.fences.index
    }

    /// Fences were removed or switched off: what went on at them is over.
    pub(crate) fn end_unwatched_fences(&mut self) {
        for partition in self.partitions.iter_mut().flatten() {
            partition.hooks.end_unwatched(&self.fences.index);
        }
    }

    /// Vehicles with fences around them whose newest position this process did not
    /// fold since the last call.
    pub(crate) fn unseen_anchors(&mut self) -> Vec<String> {
        self.fences.unseen_anchors()
    }

    /// What the rules of this process's partitions said since the last call, those
    /// included that are catching up: what was said before is known by its id.
    pub fn take_alert_steps(&mut self) -> Vec<AlertStep> {
        let partitions = self.partitions.iter_mut().flatten();
        partitions
            .flat_map(|partition| partition.hooks.take_steps())
            .collect()
    }

    /// Takes over a partition of `stream` with the cells of its last checkpoint,
    /// its own and the shared ones; the slot to fold its records with.
    pub fn assign(
        &mut self,
        id: &TopicPartition,
        stream: Stream,
        cells: &[(String, Bytes)],
    ) -> Slot {
        self.revoke(id);
        self.combined.remotes.remove(id);
        let mut partition = Partition::new(id, stream, &self.config, self.rules.clone());
        for (key, value) in cells {
            let own = partition.tracker.restore_cell(key, value, &self.streets)
                || partition.hooks.restore(key, value);
            if own {
                continue;
            }
            match key.as_str() {
                FLUSHED => partition.flushed = read_offset(value).unwrap_or_default(),
                CHECKPOINT | crate::alert_outbox::NOTED => {}
                _ => partition.shared.restore(key, value, &self.streets),
            }
        }
        let free = self.partitions.iter().position(Option::is_none);
        let slot = free.unwrap_or_else(|| {
            self.partitions.push(None);
            self.partitions.len() - 1
        });
        partition.hooks.end_unwatched(&self.fences.index);
        partition.restored();
        // Before anything newer is folded: a break may lie between.
        let idle_us = self.idle_us();
        let appended_us = partition.shared.appended_us_max();
        let group = shared::Group::of(stream);
        self.combined.look(group, appended_us, idle_us);
        for id in partition.shared.latest.by_id.keys() {
            self.combined.latest_changed(stream, id.clone());
        }
        let devices: Vec<u64> = partition
            .tracker
            .tracks()
            .map(|(_, track)| track.device_hash())
            .collect();
        for device in devices {
            self.register(device, slot as Slot);
        }
        self.partitions[slot] = Some(partition);
        self.slots.insert(id.clone(), slot as Slot);
        slot as Slot
    }

    /// Gives a partition up.
    pub fn revoke(&mut self, id: &TopicPartition) {
        if let Some(slot) = self.slots.remove(id) {
            self.partitions[slot as usize] = None;
            self.moved.retain(|device| device.at != slot);
            self.unknown.retain(|device| device.at != slot);
            self.homes.retain(|_, home| *home != slot);
        }
    }

    /// The slot of a partition that is this process's.
    pub fn slot(&self, id: &TopicPartition) -> Option<Slot> {
        self.slots.get(id).copied()
    }

    /// Folds the next event of a partition in.
    ///
    /// # Panics
    /// When the slot is none that [`State::assign`] returned.
    pub fn fold(&mut self, slot: Slot, event: Event, offset: Offset, appended_at_us: i64) {
        let partition = self.partitions[slot as usize]
            .as_mut()
            .expect("records are folded of partitions that are assigned");
        let stream = partition.shared.stream;
        let counts = &mut self.counts[stream as usize];
        counts.events += 1;
        let folded = partition.fold(
            event,
            offset,
            appended_at_us,
            Surroundings {
                streets: &self.streets,
                free_flow: &self.combined.free_flow,
                hexagons: &mut self.hexagons,
                fences: &mut self.fences,
            },
            counts,
        );
        match folded {
            Folded::Nothing => {}
            Folded::NewDevice(device) => self.register(device, slot),
            Folded::Latest(id) => self.combined.latest_changed(stream, id),
        }
    }

    fn register(&mut self, device: u64, slot: Slot) {
        if self
            .homes
            .insert(device, slot)
            .is_some_and(|home| home != slot)
        {
            self.spread.insert(device);
        }
    }

    fn partition_mut(&mut self, slot: Slot) -> &mut Partition {
        self.partitions[slot as usize]
            .as_mut()
            .expect("a slot in use has a partition")
    }

    /// Everything before `position` was read, also where there were no records.
    pub(crate) fn reached(&mut self, slot: Slot, position: Offset) {
        self.partition_mut(slot).shared.position = position;
    }

    /// Records that are folded from now on were folded before, by this process
    /// or another: nothing of them is shown.
    pub(crate) fn catch_up(&mut self, slot: Slot) {
        self.partition_mut(slot).is_catching_up = true;
    }

    /// The values are as of here; what comes is new.
    pub(crate) fn caught_up(&mut self, slot: Slot) {
        let partition = self.partition_mut(slot);
        for device in partition.take_unshown() {
            partition.shown(device);
        }
        partition.hooks.alerts.clear_unshown();
        partition.is_catching_up = false;
    }

    /// The cells of a checkpoint of a partition, at the position it has reached.
    pub(crate) fn checkpoint(&mut self, slot: Slot, now_us: i64) -> Vec<Cell> {
        let silent_after_us = self.silent_after_us();
        let combined = &self.combined;
        let streets = &self.streets;
        let Some(partition) = self.partitions[slot as usize].as_mut() else {
            return Vec::new();
        };
        if let Some(group) = shared::Group::of(partition.shared.stream) {
            partition
                .shared
                .panes
                .drop_until(combined.dropped_us(group), streets);
        }
        partition.tidy();
        let vehicles = partition.count_vehicles(now_us, silent_after_us, |_| true);
        let position = partition.shared.position;
        let own = partition.shared.id.clone();
        let shared_id = shared_cells_of(&own);
        let mut cells: Vec<Cell> = Vec::new();
        let cell = |partition: &TopicPartition, (key, value): (String, Option<Bytes>)| Cell {
            partition: partition.clone(),
            key,
            value,
        };
        cells.extend(
            partition
                .drain_cells(streets)
                .into_iter()
                .map(|change| cell(&own, change)),
        );
        let shared = partition.shared.drain_cells(streets, &vehicles);
        cells.extend(shared.into_iter().map(|change| cell(&shared_id, change)));
        cells.push(cell(
            &own,
            (CHECKPOINT.to_owned(), Some(write_offset(position))),
        ));
        cells
    }

    /// Counts since the start, by stream.
    pub fn counts(&self) -> impl Iterator<Item = (Stream, Counts)> {
        Stream::ALL
            .into_iter()
            .map(|stream| (stream, self.counts[stream as usize]))
    }

    /// Takes up what the combining process has stored.
    pub(crate) fn restore_combined(&mut self, cells: &[(String, Bytes)]) {
        self.combined.hooks.begin_restore();
        for (key, value) in cells {
            self.combined.restore(key, value);
        }
    }

    /// Takes up what was learned about streets; the segments by their ids.
    pub(crate) fn restore_learned(&mut self, cells: &[(String, Bytes)]) {
        self.combined.restore_learned(self.streets.shared(), cells);
    }

    /// Takes up what others have done. `is_combining`: this process's own figures
    /// of the city are newer than the stored ones.
    pub(crate) fn observe(&mut self, observation: Observation, is_combining: bool) {
        if !is_combining {
            self.restore_combined(&observation.combined);
            if let Some(learned) = &observation.learned {
                self.restore_learned(learned);
            }
        }
        self.combined.observed(observation.ends, observation.at_us);
        for (id, stream, cells) in observation.remotes {
            if self.slots.contains_key(&id) {
                continue;
            }
            let remotes = &mut self.combined.remotes;
            let remote = remotes
                .entry(id.clone())
                .or_insert_with(|| Remote::new(id, stream, &self.config));
            for changed in remote.update(cells, &self.streets) {
                self.combined.latest_changed(stream, changed);
            }
        }
        self.drop_closed();
    }

    /// Drops the windows that are done with, also of partitions that are catching
    /// up and have no checkpoints meanwhile.
    pub(crate) fn drop_closed(&mut self) {
        let dropped_us = shared::Group::ALL.map(|group| self.combined.dropped_us(group));
        let own = self.partitions.iter_mut().flatten();
        let own = own.map(|partition| &mut partition.shared);
        let remotes = self.combined.remotes.values_mut();
        for part in own.chain(remotes.map(|remote| &mut remote.shared)) {
            if let Some(group) = shared::Group::of(part.stream) {
                part.panes
                    .drop_until(dropped_us[group as usize], &self.streets);
            }
        }
    }

    /// Everything that ends until then was closed, as the log itself shows.
    pub(crate) fn closed_until(&mut self, until_us: i64) {
        self.combined.closed.at_least(until_us);
    }

    /// The end of every partition of the city, as it was seen last.
    pub(crate) fn ends(&self) -> &HashMap<TopicPartition, Offset> {
        &self.combined.ends
    }

    pub(crate) fn sizes(&self) -> Sizes {
        let mut sizes = Sizes {
            windows_missed: self.combined.missed,
            windows_corrected: self.combined.corrected,
            ..Sizes::default()
        };
        for partition in self.partitions.iter().flatten() {
            sizes.devices += partition.tracker.len();
            sizes.ids += partition.tracker.ids();
            sizes.ids_forgotten += partition.tracker.ids_forgotten();
            sizes.panes += partition.shared.panes.len();
            sizes.panes_refused += partition.shared.panes.refused;
            sizes.alerts_dropped += partition.hooks.alerts.dropped_total;
        }
        sizes
    }

    fn silent_after_us(&self) -> i64 {
        i64::from(self.config.silent_after_s) * 1_000_000
    }
}

/// Where the parts of a partition's state are stored that other processes read.
pub(crate) fn shared_cells_of(partition: &TopicPartition) -> TopicPartition {
    TopicPartition::new(format!("{}#shared", partition.topic), partition.partition)
}

/// Where the combining process stores what it has done. `first` is the partition
/// whose owner combines.
pub(crate) fn combined_cells_of(first: &TopicPartition) -> TopicPartition {
    TopicPartition::new(format!("{}#city", first.topic), first.partition)
}

/// Where it stores what it has learned about streets.
pub(crate) fn learned_cells_of(first: &TopicPartition) -> TopicPartition {
    TopicPartition::new(format!("{}#learned", first.topic), first.partition)
}

/// The position that the cells of a partition belong to.
pub(crate) fn checkpoint_of(cells: &[(String, Bytes)]) -> Option<Offset> {
    let cell = cells.iter().find(|(key, _)| key == CHECKPOINT)?;
    read_offset(&cell.1)
}

pub(crate) fn write_offset(offset: Offset) -> Bytes {
    Bytes::copy_from_slice(&offset.to_le_bytes())
}

fn read_offset(bytes: &[u8]) -> Option<Offset> {
    Some(Offset::from_le_bytes(bytes.try_into().ok()?))
}

/// How long ago something was appended.
fn age(appended_at_us: i64, now_us: i64) -> Duration {
    let age_us = now_us.saturating_sub(appended_at_us);
    Duration::from_micros(u64::try_from(age_us).unwrap_or_default())
}

/// Whether a value of that kind, of something that was appended then, is still
/// to be seen.
fn is_live(kind: Kind, appended_at_us: i64, now_us: i64) -> bool {
    now_us.saturating_sub(appended_at_us) < kind.time_to_live().as_micros() as i64
}
