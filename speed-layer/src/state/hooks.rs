//! Where fences and rules look at what was folded.
//!
//! Everything here is pure and is called in the order of the records: replayed
//! records call it again and must find the same. State of devices and of what a
//! partition's records are about lives in [`PartitionHooks`], stored with the
//! partition's checkpoints; state that follows from the whole city in
//! [`CityHooks`](super::city_hooks::CityHooks), stored by the process that
//! combines partitions.

use std::sync::Arc;

use bytes::Bytes;
use events::{Body, DeviceId, Event, Location};
use fences::FenceIndex;
use rules::{AlertStep, Engine, Fix, IncidentFact, Reading, RuleSet, SegmentFact};
use tracks::{Accepted, Track};

use super::State;
use super::alerts::Alerts;
use super::fenced::FencedDevices;
use super::partition::{Extra, Surroundings};

impl State {
    /// Event time up to which the rules have said all that time alone makes them say, of
    /// partitions that are folded to their end.
    pub(crate) fn alerts_said_until_us(&self) -> i64 {
        let partitions = self.partitions.iter().flatten();
        let partitions = partitions.filter_map(|partition| partition.hooks.engine.said_until_us());
        let all = partitions.chain(self.combined.hooks.said_until_us());
        all.min().unwrap_or(i64::MAX)
    }
}

/// State of one partition.
pub(crate) struct PartitionHooks {
    engine: Engine,
    fenced: FencedDevices,
    /// What the partition's own records say of alerts.
    pub(crate) alerts: Alerts,
    /// What its rules have to say, in the order in which it followed.
    steps: Vec<AlertStep>,
}

impl PartitionHooks {
    pub(crate) fn new(rules: Arc<RuleSet>) -> Self {
        Self {
            engine: Engine::new(rules),
            fenced: FencedDevices::default(),
            alerts: Alerts::default(),
            steps: Vec::new(),
        }
    }

    /// Goes on with other rules.
    pub(crate) fn set_rules(&mut self, rules: Arc<RuleSet>) {
        self.engine.set_rules(rules, &mut self.steps);
    }

    /// Fences were removed or switched off.
    pub(crate) fn end_unwatched(&mut self, index: &FenceIndex) {
        let mut rules = (&mut self.engine, &mut self.steps);
        self.fenced.end_unwatched(index, &mut rules);
    }

    /// A fix was believed; its track has taken it in.
    pub(crate) fn on_fix(
        &mut self,
        event: &Event,
        fix: &Accepted,
        track: &Track<Extra>,
        at: Surroundings<'_>,
    ) {
        if !fix.in_order {
            return;
        }
        // Learned from the whole city's windows: that alone of what rules see of a fix does
        // not follow from its partition, and is a little newer when it is folded again.
        let segment = fix.segment.map(|index| {
            let segment = at.streets.network().segment(index);
            SegmentFact {
                id: &segment.id,
                limit_kmh: segment.free_flow_kmh,
                free_flow_kmh: at.free_flow.get(index),
            }
        });
        self.engine.on_fix(&Fix { event, segment }, &mut self.steps);
        let mut rules = (&mut self.engine, &mut self.steps);
        self.fenced
            .on_fix(event, track.appended_at_us(), at.fences, &mut rules);
    }

    /// A station or camera reported; `is_newest` of it.
    pub(crate) fn on_reading(&mut self, event: &Event, is_newest: bool) {
        if is_newest {
            self.engine.on_reading(&Reading { event }, &mut self.steps);
        }
    }

    /// An incident was reported or changed; `is_newest` of that incident.
    pub(crate) fn on_incident(&mut self, event: &Event, is_newest: bool) {
        if is_newest {
            self.engine
                .on_incident(&IncidentFact { event }, &mut self.steps);
        }
    }

    /// A step of an alert, whoever wrote it.
    pub(crate) fn on_alert(&mut self, event: &Event, appended_at_us: i64) {
        self.alerts.fold(event, appended_at_us);
    }

    /// The partition's watermark has come this far: called before each record.
    #[inline]
    pub(crate) fn on_time(&mut self, watermark_us: i64) {
        self.engine.on_time(watermark_us, &mut self.steps);
    }

    /// A device was heard at that time: after a restart, before the first record.
    pub(crate) fn remember(&mut self, device_id: &str, at_us: i64, location: Option<Location>) {
        self.engine.remember(device_id, at_us, location, None);
    }

    /// The same of what said something about itself.
    pub(crate) fn remember_message(&mut self, event: &Event) {
        if !matches!(event.body, Body::Incident(_)) {
            self.remember(&event.device_id, event.timestamp_us, event.location());
        }
    }

    /// A device was forgotten.
    pub(crate) fn on_forgotten(&mut self, device_id: &DeviceId) {
        self.fenced.on_forgotten(device_id);
    }

    /// What the rules said since the last call.
    pub(crate) fn take_steps(&mut self) -> Vec<AlertStep> {
        std::mem::take(&mut self.steps)
    }

    /// What changed since the last call, for a checkpoint.
    pub(crate) fn drain_cells(&mut self) -> Vec<(String, Option<Bytes>)> {
        let mut cells = self.engine.take_cells();
        self.fenced.drain_cells(&mut cells);
        self.alerts.drain_cells(&mut cells);
        cells
    }

    /// Takes a stored cell up; false where it is none of these.
    pub(crate) fn restore(&mut self, key: &str, value: &[u8]) -> bool {
        self.alerts.restore(key, value)
            || self.fenced.restore(key, value)
            || self.engine.restore_cell(key, value, &mut self.steps)
    }
}
