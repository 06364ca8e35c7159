//! Traffic per road segment: speeds in event-time windows, against free flow.

use bytes::Bytes;
use events::TopicPartition;
use events::aggregate::Moments;
use events::window::Tumbling;
use foldhash::{HashMap, HashSet};
use hot_store::{Cell, Entry, Kind, Update};
use streets::{SegmentIndex, StreetNetwork};

use super::vehicles::Fix;
use super::{Slot, read_i64};
use crate::values;

/// A window with fewer fixes than this does not yet replace the one before it:
/// one vehicle at a junction would paint the street red.
const SETTLED_FIXES: u64 = 5;

/// What one partition saw on one segment in one window. Mergeable.
#[derive(Clone, Debug, Default, PartialEq)]
struct Partial {
    speeds: Moments,
    newest_us: i64,
    /// Hashes of the devices seen, distinct.
    devices: Vec<u32>,
}

/// One segment's window in one partition: what one cell holds.
type Key = (SegmentIndex, i64, Slot);

/// One window of a segment, by partition.
struct Window {
    start_us: i64,
    partials: Vec<(Slot, Partial)>,
}

/// The last value written for a segment.
#[derive(Clone, Copy)]
struct Written {
    level: values::Level,
    at_us: i64,
}

pub(crate) struct Traffic {
    windows: Tumbling,
    /// Open windows, ascending by start.
    open: HashMap<SegmentIndex, Vec<Window>>,
    dirty_cells: HashSet<Key>,
    closed_cells: Vec<Key>,
    dirty_segments: HashSet<SegmentIndex>,
    written: HashMap<SegmentIndex, Written>,
}

impl Traffic {
    pub(crate) fn new(window_us: i64) -> Self {
        Self {
            windows: Tumbling { size_us: window_us },
            open: HashMap::default(),
            dirty_cells: HashSet::default(),
            closed_cells: Vec::new(),
            dirty_segments: HashSet::default(),
            written: HashMap::default(),
        }
    }

    /// Counts a fix in its window; false when that window is closed already.
    pub(crate) fn fold(
        &mut self,
        segment: SegmentIndex,
        slot: Slot,
        timestamp_us: i64,
        watermark_us: i64,
        fix: &Fix,
    ) -> bool {
        let window = self.windows.window_of(timestamp_us);
        if window.end_us <= watermark_us {
            return false;
        }
        let key = (segment, window.start_us, slot);
        self.partial(key)
            .add(timestamp_us, fix.speed_kmh, hash32(&fix.device_id));
        self.dirty_cells.insert(key);
        self.dirty_segments.insert(segment);
        true
    }

    fn partial(&mut self, (segment, start_us, slot): Key) -> &mut Partial {
        let windows = self.open.entry(segment).or_default();
        let at = windows
            .binary_search_by_key(&start_us, |window| window.start_us)
            .unwrap_or_else(|at| {
                windows.insert(
                    at,
                    Window {
                        start_us,
                        partials: Vec::new(),
                    },
                );
                at
            });
        let partials = &mut windows[at].partials;
        let at = partials
            .iter()
            .position(|(other, _)| *other == slot)
            .unwrap_or_else(|| {
                partials.push((slot, Partial::default()));
                partials.len() - 1
            });
        &mut partials[at].1
    }

    pub(crate) fn restore(&mut self, entry: &Entry, streets: &StreetNetwork, written_at_us: i64) {
        let level = values::Level::parse(&entry.value);
        if let (Some(segment), Some(level)) = (streets.by_id(&entry.id), level) {
            self.written.insert(
                segment,
                Written {
                    level,
                    at_us: written_at_us,
                },
            );
        }
    }

    /// `key` is `window start:road id`.
    pub(crate) fn restore_cell(
        &mut self,
        slot: Slot,
        key: &str,
        value: &[u8],
        streets: &StreetNetwork,
    ) {
        let Some((start, road_id)) = key.split_once(':') else {
            return;
        };
        let (Ok(start_us), Some(segment)) = (start.parse(), streets.by_id(road_id)) else {
            return;
        };
        if let Some(partial) = Partial::decode(value) {
            *self.partial((segment, start_us, slot)) = partial;
        }
    }

    /// Drops the windows of a partition that can no longer change.
    pub(crate) fn close(&mut self, slot: Slot, watermark_us: i64) {
        let size_us = self.windows.size_us;
        let closed = self.remove(slot, |start_us| start_us + size_us <= watermark_us);
        self.closed_cells.extend(closed);
    }

