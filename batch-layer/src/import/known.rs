//! Which files a table has. Its marks name them, with the newest date of their rows: where
//! every row of the table is newer, retention (or somebody) has removed those of the file,
//! and it may come in again.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::max;
use arrow::datatypes::Date32Type;
use lake::Snapshot;

/// Marks of earlier versions have this in place of a date: their rows are taken to be there.
const NO_DATE: i64 = 1;

/// What a table knows of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Its rows are in.
    In,
    /// They are not, or not any more.
    Not {
        /// The name under which it is to be remembered next.
        as_name: String,
    },
}

/// What `snapshot` knows of the file of that mark. The second time that it comes in, its
/// mark has another name: a mark, once set, stays.
pub(super) fn recall(snapshot: &Snapshot, mark: &str) -> Known {
    let dates = snapshot.files.values().filter_map(|file| file.date);
    let oldest = dates.min().map(i64::from);
    remembered(|name| snapshot.marks.get(name).copied(), oldest, mark)
}

fn remembered(
    newest_date_of: impl Fn(&str) -> Option<i64>,
    oldest: Option<i64>,
    mark: &str,
) -> Known {
    let mut as_name = mark.to_owned();
    let mut times = 1;
    while let Some(newest_date) = newest_date_of(&as_name) {
        let is_gone = newest_date != NO_DATE && oldest.is_none_or(|oldest| newest_date < oldest);
        if !is_gone {
            return Known::In;
        }
        times += 1;
        as_name = format!("{mark}/again-{times}");
    }
    Known::Not { as_name }
}

/// The newest date of rows, days since the epoch.
pub(super) fn newest_date(rows: &RecordBatch) -> i64 {
    let dates = rows.column_by_name("date");
    let dates = dates.and_then(|dates| dates.as_primitive_opt::<Date32Type>());
    dates.and_then(max).map_or(NO_DATE, i64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_whose_rows_are_gone_may_come_in_again_under_another_name() {
        let marks = [("old", NO_DATE), ("file", 100), ("file/again-2", 200)];
        let date_of = |name: &str| {
            let found = marks.iter().find(|(mark, _)| *mark == name);
            found.map(|(_, date)| *date)
        };
        let as_name = |name: &str| Known::Not {
            as_name: name.to_owned(),
        };
        let known = |oldest, mark| remembered(date_of, oldest, mark);
        assert_eq!(known(Some(1_000), "new"), as_name("new"));
        assert_eq!(known(Some(100), "file"), Known::In);
        assert_eq!(known(Some(101), "file"), Known::In, "it came in twice");
        assert_eq!(known(Some(201), "file"), as_name("file/again-3"));
        assert_eq!(known(None, "file"), as_name("file/again-3"));
        assert_eq!(known(None, "old"), Known::In);
    }
}
