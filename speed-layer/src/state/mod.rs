//! The city as the speed layer knows it. Pure: no clock, no I/O, no async.

mod incidents;
mod stations;
#[cfg(test)]
mod tests;
mod traffic;
mod vehicles;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use events::window::Watermark;
use events::{Body, Event, Offset, TopicPartition};
use hot_store::{Cell, Entry, HotBatch, Kind, Update};
use streets::StreetNetwork;

use crate::config::SpeedConfig;
use crate::values;
use incidents::Incidents;
use stations::{Cameras, Stations};
pub(crate) use traffic::RoadWindow;
use traffic::Traffic;
pub(crate) use vehicles::TrailPoint;
use vehicles::{Outcome, Vehicles};

/// Index of a partition within one session.
pub(crate) type Slot = u16;

/// Where and when an event entered the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) slot: Slot,
    pub(crate) offset: Offset,
    pub(crate) appended_at_us: i64,
}

/// Counts that the shell publishes as metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) null_island: u64,
    pub(crate) teleports: u64,
    pub(crate) out_of_order: u64,
    pub(crate) late: u64,
}

struct PartitionState {
    partition: TopicPartition,
    watermark: Watermark,
    dirty: bool,
}

/// Everything that the streams have said so far.
pub struct State {
    streets: Arc<StreetNetwork>,
    config: SpeedConfig,
    partitions: Vec<PartitionState>,
    slots: HashMap<TopicPartition, Slot>,
    vehicles: Vehicles,
    traffic: Traffic,
    incidents: Incidents,
    stations: Stations,
    cameras: Cameras,
    counts: Counts,
    rate: EventRate,
}

impl State {
    /// An empty city on `streets`.
    pub fn new(streets: Arc<StreetNetwork>, config: SpeedConfig) -> Self {
        Self {
            vehicles: Vehicles::new(config.teleport),
            traffic: Traffic::new(i64::from(config.traffic_window_s) * 1_000_000),
            streets,
            config,
            partitions: Vec::new(),
            slots: HashMap::new(),
            incidents: Incidents::default(),
            stations: Stations::default(),
            cameras: Cameras::default(),
            counts: Counts::default(),
            rate: EventRate::default(),
        }
    }

    /// Takes up what the hot store knows, before the first event.
    pub(crate) fn restore(&mut self, kind: Kind, entries: &[Entry], now_us: i64) {
        for entry in entries {
            let written_at_us = now_us
                - (kind.time_to_live().as_micros() as i64 - entry.expires_in.as_micros() as i64)
                    .max(0);
            match kind {
                Kind::Vehicle => self.vehicles.restore(entry, written_at_us),
                Kind::Trail => self.vehicles.restore_trail(entry),
                Kind::Incident => self.incidents.restore(entry, written_at_us),
                Kind::Station => self.stations.restore(entry, written_at_us),
                Kind::Camera => self.cameras.restore(entry, written_at_us),
                Kind::Road => self.traffic.restore(entry, &self.streets, written_at_us),
                Kind::Weather | Kind::CitySummary | Kind::Health => {}
                Kind::Window | Kind::Alert | Kind::Lag => {}
            }
        }
    }

    /// Takes over a partition with the state in progress that was saved with
    /// its position.
    pub(crate) fn assign(&mut self, partition: &TopicPartition, cells: &[(String, Bytes)]) {
        let slot = self.slot(partition);
        for (key, value) in cells {
            match key.split_once(':').unwrap_or((key, "")) {
                ("watermark", _) => {
                    if let Some((event_us, appended_us)) = read_maxima(value) {
                        self.partitions[slot as usize]
                            .watermark
                            .observe(event_us, appended_us);
                    }
                }
                ("traffic", rest) => self.traffic.restore_cell(slot, rest, value, &self.streets),
                ("suspect", device_id) => self.vehicles.restore_cell(slot, device_id, value),
                ("resolved", incident) => self.incidents.restore_cell(slot, incident, value),
                _ => {}
            }
        }
    }

    /// Gives a partition's state in progress up.
    pub(crate) fn revoke(&mut self, partition: &TopicPartition) {
        if let Some(slot) = self.slots.get(partition).copied() {
            self.traffic.forget(slot);
            self.incidents.forget(slot);
            self.partitions[slot as usize].watermark = self.new_watermark();
            self.partitions[slot as usize].dirty = false;
        }
    }

    pub(crate) fn slot(&mut self, partition: &TopicPartition) -> Slot {
        if let Some(slot) = self.slots.get(partition) {
            return *slot;
        }
        let slot = self.partitions.len() as Slot;
        let watermark = self.new_watermark();
        self.partitions.push(PartitionState {
            partition: partition.clone(),
            watermark,
            dirty: false,
        });
        self.slots.insert(partition.clone(), slot);
        slot
    }

    fn new_watermark(&self) -> Watermark {
        Watermark::new(i64::from(self.config.lateness_s) * 1_000_000)
    }

