//! How far an interrupted replay got.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Format, Input, ReplayError, ReplayOptions};

/// The state of one replay: where it goes on, and what it came to so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Number, from 0, of the first row that is not acknowledged yet. It counts
    /// what a format makes of the file, bad rows included.
    pub next_row: u64,
    /// How much later than recorded the rows are, microseconds.
    pub shift_us: Option<i64>,
    /// Rows of the file behind `next_row`.
    pub rows: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub bad: u64,
    pub skipped: BTreeMap<String, u64>,
}

/// Where the state of one replay is kept.
pub(crate) struct ProgressFile {
    path: PathBuf,
}

impl ProgressFile {
    /// Named by what makes a replay the same: file, size, time of change, format,
    /// stream, columns and receiver. `None` where nothing can be resumed.
    pub fn of(
        options: &ReplayOptions,
        format: Format,
        sink: &str,
    ) -> Result<Option<Self>, ReplayError> {
        let (Some(folder), Input::File(file)) = (&options.state_dir, &options.input) else {
            return Ok(None);
        };
        let failed = |source| ReplayError::Read {
            path: file.clone(),
            source,
        };
        let metadata = fs::metadata(file).map_err(failed)?;
        let changed = metadata.modified().map_err(failed)?;
        let identity = format!(
            "{}|{}|{}|{format}|{:?}|{:?}|{}|{sink}",
            fs::canonicalize(file).map_err(failed)?.display(),
            metadata.len(),
            changed
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_micros(),
            options.stream,
            options.map,
            options.rebase_to_now,
        );
        let identity = match &options.time_format {
            Some(format) => format!("{identity}|{format}"),
            None => identity,
        };
        let name = Uuid::new_v5(&Uuid::NAMESPACE_URL, identity.as_bytes());
        Ok(Some(Self {
            path: folder.join(format!("{name}.json")),
        }))
    }

    /// Where the last run got to; `None` where there was none that was
    /// interrupted.
    pub fn load(&self) -> Result<Option<Progress>, ReplayError> {
        match fs::read(&self.path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
                ReplayError::Options(format!(
                    "{} does not hold a replay's progress ({error}); begin anew with --restart",
                    self.path.display()
                ))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Replaces the file whole: a crash leaves the old one or the new one.
    pub fn save(&self, progress: &Progress) -> Result<(), ReplayError> {
        let failed = |source| self.failed(source);
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        let temporary = self.path.with_extension("tmp");
        let text = serde_json::to_vec(progress).map_err(|error| failed(error.into()))?;
        fs::write(&temporary, text).map_err(failed)?;
        fs::rename(&temporary, &self.path).map_err(failed)
    }

    /// The replay is done, or begins anew.
    pub fn remove(&self) -> Result<(), ReplayError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, source: std::io::Error) -> ReplayError {
        ReplayError::Progress {
            path: self.path.clone(),
            source,
        }
    }
}
