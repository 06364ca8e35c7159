//! Which raw rows are read, in which order, and how they are seen.

use std::ops::Range;

use arrow::array::{
    Array, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use events::time::{DAY_US, format_rfc3339};
use events::{Location, Stream};
use lake::{Snapshot, Table, View};
use tracks::{Fix, hash64};

use crate::compute::Versions;
use crate::{Error, Result};

/// So much of the day before is read with a date, so that what was known at midnight
/// is known: street, motion, trip.
pub(crate) const BEFORE_US: i64 = 2 * 3_600_000_000;
/// And so much of the day after: fixes from before midnight may come after it.
pub(crate) const AFTER_US: i64 = 3_600_000_000;
/// An incident that began longer before a date has ended by then.
pub(crate) const INCIDENT_US: i64 = 7 * DAY_US;

/// What a view is computed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Source {
    Fixes,
    Weather,
    Incidents,
}

impl Source {
    pub(crate) const ALL: [Source; 3] = [Source::Fixes, Source::Weather, Source::Incidents];

    pub(crate) const fn of(view: View) -> Self {
        match view {
            View::TrafficHourly | View::CellHourly | View::VehicleDaily => Source::Fixes,
            View::AirHourly => Source::Weather,
            View::IncidentDaily => Source::Incidents,
        }
    }

    pub(crate) const fn tables(self) -> &'static [Table] {
        match self {
            Source::Fixes => &[
                Table::Stream(Stream::VehicleData),
                Table::Stream(Stream::GpsData),
            ],
            Source::Weather => &[Table::Stream(Stream::WeatherData)],
            Source::Incidents => &[Table::Stream(Stream::EmergencyIncidentData)],
        }
    }

    /// The event times that a date follows from, microseconds since the epoch.
    pub(crate) fn span_us(self, date: i32) -> Range<i64> {
        let start_us = i64::from(date) * DAY_US;
        let end_us = start_us + DAY_US;
        match self {
            Source::Fixes => start_us - BEFORE_US..end_us + AFTER_US,
            Source::Weather => start_us..end_us,
            Source::Incidents => start_us - INCIDENT_US..end_us,
        }
    }

    /// The rows of `versions` that a date follows from: fixes in any order, the others in
    /// that in which they are folded.
    pub(crate) fn sql(self, date: i32, versions: &Versions) -> String {
        let within = within(&self.span_us(date));
        match self {
            Source::Fixes => fixes_sql(|table| {
                let version = versions.iter().find(|(of, _)| *of == table);
                let until = version.and_then(|(_, version)| until_last_of(date, version));
                format!("{within}{}", until.unwrap_or_default())
            }),
            Source::Weather => format!(
                "SELECT device_id, id, timestamp, log_partition, log_offset, {} FROM weather_data \
                 WHERE {within} AND device_id IS NOT NULL AND id IS NOT NULL \
                 ORDER BY device_id, log_partition, log_offset, timestamp, id",
                events::Weather::READINGS.join(", ")
            ),
            Source::Incidents => format!(
                "SELECT incident_id, incident_type, status, severity, timestamp \
                 FROM emergency_incident_data \
                 WHERE {within} AND incident_id IS NOT NULL AND status IS NOT NULL \
                 AND incident_type IS NOT NULL \
                 ORDER BY incident_id, timestamp, log_partition, log_offset, id"
            ),
        }
    }
}

/// Device by device, each in log order. Rows that never were in the log have no place
/// there: by time.
pub(crate) const FIX_ORDER: &str = "device_id, stream, log_partition, log_offset, timestamp, id";

/// The end of a condition: of the rows of later dates only those that came, in the log,
/// before some row of this one. Nothing of the date follows from the others.
fn until_last_of(date: i32, version: &Snapshot) -> Option<String> {
    let last_offsets = version.last_offsets(date)?;
    let before = last_offsets.iter().map(|(partition, offset)| {
        format!(" OR (log_partition = {partition} AND log_offset < {offset})")
    });
    let day = date_text(i64::from(date) * DAY_US);
    let before: String = before.collect();
    Some(format!(" AND (date <= DATE '{day}'{before})"))
}

/// The fixes of both streams, with a condition for each of their tables.
pub(crate) fn fixes_sql(within: impl Fn(Table) -> String) -> String {
    let of = |stream| within(Table::Stream(stream));
    let usable = "device_id IS NOT NULL AND id IS NOT NULL AND latitude IS NOT NULL \
                  AND longitude IS NOT NULL AND speed IS NOT NULL";
    format!(
        "SELECT 0 AS stream, device_id, id, timestamp, latitude, longitude, speed, direction, \
         CAST(NULL AS DOUBLE) AS accuracy_m, 'car' AS vehicle_type, \
         log_partition, log_offset, appended_at \
         FROM vehicle_data WHERE {} AND {usable} \
         UNION ALL \
         SELECT 1 AS stream, device_id, id, timestamp, latitude, longitude, speed, direction, \
         accuracy_m, vehicle_type, log_partition, log_offset, appended_at \
         FROM gps_data WHERE {} AND {usable}",
        of(Stream::VehicleData),
        of(Stream::GpsData),
    )
}

