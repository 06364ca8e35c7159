//! Creating tables and adding columns.

use arrow::datatypes::Schema;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::{StructField, StructType};

use crate::delta::TableLog;
use crate::snapshot::{DATE, Snapshot, nullable};
use crate::{Error, Result};

/// How long old commit files are kept for readers of old versions.
const LOG_RETENTION: &str = "interval 2 days";

/// Creates the table as version 0. Two that try at once: one wins, and the error
/// of the other is left to whoever loads the table next.
pub(crate) async fn create(log: &TableLog) -> Result<()> {
    let columns = delta_fields(log, &log.table.schema())?;
    let created = DeltaTable::new(log.log_store.clone())
        .create()
        .with_table_name(log.table.name())
        .with_columns(columns)
        .with_partition_columns([DATE])
        .with_configuration([("delta.logRetentionDuration", Some(LOG_RETENTION))])
        .await;
    match created {
        Ok(_) => Ok(()),
        Err(error) => match log.read(0).await? {
            Some(_) => Ok(()),
            None => Err(log.storage.delta_error(&error)),
        },
    }
}

/// Adds the columns that this version of the program writes and the table lacks.
/// Returns whether the table changed.
pub(crate) async fn evolve(log: &TableLog, snapshot: &Snapshot) -> Result<bool> {
    let missing = missing_columns(log, snapshot)?;
    if missing.fields().is_empty() {
        return Ok(false);
    }
    let failed = |error: deltalake_core::DeltaTableError| log.storage.delta_error(&error);
    let mut table = DeltaTable::new(log.log_store.clone());
    table.load().await.map_err(failed)?;
    table
        .add_columns()
        .with_fields(delta_fields(log, &missing)?)
        .await
        .map_err(failed)?;
    Ok(true)
}

fn missing_columns(log: &TableLog, snapshot: &Snapshot) -> Result<Schema> {
    let wanted = log.table.schema();
    let mut missing = Vec::new();
    for field in wanted.fields() {
        match snapshot.stored_schema.field_with_name(field.name()) {
            Ok(stored) if stored.data_type().equals_datatype(field.data_type()) => {}
            Ok(stored) => {
                return Err(Error::Schema {
                    table: log.table.name().to_owned(),
                    reason: format!(
                        "column {} is {} in the table and {} in this version of the program",
                        field.name(),
                        stored.data_type(),
                        field.data_type()
                    ),
                });
            }
            Err(_) => missing.push(field.clone()),
        }
    }
    Ok(Schema::new(missing))
}

fn delta_fields(log: &TableLog, schema: &Schema) -> Result<Vec<StructField>> {
    let schema: StructType = nullable(schema).as_ref().try_into_kernel().map_err(
        |error: arrow::error::ArrowError| {
            log.damaged(format!("the columns do not fit Delta: {error}"))
        },
    )?;
    Ok(schema.fields().cloned().collect())
}
