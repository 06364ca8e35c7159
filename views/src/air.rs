//! One date's readings into `air_hourly`.

use std::sync::Arc;

use arrow::array::{Array, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};
use events::Weather;
use lake::View;
use tracks::{Limits, Tracker};

use crate::Result;
use crate::groups::{Groups, ViewRows};
use crate::source::{numbers, text};

const HOUR_US: i64 = 3_600_000_000;

/// Folds the rows of one date, in the order of their source.
pub(crate) struct AirFold {
    date: i32,
    limits: Limits,
    /// Tells the repeated messages of one station and partition.
    ids: Option<(i32, Tracker<()>)>,
    station_id: String,
    /// By station, number of the reading, and hour.
    groups: Groups<(Arc<str>, usize, i64)>,
    name: Arc<str>,
}

impl AirFold {
    pub(crate) fn new(date: i32, limits: Limits) -> Self {
        Self {
            date,
            limits,
            ids: None,
            station_id: String::new(),
            groups: Groups::default(),
            name: Arc::from(""),
        }
    }

    pub(crate) fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        let (stations, ids) = (text(rows, "device_id")?, text(rows, "id")?);
        let times = numbers::<TimestampMicrosecondType>(rows, "timestamp")?;
        let partitions = numbers::<Int32Type>(rows, "log_partition")?;
        let readings = Weather::READINGS
            .iter()
            .map(|name| numbers::<Float64Type>(rows, name))
            .collect::<Result<Vec<&Float64Array>>>()?;
        for row in 0..rows.num_rows() {
            let (station_id, time_us) = (stations.value(row), times.value(row));
            let partition = match partitions.is_valid(row) {
                true => partitions.value(row),
                false => -1,
            };
            if self.station_id != station_id {
                self.station_id = station_id.to_owned();
                self.name = Arc::from(station_id);
                self.ids = None;
            }
            if self.is_repeated(partition, ids.value(row), time_us) {
                continue;
            }
            let hour_us = time_us - time_us.rem_euclid(HOUR_US);
            for (number, reading) in readings.iter().enumerate() {
                if reading.is_valid(row) {
                    let key = (self.name.clone(), number, hour_us);
                    self.groups.add(key, reading.value(row), 1);
                }
            }
        }
        Ok(())
    }

    fn is_repeated(&mut self, partition: i32, id: &str, time_us: i64) -> bool {
        let tracker = match &mut self.ids {
            Some((of, tracker)) if *of == partition => tracker,
            ids => {
                let (_, tracker) = ids.insert((partition, Tracker::new(self.limits.clone())));
                tracker
            }
        };
        tracker.is_repeated(&self.station_id, id, time_us, i64::MIN)
    }

    pub(crate) fn finish(self) -> Result<Vec<(View, RecordBatch)>> {
        let all = self.groups.into_sorted();
        let mut rows = ViewRows::new(View::AirHourly);
        rows.put_instants("hour", all.iter().map(|((.., hour_us), _)| Some(*hour_us)));
        let stations = all.iter().map(|((station_id, ..), _)| station_id);
        rows.put(
            "station_id",
            Arc::new(StringArray::from_iter_values(stations)),
        );
        let readings = all
            .iter()
            .map(|((_, number, _), _)| Weather::READINGS[*number]);
        rows.put("reading", Arc::new(StringArray::from_iter_values(readings)));
        rows.put_measured(all.iter().map(|(_, group)| group));
        Ok(vec![(View::AirHourly, rows.finish(self.date, all.len())?)])
    }
}
