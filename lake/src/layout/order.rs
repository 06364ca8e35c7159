//! The order of rows.

use std::collections::HashMap;
use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};

use crate::snapshot::DATE;

/// Rows of three hours lie together. Divides a day, so that no block spans two dates.
pub(crate) const BLOCK_US: i64 = 3 * 3_600_000_000;

/// The column that says when a row happened.
pub(crate) fn time_column(rows: &arrow::datatypes::Schema) -> Option<&'static str> {
    ["timestamp", "appended_at"]
        .into_iter()
        .find(|name| matches!(rows.field_with_name(name), Ok(field) if is_time(field.data_type())))
}

fn is_time(data_type: &DataType) -> bool {
    use arrow::datatypes::TimeUnit::Microsecond;
    matches!(data_type, DataType::Timestamp(Microsecond, _))
}

/// The block of an instant.
pub(crate) fn block_of(time_us: i64) -> i64 {
    time_us.div_euclid(BLOCK_US)
}

/// Rows that lie together, and the order in which they do.
pub(crate) struct Order {
    /// Indices of the rows in their order.
    pub(crate) rows: Vec<u32>,
    /// Where blocks begin and end in `rows`.
    pub(crate) blocks: Vec<Range<usize>>,
}

/// What decides where a row lies. Rows that are alike stay in their order, which
/// is that of the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    block: i64,
    /// Its place among the devices by name.
    device: u32,
    time_us: i64,
    row: u32,
}

impl Order {
    /// The order of `rows`, of which there must be fewer than 2^32.
    pub(crate) fn of(rows: &RecordBatch) -> Self {
        let times = time_column(rows.schema_ref())
            .and_then(|name| rows.column_by_name(name))
            .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        let devices = device_ranks(rows);
        let mut places: Vec<Place> = (0..rows.num_rows())
            .map(|row| {
                let time_us = match times {
                    Some(times) if times.is_valid(row) => times.value(row),
                    _ => i64::MIN,
                };
                Place {
                    block: block_of(time_us),
                    device: devices.get(row).copied().unwrap_or_default(),
                    time_us,
                    row: row as u32,
                }
            })
            .collect();
        places.sort_unstable();
        let mut blocks: Vec<Range<usize>> = Vec::new();
        for (index, place) in places.iter().enumerate() {
            match blocks.last_mut() {
                Some(last) if places[last.start].block == place.block => last.end = index + 1,
                _ => blocks.push(index..index + 1),
            }
        }
        Self {
            rows: places.into_iter().map(|place| place.row).collect(),
            blocks,
        }
    }

    /// The same split by date, in the order of dates. A block lies within one date:
    /// the date of its first row is that of all.
    pub(crate) fn by_date(self, rows: &RecordBatch) -> Vec<(Option<i32>, Self)> {
        let dates = rows
            .column_by_name(DATE)
            .and_then(|column| column.as_primitive_opt::<Date32Type>());
        let date_of = |row: u32| {
            let dates = dates.filter(|dates| dates.is_valid(row as usize))?;
            Some(dates.value(row as usize))
        };
        let mut parts: Vec<(Option<i32>, Self)> = Vec::new();
        for block in self.blocks {
            let date = date_of(self.rows[block.start]);
            if parts.last().is_none_or(|(last, _)| *last != date) {
                let part = Self {
                    rows: Vec::new(),
                    blocks: Vec::new(),
                };
                parts.push((date, part));
            }
            if let Some((_, part)) = parts.last_mut() {
                let start = part.rows.len();
                part.rows.extend_from_slice(&self.rows[block]);
                part.blocks.push(start..part.rows.len());
            }
        }
        parts
    }
}

/// Per row the place of its device among the devices by name.
fn device_ranks(rows: &RecordBatch) -> Vec<u32> {
    let names = ["device_id", "topic"]
        .iter()
        .find_map(|name| rows.column_by_name(name))
        .and_then(|column| column.as_string_opt::<i32>());
    let Some(names) = names else {
        return Vec::new();
    };
    let mut numbers: HashMap<&str, u32, foldhash::fast::RandomState> = HashMap::default();
    let mut found: Vec<&str> = Vec::new();
    let mut last: Option<(&str, u32)> = None;
    let mut numbered: Vec<u32> = Vec::with_capacity(rows.num_rows());
    for row in 0..rows.num_rows() {
        let name = if names.is_valid(row) {
            names.value(row)
        } else {
            ""
        };
        let number = match last {
            Some((before, number)) if before == name => number,
            _ => *numbers.entry(name).or_insert_with(|| {
                found.push(name);
                found.len() as u32 - 1
            }),
        };
        last = Some((name, number));
        numbered.push(number);
    }
    let mut by_name: Vec<u32> = (0..found.len() as u32).collect();
    by_name.sort_unstable_by_key(|number| found[*number as usize]);
    let mut ranks = vec![0; found.len()];
    for (rank, number) in by_name.into_iter().enumerate() {
        ranks[number as usize] = rank as u32;
    }
    for number in &mut numbered {
        *number = ranks[*number as usize];
    }
    numbered
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};

    use super::*;

    fn rows(rows: &[(i64, &str)]) -> RecordBatch {
        let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.0));
        let devices = StringArray::from_iter_values(rows.iter().map(|row| row.1));
        RecordBatch::try_from_iter([
            (
                "timestamp",
                Arc::new(times.with_timezone("UTC")) as ArrayRef,
            ),
            ("device_id", Arc::new(devices)),
        ])
        .expect("columns of one length")
    }

    #[test]
    fn rows_lie_by_block_of_time_then_device_then_time() {
        let order = Order::of(&rows(&[
            (BLOCK_US + 5, "car-2"),
            (7, "car-2"),
            (6, "car-2"),
            (9, "car-1"),
            (-1, "car-9"),
        ]));
        assert_eq!(order.rows, [4, 3, 2, 1, 0]);
        assert_eq!(order.blocks, [0..1, 1..4, 4..5]);
    }

    #[test]
    fn rows_that_are_alike_stay_in_the_order_of_the_log() {
        let same = vec![(3, "car"); 100];
        let order = Order::of(&rows(&same));
        assert!(order.rows.is_sorted());
    }
}
