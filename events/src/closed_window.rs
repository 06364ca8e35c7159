//! `windows`: the windows of one minute that the speed layer has closed, kept so
//! that they have a history and can be checked against the events themselves.

use compact_str::CompactString;

use crate::Location;
use crate::columns::{Column, Row};
use crate::decode::{DecodeError, Reader};
use crate::json::ObjectWriter;
use crate::stream::Fields;

/// What was measured of one thing in one window. The event's `timestamp` is the
/// window's first instant, its `device_id` the key.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ClosedWindow {
    /// segment, cell, station, city.
    pub kind: CompactString,
    /// Which one; see [`crate::window::WindowKind`].
    pub key: CompactString,
    /// The first instant after the window, microseconds since the epoch.
    pub window_end_us: Option<i64>,
    /// How many values.
    pub count: Option<i64>,
    /// Their arithmetic mean.
    pub mean: Option<f64>,
    /// The smallest.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// The median, within 1 %.
    pub p50: Option<f64>,
    /// Nine of ten values are at most this, within 1 %.
    pub p90: Option<f64>,
    /// 99 of 100 values are at most this, within 1 %.
    pub p99: Option<f64>,
    /// How many different devices the values came from.
    pub vehicles: Option<i64>,
    /// Where, if the thing has one place: the middle of a cell.
    pub location: Option<Location>,
}

const TEXT: &str = "a text that is not empty";

impl Fields for ClosedWindow {
    const COLUMNS: &'static [Column] = &[
        Column::text("kind"),
        Column::text("key"),
        Column::timestamp("window_end"),
        Column::int64("count"),
        Column::number("mean"),
        Column::number("min"),
        Column::number("max"),
        Column::number("p50"),
        Column::number("p90"),
        Column::number("p99"),
        Column::int64("vehicles"),
    ];

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut window = ClosedWindow::default();
        let (mut kind, mut key) = (None, None);
        while let Some(name) = reader.next_field()? {
            match name.as_ref() {
                "kind" => reader.name(&mut kind, TEXT)?,
                "key" => reader.name(&mut key, TEXT)?,
                "window_end" => reader.timestamp(&mut window.window_end_us)?,
                "count" => reader.whole(&mut window.count)?,
                "mean" => reader.number(&mut window.mean)?,
                "min" => reader.number(&mut window.min)?,
                "max" => reader.number(&mut window.max)?,
                "p50" => reader.number(&mut window.p50)?,
                "p90" => reader.number(&mut window.p90)?,
                "p99" => reader.number(&mut window.p99)?,
                "vehicles" => reader.whole(&mut window.vehicles)?,
                _ => reader.keep()?,
            }
        }
        window.kind = reader.required(kind, "kind", TEXT)?;
        window.key = reader.required(key, "key", TEXT)?;
        window.location = reader.optional_location()?;
        Ok(window)
    }

    fn write(&self, json: &mut ObjectWriter) {
        json.text("kind", &self.kind).text("key", &self.key);
        if let Some(window_end_us) = self.window_end_us {
            json.timestamp("window_end", window_end_us);
        }
        json.optional_integer("count", self.count)
            .optional_number("mean", self.mean)
            .optional_number("min", self.min)
            .optional_number("max", self.max)
            .optional_number("p50", self.p50)
            .optional_number("p90", self.p90)
            .optional_number("p99", self.p99)
            .optional_integer("vehicles", self.vehicles);
        if let Some(location) = self.location {
            json.location("location", location);
        }
    }

    fn append(&self, row: &mut Row<'_>) {
        row.text(Some(&self.kind));
        row.text(Some(&self.key));
        row.timestamp(self.window_end_us);
        row.int64(self.count);
        row.number(self.mean);
        row.number(self.min);
        row.number(self.max);
        row.number(self.p50);
        row.number(self.p90);
        row.number(self.p99);
        row.int64(self.vehicles);
    }

    fn location(&self) -> Option<Location> {
        self.location
    }
}