/// A condition on the event time that dates, files and pages are left out by.
pub(crate) fn within(span_us: &Range<i64>) -> String {
    let (first, last) = (date_text(span_us.start), date_text(span_us.end - 1));
    format!(
        "date >= DATE '{first}' AND date <= DATE '{last}' AND timestamp >= {} AND timestamp < {}",
        instant(span_us.start),
        instant(span_us.end)
    )
}

/// An instant in SQL.
pub(crate) fn instant(time_us: i64) -> String {
    format!("arrow_cast({time_us}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// An instant for people, RFC 3339.
pub(crate) fn instant_text(time_us: i64) -> String {
    format_rfc3339(time_us)
}

/// The date of an instant, `YYYY-MM-DD`.
pub(crate) fn date_text(time_us: i64) -> String {
    let text = format_rfc3339(time_us);
    text.split('T').next().unwrap_or_default().to_owned()
}

pub(crate) fn text<'b>(rows: &'b RecordBatch, name: &'static str) -> Result<&'b StringArray> {
    let column = rows.column_by_name(name);
    let texts = column.and_then(|column| column.as_string_opt::<i32>());
    texts.ok_or(Error::Column(name))
}

pub(crate) fn numbers<'b, T: ArrowPrimitiveType>(
    rows: &'b RecordBatch,
    name: &'static str,
) -> Result<&'b arrow::array::PrimitiveArray<T>> {
    let column = rows.column_by_name(name);
    let numbers = column.and_then(|column| column.as_primitive_opt::<T>());
    numbers.ok_or(Error::Column(name))
}

/// The columns of [`fixes_sql`].
pub(crate) struct FixRows<'b> {
    stream: &'b Int64Array,
    device_id: &'b StringArray,
    id: &'b StringArray,
    timestamp: &'b [i64],
    latitude: &'b [f64],
    longitude: &'b [f64],
    speed: &'b [f64],
    direction: &'b Float64Array,
    accuracy: &'b Float64Array,
    vehicle_type: &'b StringArray,
    partition: &'b Int32Array,
    offset: &'b Int64Array,
    appended_at: &'b [i64],
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixRow<'b> {
    /// Stream and log partition; -1 for rows that never were in the log.
    pub(crate) partition: (i64, i32),
    /// `None` for rows that never were in the log.
    pub(crate) offset: Option<i64>,
    pub(crate) appended_at_us: i64,
    pub(crate) fix: Fix<'b>,
}

impl<'b> FixRows<'b> {
    pub(crate) fn of(rows: &'b RecordBatch) -> Result<Self> {
        Ok(Self {
            stream: numbers::<Int64Type>(rows, "stream")?,
            device_id: text(rows, "device_id")?,
            id: text(rows, "id")?,
            timestamp: numbers::<TimestampMicrosecondType>(rows, "timestamp")?.values(),
            latitude: numbers::<Float64Type>(rows, "latitude")?.values(),
            longitude: numbers::<Float64Type>(rows, "longitude")?.values(),
            speed: numbers::<Float64Type>(rows, "speed")?.values(),
            direction: numbers::<Float64Type>(rows, "direction")?,
            accuracy: numbers::<Float64Type>(rows, "accuracy_m")?,
            vehicle_type: text(rows, "vehicle_type")?,
            partition: numbers::<Int32Type>(rows, "log_partition")?,
            offset: numbers::<Int64Type>(rows, "log_offset")?,
            appended_at: numbers::<TimestampMicrosecondType>(rows, "appended_at")?.values(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.timestamp.len()
    }

    pub(crate) fn device_id(&self, row: usize) -> &'b str {
        self.device_id.value(row)
    }

    /// The producer's id of the event.
    pub(crate) fn id(&self, row: usize) -> &'b str {
        self.id.value(row)
    }

    /// `device_hash` is [`hash64`] of the row's device id, seed 0.
    #[inline]
    pub(crate) fn row(&self, row: usize, device_hash: u64) -> FixRow<'b> {
        let number = |column: &Float64Array| column.is_valid(row).then(|| column.value(row));
        let partition = match self.partition.is_valid(row) {
            true => self.partition.value(row),
            false => -1,
        };
        FixRow {
            partition: (self.stream.value(row), partition),
            offset: self.offset.is_valid(row).then(|| self.offset.value(row)),
            appended_at_us: self.appended_at[row],
            fix: Fix {
                device_id: self.device_id(row),
                device_hash,
                id: hash64(device_hash, self.id(row).as_bytes()),
                timestamp_us: self.timestamp[row],
                location: Location {
                    latitude: self.latitude[row],
                    longitude: self.longitude[row],
                },
                speed_kmh: self.speed[row],
                heading_deg: number(self.direction),
                accuracy_m: number(self.accuracy),
                vehicle_type: self
                    .vehicle_type
                    .is_valid(row)
                    .then(|| self.vehicle_type.value(row)),
            },
        }
    }
}
