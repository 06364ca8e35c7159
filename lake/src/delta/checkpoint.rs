//! Keeping the log short, so that opening a table stays cheap.

use deltalake_core::DeltaTable;
use deltalake_core::protocol::checkpoints::{cleanup_metadata, create_checkpoint};

use crate::Result;
use crate::delta::TableLog;

/// Commits between two checkpoints.
const INTERVAL: u64 = 50;

/// Whether `version` is one to write a checkpoint at.
pub(crate) fn is_due(version: u64) -> bool {
    version > 0 && version.is_multiple_of(INTERVAL)
}

/// Writes a checkpoint of the newest version and removes commit files that are
/// older than the table's log retention.
pub(crate) async fn checkpoint(log: &TableLog) -> Result<()> {
    let failed = |error: deltalake_core::DeltaTableError| log.storage.delta_error(&error);
    let mut table = DeltaTable::new(log.log_store.clone());
    table.load().await.map_err(failed)?;
    create_checkpoint(&table, None).await.map_err(failed)?;
    cleanup_metadata(&table, None).await.map_err(failed)?;
    Ok(())
}
