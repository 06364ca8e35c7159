//! Where a result goes, and whether it may.

use std::collections::HashSet;
use std::path::{Component, Path as FilePath, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ExportError;
use super::bucket::{Bucket, BucketFile, BucketReady, BucketStaging};
use super::folder::{Folder, FolderFile, FolderReady, FolderStaging};
use super::names::{is_ours, run_of};
use crate::storage::Storage;
use crate::{LakeConfig, S3Options};

/// A folder or a prefix in a bucket.
#[derive(Clone)]
pub struct Target {
    url: String,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Folder(Folder),
    Bucket(Bucket),
}

/// A result in the making.
pub(crate) enum Staging {
    Folder(FolderStaging),
    Bucket(BucketStaging),
}

/// A result that is whole and that nobody sees.
pub(crate) enum Ready {
    Folder(FolderReady),
    Bucket(BucketReady),
}

/// A file of it.
pub(crate) enum StagedFile {
    Folder(FolderFile),
    Bucket(BucketFile),
}

/// What `_SUCCESS` says: which files the result has, and where it comes from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// The job's name.
    pub job: String,
    /// The run's id.
    pub run_id: String,
    /// `citypulse VERSION`
    pub written_by: String,
    /// When the run began, RFC 3339.
    pub started: String,
    /// `parquet`, `csv` or `json` (one object a line).
    pub format: String,
    /// Columns that are in the folders' names and not in the files.
    pub partition_by: Vec<String>,
    /// The values of the statement's parameters.
    pub parameters: std::collections::BTreeMap<String, String>,
    /// The Delta version of each table that was read; null for one that did not exist.
    pub tables: std::collections::BTreeMap<String, Option<u64>>,
    /// Tables of which records of the log were read behind that version.
    pub with_tail: Vec<String>,
    /// Rows of all files.
    pub rows: u64,
    /// Size of all files.
    pub bytes: u64,
    /// All of them.
    pub files: Vec<ManifestFile>,
}

/// A file of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// From the target on.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

impl Target {
    /// A folder (plain path or `file:///...`) or `s3://bucket/prefix`. Nothing is
    /// created or contacted yet. `lake_url` is where the tables are: nothing may be
    /// written among them.
    ///
    /// # Errors
    /// [`ExportError::Refused`] that says what is wrong with it.
    pub fn open(url: &str, s3: &S3Options, lake_url: &str) -> Result<Self, ExportError> {
        let shown = url.trim_end_matches('/').to_owned();
        if shown.is_empty() {
            return Err(ExportError::refused(
                url,
                "expected a folder or s3://bucket/prefix",
            ));
        }
        let place = match shown.split_once("://") {
            Some(("s3" | "s3a", path)) => {
                let bucket = path.split('/').next().unwrap_or_default();
                let is_plain =
                    |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
                let steps = path.split('/').any(|part| matches!(part, "." | ".."));
                if !bucket.chars().all(is_plain) || steps || path.contains(['?', '#', '\\']) {
                    return Err(ExportError::refused(
                        url,
                        "expected s3://bucket/prefix without user, port, query, `.` and `..`",
                    ));
                }
                if is_within(
                    path,
                    lake_url.split_once("://").map_or("", |(_, lake)| lake),
                ) {
                    return Err(among_tables(&shown, lake_url));
                }
                Place::Bucket(Bucket::new(Storage::open(&LakeConfig {
                    url: shown.clone(),
                    s3: s3.clone(),
                })?))
            }
            Some(("file", path)) => Self::folder(FilePath::new(path), &shown, lake_url)?,
            Some(_) => {
                return Err(ExportError::refused(
                    &shown,
                    "has a scheme that is not supported; use a folder, file:///folder or s3://bucket/prefix",
                ));
            }
            None => Self::folder(FilePath::new(&shown), &shown, lake_url)?,
        };
        Ok(Self { url: shown, place })
    }

    fn folder(path: &FilePath, shown: &str, lake_url: &str) -> Result<Place, ExportError> {
        let path = absolute(path).map_err(|error| ExportError::io(shown, "no path", &error))?;
        let lake = absolute(FilePath::new(
            lake_url.strip_prefix("file://").unwrap_or(lake_url),
        ));
        if lake.is_ok_and(|lake| path.starts_with(&lake) || lake.starts_with(&path)) {
            return Err(among_tables(shown, lake_url));
        }
        Ok(Place::Folder(Folder::new(path)))
    }

