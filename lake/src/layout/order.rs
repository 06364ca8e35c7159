//! The order of rows.

use std::collections::HashMap;
use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Date32Type};

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

/// Where a row is among batches: in which, and where in that.
pub(crate) type At = (u32, u32);

/// Rows that lie together, and the order in which they do.
pub(crate) struct Order {
    /// The rows in their order.
    pub(crate) rows: Vec<At>,
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
    /// The order of the rows of `batches`. Rows that are alike stay in their order, which
    /// is that of the log.
    ///
    /// The log has each device's rows in the order of time, or nearly: they are dealt
    /// out to their groups, and only groups that need it are sorted.
    pub(crate) fn of(batches: &[RecordBatch]) -> Self {
        let times: Vec<_> = batches.iter().map(times).collect();
        let time_of = |(batch, row): At| match times[batch as usize] {
            Some(times) if times.is_valid(row as usize) => times.value(row as usize),
            _ => i64::MIN,
        };
        let (groups, group_of) = groups(batches, time_of);
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
        let mut rows = vec![At::default(); end];
        for (at, group) in all_rows(batches).zip(group_of) {
            rows[next[group as usize]] = at;
            next[group as usize] += 1;
        }
        for (group, end) in groups.iter().zip(next) {
            let rows = &mut rows[end - group.rows..end];
            if !rows.is_sorted_by_key(|at| time_of(*at)) {
                rows.sort_by_key(|at| time_of(*at));
            }
        }
        Self { rows, blocks }
    }

    /// The same split by date, in the order of dates. A block lies within one date:
    /// the date of its first row is that of all.
    pub(crate) fn by_date(self, batches: &[RecordBatch]) -> Vec<(Option<i32>, Self)> {
        let date_of = |(batch, row): At| {
            let dates = batches[batch as usize]
                .column_by_name(DATE)?
                .as_primitive_opt::<Date32Type>()?;
            dates
                .is_valid(row as usize)
                .then(|| dates.value(row as usize))
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

fn all_rows(batches: &[RecordBatch]) -> impl Iterator<Item = At> {
    let numbered = (0..).zip(batches);
    numbered.flat_map(|(batch, rows)| (0..rows.num_rows() as u32).map(move |row| (batch, row)))
}

fn times(rows: &RecordBatch) -> Option<&TimestampMicrosecondArray> {
    let name = time_column(rows.schema_ref())?;
    rows.column_by_name(name)?.as_primitive_opt()
}

fn devices(rows: &RecordBatch) -> Option<&StringArray> {
    let mut names = ["device_id", "topic"].iter();
    let column = names.find_map(|name| rows.column_by_name(name))?;
    column.as_string_opt()
}

/// The groups of all rows, as they come, and which of them each row belongs to.
fn groups(batches: &[RecordBatch], time_of: impl Fn(At) -> i64) -> (Vec<Group<'_>>, Vec<u32>) {
    let devices: Vec<_> = batches.iter().map(devices).collect();
    let mut numbers = GroupNumbers::default();
    let mut groups: Vec<Group> = Vec::new();
    let mut last = 0;
    let group_of = all_rows(batches).map(|at| {
        let block = block_of(time_of(at));
        let (batch, row) = (at.0 as usize, at.1 as usize);
        let device = match devices[batch] {
            Some(devices) if devices.is_valid(row) => devices.value(row),
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

    use arrow::array::ArrayRef;
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
        let order = Order::of(&[
            rows(&[(BLOCK_US + 5, "car-2"), (7, "car-2"), (6, "car-2")]),
            rows(&[(9, "car-1"), (-1, "car-9")]),
        ]);
        assert_eq!(order.rows, [(1, 1), (1, 0), (0, 2), (0, 1), (0, 0)]);
        assert_eq!(order.blocks, [0..1, 1..4, 4..5]);
    }

    proptest! {
        #[test]
        fn dealing_out_is_a_stable_sort(
            given in proptest::collection::vec((0_i64..3, 0_i64..9, "[a-c]?"), 0..200),
            batch_rows in 1_usize..50,
        ) {
            let given: Vec<(i64, &str)> = given
                .iter()
                .map(|(block, offset, device)| (block * BLOCK_US + offset, device.as_str()))
                .collect();
            let batches: Vec<RecordBatch> = given.chunks(batch_rows).map(rows).collect();
            let order = Order::of(&batches);
            let place = |(batch, row): &At| {
                let (time_us, device) = given[*batch as usize * batch_rows + *row as usize];
                (block_of(time_us), device, time_us)
            };
            let mut sorted: Vec<At> = all_rows(&batches).collect();
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
        let order = Order::of(&[rows(&same), rows(&same)]);
        assert!(order.rows.is_sorted());
    }
}
