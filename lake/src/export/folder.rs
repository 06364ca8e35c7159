//! A result in a local folder: written beside it, then renamed into its place.

use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::ExportError;
use super::names::{MANIFEST, is_ours};
use super::scratch::Scratch;

/// The folder that a result goes to.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    url: String,
}

/// A result in the making.
pub(crate) struct FolderStaging {
    target: Folder,
    scratch: Scratch,
    try_id: String,
}

/// A file of it.
pub(crate) struct FolderFile(std::fs::File);

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            url: path.display().to_string(),
            path,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Every file in it, as paths from here.
    pub(crate) fn files(&self) -> Result<Vec<String>, ExportError> {
        let mut files = Vec::new();
        let mut open = vec![self.path.clone()];
        while let Some(folder) = open.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(self.failed("cannot be read", &error)),
            };
            for entry in entries {
                let entry = entry.map_err(|error| self.failed("cannot be read", &error))?;
                let path = entry.path();
                let kind = entry.file_type();
                match kind.map_err(|error| self.failed("cannot be read", &error))? {
                    kind if kind.is_dir() => open.push(path),
                    _ => files.push(
                        path.strip_prefix(&self.path)
                            .unwrap_or(&path)
                            .to_string_lossy()
                            .into_owned(),
                    ),
                }
            }
        }
        Ok(files)
    }

    pub(crate) fn manifest(&self) -> Result<Option<Vec<u8>>, ExportError> {
        match std::fs::read(self.path.join(MANIFEST)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("cannot be read", &error)),
        }
    }

    fn failed(&self, doing: &str, error: &std::io::Error) -> ExportError {
        ExportError::io(&self.url, doing, error)
    }

    pub(crate) fn begin(&self, try_id: &str) -> Result<FolderStaging, ExportError> {
        let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Err(ExportError::refused(
                &self.url,
                "is the root of the file system; name a folder in it",
            ));
        };
        let prefix = format!(".{}.staging-", name.to_string_lossy());
        let scratch = Scratch::create(parent, &prefix, try_id)
            .map_err(|error| self.failed("no folder can be made beside it", &error))?;
        Ok(FolderStaging {
            target: self.clone(),
            scratch,
            try_id: try_id.to_owned(),
        })
    }
}

impl FolderStaging {
    pub(crate) fn url(&self) -> &str {
        &self.target.url
    }

    pub(crate) fn create(&self, path: &str) -> Result<FolderFile, ExportError> {
        let path = self.scratch.path().join(path);
        let made = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::File::create_new(&path));
        let file = made.map_err(|error| self.target.failed("a file cannot be made", &error))?;
        Ok(FolderFile(file))
    }

    pub(crate) fn write(&self, file: &mut FolderFile, bytes: &Bytes) -> Result<(), ExportError> {
        let written = file.0.write_all(bytes);
        written.map_err(|error| self.target.failed("cannot be written", &error))
    }

    pub(crate) fn flush(&self, file: &FolderFile) -> Result<(), ExportError> {
        let synced = file.0.sync_all();
        synced.map_err(|error| self.target.failed("cannot be written", &error))
    }

    /// Makes all of it visible in one step. With `overwrite` an earlier result makes
    /// room first and is removed then.
    pub(crate) fn publish(self, manifest: &Bytes, overwrite: bool) -> Result<(), ExportError> {
        let mut file = self.create(MANIFEST)?;
        self.write(&mut file, manifest)?;
        self.flush(&file)?;
        let Self {
            target,
            scratch,
            try_id,
        } = self;
        let earlier = target.files()?;
        let failed = |error: &std::io::Error| target.failed("cannot be put in its place", error);
        if earlier.is_empty() {
            // An empty folder gives way to a rename, but not one with empty folders in it.
            if target.path.is_dir() {
                std::fs::remove_dir_all(&target.path).map_err(|error| failed(&error))?;
            }
            return scratch.rename(&target.path).map_err(|error| failed(&error));
        }
        if !overwrite || !earlier.iter().all(|path| is_ours(path)) {
            return Err(ExportError::refused(
                &target.url,
                "somebody has written there meanwhile; nothing was changed",
            ));
        }
        let aside = scratch.path().with_file_name(format!(".{try_id}.replaced"));
        std::fs::rename(&target.path, &aside).map_err(|error| failed(&error))?;
        if let Err(error) = scratch.rename(&target.path) {
            let back = std::fs::rename(&aside, &target.path);
            return Err(match back {
                Ok(()) => failed(&error),
                Err(_) => ExportError::refused(
                    &target.url,
                    format!("{error}; the earlier result is now at {}", aside.display()),
                ),
            });
        }
        if let Err(error) = std::fs::remove_dir_all(&aside) {
            tracing::warn!(path = %aside.display(), %error, "cannot remove the result that was replaced");
        }
        Ok(())
    }
}
