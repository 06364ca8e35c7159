//! The city in figures.

use std::collections::VecDeque;

use compact_str::CompactString;
use events::time::format_rfc3339;
use events::{Stream, TopicPartition};
use foldhash::HashMap;
use hot_store::{Kind, Update};

use super::latest::Latest;
use super::shared::{Shared, VehicleCounts};
use super::{State, is_live};
use crate::values;

impl State {
    /// The city's figures and the speed layer's sign of life.
    pub(crate) fn summary(&mut self, now_us: i64) -> Vec<Update> {
        let vehicles = self.count_vehicles(now_us);
        let congestion = self.combined.by_level(now_us);
        let parts = self.parts();
        let count = |stream, kind| {
            let live = live_latest(&parts, stream, kind, now_us);
            live.iter().filter(|latest| !latest.is_over()).count()
        };
        let events: u64 = self.counts.iter().map(|counts| counts.events).sum();
        let mean_kmh = match vehicles.live {
            0 => 0.0,
            live => vehicles.speed_sum_kmh / live as f64,
        };
        let mut summary = values::CitySummary {
            total_vehicles: vehicles.live,
            moving_vehicles: vehicles.moving,
            stopped_vehicles: vehicles.stopped,
            silent_vehicles: vehicles.silent,
            active_emergencies: count(Stream::EmergencyIncidentData, Kind::Incident),
            average_city_speed: values::round1(mean_kmh),
            congested_roads: congestion.heavy + congestion.severe,
            congestion,
            stations: count(Stream::WeatherData, Kind::Station),
            cameras: count(Stream::TrafficCameraData, Kind::Camera),
            events_per_second: 0.0,
            timestamp: format_rfc3339(now_us),
        };
        summary.events_per_second = self.rate.per_second(events, now_us);
        let health = values::Health {
            status: "ok",
            timestamp: summary.timestamp.clone(),
        };
        vec![
            values::update(Kind::CitySummary, "", &summary),
            values::update(Kind::Health, "", &health),
        ]
    }

    fn count_vehicles(&self, now_us: i64) -> VehicleCounts {
        let mut vehicles = VehicleCounts::default();
        for remote in self.combined.remotes.values() {
            vehicles.add(&remote.shared.vehicles);
        }
        for (at, partition) in self.partitions.iter().enumerate() {
            let Some(partition) = partition else { continue };
            // A device that is in several partitions counts where it is newest.
            let counts = partition.count_vehicles(now_us, self.silent_after_us(), |track| {
                let is_spread = self.spread.contains(&track.device_hash());
                !is_spread || self.is_newest_in(at, track.device_id(), track.order())
            });
            vehicles.add(&counts);
        }
        vehicles
    }

    /// Whether no other partition knows something newer of a device.
    pub(super) fn is_newest_in(&self, at: usize, device_id: &str, order: (i64, i64)) -> bool {
        let others = self
            .partitions
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != at);
        others
            .filter_map(|(other, partition)| {
                let (_, track) = partition.as_ref()?.tracker.by_id(device_id)?;
                Some((track.order(), other))
            })
            .all(|other| other < (order, at))
    }
}

/// The newest message of each thing, of those that are still to be seen.
pub(super) fn live_latest<'a>(
    parts: &[&'a Shared],
    stream: Stream,
    kind: Kind,
    now_us: i64,
) -> Vec<&'a Latest> {
    let mut newest: HashMap<&CompactString, (&Latest, &TopicPartition)> = HashMap::default();
    for part in parts.iter().filter(|part| part.stream == stream) {
        for (id, latest) in &part.latest.by_id {
            let known = newest.entry(id).or_insert((latest, &part.id));
            if (latest.order, &part.id) > (known.0.order, known.1) {
                *known = (latest, &part.id);
            }
        }
    }
    let live = newest.into_values().map(|(latest, _)| latest);
    live.filter(|latest| is_live(kind, latest.appended_at_us, now_us))
        .collect()
}

/// Events per second over the last ten seconds.
#[derive(Default)]
pub(super) struct EventRate {
    samples: VecDeque<(i64, u64)>,
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
        values::round1((events - first) as f64 * 1e6 / (now_us - first_us) as f64)
    }
}