    /// Drops a partition's windows; their cells belong to its next owner.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.remove(slot, |_| true);
    }

    fn remove(&mut self, slot: Slot, gone: impl Fn(i64) -> bool) -> Vec<Key> {
        let mut removed = Vec::new();
        self.open.retain(|segment, windows| {
            windows.retain_mut(|window| {
                if gone(window.start_us) {
                    let before = window.partials.len();
                    window.partials.retain(|(other, _)| *other != slot);
                    if window.partials.len() < before {
                        removed.push((*segment, window.start_us, slot));
                    }
                }
                !window.partials.is_empty()
            });
            !windows.is_empty()
        });
        for key in &removed {
            self.dirty_cells.remove(key);
        }
        removed
    }

    pub(crate) fn drain(
        &mut self,
        streets: &StreetNetwork,
        partitions: &[TopicPartition],
        now_us: i64,
        updates: &mut Vec<Update>,
        cells: &mut Vec<Cell>,
    ) {
        let cell = |key: Key, value: Option<Bytes>| Cell {
            partition: partitions[key.2 as usize].clone(),
            key: format!("traffic:{}:{}", key.1, streets.segment(key.0).id),
            value,
        };
        for key in self.closed_cells.drain(..) {
            cells.push(cell(key, None));
        }
        let dirty: Vec<Key> = self.dirty_cells.drain().collect();
        for key in dirty {
            let value = self.partial(key).encode();
            cells.push(cell(key, Some(value)));
        }
        let dirty: Vec<SegmentIndex> = self.dirty_segments.drain().collect();
        for segment in dirty {
            if let Some((start_us, partial)) = self.settled(segment) {
                let value = values::Road::new(
                    streets.segment(segment),
                    start_us,
                    self.windows.size_us,
                    &partial,
                );
                self.written.insert(
                    segment,
                    Written {
                        level: value.congestion_level,
                        at_us: now_us,
                    },
                );
                updates.push(values::update(Kind::Road, value.road_id, &value));
            }
        }
    }

    /// The newest window with enough fixes, else the one before it.
    fn settled(&self, segment: SegmentIndex) -> Option<(i64, RoadWindow)> {
        let mut newest_first = self
            .open
            .get(&segment)?
            .iter()
            .rev()
            .map(|window| (window.start_us, window.merged()));
        let newest = newest_first.next()?;
        if newest.1.speeds.count >= SETTLED_FIXES {
            return Some(newest);
        }
        newest_first.next().or(Some(newest))
    }

    pub(crate) fn expire_values(&mut self, now_us: i64) {
        let time_to_live_us = Kind::Road.time_to_live().as_micros() as i64;
        self.written
            .retain(|_, written| now_us - written.at_us < time_to_live_us);
    }

    pub(crate) fn by_level(&self) -> values::Congestion {
        let mut congestion = values::Congestion::default();
        for written in self.written.values() {
            congestion.count(written.level);
        }
        congestion
    }

    /// Roads on which traffic is heavy or severe.
    pub(crate) fn congested(&self) -> usize {
        let congestion = self.by_level();
        congestion.heavy + congestion.severe
    }
}

/// The merged window that a road's value is made of.
pub(crate) struct RoadWindow {
    pub(crate) speeds: Moments,
    /// The newest fix in it.
    pub(crate) newest_us: i64,
    pub(crate) vehicles: usize,
}

impl Window {
    fn merged(&self) -> RoadWindow {
        let mut speeds = Moments::default();
        let mut newest_us = i64::MIN;
        let mut devices: HashSet<u32> = HashSet::default();
        for (_, partial) in &self.partials {
            speeds.merge(&partial.speeds);
            newest_us = newest_us.max(partial.newest_us);
            devices.extend(&partial.devices);
        }
        RoadWindow {
            speeds,
            newest_us,
            vehicles: devices.len(),
        }
    }
}

impl Partial {
    fn add(&mut self, timestamp_us: i64, speed_kmh: f64, device: u32) {
        self.speeds.add(speed_kmh);
        self.newest_us = self.newest_us.max(timestamp_us);
        if !self.devices.contains(&device) {
            self.devices.push(device);
        }
    }

    fn encode(&self) -> Bytes {
        let mut bytes = self.speeds.to_bytes().to_vec();
        bytes.extend_from_slice(&self.newest_us.to_le_bytes());
        for device in &self.devices {
            bytes.extend_from_slice(&device.to_le_bytes());
        }
        bytes.into()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (speeds, rest) = bytes.split_at_checked(Moments::ENCODED_LEN)?;
        let (newest, devices) = rest.split_at_checked(8)?;
        Some(Self {
            speeds: Moments::from_bytes(speeds)?,
            newest_us: read_i64(newest)?,
            devices: devices
                .chunks_exact(4)
                .map(|d| u32::from_le_bytes([d[0], d[1], d[2], d[3]]))
                .collect(),
        })
    }
}

/// Stable across restarts, unlike the maps' hasher (FNV-1a).
fn hash32(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