    /// Folds one event in. `now_us` is only used to tell what is live.
    pub(crate) fn fold(&mut self, event: Event, origin: Origin, now_us: i64) {
        self.counts.events += 1;
        let partition = &mut self.partitions[origin.slot as usize];
        partition
            .watermark
            .observe(event.timestamp_us, origin.appended_at_us);
        partition.dirty = true;
        let watermark_us = partition.watermark.current_us();
        match &event.body {
            Body::Vehicle(_) | Body::Gps(_) => self.fold_fix(event, origin, watermark_us, now_us),
            Body::Camera(_) => self.cameras.fold(event, origin.offset, now_us),
            Body::Weather(_) => self.stations.fold(event, origin.offset, now_us),
            Body::Incident(_) => self.incidents.fold(event, origin, now_us),
            Body::Alert(_) | Body::Window(_) => {}
        }
    }

    fn fold_fix(&mut self, event: Event, origin: Origin, watermark_us: i64, now_us: i64) {
        let timestamp_us = event.timestamp_us;
        match self.vehicles.fold(event, origin, now_us) {
            Outcome::NullIsland => self.counts.null_island += 1,
            Outcome::Teleport => self.counts.teleports += 1,
            Outcome::OutOfOrder => self.counts.out_of_order += 1,
            Outcome::Moved(fix) => {
                let max_distance_m = self.config.match_distance_m;
                let found = self
                    .streets
                    .nearest(fix.location, fix.heading_deg, max_distance_m);
                let segment = found.map(|found| found.segment);
                self.vehicles.set_segment(&fix.device_id, segment);
                let Some(segment) = segment.filter(|_| !fix.parked) else {
                    return;
                };
                if !self
                    .traffic
                    .fold(segment, origin.slot, timestamp_us, watermark_us, &fix)
                {
                    self.counts.late += 1;
                }
            }
        }
    }

    /// Everything that changed since the last call, newest values only.
    pub(crate) fn drain(&mut self, now_us: i64) -> HotBatch {
        let mut batch = HotBatch::default();
        self.vehicles.drain(&self.streets, &mut batch.updates);
        self.incidents.drain(&self.streets, &mut batch.updates);
        self.stations.drain(now_us, &mut batch.updates);
        self.cameras.drain(&mut batch.updates);
        let names: Vec<TopicPartition> = self
            .partitions
            .iter()
            .map(|p| p.partition.clone())
            .collect();
        self.traffic.drain(
            &self.streets,
            &names,
            now_us,
            &mut batch.updates,
            &mut batch.cells,
        );
        self.vehicles.drain_cells(&names, &mut batch.cells);
        self.incidents.drain_cells(&names, &mut batch.cells);
        for partition in self
            .partitions
            .iter_mut()
            .filter(|partition| partition.dirty)
        {
            partition.dirty = false;
            batch.cells.push(Cell {
                partition: partition.partition.clone(),
                key: "watermark".into(),
                value: Some(write_maxima(partition.watermark.maxima())),
            });
        }
        batch
    }

    /// The city's figures, and the upkeep that goes with the passing of time.
    pub(crate) fn tick(&mut self, now_us: i64) -> Vec<Update> {
        self.vehicles.expire(now_us);
        self.stations.expire(now_us);
        self.incidents.expire(now_us);
        self.cameras.expire(now_us);
        self.traffic.expire_values(now_us);
        for (slot, partition) in self.partitions.iter().enumerate() {
            self.traffic
                .close(slot as Slot, partition.watermark.current_us());
            self.incidents
                .close(slot as Slot, partition.watermark.current_us());
        }
        let rate = self.rate.per_second(self.counts.events, now_us);
        let summary = values::CitySummary {
            total_vehicles: self.vehicles.live(),
            moving_vehicles: self.vehicles.moving(),
            active_emergencies: self.incidents.active(),
            average_city_speed: self.vehicles.mean_speed_kmh(),
            congested_roads: self.traffic.congested(),
            congestion: self.traffic.by_level(),
            stations: self.stations.live(),
            cameras: self.cameras.live(),
            events_per_second: rate,
            timestamp: events::time::format_rfc3339(now_us),
        };
        let health = values::Health {
            status: "ok",
            timestamp: summary.timestamp.clone(),
        };
        vec![
            values::update(Kind::CitySummary, "", &summary),
            values::update(Kind::Health, "", &health),
        ]
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }
}

/// Events per second over the last ten seconds.
#[derive(Default)]
struct EventRate {
    samples: std::collections::VecDeque<(i64, u64)>,
}

impl EventRate {
    const SPAN_US: i64 = 10_000_000;

    fn per_second(&mut self, events: u64, now_us: i64) -> f64 {
        self.samples.push_back((now_us, events));
        while self.samples.len() > 2 && self.samples[1].0 <= now_us - Self::SPAN_US {
            self.samples.pop_front();
        }
        let (first_us, first) = self.samples[0];
        if now_us <= first_us {
            return 0.0;
        }
        let rate = (events - first) as f64 * 1e6 / (now_us - first_us) as f64;
        (rate * 10.0).round() / 10.0
    }
}

fn write_maxima((event_us, appended_us): (i64, i64)) -> Bytes {
    [event_us.to_le_bytes(), appended_us.to_le_bytes()]
        .concat()
        .into()
}

fn read_maxima(bytes: &[u8]) -> Option<(i64, i64)> {
    let (event_us, appended_us) = bytes.split_at_checked(8)?;
    Some((read_i64(event_us)?, read_i64(appended_us)?))
}

pub(crate) fn read_i64(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_le_bytes(bytes.try_into().ok()?))
}
