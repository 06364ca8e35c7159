//! Which files are to be merged (pure).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::maintain::CompactOptions;
use crate::{DataFile, Snapshot, Table};

/// Files of one date that are to become fewer.
#[derive(Clone, Debug)]
pub struct PartitionPlan {
    /// The table.
    pub table: Table,
    /// Days since the epoch.
    pub date: i32,
    /// The small files, oldest rows first.
    pub files: Vec<Arc<DataFile>>,
    /// The version they were found in: while it is held, vacuum leaves them.
    pub(crate) snapshot: Arc<Snapshot>,
}

impl PartitionPlan {
    /// Size of the files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    /// Rows of the files, as far as their writers said.
    pub fn rows(&self) -> u64 {
        self.files.iter().filter_map(|file| file.rows).sum()
    }
}

/// What there is to do, oldest date first. A date with very many small files is done
/// in several parts, each of them one commit: an interruption repeats one part.
pub(crate) fn plan(
    table: Table,
    snapshot: &Arc<Snapshot>,
    options: &CompactOptions,
) -> Vec<PartitionPlan> {
    let mut small: BTreeMap<i32, Vec<Arc<DataFile>>> = BTreeMap::new();
    for file in snapshot.files.values() {
        // A file without a date lies in a folder that we do not write.
        if let Some(date) = file.date.filter(|_| file.size_bytes < options.min_bytes) {
            small.entry(date).or_default().push(file.clone());
        }
    }
    let mut plans = Vec::new();
    for (date, mut files) in small {
        let begin = |file: &Arc<DataFile>| file.times_us(&snapshot.file_schema).map(|(low, _)| low);
        files.sort_by_cached_key(|file| (begin(file), file.path.clone()));
        for files in parts(files, options.part_bytes) {
            if files.len() >= options.min_files.max(2) {
                plans.push(PartitionPlan {
                    table,
                    date,
                    files,
                    snapshot: snapshot.clone(),
                });
            }
        }
    }
    plans
}

fn parts(files: Vec<Arc<DataFile>>, part_bytes: u64) -> Vec<Vec<Arc<DataFile>>> {
    let mut parts: Vec<Vec<Arc<DataFile>>> = Vec::new();
    let mut bytes = u64::MAX;
    for file in files {
        if bytes.saturating_add(file.size_bytes) > part_bytes {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += file.size_bytes;
        if let Some(part) = parts.last_mut() {
            part.push(file);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(files: &[(&str, u64, Option<i32>)]) -> Arc<Snapshot> {
        let table = Table::DeadLetters;
        let mut snapshot = Snapshot::empty(table);
        let file = |&(path, size_bytes, date): &(&str, u64, Option<i32>)| {
            let file = DataFile {
                path: path.to_owned(),
                size_bytes,
                rows: Some(1),
                date,
                statistics: Arc::default(),
            };
            (path.to_owned(), Arc::new(file))
        };
        snapshot.files = Arc::new(files.iter().map(file).collect());
        Arc::new(snapshot)
    }

    fn plans(
        files: &[(&str, u64, Option<i32>)],
        options: &CompactOptions,
    ) -> Vec<(i32, Vec<String>)> {
        plan(Table::DeadLetters, &snapshot(files), options)
            .into_iter()
            .map(|plan| {
                (
                    plan.date,
                    plan.files.iter().map(|file| file.path.clone()).collect(),
                )
            })
            .collect()
    }

    fn options() -> CompactOptions {
        CompactOptions {
            min_bytes: 100,
            part_bytes: 250,
            min_files: 2,
            ..CompactOptions::default()
        }
    }

    #[test]
    fn small_files_of_a_date_go_together_and_large_ones_stay() {
        let files = [
            ("a", 99, Some(1)),
            ("b", 100, Some(1)),
            ("c", 1, Some(1)),
            ("d", 1, Some(2)),
            ("e", 1, None),
            ("f", 1, None),
        ];
        let wanted = vec![(1, vec!["a".to_owned(), "c".to_owned()])];
        assert_eq!(plans(&files, &options()), wanted);
    }

    #[test]
    fn too_few_are_left_for_later() {
        let options = CompactOptions {
            min_files: 3,
            ..options()
        };
        assert!(plans(&[("a", 1, Some(1)), ("b", 1, Some(1))], &options).is_empty());
    }

    #[test]
    fn very_many_are_done_in_parts() {
        let names: Vec<String> = (0..9).map(|number| format!("{number}")).collect();
        let files: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), 60, Some(1)))
            .collect();
        let sizes: Vec<usize> = plans(&files, &options())
            .iter()
            .map(|plan| plan.1.len())
            .collect();
        assert_eq!(sizes, [4, 4], "the ninth is alone and waits");
    }
}
