//! A result in a local folder: written beside it, then renamed into its place.

use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::ExportError;
use super::names::MANIFEST;
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

/// A whole result, and what its place had when it was looked at.
pub(crate) struct FolderReady {
    staging: FolderStaging,
    /// The manifest of the result that this one replaces.
    replaced: Option<Vec<u8>>,
    is_empty: bool,
}

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

    /// Completes it, and looks at what is in its place, which `may_replace` judges.
    pub(crate) fn ready(
        self,
        manifest: &Bytes,
        may_replace: impl FnOnce(&[String]) -> Result<(), ExportError>,
    ) -> Result<FolderReady, ExportError> {
        let mut file = self.create(MANIFEST)?;
        self.write(&mut file, manifest)?;
        self.flush(&file)?;
        let replaced = self.target.manifest()?;
        let earlier = self.target.files()?;
        may_replace(&earlier)?;
        Ok(FolderReady {
            staging: self,
            replaced,
            is_empty: earlier.is_empty(),
        })
    }
}

impl FolderReady {
    /// Makes all of it visible in one step, where its place is as it was seen. An earlier
    /// result makes room first and is removed then.
    pub(crate) fn publish(self) -> Result<(), ExportError> {
        let FolderStaging {
            target,
            scratch,
            try_id,
        } = self.staging;
        let failed = |error: &std::io::Error| match error.kind() {
            std::io::ErrorKind::DirectoryNotEmpty
            | std::io::ErrorKind::AlreadyExists
            | std::io::ErrorKind::NotFound => ExportError::overtaken(&target.url),
            _ => target.failed("cannot be put in its place", error),
        };
        if self.is_empty {
            // A rename replaces an empty folder, but not one with empty folders in it.
            remove_empty(&target.path).map_err(|error| failed(&error))?;
            return scratch.rename(&target.path).map_err(|error| failed(&error));
        }
        let aside = scratch.path().with_file_name(format!(".{try_id}.replaced"));
        std::fs::rename(&target.path, &aside).map_err(|error| failed(&error))?;
        // Looked at where nobody publishes: what was moved is what was to be replaced.
        let moved = Folder::new(aside.clone()).manifest();
        let renamed = match moved {
            Ok(manifest) if manifest == self.replaced => {
                scratch.rename(&target.path).map_err(|error| failed(&error))
            }
            Ok(_) => Err(ExportError::overtaken(&target.url)),
            Err(error) => Err(error),
        };
        if let Err(error) = renamed {
            let back = std::fs::rename(&aside, &target.path);
            return Err(match back {
                Ok(()) => error,
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

/// Removes a folder in which there are at most folders; one with a file in it is an error.
fn remove_empty(folder: &Path) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_empty(&entry.path())?;
        }
    }
    std::fs::remove_dir(folder)
}
