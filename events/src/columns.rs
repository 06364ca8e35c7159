//! Events as Arrow columns: the schema of each stream's table, and the builder
//! that turns events into rows of it.
//!
//! Every table has id, device_id, timestamp, latitude and longitude, then the
//! stream's own columns, then `extra` (JSON text), `date` (of `timestamp`, the
//! partition) and where the record came from: log_partition, log_offset,
//! appended_at. All columns are nullable, so that a table older than a column can
//! still be read as one with it.

mod own;

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayBuilder, ArrayRef, Date32Builder, Float64Builder, Int32Builder, Int64Builder, RecordBatch,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::time::DAY_US;
use crate::{Event, Location, Offset, Stream};

pub(crate) use own::{Column, Row};
use own::{Values, timestamp_builder};

/// Where the record of an event lies in the log, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The partition of the stream's topic.
    pub partition: i32,
    /// The offset in it.
    pub offset: Offset,
    /// When the log took it in, microseconds since the epoch.
    pub appended_at_us: i64,
}

/// The type of every instant: microseconds, UTC.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The day of an instant, days since the epoch: the value of `date`.
pub fn date_of(timestamp_us: i64) -> i32 {
    // An i64 of microseconds spans less than 2^28 days.
    timestamp_us.div_euclid(DAY_US) as i32
}

/// The columns of a stream's table.
pub fn schema(stream: Stream) -> SchemaRef {
    static SCHEMAS: LazyLock<[SchemaRef; Stream::ALL.len()]> =
        LazyLock::new(|| Stream::ALL.map(|stream| Arc::new(new_schema(stream))));
    Arc::clone(&SCHEMAS[stream as usize])
}

fn new_schema(stream: Stream) -> Schema {
    let before = [
        Column::text("id"),
        Column::text("device_id"),
        Column::timestamp("timestamp"),
        Column::number("latitude"),
        Column::number("longitude"),
    ];
    let mut fields: Vec<Field> = before
        .iter()
        .chain(stream.own_columns())
        .map(|column| column.field())
        .collect();
    fields.extend([
        Column::text("extra").field(),
        Field::new("date", DataType::Date32, true),
        Column::int32("log_partition").field(),
        Column::int64("log_offset").field(),
        Column::timestamp("appended_at").field(),
    ]);
    Schema::new(fields)
}

/// Gathers events of one stream as rows of its table.
#[derive(Debug)]
pub struct ColumnBuilder {
    stream: Stream,
    id: StringBuilder,
    device_id: StringBuilder,
    timestamp: TimestampMicrosecondBuilder,
    latitude: Float64Builder,
    longitude: Float64Builder,
    own: Vec<Values>,
    extra: StringBuilder,
    date: Date32Builder,
    log_partition: Int32Builder,
    log_offset: Int64Builder,
    appended_at: TimestampMicrosecondBuilder,
    text_bytes: usize,
}

impl ColumnBuilder {
    /// Bytes of a row in the columns that every stream has, beside its texts.
    const COMMON_ROW_BYTES: usize = 68;
    /// About as many for each of a stream's own columns.
    const OWN_VALUE_BYTES: usize = 8;

    /// No rows yet.
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            id: StringBuilder::new(),
            device_id: StringBuilder::new(),
            timestamp: timestamp_builder(),
            latitude: Float64Builder::new(),
            longitude: Float64Builder::new(),
            own: stream
                .own_columns()
                .iter()
                .map(|column| column.builder())
                .collect(),
            extra: StringBuilder::new(),
            date: Date32Builder::new(),
            log_partition: Int32Builder::new(),
            log_offset: Int64Builder::new(),
            appended_at: timestamp_builder(),
            text_bytes: 0,
        }
    }

    /// The stream whose events these are.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// Adds one row.
    ///
    /// # Panics
    /// When `event` is of another stream.
    pub fn push(&mut self, event: &Event, origin: &Origin) {
        self.push_fields(event);
        self.log_partition.append_value(origin.partition);
        self.log_offset.append_value(origin.offset);
        self.appended_at.append_value(origin.appended_at_us);
    }

    /// Adds one row of an event that never was in the log: it has no place there,
    /// and `imported_at_us` as `appended_at`.
    ///
    /// # Panics
    /// When `event` is of another stream.
    pub fn push_imported(&mut self, event: &Event, imported_at_us: i64) {
        self.push_fields(event);
        self.log_partition.append_null();
        self.log_offset.append_null();
        self.appended_at.append_value(imported_at_us);
    }

    fn push_fields(&mut self, event: &Event) {
        assert_eq!(
            event.stream(),
            self.stream,
            "an event belongs to its own stream's table"
        );
        let location = event.location();
        self.id.append_value(&event.id);
        self.device_id.append_value(&event.device_id);
        self.timestamp.append_value(event.timestamp_us);
        self.latitude
            .append_option(location.map(|Location { latitude, .. }| latitude));
        self.longitude
            .append_option(location.map(|Location { longitude, .. }| longitude));
        let mut row = Row {
            columns: self.own.iter_mut(),
            text_bytes: 0,
        };
        event.body.append(&mut row);
        let own_text_bytes = row.text_bytes;
        self.extra.append_option(event.extra.as_deref());
        self.date.append_value(date_of(event.timestamp_us));
        self.text_bytes += own_text_bytes
            + event.id.len()
            + event.device_id.len()
            + event.extra.as_deref().map_or(0, str::len);
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.id.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes of memory the rows take.
    pub fn bytes(&self) -> usize {
        let row_bytes = Self::COMMON_ROW_BYTES + Self::OWN_VALUE_BYTES * self.own.len();
        self.text_bytes + self.len() * row_bytes
    }

    /// Takes the rows out; the builder is empty afterwards and can be used again.
    pub fn finish(&mut self) -> RecordBatch {
        self.text_bytes = 0;
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(self.id.finish()),
            Arc::new(self.device_id.finish()),
            Arc::new(self.timestamp.finish()),
            Arc::new(self.latitude.finish()),
            Arc::new(self.longitude.finish()),
        ];
        arrays.extend(self.own.iter_mut().map(Values::finish));
        arrays.extend([
            Arc::new(self.extra.finish()) as ArrayRef,
            Arc::new(self.date.finish()),
            Arc::new(self.log_partition.finish()),
            Arc::new(self.log_offset.finish()),
            Arc::new(self.appended_at.finish()),
        ]);
        RecordBatch::try_new(schema(self.stream), arrays)
            .expect("one array of each column's type, all of one length")
    }
}
