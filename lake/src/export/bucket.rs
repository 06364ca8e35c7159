//! A result in a bucket: every file is a multipart upload, and an upload is visible
//! when it is completed. All are completed together when the last row is written, as
//! Hadoop's "magic" committer does; the manifest follows. An object store has no
//! rename, and a copy of everything would cost a second transfer.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    MultipartUpload, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use tokio::task::JoinSet;

use super::ExportError;
use super::names::MANIFEST;
use crate::storage::Storage;

/// Every part but the last must be 5 MiB or more.
const PART_BYTES: usize = 8 << 20;
/// Parts of a file that are on their way at once.
const PARTS_IN_FLIGHT: usize = 2;
/// Requests at once when many files are completed or removed.
const REQUESTS: usize = 16;

/// The prefix that a result goes to.
#[derive(Clone)]
pub(crate) struct Bucket {
    storage: Storage,
}

/// A result in the making.
pub(crate) struct BucketStaging {
    target: Bucket,
    /// Whole, but not visible.
    pending: Vec<Pending>,
}

struct Pending {
    path: Path,
    upload: Box<dyn MultipartUpload>,
}

/// A file of it.
pub(crate) struct BucketFile {
    pending: Pending,
    part: Vec<u8>,
    in_flight: JoinSet<object_store::Result<()>>,
}

/// A whole result that nobody sees, and what its place had when it was looked at.
pub(crate) struct BucketReady {
    staging: BucketStaging,
    manifest: Bytes,
    /// The manifest of the result that this one replaces.
    replaced: Option<UpdateVersion>,
    earlier: Vec<String>,
}

impl Bucket {
    pub(crate) fn new(storage: Storage) -> Self {
        Self { storage }
    }

    fn error(&self, error: &object_store::Error) -> ExportError {
        self.storage.error(error).into()
    }

    /// Every object under the prefix, as paths from there.
    pub(crate) async fn files(&self) -> Result<Vec<String>, ExportError> {
        let listed = self.storage.lake.list(None);
        let paths = listed.map_ok(|object| object.location.to_string());
        let paths: Result<Vec<_>, _> = paths.try_collect().await;
        paths.map_err(|error| self.error(&error))
    }

    pub(crate) async fn manifest(&self) -> Result<Option<Vec<u8>>, ExportError> {
        let read = async {
            let object = self.storage.lake.get(&Path::from(MANIFEST)).await?;
            object.bytes().await
        };
        match read.await {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error(&error)),
        }
    }

    pub(crate) fn begin(&self) -> BucketStaging {
        BucketStaging {
            target: self.clone(),
            pending: Vec::new(),
        }
    }

    /// The manifest as it is stored now, to be replaced and no other.
    async fn manifest_version(&self) -> Result<Option<UpdateVersion>, ExportError> {
        match self.storage.lake.head(&Path::from(MANIFEST)).await {
            Ok(object) => Ok(Some(UpdateVersion {
                e_tag: object.e_tag,
                version: object.version,
            })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error(&error)),
        }
    }

    /// Puts a manifest in the place of that one, and of no other.
    async fn put_manifest(
        &self,
        manifest: Bytes,
        replaced: Option<UpdateVersion>,
    ) -> Result<(), ExportError> {
        let mode = replaced.map_or(PutMode::Create, PutMode::Update);
        let location = Path::from(MANIFEST);
        let put = self
            .storage
            .lake
            .put_opts(&location, manifest.into(), PutOptions::from(mode));
        match put.await {
            Ok(_) => Ok(()),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Err(ExportError::overtaken(&self.storage.url)),
            Err(error) => Err(self.error(&error)),
        }
    }

    pub(crate) async fn remove(&self, paths: Vec<String>) -> Result<(), ExportError> {
        let mut removals = futures::stream::iter(paths)
            .map(|path| async move {
                let location = Path::parse(&path)?;
                self.storage.lake.delete(&location).await
            })
            .buffer_unordered(REQUESTS);
        while let Some(removed) = removals.next().await {
            match removed {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.error(&error)),
            }
        }
        Ok(())
    }
}

impl BucketStaging {
    pub(crate) fn url(&self) -> &str {
        &self.target.storage.url
    }

    pub(crate) async fn create(&mut self, path: &str) -> Result<BucketFile, ExportError> {
        let path = Path::parse(path).map_err(|error| ExportError::Internal(error.to_string()))?;
        let upload = self.target.storage.lake.put_multipart(&path).await;
        Ok(BucketFile {
            pending: Pending {
                path,
                upload: upload.map_err(|error| self.target.error(&error))?,
            },
            part: Vec::new(),
            in_flight: JoinSet::new(),
        })
    }

