//! Folders for the time of a run. A process that is killed leaves its own behind; the
//! next one tells them by the lock that nobody holds any more.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

const LOCK: &str = ".lock";

/// A folder that is removed with this, or by a later [`Scratch::create`] beside it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// Given up when the process ends, however it ends.
    _lock: File,
}

impl Scratch {
    /// Makes `parent/{prefix}{name}`, after removing what killed processes left of
    /// that prefix in `parent`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(parent: &Path, prefix: &str, name: &str) -> io::Result<Self> {
        std::fs::create_dir_all(parent)?;
        sweep(parent, prefix)?;
        let path = parent.join(format!("{prefix}{name}"));
        std::fs::create_dir(&path)?;
        // Locked before it has the name by which others find it.
        let unnamed = path.join(".lock-in-the-making");
        let lock = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&unnamed)?;
        lock.lock()?;
        std::fs::rename(unnamed, path.join(LOCK))?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the folder a name of its own, under which it stays.
    pub(crate) fn rename(self, to: &Path) -> io::Result<()> {
        std::fs::remove_file(self.path.join(LOCK))?;
        std::fs::rename(&self.path, to)
        // The drop that follows finds nothing to remove.
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a temporary folder");
        }
    }
}

/// Removes folders whose process is gone. One without a lock file is being made or
/// renamed right now: it is left alone.
fn sweep(parent: &Path, prefix: &str) -> io::Result<()> {
    for entry in std::fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            tracing::info!(path = %entry.path().display(), "removing what a killed process left");
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_goes_and_what_a_living_one_holds_stays() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let left = parent.path().join("job-left");
        std::fs::create_dir(&left).expect("a folder");
        std::fs::write(left.join(LOCK), "").expect("a lock that nobody holds");
        std::fs::create_dir(parent.path().join("other")).expect("a folder");
        let living = Scratch::create(parent.path(), "job-", "1").expect("a folder");
        assert!(!left.exists() && parent.path().join("other").is_dir());
        let second = Scratch::create(parent.path(), "job-", "2").expect("a folder");
        assert!(living.path().is_dir() && second.path().is_dir());
        drop(living);
        second.rename(&parent.path().join("kept")).expect("a name");
        let mut names: Vec<_> = std::fs::read_dir(parent.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["kept", "other"]);
    }
}
