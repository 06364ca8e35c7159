//! What the events of the audited time amount to, minute by minute (pure).

use std::collections::HashMap;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};
use events::aggregate::Aggregate;
use events::h3;
use events::hexagons::{HexagonIndex, Hexagons, NO_HEXAGON};
use events::window::{PANE_US, Tumbling, WindowKind};
use events::{Stream, Weather};
use streets::SegmentIndex;
use tracks::{Limits, Streets, Tracker, Verdict, hash64};

use super::{AuditConfig, Said};
use crate::Result;
use crate::judge::DeviceJudge;
use crate::source::{FixRows, numbers, text};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    Segment(SegmentIndex),
    Cell(u64),
    /// `station:reading`
    Station(Box<str>),
    City,
}

impl Key {
    pub(crate) const fn kind(&self) -> WindowKind {
        match self {
            Key::Segment(_) => WindowKind::Segment,
            Key::Cell(_) => WindowKind::Cell,
            Key::Station(_) => WindowKind::Station,
            Key::City => WindowKind::City,
        }
    }

    pub(crate) fn name(&self, streets: &Streets) -> String {
        match self {
            Key::Segment(index) => streets.network().segment(*index).id.clone(),
            Key::Cell(cell) => h3::cell_name(*cell),
            Key::Station(name) => name.to_string(),
            Key::City => WindowKind::CITY_SPEED.to_owned(),
        }
    }

    fn parse(kind: WindowKind, name: &str, streets: &Streets) -> Option<Self> {
        match kind {
            WindowKind::Segment => streets.network().by_id(name).map(Key::Segment),
            WindowKind::Cell => h3::cell_from_name(name).map(Key::Cell),
            WindowKind::City => (name == WindowKind::CITY_SPEED).then_some(Key::City),
            WindowKind::Station => Some(Key::Station(name.into())),
        }
    }
}

/// One minute of one thing.
#[derive(Debug, Default)]
pub(crate) struct Minute {
    /// Of the events that were in time.
    pub(crate) in_time: Aggregate,
    pub(crate) in_time_vehicles: u64,
    /// Of all.
    pub(crate) vehicles: u64,
    /// Those that came after the minute was closed: when, and the value.
    pub(crate) late: Vec<(i64, f64)>,
    /// Of messages that are repeated.
    pub(crate) repeated: Option<Box<Aggregate>>,
    pub(crate) said: Option<Said>,
    pub(super) last_in_time: u64,
    pub(super) last: u64,
}

impl Minute {
    fn add(&mut self, value: f64, device: u64, late_at_us: Option<i64>) {
        if self.last != device {
            self.last = device;
            self.vehicles += 1;
        }
        if let Some(appended_us) = late_at_us {
            self.late.push((appended_us, value));
            return;
        }
        if self.last_in_time != device {
            self.last_in_time = device;
            self.in_time_vehicles += 1;
        }
        self.in_time.add(value);
    }

    /// Of all events.
    pub(crate) fn all(&self) -> Aggregate {
        self.with_late(self.late.len())
    }

    /// Of those in time and the first `count` of the late ones, as they came.
    pub(crate) fn with_late(&self, count: usize) -> Aggregate {
        let mut late = self.late.clone();
        late.sort_by(|(a_us, a), (b_us, b)| a_us.cmp(b_us).then(a.total_cmp(b)));
        let mut aggregate = self.in_time.clone();
        for (_, value) in late.iter().take(count) {
            aggregate.add(*value);
        }
        aggregate
    }
}

/// The streams whose windows are closed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    Fixes,
    Stations,
}

impl Group {
    pub(crate) const fn of(kind: WindowKind) -> Self {
        match kind {
            WindowKind::Station => Group::Stations,
            _ => Group::Fixes,
        }
    }
}

/// How far a partition is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    /// By what was appended long enough ago to have been told.
    pub(crate) watermark_us: i64,
    pub(crate) appended_us: i64,
}

pub(crate) struct Fold<'a> {
    pub(crate) from_us: i64,
    /// What was appended until then has been told.
    pub(crate) told_us: i64,
    pub(crate) config: &'a AuditConfig,
    pub(crate) streets: &'a Streets,
    pub(crate) minutes: foldhash::HashMap<(Key, i64), Minute>,
    /// Said of what is no longer known, such as streets that are no more.
    pub(crate) unknown: HashMap<(WindowKind, String, i64), Said>,
    pub(crate) partitions: HashMap<(Group, i64, i32), Reached>,
    judge: DeviceJudge<()>,
    limits: Limits,
    /// The station in work, on its partition, and what tells its repeated messages.
    stations: Option<(String, i32, Tracker<()>)>,
    device_id: String,
    device_hash: u64,
    device: u64,
    hexagons: Hexagons,
    hexagon: HexagonIndex,
}

fn minute_of(timestamp_us: i64) -> i64 {
    Tumbling { size_us: PANE_US }
        .window_of(timestamp_us)
        .start_us
}

impl<'a> Fold<'a> {
    pub(crate) fn new(
        from_us: i64,
        told_us: i64,
        config: &'a AuditConfig,
        streets: &'a Streets,
    ) -> Self {
        let limits = Limits {
            ids: usize::MAX,
            ..config.limits.clone()
        };
        Self {
            from_us,
            told_us,
            config,
            streets,
            minutes: foldhash::HashMap::default(),
            unknown: HashMap::new(),
            partitions: HashMap::new(),
            judge: DeviceJudge::new(limits.clone()),
            limits,
            stations: None,
            device_id: String::new(),
            device_hash: 0,
            device: 0,
            hexagons: Hexagons::default(),
            hexagon: NO_HEXAGON,
        }
    }

