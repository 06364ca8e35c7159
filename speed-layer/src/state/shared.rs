//! What a partition's state contributes to figures of the whole city, and how
//! another process reads it.

use bytes::Bytes;
use compact_str::CompactString;
use events::window::Watermark;
use events::{Offset, Stream, TopicPartition};
use foldhash::HashMap;

use super::latest::{LATEST_PREFIX, LatestById};
use super::panes::{PANE_PREFIX, Panes};
use crate::config::SpeedConfig;
use tracks::Streets;

pub(crate) const WATERMARK: &str = "watermark";
pub(crate) const VEHICLES: &str = "vehicles";

/// The streams whose windows are closed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    /// Speeds: streets, cells, the city.
    Fixes,
    /// Readings of stations.
    Stations,
}

impl Group {
    pub(crate) const ALL: [Group; 2] = [Group::Fixes, Group::Stations];

    /// `None` for streams that are in no window.
    pub(crate) fn of(stream: Stream) -> Option<Self> {
        match stream {
            Stream::VehicleData | Stream::GpsData => Some(Group::Fixes),
            Stream::WeatherData => Some(Group::Stations),
            _ => None,
        }
    }
}

/// Vehicles by what they do, as one partition counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct VehicleCounts {
    pub(crate) live: usize,
    pub(crate) moving: usize,
    pub(crate) stopped: usize,
    pub(crate) silent: usize,
    pub(crate) speed_sum_kmh: f64,
}

impl VehicleCounts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.live += other.live;
        self.moving += other.moving;
        self.stopped += other.stopped;
        self.silent += other.silent;
        self.speed_sum_kmh += other.speed_sum_kmh;
    }

    pub(crate) fn encode(&self) -> Bytes {
        let counts = [self.live, self.moving, self.stopped, self.silent];
        let mut bytes: Vec<u8> = counts
            .iter()
            .flat_map(|n| (*n as u64).to_le_bytes())
            .collect();
        bytes.extend_from_slice(&self.speed_sum_kmh.to_le_bytes());
        bytes.into()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        let [live, moving, stopped, silent, speed] = *words else {
            return None;
        };
        let count = |bytes| u64::from_le_bytes(bytes) as usize;
        rest.is_empty().then(|| Self {
            live: count(live),
            moving: count(moving),
            stopped: count(stopped),
            silent: count(silent),
            speed_sum_kmh: f64::from_le_bytes(speed),
        })
    }
}

/// One partition's part of the city, of this process or another.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: TopicPartition,
    pub(crate) stream: Stream,
    pub(crate) watermark: Watermark,
    /// The next record to read.
    pub(crate) position: Offset,
    pub(crate) panes: Panes,
    pub(crate) latest: LatestById,
    /// As the owner counted them last; of this process's own partitions they
    /// are counted when they are needed.
    pub(crate) vehicles: VehicleCounts,
}

impl Shared {
    pub(crate) fn new(id: TopicPartition, stream: Stream, config: &SpeedConfig) -> Self {
        Self {
            id,
            stream,
            watermark: Watermark::new(config.lateness_us(stream)),
            position: 0,
            panes: Panes::new(config.panes_max),
            latest: LatestById::default(),
            vehicles: VehicleCounts::default(),
        }
    }

    /// The newest append time, `i64::MIN` before the first record.
    pub(crate) fn appended_us_max(&self) -> i64 {
        self.watermark.maxima().1
    }

    /// What changed since the last call.
    pub(crate) fn drain_cells(
        &mut self,
        streets: &Streets,
        vehicles: &VehicleCounts,
    ) -> Vec<(String, Option<Bytes>)> {
        let mut cells = Vec::new();
        let (event_us, appended_us) = self.watermark.maxima();
        let maxima = [event_us, appended_us, self.position]
            .map(i64::to_le_bytes)
            .concat();
        cells.push((WATERMARK.to_owned(), Some(maxima.into())));
        if Group::of(self.stream) == Some(Group::Fixes) {
            cells.push((VEHICLES.to_owned(), Some(vehicles.encode())));
        }
        self.panes.drain_cells(streets, &mut cells);
        self.latest.drain_cells(&mut cells);
        cells
    }

    /// Takes a stored cell up.
    pub(crate) fn restore(&mut self, key: &str, value: &[u8], streets: &Streets) {
        if key == WATERMARK {
            let (words, _) = value.as_chunks::<8>();
            if let [event_us, appended_us, position] = *words {
                self.watermark.observe(
                    i64::from_le_bytes(event_us),
                    i64::from_le_bytes(appended_us),
                );
                self.position = i64::from_le_bytes(position);
            }
        } else if key == VEHICLES {
            self.vehicles = VehicleCounts::decode(value).unwrap_or_default();
        } else if let Some(pane) = key.strip_prefix(PANE_PREFIX) {
            self.panes.restore(pane, value, streets);
        } else if let Some(id) = key.strip_prefix(LATEST_PREFIX) {
            self.latest.restore(self.stream, id, value);
        }
    }
}

/// A partition that another process owns, as its last checkpoint left it.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) shared: Shared,
    cells: HashMap<String, Bytes>,
}

impl Remote {
    pub(crate) fn new(id: TopicPartition, stream: Stream, config: &SpeedConfig) -> Self {
        Self {
            shared: Shared::new(id, stream, config),
            cells: HashMap::default(),
        }
    }

    /// Makes it what the stored cells say; the things that said
    /// something new. Panes note their changes themselves.
    pub(crate) fn update(
        &mut self,
        cells: Vec<(String, Bytes)>,
        streets: &Streets,
    ) -> Vec<CompactString> {
        let mut changes = Vec::new();
        let mut known = HashMap::default();
        for (key, value) in cells {
            if self.cells.get(&key) != Some(&value) {
                self.shared.restore(&key, &value, streets);
                changes.extend(key.strip_prefix(LATEST_PREFIX).map(CompactString::from));
            }
            known.insert(key, value);
        }
        self.cells = known;
        changes
    }
}
