//! The actions of one commit file, one JSON object a line.

use std::collections::HashMap;

use deltalake_core::kernel::{Add, CommitInfo, Remove, Transaction};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::delta::TableLog;
use crate::lake::Rewrite;
use crate::snapshot::{DATE, NewFile, SnapshotBuilder};
use crate::statistics::format_date;
use crate::{Commit, Error, Result};

/// Who wrote it, in the table's history.
const ENGINE: &str = concat!("citypulse:", env!("CARGO_PKG_VERSION"));

/// What following a commit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Followed {
    /// The version is in the builder.
    Applied,
    /// The schema or the protocol changed: load the table again.
    Reload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    add: Option<Add>,
    remove: Option<Remove>,
    txn: Option<Txn>,
    meta_data: Option<IgnoredAny>,
    protocol: Option<IgnoredAny>,
}

/// A counter stored with the data.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Txn {
    pub(crate) app_id: String,
    pub(crate) version: i64,
}

impl TableLog {
    /// Applies the actions of one commit file.
    pub(crate) fn follow(&self, builder: &mut SnapshotBuilder, actions: &[u8]) -> Result<Followed> {
        for line in lines(actions) {
            let line: Line =
                serde_json::from_slice(line).map_err(|error| self.damaged(error.to_string()))?;
            if line.meta_data.is_some() || line.protocol.is_some() {
                return Ok(Followed::Reload);
            }
            if let Some(add) = line.add {
                if add.deletion_vector.is_some() {
                    return Err(self.has_deletion_vector(&add.path));
                }
                let date = add.partition_values.get(DATE).and_then(Option::as_deref);
                builder.add(
                    add.path.clone(),
                    u64::try_from(add.size).unwrap_or(0),
                    date,
                    add.stats.as_deref(),
                );
            }
            if let Some(remove) = line.remove {
                builder.remove(&remove.path, remove.deletion_timestamp.unwrap_or_default());
            }
            if let Some(txn) = line.txn {
                builder.set_counter(&txn.app_id, txn.version);
            }
        }
        Ok(Followed::Applied)
    }

    /// Applies only the counters and removals of one commit file.
    pub(crate) fn follow_counters(
        &self,
        builder: &mut SnapshotBuilder,
        actions: &[u8],
    ) -> Result<()> {
        for line in lines(actions) {
            let line: Line =
                serde_json::from_slice(line).map_err(|error| self.damaged(error.to_string()))?;
            if let Some(txn) = line.txn {
                builder.set_counter(&txn.app_id, txn.version);
            }
            if let Some(remove) = line.remove {
                builder.note_removed(&remove.path, remove.deletion_timestamp.unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Such a file has to be read in a way that plain Parquet readers do not know.
    pub(crate) fn has_deletion_vector(&self, path: &str) -> Error {
        self.damaged(format!("file {path} has a deletion vector; run OPTIMIZE or REORG ... PURGE with the tool that wrote it"))
    }

    pub(crate) fn damaged(&self, reason: String) -> Error {
        Error::Damaged {
            table: self.table.name().to_owned(),
            reason,
        }
    }
}

fn lines(actions: &[u8]) -> impl Iterator<Item = &[u8]> {
    actions
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
}

/// The commit file of `commit`.
pub(crate) fn encode_commit(commit: &Commit, now_ms: i64) -> serde_json::Result<Vec<u8>> {
    let info = CommitInfo {
        timestamp: Some(now_ms),
        operation: Some("WRITE".to_owned()),
        operation_parameters: Some(HashMap::from([("mode".to_owned(), "Append".into())])),
        engine_info: Some(ENGINE.to_owned()),
        is_blind_append: Some(true),
        ..CommitInfo::default()
    };
    let mut bytes = Vec::new();
    push_line(&mut bytes, "commitInfo", &info)?;
    for advance in &commit.advances {
        push_txn(
            &mut bytes,
            &advance.partition.to_string(),
            advance.to,
            now_ms,
        )?;
    }
    push_counters(&mut bytes, &commit.marks, now_ms)?;
    for file in &commit.files {
        push_line(&mut bytes, "add", &add_action(file, true, now_ms))?;
    }
    Ok(bytes)
}

/// The commit file of `rewrite`. Removals first, as the history reads better so; the
/// order means nothing to readers.
pub(crate) fn encode_rewrite(rewrite: &Rewrite, now_ms: i64) -> serde_json::Result<Vec<u8>> {
    let info = CommitInfo {
        timestamp: Some(now_ms),
        operation: Some(rewrite.operation.to_owned()),
        engine_info: Some(ENGINE.to_owned()),
        is_blind_append: Some(false),
        ..CommitInfo::default()
    };
    let mut bytes = Vec::new();
    push_line(&mut bytes, "commitInfo", &info)?;
    for file in &rewrite.remove {
        let remove = Remove {
            path: file.path.clone(),
            data_change: rewrite.data_change,
            deletion_timestamp: Some(now_ms),
            extended_file_metadata: Some(true),
            partition_values: Some(HashMap::from([(
                DATE.to_owned(),
                file.date.and_then(format_date),
            )])),
            size: Some(i64::try_from(file.size_bytes).unwrap_or(i64::MAX)),
            ..Remove::default()
        };
        push_line(&mut bytes, "remove", &remove)?;
    }
    for file in &rewrite.add {
        let add = add_action(file, rewrite.data_change, now_ms);
        push_line(&mut bytes, "add", &add)?;
    }
    Ok(bytes)
}

/// Adds counters to the actions of a commit file.
pub(crate) fn push_counters(
    bytes: &mut Vec<u8>,
    counters: &HashMap<String, i64>,
    now_ms: i64,
) -> serde_json::Result<()> {
    for (name, value) in counters {
        push_txn(bytes, name, *value, now_ms)?;
    }
    Ok(())
}

fn push_txn(
    bytes: &mut Vec<u8>,
    app_id: &str,
    version: i64,
    now_ms: i64,
) -> serde_json::Result<()> {
    let txn = Transaction {
        app_id: app_id.to_owned(),
        version,
        last_updated: Some(now_ms),
    };
    push_line(bytes, "txn", &txn)
}

fn push_line(
    bytes: &mut Vec<u8>,
    action: &str,
    value: &impl serde::Serialize,
) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *bytes, &HashMap::from([(action, value)]))?;
    bytes.push(b'\n');
    Ok(())
}

/// The action that makes a written file visible.
fn add_action(file: &NewFile, data_change: bool, now_ms: i64) -> Add {
    Add {
        path: file.path.clone(),
        partition_values: HashMap::from([(DATE.to_owned(), Some(file.date_text.clone()))]),
        size: i64::try_from(file.size_bytes).unwrap_or(i64::MAX),
        modification_time: now_ms,
        data_change,
        stats: Some(file.statistics_json.clone()),
        ..Add::default()
    }
}
