//! One version of one table.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use events::{Offset, TopicPartition};

/// A Parquet file of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct DataFile {
    /// Path relative to the table's folder, not URL-encoded.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
}

/// One version of one table: what a query pins. Immutable and cheap to share.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Delta version; `None` for a table that does not exist yet.
    pub version: Option<u64>,
    /// The table's columns, `date` included.
    pub schema: SchemaRef,
    /// Per log partition the next offset that is not in the table.
    pub positions: Arc<HashMap<TopicPartition, Offset>>,
    /// Further counters stored with the data, by name (see [`crate::Commit`]).
    pub marks: Arc<HashMap<String, i64>>,
    /// The live files by path.
    pub files: Arc<BTreeMap<String, Arc<DataFile>>>,
}
