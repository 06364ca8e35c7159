//! One date's fixes into `traffic_hourly`, `cell_hourly` and `vehicle_daily`.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
use events::aggregate::Moments;
use events::h3;
use events::hexagons::{HexagonIndex, Hexagons, NO_HEXAGON};
use events::time::DAY_US;
use lake::View;
use streets::SegmentIndex;
use tracks::{Accepted, Limits, Motion, Streets, Track, Verdict};

use crate::Result;
use crate::by_device::LoadedBucket;
use crate::groups::{Groups, ViewRows};
use crate::judge::DeviceJudge;
use crate::source::FixRow;

const HOUR_US: i64 = 3_600_000_000;
/// Nobody knows what a vehicle did that said nothing for longer than this.
const SILENT_US: i64 = 300_000_000;

/// Folds the rows of one date, device by device.
pub(crate) struct FixFold {
    date: i32,
    day_us: Range<i64>,
    streets: Streets,
    judge: DeviceJudge<Way>,
    /// Whose rows are being taken; none between two buckets.
    device_id: Option<String>,
    device: u64,
    hexagons: Hexagons,
    hexagon: HexagonIndex,
    traffic: Option<Groups<(SegmentIndex, i64)>>,
    cells: Option<Groups<(u64, i64)>>,
    vehicles: Option<Vehicles>,
}

#[derive(Default)]
struct Vehicles {
    done: Vec<(String, VehicleDay)>,
    today: VehicleDay,
}

/// What one partition's fixes of the device in work have come to.
#[derive(Debug, Default)]
struct Way {
    newest_us: Option<i64>,
    trip_started_us: Option<i64>,
    distance_m: f64,
}

/// One vehicle's day.
#[derive(Debug, Default)]
struct VehicleDay {
    speeds: Moments,
    distance_m: f64,
    trips: i64,
    moving_us: i64,
    first_us: Option<i64>,
    last_us: Option<i64>,
    duplicates: i64,
    refused: i64,
}

impl FixFold {
    pub(crate) fn new(date: i32, views: &[View], limits: Limits, streets: Streets) -> Self {
        let start_us = i64::from(date) * DAY_US;
        let wants = |view| views.contains(&view);
        Self {
            date,
            day_us: start_us..start_us + DAY_US,
            streets,
            judge: DeviceJudge::new(limits),
            device_id: None,
            device: 0,
            hexagons: Hexagons::default(),
            hexagon: NO_HEXAGON,
            traffic: wants(View::TrafficHourly).then(Groups::default),
            cells: wants(View::CellHourly).then(Groups::default),
            vehicles: wants(View::VehicleDaily).then(Vehicles::default),
        }
    }

    /// Takes in all rows of some devices, which are in no other bucket.
    pub(crate) fn take(&mut self, bucket: &LoadedBucket) {
        bucket.for_each(|row| self.take_row(row));
        self.end_device();
    }

    /// Takes in what the other has of other devices.
    pub(crate) fn merge(&mut self, other: Self) {
        if let (Some(own), Some(other)) = (&mut self.traffic, other.traffic) {
            own.merge(other);
        }
        if let (Some(own), Some(other)) = (&mut self.cells, other.cells) {
            own.merge(other);
        }
        if let (Some(own), Some(other)) = (&mut self.vehicles, other.vehicles) {
            own.done.extend(other.done);
        }
    }

    fn take_row(&mut self, row: &FixRow<'_>) {
        if self.device_id.as_deref() != Some(row.fix.device_id) {
            self.end_device();
            self.device += 1;
            self.device_id = Some(row.fix.device_id.to_owned());
        }
        let verdict = self.judge.judge(row, i64::MIN, &self.streets);
        let is_today = self.day_us.contains(&row.fix.timestamp_us);
        match verdict {
            Verdict::Accepted(accepted) => {
                if is_today {
                    self.measure(row, &accepted);
                }
                if let Some(vehicles) = &mut self.vehicles
                    && let Some(track) = self.judge.track_mut(row)
                {
                    let today = &mut vehicles.today;
                    if is_today {
                        today.count(row);
                    }
                    if accepted.in_order {
                        today.follow(track, &self.day_us);
                    }
                }
            }
            refused if is_today => {
                if let Some(vehicles) = &mut self.vehicles {
                    match refused {
                        Verdict::Duplicate => vehicles.today.duplicates += 1,
                        _ => vehicles.today.refused += 1,
                    }
                }
            }
            _ => {}
        }
    }

    #[inline]
    fn measure(&mut self, row: &FixRow<'_>, accepted: &Accepted) {
        let (fix, device) = (&row.fix, self.device);
        let hour_us = fix.timestamp_us - fix.timestamp_us.rem_euclid(HOUR_US);
        if let (Some(traffic), Some(segment)) = (&mut self.traffic, accepted.driven()) {
            traffic.add((segment, hour_us), fix.speed_kmh, device);
        }
        if let Some(cells) = &mut self.cells {
            let cell = self.hexagons.cell_of(fix.location, &mut self.hexagon);
            cells.add((cell, hour_us), fix.speed_kmh, device);
        }
    }

    fn end_device(&mut self) {
        self.judge.clear();
        let device_id = self.device_id.take();
        if let (Some(vehicles), Some(device_id)) = (&mut self.vehicles, device_id) {
            let day = std::mem::take(&mut vehicles.today);
            if !day.speeds.is_empty() {
                vehicles.done.push((device_id, day));
            }
        }
    }

