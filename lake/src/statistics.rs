//! Per-file statistics as Delta keeps them: JSON with `numRecords`, `minValues`,
//! `maxValues`, `nullCount`
//! (<https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics>).

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{max, max_boolean, max_string, min, min_boolean, min_string, sum};
use arrow::datatypes::{
    DataType, Date32Type, Field, Float64Type, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use events::time::{format_rfc3339, parse_rfc3339_us};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
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

/// What a file's footer says of its rows.
#[derive(Debug)]
pub(crate) struct FileStatistics {
    schema: SchemaRef,
    rows: u64,
    columns: Vec<ColumnBounds>,
}

#[derive(Clone, Debug)]
struct ColumnBounds {
    nulls: u64,
    /// `None` where they are not to be had: no value, of a type without an order, too
    /// long, or no number.
    bounds: Option<(Bound, Bound)>,
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

impl FileStatistics {
    /// Of a file with columns of `schema`. The writer has looked at every value: what it
    /// noted in the footer is not looked for again.
    pub(crate) fn of(schema: SchemaRef, footer: &ParquetMetaData) -> Result<Self, ParquetError> {
        let columns = schema.fields().iter();
        let columns = columns.map(|field| ColumnBounds::of(field, &schema, footer));
        let columns = columns.collect::<Result<_, _>>()?;
        let rows = footer.file_metadata().num_rows();
        Ok(Self {
            rows: u64::try_from(rows).unwrap_or(0),
            columns,
            schema,
        })
    }

    /// How many rows it has.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Lowest and highest whole number of a column.
    pub(crate) fn whole_bounds(&self, name: &str) -> Option<(i64, i64)> {
        let index = self.schema.index_of(name).ok()?;
        match &self.columns.get(index)?.bounds {
            Some((Bound::Whole(low), Bound::Whole(high))) => Some((*low, *high)),
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
            if let Some((low, high)) = &column.bounds {
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

impl ColumnBounds {
    fn of(field: &Field, schema: &Schema, footer: &ParquetMetaData) -> Result<Self, ParquetError> {
        let groups = footer.row_groups();
        let columns = footer.file_metadata().schema_descr();
        let column = StatisticsConverter::try_new(field.name(), schema, columns)?;
        let nulls = column.row_group_null_counts(groups)?;
        let (lows, highs) = (
            column.row_group_mins(groups)?,
            column.row_group_maxes(groups)?,
        );
        let has_values = |(group, nulls): (&RowGroupMetaData, Option<u64>)| {
            nulls != u64::try_from(group.num_rows()).ok()
        };
        let with_values = groups
            .iter()
            .zip(nulls.iter())
            .filter(|group| has_values(*group))
            .count();
        let are_known = |bounds: &ArrayRef| bounds.len() - bounds.null_count() == with_values;
        let bounds = (are_known(&lows) && are_known(&highs))
            .then(|| bounds(&lows, &highs))
            .flatten();
        Ok(Self {
            nulls: sum(&nulls).unwrap_or(0),
            bounds,
        })
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

/// Bounds of a column by those of its parts.
fn bounds(lows: &ArrayRef, highs: &ArrayRef) -> Option<(Bound, Bound)> {
    match lows.data_type() {
        DataType::Float64 => {
            let (low, high) = (
                min(lows.as_primitive::<Float64Type>()),
                max(highs.as_primitive::<Float64Type>()),
            );
            // JSON has no infinities.
            let finite = |bound: Option<f64>| bound.filter(|bound| bound.is_finite());
            pair(finite(low), finite(high), Bound::Number)
        }
        DataType::Int32 => pair(
            min(lows.as_primitive::<Int32Type>()),
            max(highs.as_primitive::<Int32Type>()),
            |value| Bound::Whole(value.into()),
        ),
        DataType::Int64 => pair(
            min(lows.as_primitive::<Int64Type>()),
            max(highs.as_primitive::<Int64Type>()),
            Bound::Whole,
        ),
        DataType::Boolean => pair(
            min_boolean(lows.as_boolean()),
            max_boolean(highs.as_boolean()),
            Bound::Flag,
        ),
        DataType::Date32 => pair(
            min(lows.as_primitive::<Date32Type>()),
            max(highs.as_primitive::<Date32Type>()),
            Bound::Date,
        ),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => pair(
            min(lows.as_primitive::<TimestampMicrosecondType>()),
            max(highs.as_primitive::<TimestampMicrosecondType>()),
            Bound::Instant,
        ),
        DataType::Utf8 => {
            let fits = |text: &&str| text.len() <= MAX_TEXT_BYTES;
            let (low, high) = (
                min_string(lows.as_string::<i32>()),
                max_string(highs.as_string::<i32>()),
            );
            pair(low.filter(fits), high.filter(fits), |text| {
                Bound::Text(text.to_owned())
            })
        }
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, ListArray, RecordBatch, StringArray};
    use arrow::datatypes::Int32Type;
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn footer(groups: &[RecordBatch]) -> ParquetMetaData {
        let mut writer =
            ArrowWriter::try_new(Vec::new(), groups[0].schema(), None).expect("a schema");
        for rows in groups {
            writer.write(rows).expect("rows of the schema");
            writer.flush().expect("a row group");
        }
        writer.finish().expect("a footer")
    }

    fn rows(numbers: [Option<f64>; 2], names: [Option<&str>; 2]) -> RecordBatch {
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)]), None]);
        RecordBatch::try_from_iter_with_nullable([
            (
                "speed",
                Arc::new(Float64Array::from_iter(numbers)) as ArrayRef,
                true,
            ),
            ("name", Arc::new(StringArray::from_iter(names)), true),
            ("list", Arc::new(lists), true),
        ])
        .expect("columns of one length")
    }

    fn json(groups: &[RecordBatch]) -> Value {
        let statistics = FileStatistics::of(groups[0].schema(), &footer(groups)).expect("columns");
        assert_eq!(statistics.rows(), 2 * groups.len() as u64);
        serde_json::from_str(&statistics.to_json()).expect("JSON")
    }

    #[test]
    fn bounds_are_over_all_row_groups_and_nulls_are_counted() {
        let groups = [
            rows([Some(3.5), None], [None, None]),
            rows([Some(-1.0), Some(2.0)], [Some("tram"), Some("bus")]),
        ];
        assert_eq!(
            json(&groups),
            json!({
                "numRecords": 4,
                "minValues": {"speed": -1.0, "name": "bus"},
                "maxValues": {"speed": 3.5, "name": "tram"},
                "nullCount": {"speed": 1, "name": 2},
            })
        );
    }

    #[test]
    fn what_is_no_number_or_too_long_has_no_bounds() {
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        let groups = [rows(
            [Some(f64::INFINITY), Some(1.0)],
            [Some("a"), Some(&long)],
        )];
        let json = json(&groups);
        assert_eq!(json["minValues"], json!({}));
        assert_eq!(json["maxValues"], json!({}));
    }
}
