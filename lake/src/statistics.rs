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

/// The statistics of a file's rows.
pub(crate) fn write(rows: &RecordBatch) -> String {
    let (mut minima, mut maxima, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        if !field.data_type().is_nested() {
            nulls.insert(field.name().clone(), column.null_count().into());
        }
        if let Some((low, high)) = bounds(column.as_ref()) {
            minima.insert(field.name().clone(), low);
            maxima.insert(field.name().clone(), high);
        }
    }
    json!({"numRecords": rows.num_rows(), "minValues": minima, "maxValues": maxima, "nullCount": nulls}).to_string()
}

fn bounds(column: &dyn Array) -> Option<(Value, Value)> {
    match column.data_type() {
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            let (low, high) = (min(values)?, max(values)?);
            // JSON has no infinities; arrow orders NaN above all numbers.
            (low.is_finite() && high.is_finite()).then(|| (json!(low), json!(high)))
        }
        DataType::Int32 => pair(
            min(column.as_primitive::<Int32Type>()),
            max(column.as_primitive::<Int32Type>()),
        ),
        DataType::Int64 => pair(
            min(column.as_primitive::<Int64Type>()),
            max(column.as_primitive::<Int64Type>()),
        ),
        DataType::Boolean => pair(
            min_boolean(column.as_boolean()),
            max_boolean(column.as_boolean()),
        ),
        DataType::Date32 => {
            let values = column.as_primitive::<Date32Type>();
            pair(
                min(values).and_then(format_date),
                max(values).and_then(format_date),
            )
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let values = column.as_primitive::<TimestampMicrosecondType>();
            pair(
                min(values).map(format_rfc3339),
                max(values).map(format_rfc3339),
            )
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            pair(
                min_string(values).filter(fits),
                max_string(values).filter(fits),
            )
        }
        _ => None,
    }
}

fn fits(text: &&str) -> bool {
    text.len() <= MAX_TEXT_BYTES
}

fn pair<T: Into<Value>>(low: Option<T>, high: Option<T>) -> Option<(Value, Value)> {
    Some((low?.into(), high?.into()))
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
