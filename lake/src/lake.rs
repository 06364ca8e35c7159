//! The lake: its tables, their snapshots and commits.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use events::{Advance, Offset, TopicPartition};

use crate::{DataFile, LakeConfig, Result, Snapshot, Table};

/// What one commit makes visible together.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Files from [`Lake::write_files`].
    pub files: Vec<DataFile>,
    /// The log ranges that the files cover. Refused unless each `from` is the
    /// stored position (any `from` is taken where none is stored).
    pub advances: Vec<Advance>,
    /// Further counters to set, by name.
    pub marks: HashMap<String, i64>,
}

/// Every table, on one storage.
pub struct Lake {}

impl Lake {
    /// Opens the lake; tables are created when they are first written.
    pub async fn open(_config: LakeConfig) -> Result<Arc<Lake>> {
        unimplemented!()
    }

    /// Whether the storage answers now.
    pub async fn ping(&self) -> Result<()> {
        unimplemented!()
    }

    /// The newest stored position of every log partition of `table`; a partition
    /// that is absent has never been written.
    pub async fn positions(&self, _table: Table) -> Result<HashMap<TopicPartition, Offset>> {
        unimplemented!()
    }

    /// The last known version: no I/O once the table has been looked at.
    pub async fn snapshot(&self, _table: Table) -> Result<Arc<Snapshot>> {
        unimplemented!()
    }

    /// The newest version: one small read where nothing has changed.
    pub async fn refresh(&self, _table: Table) -> Result<Arc<Snapshot>> {
        unimplemented!()
    }

    /// Writes rows as Parquet, one file a date. Nobody sees them before [`Lake::commit`].
    pub async fn write_files(&self, _table: Table, _batches: Vec<RecordBatch>) -> Result<Vec<DataFile>> {
        unimplemented!()
    }

    /// Makes files and positions visible together, or neither. Returns the version.
    pub async fn commit(&self, _table: Table, _commit: &Commit) -> Result<u64> {
        unimplemented!()
    }
}