    /// The rows of the views.
    pub(crate) fn finish(self) -> Result<Vec<(View, RecordBatch)>> {
        let mut views = Vec::new();
        if let Some(traffic) = self.traffic {
            views.push((
                View::TrafficHourly,
                traffic_rows(traffic, &self.streets, self.date)?,
            ));
        }
        if let Some(cells) = self.cells {
            views.push((View::CellHourly, cell_rows(cells, self.date)?));
        }
        if let Some(mut vehicles) = self.vehicles {
            // In an order that does not depend on how they came.
            vehicles.done.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            views.push((View::VehicleDaily, vehicle_rows(&vehicles.done, self.date)?));
        }
        Ok(views)
    }
}

impl VehicleDay {
    fn count(&mut self, row: &FixRow<'_>) {
        let time_us = row.fix.timestamp_us;
        self.speeds.add(row.fix.speed_kmh);
        self.first_us = Some(self.first_us.map_or(time_us, |first| first.min(time_us)));
        self.last_us = Some(self.last_us.map_or(time_us, |last| last.max(time_us)));
    }

    /// After the track took its newest fix in.
    fn follow(&mut self, track: &mut Track<Way>, day_us: &Range<i64>) {
        let newest_us = track.order().0;
        let (distance_m, motion) = (track.distance_today_m(), track.motion());
        let trip_started_us = track.trip_started_us();
        let way = &mut track.extra;
        if day_us.contains(&newest_us) {
            // It begins anew with the day, and with a device that was silent for one.
            self.distance_m += match distance_m >= way.distance_m {
                true if way.newest_us.is_some_and(|before| day_us.contains(&before)) => {
                    distance_m - way.distance_m
                }
                _ => distance_m,
            };
            if let Some(before_us) = way.newest_us.filter(|_| motion == Motion::Moving)
                && newest_us - before_us <= SILENT_US
            {
                self.moving_us += newest_us - before_us.max(day_us.start);
            }
        }
        let has_begun = trip_started_us.filter(|_| trip_started_us != way.trip_started_us);
        self.trips += i64::from(has_begun.is_some_and(|at_us| day_us.contains(&at_us)));
        way.newest_us = Some(newest_us);
        way.trip_started_us = trip_started_us;
        way.distance_m = distance_m;
    }
}

fn traffic_rows(
    groups: Groups<(SegmentIndex, i64)>,
    streets: &Streets,
    date: i32,
) -> Result<RecordBatch> {
    let mut all = groups.into_sorted();
    let segment = |index: SegmentIndex| streets.network().segment(index);
    // By name, as the table is ordered: numbers change with the street's source.
    all.sort_by(|((a, _), _), ((b, _), _)| segment(*a).id.cmp(&segment(*b).id));
    let mut rows = ViewRows::new(View::TrafficHourly);
    rows.put_instants("hour", all.iter().map(|((_, hour_us), _)| Some(*hour_us)));
    let ids = all
        .iter()
        .map(|((index, _), _)| segment(*index).id.as_str());
    rows.put("segment_id", Arc::new(StringArray::from_iter_values(ids)));
    let names = all
        .iter()
        .map(|((index, _), _)| segment(*index).name.as_deref());
    rows.put("name", Arc::new(names.collect::<StringArray>()));
    rows.put_measured(all.iter().map(|(_, group)| group));
    rows.finish(date, all.len())
}

fn cell_rows(groups: Groups<(u64, i64)>, date: i32) -> Result<RecordBatch> {
    let all = groups.into_sorted();
    let mut rows = ViewRows::new(View::CellHourly);
    rows.put_instants("hour", all.iter().map(|((_, hour_us), _)| Some(*hour_us)));
    let names = all.iter().map(|((cell, _), _)| h3::cell_name(*cell));
    rows.put("cell", Arc::new(StringArray::from_iter_values(names)));
    let centers: Vec<_> = all
        .iter()
        .map(|((cell, _), _)| h3::cell_center(*cell))
        .collect();
    let latitudes = centers.iter().map(|center| center.map(|at| at.latitude));
    rows.put("latitude", Arc::new(latitudes.collect::<Float64Array>()));
    let longitudes = centers.iter().map(|center| center.map(|at| at.longitude));
    rows.put("longitude", Arc::new(longitudes.collect::<Float64Array>()));
    rows.put_measured(all.iter().map(|(_, group)| group));
    rows.finish(date, all.len())
}

fn vehicle_rows(all: &[(String, VehicleDay)], date: i32) -> Result<RecordBatch> {
    let mut rows = ViewRows::new(View::VehicleDaily);
    let ids = all.iter().map(|(device_id, _)| device_id);
    rows.put("device_id", Arc::new(StringArray::from_iter_values(ids)));
    let days = || all.iter().map(|(_, day)| day);
    let mut whole = |name, of: fn(&VehicleDay) -> i64| {
        rows.put(name, Arc::new(days().map(of).collect::<Int64Array>()));
    };
    whole("fixes", |day| day.speeds.count as i64);
    whole("trips", |day| day.trips);
    whole("duplicates", |day| day.duplicates);
    whole("refused", |day| day.refused);
    let mut number = |name, of: fn(&VehicleDay) -> Option<f64>| {
        rows.put(name, Arc::new(days().map(of).collect::<Float64Array>()));
    };
    // Whole decimetres: what is smaller is the receiver's noise.
    number("distance_m", |day| {
        Some((day.distance_m * 10.0).round() / 10.0)
    });
    number("moving_s", |day| Some(day.moving_us as f64 / 1e6));
    number("mean_speed", |day| day.speeds.mean());
    number("max_speed", |day| Some(day.speeds.max));
    number("sum_speed", |day| Some(day.speeds.sum()));
    rows.put_instants("first_fix", days().map(|day| day.first_us));
    rows.put_instants("last_fix", days().map(|day| day.last_us));
    rows.finish(date, all.len())
}
