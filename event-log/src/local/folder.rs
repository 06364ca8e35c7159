//! The folder as the operating system sees it.

use std::path::Path;
use std::time::Duration;

use super::LocalLogConfig;
use crate::{Error, Result};

/// A process that was killed while fjall made the folder leaves one that can
/// neither be opened nor created. Nothing was acknowledged from it.
pub(super) fn remove_unfinished_creation(path: &Path) -> std::io::Result<()> {
    let marker = path.join("version");
    let finished = std::fs::metadata(&marker).is_ok_and(|metadata| metadata.len() > 0);
    if finished || !path.join("0.jnl").exists() {
        return Ok(());
    }
    let lock = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join("lock"))?;
    if lock.try_lock().is_err() {
        // Another process is making it right now; opening will say so.
        return Ok(());
    }
    for file in [path.join("0.jnl"), marker] {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// fjall's errors in this crate's words.
pub(super) fn map_error(path: &Path, error: fjall::Error) -> Error {
    use fjall::{Error as Fjall, LsmError};
    let path = path.display().to_string();
    match error {
        Fjall::Locked => Error::Locked(path),
        Fjall::Io(error) | Fjall::Storage(LsmError::Io(error)) => {
            Error::Unavailable { address: path, reason: error.to_string() }
        }
        Fjall::Poisoned => Error::Unavailable {
            address: path,
            reason: "an earlier write failed; see the log above, make room or repair the disk, then restart".to_owned(),
        },
        error => Error::Damaged { path, reason: error.to_string() },
    }
}

/// Whether the disk has room for more appends; the reason if it has not.
pub(super) fn check_free_bytes(config: &LocalLogConfig) -> Result<()> {
    let unavailable = |reason: String| Error::Unavailable {
        address: config.path.display().to_string(),
        reason,
    };
    let free =
        fs4::available_space(&config.path).map_err(|error| unavailable(error.to_string()))?;
    if free >= config.free_bytes_min {
        return Ok(());
    }
    let (free, minimum) = (free >> 20, config.free_bytes_min >> 20);
    Err(unavailable(format!(
        "the disk has {free} MiB free and {minimum} are needed; delete something or lower retention"
    )))
}

/// How long a group of appends may rely on the last look at the disk's room.
pub(super) const FREE_BYTES_CHECK_INTERVAL: Duration = Duration::from_millis(500);
