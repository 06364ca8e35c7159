//! Per-file statistics as Delta keeps them: JSON with `numRecords`, `minValues`,
//! `maxValues`, `nullCount`
//! (<https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics>).

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{max, max_boolean, max_string, min, min_boolean, min_string};
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int32Type, Int64Type, SchemaRef, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use events::time::{format_rfc3339, parse_rfc3339_us};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Longer texts (ids, free text) prune nothing and would swell the log.
const MAX_TEXT_BYTES: usize = 32;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Stored {
    num_records: Option<usize>,
    min_values: Map<String, Value>,
    max_values: Map<String, Value>,
    null_count: Map<String, Value>,
}

/// The statistics of a file in the making.
#[derive(Debug)]
pub(crate) struct StatisticsBuilder {
    schema: SchemaRef,
    rows: usize,
    columns: Vec<ColumnBounds>,
}

#[derive(Clone, Debug, Default)]
struct ColumnBounds {
    nulls: usize,
    bounds: Bounds,
}

#[derive(Clone, Debug, Default)]
enum Bounds {
    /// No value yet.
    #[default]
    None,
    Of(Bound, Bound),
    /// Not to be had: of a type without an order, too long, or no number.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, PartialOrd)]
enum Bound {
    Number(f64),
    Whole(i64),
    Flag(bool),
    Text(String),
    Date(i32),
    Instant(i64),
}

impl StatisticsBuilder {
    /// Of no rows yet.
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self {
            rows: 0,
            columns: vec![ColumnBounds::default(); schema.fields().len()],
            schema,
        }
    }

    /// Takes in rows of the schema.
    pub(crate) fn add(&mut self, rows: &RecordBatch) {
        self.rows += rows.num_rows();
        for (known, column) in self.columns.iter_mut().zip(rows.columns()) {
            known.nulls += column.null_count();
            if column.null_count() < column.len() {
                known.bounds = std::mem::take(&mut known.bounds).with(bounds(column.as_ref()));
            }
        }
    }

    /// How many rows there were.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Lowest and highest whole number of a column.
    pub(crate) fn whole_bounds(&self, name: &str) -> Option<(i64, i64)> {
        let index = self.schema.index_of(name).ok()?;
        match &self.columns.get(index)?.bounds {
            Bounds::Of(Bound::Whole(low), Bound::Whole(high)) => Some((*low, *high)),
            _ => None,
        }
    }

    /// Delta's JSON.
    pub(crate) fn to_json(&self) -> String {
        let (mut minima, mut maxima, mut nulls) = (Map::new(), Map::new(), Map::new());
        for (field, column) in self.schema.fields().iter().zip(&self.columns) {
            if !field.data_type().is_nested() {
                nulls.insert(field.name().clone(), column.nulls.into());
            }
            if let Bounds::Of(low, high) = &column.bounds {
                for (bound, values) in [(low, &mut minima), (high, &mut maxima)] {
                    if let Some(value) = bound.to_json() {
                        values.insert(field.name().clone(), value);
                    }
                }
            }
        }
        json!({"numRecords": self.rows, "minValues": minima, "maxValues": maxima, "nullCount": nulls}).to_string()
    }
}

impl Bounds {
    fn with(self, other: Bounds) -> Bounds {
        match (self, other) {
            (Bounds::Of(low, high), Bounds::Of(other_low, other_high)) => Bounds::Of(
                if other_low < low { other_low } else { low },
                if other_high > high { other_high } else { high },
            ),
            (Bounds::None, other) => other,
            (bounds, Bounds::None) => bounds,
            _ => Bounds::Unknown,
        }
    }
}

impl Bound {
    fn to_json(&self) -> Option<Value> {
        match self {
            Bound::Number(number) => Some(json!(number)),
            Bound::Whole(number) => Some(json!(number)),
            Bound::Flag(flag) => Some(json!(flag)),
            Bound::Text(text) => Some(json!(text)),
            Bound::Date(days) => format_date(*days).map(Value::from),
            Bound::Instant(time_us) => Some(format_rfc3339(*time_us).into()),
        }
    }
}