    fn reach(&mut self, at: (Group, i64, i32), watermark_us: i64, appended_us: i64) {
        let reached = self.partitions.entry(at).or_insert(Reached {
            watermark_us: i64::MIN,
            appended_us: i64::MIN,
        });
        reached.appended_us = reached.appended_us.max(appended_us);
        if appended_us <= self.told_us {
            reached.watermark_us = reached.watermark_us.max(watermark_us);
        }
    }

    pub(crate) fn take_fixes(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = FixRows::of(batch)?;
        let max_event = numbers::<TimestampMicrosecondType>(batch, "max_event")?.values();
        let max_appended = numbers::<TimestampMicrosecondType>(batch, "max_appended")?.values();
        for index in 0..rows.len() {
            let device_id = rows.device_id(index);
            if self.device == 0 || device_id != self.device_id {
                self.judge.clear();
                self.device += 1;
                self.device_hash = hash64(0, device_id.as_bytes());
                self.device_id.clear();
                self.device_id.push_str(device_id);
            }
            let row = rows.row(index, self.device_hash);
            let stream = match row.partition.0 {
                0 => Stream::VehicleData,
                _ => Stream::GpsData,
            };
            let watermark_us =
                max_event[index].min(max_appended[index]) - self.config.lateness_us(stream);
            let (stream_number, partition) = row.partition;
            let at = (Group::Fixes, stream_number, partition);
            self.reach(at, watermark_us, row.appended_at_us);
            // Of events in time the judgement is that of the speed layer; of late ones
            // it is that of who has all of them.
            let verdict = self.judge.judge(&row, i64::MIN, self.streets);
            let start_us = minute_of(row.fix.timestamp_us);
            if start_us < self.from_us {
                continue;
            }
            let is_late = start_us.saturating_add(PANE_US) <= watermark_us;
            let late_at_us = is_late.then_some(row.appended_at_us);
            let (value, device) = (row.fix.speed_kmh, self.device);
            let cell = self.hexagons.cell_of(row.fix.location, &mut self.hexagon);
            match verdict {
                Verdict::Accepted(accepted) => {
                    let keys = [
                        Some(Key::City),
                        Some(Key::Cell(cell)),
                        accepted.driven().map(Key::Segment),
                    ];
                    for key in keys.into_iter().flatten() {
                        let minute = self.minutes.entry((key, start_us)).or_default();
                        minute.add(value, device, late_at_us);
                    }
                }
                Verdict::Duplicate => {
                    let track = self.judge.track_mut(&row);
                    let segment = track.and_then(|track| track.segment());
                    let keys = [
                        Some(Key::City),
                        Some(Key::Cell(cell)),
                        segment.map(Key::Segment),
                    ];
                    for key in keys.into_iter().flatten() {
                        if let Some(minute) = self.minutes.get_mut(&(key, start_us)) {
                            minute.repeated.get_or_insert_default().add(value);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn take_weather(&mut self, batch: &RecordBatch) -> Result<()> {
        let (stations, ids) = (text(batch, "device_id")?, text(batch, "id")?);
        let time = |name| numbers::<TimestampMicrosecondType>(batch, name);
        let (times, appended) = (time("timestamp")?.values(), time("appended_at")?.values());
        let (max_event, max_appended) =
            (time("max_event")?.values(), time("max_appended")?.values());
        let partitions = numbers::<Int32Type>(batch, "log_partition")?;
        let mut readings = Vec::with_capacity(Weather::READINGS.len());
        for name in Weather::READINGS {
            readings.push(numbers::<Float64Type>(batch, name)?);
        }
        let extra = text(batch, "extra")?;
        let lateness_us = self.config.lateness_us(Stream::WeatherData);
        // A station's rows come one after the other, in one batch or several.
        let mut known = self.stations.take();
        for row in 0..batch.num_rows() {
            let (station, partition) = (stations.value(row), partitions.value(row));
            let watermark_us = max_event[row].min(max_appended[row]) - lateness_us;
            self.reach((Group::Stations, 2, partition), watermark_us, appended[row]);
            let is_same = known
                .as_ref()
                .is_some_and(|(of, at, _)| of == station && *at == partition);
            if !is_same {
                let tracker = Tracker::new(self.limits.clone());
                known = Some((station.to_owned(), partition, tracker));
            }
            let Some((_, _, tracker)) = &mut known else {
                continue;
            };
            let is_repeated = tracker.is_repeated(station, ids.value(row), times[row], i64::MIN);
            let start_us = minute_of(times[row]);
            if start_us < self.from_us {
                continue;
            }
            let is_late = start_us.saturating_add(PANE_US) <= watermark_us;
            let late_at_us = is_late.then_some(appended[row]);
            let read = Weather::READINGS.into_iter().zip(&readings);
            let read = read.filter(|(_, reading)| reading.is_valid(row));
            let read =
                read.map(|(name, reading)| (format!("{station}:{name}"), reading.value(row)));
            let own = extra.is_valid(row).then(|| extra.value(row)).into_iter();
            let own = own.flat_map(Weather::own_readings);
            let own = own.map(|(name, value)| (format!("{station}:{name}"), value));
            for (name, value) in read.chain(own) {
                let key = Key::Station(name.into());
                let minute = self.minutes.entry((key, start_us)).or_default();
                match is_repeated {
                    true => minute.repeated.get_or_insert_default().add(value),
                    false => minute.add(value, 1, late_at_us),
                }
            }
        }
        self.stations = known;
        Ok(())
    }

    pub(crate) fn take_said(&mut self, kind: WindowKind, key: &str, start_us: i64, said: Said) {
        match Key::parse(kind, key, self.streets) {
            Some(key) => self.minutes.entry((key, start_us)).or_default().said = Some(said),
            None => {
                self.unknown.insert((kind, key.to_owned(), start_us), said);
            }
        }
    }
}