    pub(crate) async fn write(
        &mut self,
        file: &mut BucketFile,
        mut bytes: &[u8],
    ) -> Result<(), ExportError> {
        while !bytes.is_empty() {
            let room = PART_BYTES - file.part.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            file.part.extend_from_slice(now);
            bytes = later;
            if file.part.len() == PART_BYTES {
                self.send(file).await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, file: &mut BucketFile) -> Result<(), ExportError> {
        self.wait(file, PARTS_IN_FLIGHT - 1).await?;
        let part = PutPayload::from(std::mem::take(&mut file.part));
        file.in_flight.spawn(file.pending.upload.put_part(part));
        Ok(())
    }

    /// Until no more than `left` parts are on their way.
    async fn wait(&mut self, file: &mut BucketFile, left: usize) -> Result<(), ExportError> {
        while file.in_flight.len() > left {
            match file.in_flight.join_next().await {
                Some(Ok(Ok(()))) | None => {}
                Some(Ok(Err(error))) => return Err(self.target.error(&error)),
                Some(Err(error)) => return Err(ExportError::Internal(error.to_string())),
            }
        }
        Ok(())
    }

    /// Until all of it is with the server.
    pub(crate) async fn flush(&mut self, file: &mut BucketFile) -> Result<(), ExportError> {
        if !file.part.is_empty() {
            self.send(file).await?;
        }
        self.wait(file, 0).await
    }

    /// The file is whole, and still invisible.
    pub(crate) fn close(&mut self, file: BucketFile) {
        self.pending.push(file.pending);
    }

    /// Looks at what is in its place, which `may_replace` judges.
    pub(crate) async fn ready(
        mut self,
        manifest: Bytes,
        may_replace: impl FnOnce(&[String]) -> Result<(), ExportError>,
    ) -> Result<BucketReady, ExportError> {
        // The manifest before the files: of a result that comes in between the files may be
        // seen, but not its manifest, so that it is not replaced.
        let seen = async {
            let replaced = self.target.manifest_version().await?;
            let earlier = self.target.files().await?;
            may_replace(&earlier)?;
            Ok((replaced, earlier))
        };
        match seen.await {
            Ok((replaced, earlier)) => Ok(BucketReady {
                staging: self,
                manifest,
                replaced,
                earlier,
            }),
            Err(error) => {
                self.discard().await;
                Err(error)
            }
        }
    }

    /// Gives up every upload. Best effort: what stays is invisible, and a bucket's rule
    /// for unfinished uploads removes it.
    pub(crate) async fn discard(&mut self) {
        let mut aborts = futures::stream::iter(self.pending.drain(..))
            .map(|mut pending| async move { (pending.upload.abort().await, pending.path) })
            .buffer_unordered(REQUESTS);
        while let Some((aborted, path)) = aborts.next().await {
            if let Err(error) = aborted {
                tracing::warn!(%path, %error, "cannot give up an unfinished upload");
            }
        }
    }

    /// Gives up a file in the making.
    pub(crate) async fn discard_file(&mut self, mut file: BucketFile) {
        file.in_flight.shutdown().await;
        self.pending.push(file.pending);
    }
}

impl BucketReady {
    /// Makes all of it visible, the manifest last and only where the one there is still
    /// the one that was seen. What was seen is removed after that: who goes by the
    /// manifest has a whole result at any moment, the earlier or this one.
    pub(crate) async fn publish(mut self) -> Result<(), ExportError> {
        let target = self.staging.target.clone();
        let mut completed = Vec::new();
        let mut failed = None;
        let uploads = std::mem::take(&mut self.staging.pending);
        let mut completions = futures::stream::iter(uploads)
            .map(|mut pending| async move { (pending.upload.complete().await, pending) })
            .buffer_unordered(REQUESTS);
        while let Some((outcome, pending)) = completions.next().await {
            match outcome {
                Ok(_) => completed.push(pending.path.to_string()),
                Err(error) => {
                    failed = Some(target.error(&error));
                    self.staging.pending.push(pending);
                }
            }
        }
        drop(completions);
        if failed.is_none() {
            let put = target.put_manifest(self.manifest.clone(), self.replaced.take());
            failed = put.await.err();
        }
        if let Some(error) = failed {
            // What was visible for a moment had no manifest. Where nobody can tell whether
            // it has one now, it stays, and the next try looks.
            match target.manifest().await {
                Ok(there) if there.as_deref() == Some(&self.manifest) => {}
                Ok(_) => {
                    if let Err(left) = target.remove(completed).await {
                        tracing::warn!(error = %left, "cannot remove the files of a result without a manifest");
                    }
                    self.staging.discard().await;
                    return Err(error);
                }
                Err(_) => {
                    self.staging.discard().await;
                    return Err(error);
                }
            }
        }
        let replaced = self.earlier.into_iter().filter(|path| path != MANIFEST);
        if let Err(left) = target.remove(replaced.collect()).await {
            // The result is there and whole for who reads by its list.
            tracing::warn!(url = %target.storage.url, error = %left, "cannot remove all of the result that was replaced");
        }
        Ok(())
    }

    pub(crate) async fn discard(mut self) {
        self.staging.discard().await;
    }
}
