//! Fences over the fixes of one partition.
//!
//! The index of all fences is the session's and is lent to each fix; here is which
//! of a partition's devices are in which. A fence around a vehicle depends on two
//! devices, often of two partitions: it stands where its vehicle was last heard of
//! by this process, so unlike all others its events may come out otherwise when
//! records are folded again.

use std::collections::HashMap;

use bytes::Bytes;
use compact_str::CompactString;
use events::{Body, DeviceId, Event, Location};
use fences::{FenceEvent, FenceEventKind, FenceIndex, FenceNo, FenceState, Fix};
use foldhash::HashSet;
use foldhash::fast::RandomState;
use rules::{AlertStep, Engine, FenceFact, FenceTransition};

/// Before a device's id in the key of its cell.
const CELL: &str = "fences:";

/// The fences, as this process watches them.
#[derive(Default)]
pub(crate) struct Fences {
    pub(crate) index: FenceIndex,
    /// Vehicles with fences around them that were folded here since the last
    /// [`take_seen`](Self::take_seen): their stored position is older.
    seen: HashSet<DeviceId>,
    /// Room to work in.
    found: Vec<FenceNo>,
    happened: Vec<FenceEvent>,
}

impl Fences {
    /// Vehicles whose newest position this process has not folded itself.
    pub(crate) fn unseen_anchors(&mut self) -> Vec<String> {
        let anchors = self.index.anchors();
        let unseen = anchors.filter(|anchor| !self.seen.contains(*anchor));
        let unseen = unseen.map(str::to_owned).collect();
        self.seen.clear();
        unseen
    }
}

/// Which of a partition's devices are in which fences.
#[derive(Default)]
pub(crate) struct FencedDevices {
    /// Only of devices that are in one.
    inside: HashMap<DeviceId, FenceState, RandomState>,
    dirty: HashSet<DeviceId>,
}

impl FencedDevices {
    /// A fix that is the newest of its device was believed.
    pub(crate) fn on_fix(
        &mut self,
        event: &Event,
        appended_at_us: i64,
        fences: &mut Fences,
        (engine, steps): &mut (&mut Engine, &mut Vec<AlertStep>),
    ) {
        let Fences {
            index,
            seen,
            found,
            happened,
        } = fences;
        if index.is_empty() && self.inside.is_empty() {
            return;
        }
        let Some((location, vehicle_type)) = place_of(event) else {
            return;
        };
        if index.is_anchor(&event.device_id) {
            index.move_anchor(&event.device_id, location);
            seen.insert(event.device_id.clone());
        }
        let fix = Fix {
            device_id: &event.device_id,
            vehicle_type,
            location,
            at_us: event.timestamp_us,
            appended_at_us,
        };
        happened.clear();
        let mut nowhere = FenceState::default();
        let state = self.inside.get_mut(&event.device_id);
        let is_known = state.is_some();
        let state = state.unwrap_or(&mut nowhere);
        if !state.observe(index, &fix, found, happened) {
            return;
        }
        let is_gone = state.is_empty();
        if is_known && is_gone {
            self.inside.remove(&event.device_id);
        } else if !is_known && !is_gone {
            self.inside.insert(event.device_id.clone(), nowhere);
        }
        self.dirty.insert(event.device_id.clone());
        for happened in happened {
            engine.on_fence(&fact(happened, &fix), steps);
        }
    }

    /// Fences were removed or switched off: nobody is in them any more, and what went on
    /// at them is over. Not an exit: nobody went anywhere. Its time is that of what it
    /// ends, so it is the same step whenever it is found.
    pub(crate) fn end_unwatched(
        &mut self,
        index: &FenceIndex,
        (engine, steps): &mut (&mut Engine, &mut Vec<AlertStep>),
    ) {
        let dirty = &mut self.dirty;
        self.inside.retain(|device_id, state| {
            if state.forget_unwatched(|fence| index.is_watched(fence)) {
                dirty.insert(device_id.clone());
            }
            !state.is_empty()
        });
        engine.end_at_fences(|fence| index.is_watched(fence), steps);
    }

    /// A device was forgotten.
    pub(crate) fn on_forgotten(&mut self, device_id: &DeviceId) {
        if self.inside.remove(device_id).is_some() {
            self.dirty.insert(device_id.clone());
        }
    }

    /// What changed since the last call, for a checkpoint.
    pub(crate) fn drain_cells(&mut self, cells: &mut Vec<(String, Option<Bytes>)>) {
        for device_id in self.dirty.drain() {
            let state = self.inside.get(&device_id);
            let value = state.map(|state| Bytes::from(state.encode()));
            cells.push((format!("{CELL}{device_id}"), value));
        }
    }

    /// Takes a stored cell up; false where it is none of these.
    pub(crate) fn restore(&mut self, key: &str, value: &[u8]) -> bool {
        let Some(device_id) = key.strip_prefix(CELL) else {
            return false;
        };
        match FenceState::decode(value) {
            Some(state) => {
                self.inside.insert(CompactString::from(device_id), state);
            }
            None => tracing::warn!(key, "a stored cell cannot be read and is left out"),
        }
        true
    }
}

fn place_of(event: &Event) -> Option<(Location, Option<&str>)> {
    match &event.body {
        Body::Gps(gps) => Some((gps.location, event.vehicle_type())),
        Body::Vehicle(vehicle) => Some((vehicle.location, event.vehicle_type())),
        _ => None,
    }
}

fn fact<'a>(happened: &'a FenceEvent, fix: &Fix<'a>) -> FenceFact<'a> {
    FenceFact {
        fence: &happened.fence_id,
        device_id: fix.device_id,
        vehicle_type: fix.vehicle_type,
        transition: match happened.kind {
            FenceEventKind::Enter => FenceTransition::Enter,
            FenceEventKind::Exit => FenceTransition::Exit,
            FenceEventKind::Dwell => FenceTransition::Dwell,
        },
        at_us: happened.at_us,
        inside_s: (happened.at_us - happened.since_us) as f64 / 1e6,
        location: happened.location,
    }
}
