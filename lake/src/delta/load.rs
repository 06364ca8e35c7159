//! Loading a table from its newest checkpoint and the commits after it.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use deltalake_core::kernel::EagerSnapshot;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::Result;
use crate::delta::TableLog;
use crate::delta::entry::Followed;
use crate::snapshot::{DATE, Snapshot, SnapshotBuilder};

/// The table's newest version, or `None` where there is no table.
pub(crate) async fn load(log: &TableLog) -> Result<Option<Snapshot>> {
    let failed = |error: deltalake_core::DeltaTableError| log.storage.delta_error(&error);
    if !log
        .log_store
        .is_delta_table_location()
        .await
        .map_err(failed)?
    {
        return Ok(None);
    }
    let loaded = EagerSnapshot::try_new(log.log_store.as_ref(), None)
        .await
        .map_err(failed)?;
    let version = loaded.version();
    let mut builder = SnapshotBuilder::with_columns(log.table, &loaded.arrow_schema());
    for file in loaded.try_log_data().map_err(failed)?.iter() {
        let path = file.path().into_owned();
        if file.deletion_vector_descriptor().is_some() {
            return Err(log.has_deletion_vector(&path));
        }
        let partition = file.partition_values_map();
        let date = partition.get(DATE).and_then(Option::as_deref);
        builder.add(
            path,
            u64::try_from(file.size()).unwrap_or(0),
            date,
            file.stats().as_deref(),
        );
    }
    load_counters(log, version, &mut builder).await?;
    Ok(Some(builder.build(version)))
}

/// Reads every `txn` and `remove` action up to `version`. The library answers for one
/// known application only; here all of them are wanted.
async fn load_counters(log: &TableLog, version: u64, builder: &mut SnapshotBuilder) -> Result<()> {
    let checkpoint = newest_checkpoint(log, version).await?;
    let mut next = 0;
    if let Some((checkpoint_version, paths)) = checkpoint {
        for path in paths {
            let store = log.log_store.object_store(None);
            let read = async { store.get(&path).await?.bytes().await };
            let bytes = read.await.map_err(|error| log.storage.error(&error))?;
            checkpoint_counters(bytes, builder)
                .map_err(|error| log.damaged(format!("{path}: {error}")))?;
        }
        next = checkpoint_version + 1;
    }
    for version in next..=version {
        let actions = log.read(version).await?;
        let actions =
            actions.ok_or_else(|| log.damaged(format!("version {version} is missing")))?;
        log.follow_counters(builder, &actions)?;
    }
    Ok(())
}

/// Version and files of the newest Parquet checkpoint that is complete.
async fn newest_checkpoint(log: &TableLog, version: u64) -> Result<Option<(u64, Vec<Path>)>> {
    let store = log.log_store.object_store(None);
    let entries: Vec<_> = store
        .list(Some(log.log_store.log_path()))
        .try_collect()
        .await
        .map_err(|error| log.storage.error(&error))?;
    let mut newest: Option<(u64, Vec<Path>)> = None;
    for entry in entries {
        let Some(found) = entry.location.filename().and_then(checkpoint_version) else {
            continue;
        };
        if found > version {
            continue;
        }
        match &mut newest {
            Some((newest, paths)) if *newest == found => paths.push(entry.location),
            Some((newest, _)) if *newest > found => {}
            _ => newest = Some((found, vec![entry.location])),
        }
    }
    Ok(newest)
}

fn checkpoint_version(file_name: &str) -> Option<u64> {
    let (version, rest) = file_name.split_once('.')?;
    (rest.starts_with("checkpoint.") && rest.ends_with("parquet")).then(|| version.parse().ok())?
}

fn checkpoint_counters(
    bytes: Bytes,
    builder: &mut SnapshotBuilder,
) -> std::result::Result<(), parquet::errors::ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let wanted = [
        "txn.appId",
        "txn.version",
        "remove.path",
        "remove.deletionTimestamp",
    ];
    let mask = ProjectionMask::columns(reader.parquet_schema(), wanted);
    for batch in reader.with_projection(mask).build()? {
        let batch = batch?;
        for (name, version) in pairs(&batch, "txn", "appId", "version") {
            builder.set_counter(name, version);
        }
        for (path, removed_ms) in pairs(&batch, "remove", "path", "deletionTimestamp") {
            // A checkpoint holds paths as the log does: as part of a URL.
            let path = Path::from_url_path(path).map_or(path.to_owned(), |path| path.to_string());
            builder.note_removed(&path, removed_ms);
        }
    }
    Ok(())
}

/// Text and number of the actions of one kind.
fn pairs<'b>(
    batch: &'b RecordBatch,
    action: &str,
    text: &str,
    number: &str,
) -> impl Iterator<Item = (&'b str, i64)> {
    let actions = batch
        .column_by_name(action)
        .and_then(|column| column.as_struct_opt());
    let columns = actions.and_then(|actions| {
        let texts = actions.column_by_name(text)?.as_string_opt::<i32>()?;
        let numbers = actions.column_by_name(number)?;
        Some((actions, texts, numbers.as_primitive_opt::<Int64Type>()?))
    });
    columns.into_iter().flat_map(|(actions, texts, numbers)| {
        (0..actions.len())
            .filter(|row| actions.is_valid(*row) && texts.is_valid(*row))
            .map(|row| (texts.value(row), numbers.value(row)))
    })
}

impl TableLog {
    /// Brings `snapshot` up to the newest version, one small read a commit.
    pub(crate) async fn catch_up(&self, snapshot: &Snapshot) -> Result<Option<Snapshot>> {
        let Some(mut version) = snapshot.version else {
            return load(self).await;
        };
        let mut builder = SnapshotBuilder::from(snapshot);
        let from = version;
        while let Some(actions) = self.read(version + 1).await? {
            if self.follow(&mut builder, &actions)? == Followed::Reload {
                return load(self).await;
            }
            version += 1;
        }
        Ok((version > from).then(|| builder.build(version)))
    }
}
