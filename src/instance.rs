//! The data folder of the embedded back ends: one process at a time, and a note
//! that tells other commands where that process listens.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

const LOCK_FILE: &str = "citypulse.lock";

/// Possession of a data folder, given up on drop or when the process dies.
pub struct DataFolder {
    file: File,
}

impl DataFolder {
    /// Takes the folder, creating it where needed.
    pub fn take(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create data folder {}", folder.display()))?;
        let path = folder.join(LOCK_FILE);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match try_for_a_while(&file) {
            // What the last process noted is no longer so.
            Ok(()) => file.set_len(0)?,
            Err(TryLockError::WouldBlock) => bail!(
                "data folder {} is in use by another citypulse process{}; stop it or choose another --data-dir",
                folder.display(),
                address_in(file)
                    .map(|address| format!(" ({address})"))
                    .unwrap_or_default()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        Ok(Self { file })
    }

    /// Notes where this process listens.
    pub fn announce(&mut self, address: &str) -> Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(address.as_bytes())?;
        Ok(())
    }
}

/// Somebody who only looks whether the folder is held has it for a moment.
fn try_for_a_while(file: &File) -> std::result::Result<(), TryLockError> {
    const TRIES: u32 = 10;
    const PAUSE: Duration = Duration::from_millis(50);
    for _ in 1..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
    file.try_lock()
}

/// Where the process that holds `folder` listens; `None` when nobody holds it.
pub fn running_address(folder: &Path) -> Option<String> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(folder.join(LOCK_FILE))
        .ok()?;
    match file.try_lock() {
        Ok(()) => None,
        Err(_) => address_in(file),
    }
}

fn address_in(mut file: File) -> Option<String> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    Some(text.trim().to_string()).filter(|address| !address.is_empty())
}