    /// A bucket for tests.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        Self {
            url: "memory".to_owned(),
            place: Place::Bucket(Bucket::new(Storage::in_memory())),
        }
    }

    /// As people know it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether a result may be written there: where something is already, only with
    /// `overwrite`, and only where jobs wrote all of it. What tries of the run itself left
    /// that were stopped while they published is nothing.
    ///
    /// # Errors
    /// [`ExportError::Refused`] that says what is there and what to do.
    pub async fn check(&self, overwrite: bool, run_id: &str) -> Result<(), ExportError> {
        let files = match &self.place {
            Place::Folder(folder) if folder.path().is_file() => {
                return Err(ExportError::refused(&self.url, "is a file; name a folder"));
            }
            Place::Folder(folder) => folder.files()?,
            Place::Bucket(bucket) => bucket.files().await?,
        };
        may_replace(&self.url, &files, overwrite, run_id)
    }

    /// The manifest of the result that is there; `None` where none is, or another
    /// program's.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn manifest(&self) -> Result<Option<Manifest>, ExportError> {
        let bytes = match &self.place {
            Place::Folder(folder) => folder.manifest()?,
            Place::Bucket(bucket) => bucket.manifest().await?,
        };
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// What jobs wrote there and this result does not list: the rest of a removal that
    /// was interrupted. A folder's result appears in one step and leaves nothing.
    ///
    /// # Errors
    /// Where the bucket cannot be read.
    pub async fn besides(&self, result: &Manifest) -> Result<Vec<String>, ExportError> {
        let listed: HashSet<&str> = result.files.iter().map(|file| file.path.as_str()).collect();
        let mut files = match &self.place {
            Place::Folder(_) => Vec::new(),
            Place::Bucket(bucket) => bucket.files().await?,
        };
        files.retain(|path| run_of(path).is_some() && !listed.contains(path.as_str()));
        Ok(files)
    }

    /// Removes files that [`Target::besides`] found.
    ///
    /// # Errors
    /// Where the bucket cannot be written.
    pub async fn remove(&self, files: Vec<String>) -> Result<(), ExportError> {
        match &self.place {
            Place::Folder(_) => Ok(()),
            Place::Bucket(bucket) => bucket.remove(files).await,
        }
    }

    pub(crate) fn begin(&self, try_id: &str) -> Result<Staging, ExportError> {
        match &self.place {
            Place::Folder(folder) => folder.begin(try_id).map(Staging::Folder),
            Place::Bucket(bucket) => Ok(Staging::Bucket(bucket.begin())),
        }
    }
}

/// Whether a result of that run may take the place of these files.
fn may_replace(
    url: &str,
    files: &[String],
    overwrite: bool,
    run_id: &str,
) -> Result<(), ExportError> {
    let others = files.iter().filter(|path| run_of(path) != Some(run_id));
    let (ours, foreign): (Vec<&String>, Vec<&String>) = others.partition(|path| is_ours(path));
    let reason = match foreign.first() {
        None if ours.is_empty() || overwrite => return Ok(()),
        None => format!(
            "has a result already ({} files); choose another place, or replace it with --overwrite \
             (overwrite = true for a scheduled job)",
            ours.len()
        ),
        Some(path) => {
            format!("has {path}, which no job wrote; choose a place of its own for the result")
        }
    };
    Err(ExportError::refused(url, reason))
}

fn among_tables(url: &str, lake_url: &str) -> ExportError {
    ExportError::refused(
        url,
        format!("is among the tables of the lake at {lake_url}; choose another place"),
    )
}

/// Whether one of two paths is the other or lies in it.
fn is_within(one: &str, other: &str) -> bool {
    let parts = |path: &str| -> Vec<String> {
        path.split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (one, other) = (parts(one), parts(other));
    !other.is_empty() && (one.starts_with(&other) || other.starts_with(&one))
}

/// Absolute, without `.` and `..`, and without links as far as it exists.
fn absolute(path: &FilePath) -> std::io::Result<PathBuf> {
    let mut whole = PathBuf::new();
    for part in std::path::absolute(path)?.components() {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            Component::CurDir => {}
            part => whole.push(part),
        }
    }
    let mut rest = Vec::new();
    let mut exists = whole.as_path();
    loop {
        match exists.canonicalize() {
            Ok(real) => return Ok(rest.iter().rev().fold(real, |path, part| path.join(part))),
            Err(_) => match (exists.parent(), exists.file_name()) {
                (Some(parent), Some(name)) => {
                    rest.push(name.to_owned());
                    exists = parent;
                }
                _ => return Ok(whole),
            },
        }
    }
}

impl Staging {
    /// Where the result goes.
    pub(crate) fn url(&self) -> &str {
        match self {
            Staging::Folder(staging) => staging.url(),
            Staging::Bucket(staging) => staging.url(),
        }
    }

