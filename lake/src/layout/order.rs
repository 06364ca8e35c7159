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

/// Rows of one device in one block of time.
struct Group<'r> {
    block: i64,
    device: &'r str,
    rows: usize,
}

type GroupNumbers<'r> = HashMap<(i64, &'r str), usize, foldhash::fast::RandomState>;

impl Order {
    /// The order of `rows`, of which there must be fewer than 2^32. Rows that are
    /// alike stay in their order, which is that of the log.
    ///
    /// The log has each device's rows in the order of time, or nearly: they are dealt
    /// out to their groups, and only groups that need it are sorted.
    pub(crate) fn of(rows: &RecordBatch) -> Self {
        let times = time_column(rows.schema_ref())
            .and_then(|name| rows.column_by_name(name))
            .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        let time_of = |row: usize| match times {
            Some(times) if times.is_valid(row) => times.value(row),
            _ => i64::MIN,
        };
        let (groups, group_of) = groups(rows, time_of);
        let mut in_order: Vec<usize> = (0..groups.len()).collect();
        in_order.sort_unstable_by_key(|group| (groups[*group].block, groups[*group].device));

        let mut blocks: Vec<Range<usize>> = Vec::new();
        let mut block = None;
        // Where each group's next row goes.
        let mut next = vec![0; groups.len()];
        let mut end = 0;
        for number in &in_order {
            let group = &groups[*number];
            next[*number] = end;
            end += group.rows;
            match blocks.last_mut() {
                Some(last) if block == Some(group.block) => last.end = end,
                _ => blocks.push(end - group.rows..end),
            }
            block = Some(group.block);
        }
        let mut ordered = vec![0; end];
        for (row, group) in group_of.into_iter().enumerate() {
            ordered[next[group as usize]] = row as u32;
            next[group as usize] += 1;
        }
        let time_of = |row: &u32| time_of(*row as usize);
        for (group, end) in groups.iter().zip(next) {
            let rows = &mut ordered[end - group.rows..end];
            if !rows.is_sorted_by_key(time_of) {
                rows.sort_by_key(time_of);
            }
        }
        Self {
            rows: ordered,
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

/// The groups of `rows`, as they come, and which of them each row belongs to.
fn groups(rows: &RecordBatch, time_of: impl Fn(usize) -> i64) -> (Vec<Group<'_>>, Vec<u32>) {
    let names = ["device_id", "topic"]
        .iter()
        .find_map(|name| rows.column_by_name(name))
        .and_then(|column| column.as_string_opt::<i32>());
    let mut numbers = GroupNumbers::default();
    let mut groups: Vec<Group> = Vec::new();
    let mut last = 0;
    let group_of = (0..rows.num_rows()).map(|row| {
        let block = block_of(time_of(row));
        let device = match names {
            Some(names) if names.is_valid(row) => names.value(row),
            _ => "",
        };
        let is_last = |last: &Group| last.block == block && last.device == device;
        if !groups.get(last).is_some_and(is_last) {
            last = *numbers.entry((block, device)).or_insert_with(|| {
                groups.push(Group {
                    block,
                    device,
                    rows: 0,
                });
                groups.len() - 1
            });
        }
        groups[last].rows += 1;
        last as u32
    });
    let group_of = group_of.collect();
    (groups, group_of)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn dealing_out_is_a_stable_sort(
            given in proptest::collection::vec((0_i64..3, 0_i64..9, "[a-c]?"), 0..200),
        ) {
            let given: Vec<(i64, &str)> = given
                .iter()
                .map(|(block, offset, device)| (block * BLOCK_US + offset, device.as_str()))
                .collect();
            let order = Order::of(&rows(&given));
            let place = |row: &u32| {
                let (time_us, device) = given[*row as usize];
                (block_of(time_us), device, time_us)
            };
            let mut sorted: Vec<u32> = (0..given.len() as u32).collect();
            sorted.sort_by_key(place);
            prop_assert_eq!(&order.rows, &sorted);
            let mut next = 0;
            for block in &order.blocks {
                prop_assert_eq!(block.start, next);
                let blocks = order.rows[block.clone()].iter().map(|row| place(row).0);
                prop_assert_eq!(blocks.collect::<HashSet<_>>().len(), 1);
                next = block.end;
            }
            prop_assert_eq!(next, given.len());
        }
    }

    #[test]
    fn rows_that_are_alike_stay_in_the_order_of_the_log() {
        let same = vec![(3, "car"); 100];
        let order = Order::of(&rows(&same));
        assert!(order.rows.is_sorted());
    }
}