/// Bounds of a column that has values.
fn bounds(column: &dyn Array) -> Bounds {
    let found = match column.data_type() {
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            // JSON has no infinities; arrow orders NaN above all numbers.
            pair(min(values), max(values), Bound::Number).filter(|(low, high)| {
                let finite =
                    |bound: &Bound| matches!(bound, Bound::Number(number) if number.is_finite());
                finite(low) && finite(high)
            })
        }
        DataType::Int32 => {
            let values = column.as_primitive::<Int32Type>();
            pair(min(values), max(values), |value| Bound::Whole(value.into()))
        }
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>();
            pair(min(values), max(values), Bound::Whole)
        }
        DataType::Boolean => {
            let values = column.as_boolean();
            pair(min_boolean(values), max_boolean(values), Bound::Flag)
        }
        DataType::Date32 => {
            let values = column.as_primitive::<Date32Type>();
            pair(min(values), max(values), Bound::Date)
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let values = column.as_primitive::<TimestampMicrosecondType>();
            pair(min(values), max(values), Bound::Instant)
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            // The first says for most columns of long texts that bounds are not wanted.
            let is_short = (0..values.len())
                .find(|row| values.is_valid(*row))
                .is_some_and(|row| fits(&values.value(row)));
            let text = |text: &str| Bound::Text(text.to_owned());
            is_short
                .then(|| {
                    let (low, high) = (min_string(values), max_string(values));
                    pair(low.filter(fits), high.filter(fits), text)
                })
                .flatten()
        }
        _ => None,
    };
    found.map_or(Bounds::Unknown, |(low, high)| Bounds::Of(low, high))
}

fn fits(text: &&str) -> bool {
    text.len() <= MAX_TEXT_BYTES
}

fn pair<T>(low: Option<T>, high: Option<T>, bound: impl Fn(T) -> Bound) -> Option<(Bound, Bound)> {
    Some((bound(low?), bound(high?)))
}

/// Reads stored statistics as bounds of `schema`'s columns. Bounds are inexact:
/// other writers cut timestamps to milliseconds.
pub(crate) fn read(stats_json: Option<&str>, schema: &SchemaRef) -> Statistics {
    let stored: Stored = stats_json
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let column_statistics = schema
        .fields()
        .iter()
        .map(|field| {
            let name = field.name();
            let value = |values: &Map<String, Value>, is_max| {
                values
                    .get(name)
                    .and_then(|value| scalar(value, field.data_type(), is_max))
                    .map_or(Precision::Absent, Precision::Inexact)
            };
            let null_count = match stored.null_count.get(name).and_then(Value::as_u64) {
                Some(count) => Precision::Exact(count as usize),
                // The file is older than the column.
                None => Precision::Absent,
            };
            ColumnStatistics {
                null_count,
                min_value: value(&stored.min_values, false),
                max_value: value(&stored.max_values, true),
                ..ColumnStatistics::new_unknown()
            }
        })
        .collect();
    Statistics {
        num_rows: stored
            .num_records
            .map_or(Precision::Absent, Precision::Exact),
        total_byte_size: Precision::Absent,
        column_statistics,
    }
}

fn scalar(value: &Value, data_type: &DataType, is_max: bool) -> Option<ScalarValue> {
    match data_type {
        DataType::Float64 => Some(ScalarValue::Float64(Some(value.as_f64()?))),
        DataType::Int32 => Some(ScalarValue::Int32(Some(value.as_i64()?.try_into().ok()?))),
        DataType::Int64 => Some(ScalarValue::Int64(Some(value.as_i64()?))),
        DataType::Boolean => Some(ScalarValue::Boolean(Some(value.as_bool()?))),
        DataType::Utf8 => Some(ScalarValue::Utf8(Some(value.as_str()?.to_owned()))),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            // Other writers cut to milliseconds, which makes a maximum too low.
            let allowance_us = if is_max { 999 } else { 0 };
            let micros = parse_rfc3339_us(value.as_str()?)? + allowance_us;
            Some(ScalarValue::TimestampMicrosecond(
                Some(micros),
                zone.clone(),
            ))
        }
        _ => None,
    }
}

/// Days since the epoch of `YYYY-MM-DD`.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.to_epoch_days())
}

/// `YYYY-MM-DD` of days since the epoch.
pub(crate) fn format_date(days: i32) -> Option<String> {
    chrono::NaiveDate::from_epoch_days(days).map(|date| date.format("%Y-%m-%d").to_string())
}