    pub(crate) async fn create(&mut self, path: &str) -> Result<StagedFile, ExportError> {
        match self {
            Staging::Folder(staging) => staging.create(path).map(StagedFile::Folder),
            Staging::Bucket(staging) => staging.create(path).await.map(StagedFile::Bucket),
        }
    }

    pub(crate) async fn write(
        &mut self,
        file: &mut StagedFile,
        bytes: &Bytes,
    ) -> Result<(), ExportError> {
        match (self, file) {
            (Staging::Folder(staging), StagedFile::Folder(file)) => staging.write(file, bytes),
            (Staging::Bucket(staging), StagedFile::Bucket(file)) => {
                staging.write(file, bytes).await
            }
            _ => Err(mixed()),
        }
    }

    // `&mut` throughout: an upload may be sent to another thread, not shared.

    /// Until all of the file is with the storage.
    pub(crate) async fn flush(&mut self, file: &mut StagedFile) -> Result<(), ExportError> {
        match (self, file) {
            (Staging::Folder(staging), StagedFile::Folder(file)) => staging.flush(file),
            (Staging::Bucket(staging), StagedFile::Bucket(file)) => staging.flush(file).await,
            _ => Err(mixed()),
        }
    }

    /// The file is whole, and still invisible.
    pub(crate) fn close(&mut self, file: StagedFile) {
        if let (Staging::Bucket(staging), StagedFile::Bucket(file)) = (self, file) {
            staging.close(file);
        }
    }

    /// Looks at its place, and refuses where it may not be replaced; nothing is visible.
    pub(crate) async fn ready(
        self,
        manifest: Bytes,
        overwrite: bool,
        run_id: &str,
    ) -> Result<Ready, ExportError> {
        let url = self.url().to_owned();
        let may_replace = |files: &[String]| may_replace(&url, files, overwrite, run_id);
        match self {
            Staging::Folder(staging) => staging.ready(&manifest, may_replace).map(Ready::Folder),
            Staging::Bucket(staging) => staging
                .ready(manifest, may_replace)
                .await
                .map(Ready::Bucket),
        }
    }

    /// Nothing of it remains.
    pub(crate) async fn discard(self, in_work: Option<StagedFile>) {
        if let Staging::Bucket(mut staging) = self {
            if let Some(StagedFile::Bucket(file)) = in_work {
                staging.discard_file(file).await;
            }
            staging.discard().await;
        }
    }
}

impl Ready {
    /// Makes it visible, where its place is still as it was seen.
    pub(crate) async fn publish(self) -> Result<(), ExportError> {
        match self {
            Ready::Folder(ready) => ready.publish(),
            Ready::Bucket(ready) => ready.publish().await,
        }
    }

    /// Nothing of it remains.
    pub(crate) async fn discard(self) {
        if let Ready::Bucket(ready) = self {
            ready.discard().await;
        }
    }
}

fn mixed() -> ExportError {
    ExportError::Internal("a file of another target".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_among_the_tables() {
        let open = |url: &str, lake: &str| {
            let s3 = S3Options {
                endpoint: None,
                ..S3Options::default()
            };
            Target::open(url, &s3, lake)
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        for (url, lake) in [
            ("data/lake", "data/lake"),
            ("data/lake/gps_data/x", "data/lake"),
            ("data", "data/lake"),
            ("data/out/../lake", "data/lake"),
            ("s3://city/lake/out", "s3://city/lake"),
            ("s3://city/", "s3://city/lake"),
        ] {
            let error = open(url, lake).expect_err(url);
            assert!(error.contains("among the tables"), "{url}: {error}");
        }
        for (url, lake) in [
            ("data/reports", "data/lake"),
            ("data/lake2", "data/lake"),
            ("s3://city/lake2", "s3://city/lake"),
            ("s3://reports/a", "s3://city/lake"),
        ] {
            assert_eq!(open(url, lake), Ok(()), "{url}");
        }
        for url in [
            "s3://city/x/../lake/y",
            "s3://city/lake?x",
            "s3://user@city/lake",
            "s3://city:1/lake",
        ] {
            let error = open(url, "s3://city/lake").expect_err(url);
            assert!(error.contains("expected s3://bucket/prefix"), "{error}");
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let lake = folder.path().join("lake");
        std::fs::create_dir_all(&lake).expect("a folder");
        std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).expect("a link");
        let linked = folder.path().join("link/lake/x").display().to_string();
        for lake in [
            lake.display().to_string(),
            format!("file://{}", lake.display()),
        ] {
            let error = open(&linked, &lake).expect_err("a link into the lake");
            assert!(error.contains("among the tables"), "{error}");
        }
        let error = open("ftp://x/y", "data/lake").expect_err("a scheme");
        assert!(error.contains("not supported"), "{error}");
    }
}
