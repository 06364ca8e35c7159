//! Rows in order of time, for layouts whose files have another one. They are read
//! whole for it, which is why their number has a limit.

use std::path::Path;

use crate::replay::ReplayError;
use crate::replay::row::{Outcome, Row};

/// So many rows fit in memory: three years of a city's fire calls, three weeks of
/// its buses.
const ROWS_MAX: u64 = 1_000_000;

/// Reads all of `rows` and sorts them.
///
/// # Errors
/// Where reading fails, and where there are too many.
pub(crate) fn read(
    rows: impl Iterator<Item = Result<Row, ReplayError>>,
    path: &Path,
) -> Result<Vec<Row>, ReplayError> {
    let mut all = Vec::new();
    for row in rows {
        all.push(row?);
        check_count(all.len() as u64, path)?;
    }
    sort(&mut all);
    Ok(all)
}

/// First what has no time; rows of the same time keep their order.
pub(crate) fn sort(rows: &mut [Row]) {
    rows.sort_by_key(|row| match &row.outcome {
        Outcome::Message(draft) => draft.timestamp_us,
        _ => None,
    });
}

/// Whether so many rows may be read whole.
pub(crate) fn check_count(rows: u64, path: &Path) -> Result<(), ReplayError> {
    match rows > ROWS_MAX {
        true => Err(ReplayError::Format(format!(
            "{} has more than {ROWS_MAX} rows; split it by date",
            path.display()
        ))),
        false => Ok(()),
    }
}
