//! Rows out of many batches, put together in an order.

use std::ops::Range;

use arrow::array::{Array, ArrayData, ArrayRef, MutableArrayData, RecordBatch, make_array};
use arrow::compute::interleave_record_batch;
use arrow::error::ArrowError;

use crate::layout::order::At;

/// Rows that lie together are copied together where so many do on average: files to be
/// merged have some of each device in order. A copy costs as much as that many rows.
const RUN_ROWS: usize = 6;

/// Batches of one table whose rows are wanted in another order.
pub(crate) struct Gather<'b> {
    batches: Vec<&'b RecordBatch>,
    /// Of each column the values, batch by batch.
    columns: Vec<Vec<ArrayData>>,
}

impl<'b> Gather<'b> {
    pub(crate) fn of(batches: &'b [RecordBatch]) -> Self {
        let columns = batches.first().map_or(0, RecordBatch::num_columns);
        let of_column = |column: usize| {
            let values = batches.iter().map(|batch| batch.column(column).to_data());
            values.collect()
        };
        Self {
            batches: batches.iter().collect(),
            columns: (0..columns).map(of_column).collect(),
        }
    }

    /// The rows at these places, in their order.
    pub(crate) fn rows(&self, rows: &[At]) -> Result<RecordBatch, ArrowError> {
        let runs = || rows.chunk_by(|(batch, row), next| (*batch, row + 1) == *next);
        match self.batches.first() {
            Some(first) if rows.len() >= RUN_ROWS * runs().count() => {
                let runs: Vec<Run> = runs().map(run_of).collect();
                let columns = self.columns.iter().map(|values| copied(values, &runs));
                RecordBatch::try_new(first.schema(), columns.collect::<Result<_, _>>()?)
            }
            _ => {
                let rows = rows.iter();
                let rows = rows.map(|(batch, row)| (*batch as usize, *row as usize));
                interleave_record_batch(&self.batches, &rows.collect::<Vec<_>>())
            }
        }
    }
}

/// Rows that follow each other in one batch, and which batch it is.
type Run = (usize, Range<usize>);

fn run_of(rows: &[At]) -> Run {
    let (batch, start) = (rows[0].0 as usize, rows[0].1 as usize);
    (batch, start..start + rows.len())
}

fn copied(values: &[ArrayData], runs: &[Run]) -> Result<ArrayRef, ArrowError> {
    let count = runs.iter().map(|(_, rows)| rows.len()).sum();
    let mut copied = MutableArrayData::new(values.iter().collect(), false, count);
    for (batch, rows) in runs {
        copied.try_extend(*batch, rows.start, rows.end)?;
    }
    Ok(make_array(copied.freeze()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, ListArray, StringArray};
    use arrow::datatypes::Int32Type;
    use proptest::prelude::*;

    use super::*;

    fn batch(first: usize, count: usize) -> RecordBatch {
        let numbers = first..first + count;
        let speeds = numbers.clone().map(|n| (n % 5 != 0).then_some(n as f64));
        let names = numbers.clone().map(|n| (n % 3 != 0).then(|| n.to_string()));
        let lists = numbers.map(|n| (n % 7 != 0).then(|| vec![Some(n as i32); n % 4]));
        let columns = [
            (
                "speed",
                Arc::new(speeds.collect::<Float64Array>()) as ArrayRef,
                true,
            ),
            ("name", Arc::new(names.collect::<StringArray>()), true),
            (
                "list",
                Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)),
                true,
            ),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
    }

    proptest! {
        #[test]
        fn rows_are_the_same_however_long_they_lie_together(
            runs in prop::collection::vec((0..3_u32, 0..30_u32, 1..20_u32), 1..20),
        ) {
            let batches = [batch(0, 50), batch(50, 50), batch(100, 50)];
            let runs = runs.iter().flat_map(|(batch, start, count)| {
                (*start..start + count).map(move |row| (*batch, row))
            });
            let rows: Vec<At> = runs.collect();
            let places: Vec<_> = rows.iter().map(|(batch, row)| (*batch as usize, *row as usize)).collect();
            let expected = interleave_record_batch(&batches.iter().collect::<Vec<_>>(), &places);
            let gathered = Gather::of(&batches).rows(&rows);
            prop_assert_eq!(gathered.expect("rows"), expected.expect("rows"));
        }
    }
}
