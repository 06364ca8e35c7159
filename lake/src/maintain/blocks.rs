//! In which steps of time files are read, so that one step fits into memory (pure).

use crate::layout::{BLOCK_US, block_of};

/// A range of time, `from..to`, microseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
}

impl Step {
    /// All of time.
    pub(crate) const ALL: Step = Step {
        from_us: i64::MIN,
        to_us: i64::MAX,
    };

    /// Whether an instant lies in it. The last step has an end that is in it.
    pub(crate) fn holds(self, time_us: i64) -> bool {
        self.from_us <= time_us && (time_us < self.to_us || self.to_us == i64::MAX)
    }

    /// Whether any instant of `low..=high` lies in it.
    pub(crate) fn meets(self, (low, high): (i64, i64)) -> bool {
        low <= high
            && (self.holds(low) || self.holds(high) || (low < self.from_us && high >= self.from_us))
    }

    /// Whether all of `low..=high` lies in it.
    pub(crate) fn covers(self, (low, high): (i64, i64)) -> bool {
        self.holds(low) && self.holds(high)
    }
}

/// Rows of a file, and when they are from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) times_us: (i64, i64),
    pub(crate) rows: u64,
}

/// Steps that together are all of time, each of about `max_rows` rows if rows are
/// spread evenly over each file's time. They end where blocks of the layout end;
/// only a block that is too large for one step is cut.
pub(crate) fn steps(extents: &[Extent], max_rows: u64) -> Vec<Step> {
    let Some(low) = extents.iter().map(|extent| extent.times_us.0).min() else {
        return vec![Step::ALL];
    };
    let high = extents
        .iter()
        .map(|extent| extent.times_us.1)
        .max()
        .unwrap_or(low);
    let (first, last) = (block_of(low), block_of(high));
    // Files that span years are none of ours; they are read in one go.
    if last - first > 24 * 366 {
        return vec![Step::ALL];
    }
    let mut cuts: Vec<i64> = Vec::new();
    let mut rows_in_step = 0;
    for block in first..=last {
        let from_us = block.saturating_mul(BLOCK_US);
        let rows = expected(extents, from_us, from_us.saturating_add(BLOCK_US));
        if rows_in_step > 0 && rows_in_step + rows > max_rows {
            cuts.push(from_us);
            rows_in_step = 0;
        }
        rows_in_step += rows;
        let pieces = rows.div_ceil(max_rows.max(1)).min(3_600) as i64;
        for piece in 1..pieces {
            cuts.push(from_us.saturating_add(BLOCK_US / pieces * piece));
            rows_in_step = rows / pieces as u64;
        }
    }
    let begins = std::iter::once(i64::MIN).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([i64::MAX]);
    begins
        .zip(ends)
        .map(|(from_us, to_us)| Step { from_us, to_us })
        .collect()
}

fn expected(extents: &[Extent], from_us: i64, to_us: i64) -> u64 {
    let rows = extents.iter().map(|extent| {
        let (low, high) = extent.times_us;
        let span_us = (high.saturating_sub(low)).saturating_add(1) as f64;
        let shared_us = high
            .saturating_add(1)
            .min(to_us)
            .saturating_sub(low.max(from_us));
        extent.rows as f64 * (shared_us.max(0) as f64 / span_us)
    });
    rows.sum::<f64>().ceil() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hours(from: i64, to: i64, rows: u64) -> Extent {
        Extent {
            times_us: (from * BLOCK_US, to * BLOCK_US - 1),
            rows,
        }
    }

    fn cuts(extents: &[Extent], max_rows: u64) -> Vec<i64> {
        let steps = steps(extents, max_rows);
        steps[1..]
            .iter()
            .map(|step| step.from_us / (BLOCK_US / 4))
            .collect()
    }

    #[test]
    fn steps_end_with_blocks_and_a_full_block_is_cut() {
        assert_eq!(cuts(&[hours(0, 4, 400)], 1_000), [] as [i64; 0]);
        assert_eq!(cuts(&[hours(0, 4, 400)], 200), [8]);
        assert_eq!(
            cuts(&[hours(0, 4, 400), hours(1, 2, 300)], 200),
            [4, 6, 8],
            "quarters of hours"
        );
        assert_eq!(steps(&[], 5), [Step::ALL]);
    }

    proptest! {
        #[test]
        fn every_instant_is_in_exactly_one_step(
            files in proptest::collection::vec((0_i64..100, 0_i64..30, 1_u64..10_000), 0..20),
            max_rows in 1_u64..5_000,
            instant in any::<i64>(),
        ) {
            let extents: Vec<_> = files.iter().map(|(from, length, rows)| hours(*from, from + length + 1, *rows)).collect();
            let steps = steps(&extents, max_rows);
            prop_assert_eq!(steps.iter().filter(|step| step.holds(instant)).count(), 1);
            for step in &steps {
                let around = (instant.saturating_sub(5), instant.saturating_add(5));
                prop_assert!(!step.holds(instant) || step.meets(around));
                prop_assert!(!step.covers(around) || step.holds(instant));
            }
        }
    }
}
