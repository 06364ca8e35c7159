//! Files that no version needs any more.

use std::collections::HashSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use crate::{Lake, Result, Table};

/// How long files are kept after they are no longer needed.
#[derive(Clone, Copy, Debug)]
pub struct VacuumOptions {
    /// After a file was replaced or removed, for readers of older versions in other
    /// processes. What this process reads is never removed, whatever this says.
    pub retain: Duration,
    /// After a file was written that no version names: somebody may be about to
    /// commit it. Must be longer than [`crate::FILE_COMMIT_LIMIT`].
    pub retain_uncommitted: Duration,
}

impl Default for VacuumOptions {
    fn default() -> Self {
        Self {
            // As long as the log knows the versions that name them.
            retain: Duration::from_secs(48 * 3600),
            retain_uncommitted: Duration::from_secs(24 * 3600),
        }
    }
}

/// What a vacuum removed, or would remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Paths in the table's folder.
    pub removed: Vec<String>,
    /// Their size, bytes.
    pub bytes: u64,
    /// Files that are only left because this process reads them.
    pub in_use: usize,
    /// Files that are only left because they are not old enough.
    pub too_young: usize,
}

#[derive(PartialEq)]
enum Verdict {
    Live,
    InUse,
    TooYoung,
    Unneeded,
}

impl Lake {
    /// Removes the data files of `table` that no current reader can need; with
    /// `dry_run` only says which. `now_ms` is the current time, milliseconds since the
    /// epoch. Never touches the table's log.
    pub async fn vacuum(
        &self,
        table: Table,
        options: &VacuumOptions,
        now_ms: i64,
        dry_run: bool,
    ) -> Result<Vacuumed> {
        // Listed before the version is read: a file committed in between is live.
        let store = self.storage().table_store(table);
        let listed: Vec<ObjectMeta> = store
            .list(None)
            .try_filter(|entry| std::future::ready(is_data_file(&entry.location)))
            .try_collect()
            .await
            .map_err(|error| self.storage().error(&error))?;
        let snapshot = self.refresh(table).await?;
        if snapshot.version.is_none() {
            return Ok(Vacuumed::default());
        }
        let as_listed = |path: &String| Path::from(path.as_str());
        let live: HashSet<Path> = snapshot.files.keys().map(as_listed).collect();
        let removed_ms: std::collections::HashMap<Path, i64> = snapshot
            .removed
            .iter()
            .map(|(path, at_ms)| (as_listed(path), *at_ms))
            .collect();
        let held = self.held_snapshots(table);
        let in_use: HashSet<Path> = held
            .iter()
            .flat_map(|snapshot| snapshot.files.keys().map(as_listed))
            .collect();
        let verdict = |entry: &ObjectMeta| {
            let (since_ms, retain) = match removed_ms.get(&entry.location) {
                Some(removed_ms) => (*removed_ms, options.retain),
                None => (
                    entry.last_modified.timestamp_millis(),
                    options.retain_uncommitted.max(options.retain),
                ),
            };
            if live.contains(&entry.location) {
                Verdict::Live
            } else if in_use.contains(&entry.location) {
                Verdict::InUse
            } else if now_ms.saturating_sub(since_ms) < retain.as_millis() as i64 {
                Verdict::TooYoung
            } else {
                Verdict::Unneeded
            }
        };
        let mut vacuumed = Vacuumed::default();
        let mut unneeded = Vec::new();
        for entry in listed {
            match verdict(&entry) {
                Verdict::Live => {}
                Verdict::InUse => vacuumed.in_use += 1,
                Verdict::TooYoung => vacuumed.too_young += 1,
                Verdict::Unneeded => {
                    vacuumed.removed.push(entry.location.to_string());
                    vacuumed.bytes += entry.size;
                    unneeded.push(Ok(entry.location));
                }
            }
        }
        if !dry_run {
            let mut deleted = store.delete_stream(stream::iter(unneeded).boxed());
            while let Some(outcome) = deleted.next().await {
                match outcome {
                    // Somebody else vacuums too.
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(self.storage().error(&error)),
                }
            }
        }
        Ok(vacuumed)
    }
}

fn is_data_file(path: &Path) -> bool {
    let is_hidden = path.parts().any(|part| part.as_ref().starts_with('_'));
    !is_hidden && path.as_ref().ends_with(".parquet")
}
