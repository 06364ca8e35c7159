//! One table's commit files: `_delta_log/<20 digits>.json`.

use bytes::Bytes;
use deltalake_core::logstore::{LogStoreRef, commit_uri_from_version};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::storage::Storage;
use crate::{Result, Table};

/// How an attempt to write a version ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The version is ours.
    Done,
    /// Somebody has written that version before.
    Taken,
}

/// Access to one table's log.
#[derive(Clone)]
pub(crate) struct TableLog {
    pub(crate) table: Table,
    pub(crate) storage: Storage,
    pub(crate) log_store: LogStoreRef,
}

impl TableLog {
    pub(crate) fn open(storage: &Storage, table: Table) -> Result<Self> {
        Ok(Self {
            table,
            storage: storage.clone(),
            log_store: storage.log_store(table)?,
        })
    }

    /// The actions of `version`, or `None` while nobody has written it.
    pub(crate) async fn read(&self, version: u64) -> Result<Option<Bytes>> {
        let store = self.log_store.object_store(None);
        let read = async {
            store
                .get(&commit_uri_from_version(Some(version)))
                .await?
                .bytes()
                .await
        };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { source, .. }) => {
                let missing = self.storage.error(&object_store::Error::Generic {
                    store: "lake",
                    source,
                });
                // A bucket that is not there says "not found" as well.
                if matches!(missing, crate::Error::Configuration { .. }) {
                    Err(missing)
                } else {
                    Ok(None)
                }
            }
            Err(error) => Err(self.storage.error(&error)),
        }
    }

    /// Writes `version`. An error leaves open whether it was written: the caller
    /// has to look before it writes the same actions under another version.
    pub(crate) async fn write(&self, version: u64, actions: Bytes) -> Result<Written> {
        let store = self.log_store.object_store(None);
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        match store
            .put_opts(
                &commit_uri_from_version(Some(version)),
                actions.into(),
                options,
            )
            .await
        {
            Ok(_) => Ok(Written::Done),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Written::Taken),
            Err(error) => Err(self.storage.error(&error)),
        }
    }
}
