//! Why a result could not be written.

use crate::Error;

/// A result that is not there.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Somebody has to change something: the target, its rights, the query.
    #[error("output {url}: {reason}")]
    Refused {
        /// The target.
        url: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The same run may work later.
    #[error("output {url} is not available: {reason}")]
    Unavailable {
        /// The target.
        url: String,
        /// What the storage said.
        reason: String,
    },
    /// Another run has published there since this one looked. Begun again it sees that.
    #[error("output {url}: another run has written there meanwhile; this one changed nothing")]
    Overtaken {
        /// The target.
        url: String,
    },
    /// A fault of ours.
    #[error("the output cannot be written: {0}")]
    Internal(String),
}

impl ExportError {
    pub(crate) fn refused(url: &str, reason: impl Into<String>) -> Self {
        ExportError::Refused {
            url: url.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn overtaken(url: &str) -> Self {
        ExportError::Overtaken {
            url: url.to_owned(),
        }
    }

    /// Says what an error of the local file system means.
    pub(crate) fn io(url: &str, doing: &str, error: &std::io::Error) -> Self {
        let reason = format!("{doing}: {error}");
        match error.kind() {
            std::io::ErrorKind::PermissionDenied
            | std::io::ErrorKind::ReadOnlyFilesystem
            | std::io::ErrorKind::NotADirectory => Self::refused(
                url,
                format!("{reason}; choose another folder or mend its rights"),
            ),
            std::io::ErrorKind::StorageFull => ExportError::Unavailable {
                url: url.to_owned(),
                reason: "the disk is full; free some space".to_owned(),
            },
            _ => ExportError::Unavailable {
                url: url.to_owned(),
                reason,
            },
        }
    }
}

impl From<Error> for ExportError {
    /// Of a storage that is opened for output.
    fn from(error: Error) -> Self {
        match error {
            Error::Configuration { url, reason } => ExportError::Refused { url, reason },
            Error::Unavailable { url, reason } => ExportError::Unavailable { url, reason },
            other => ExportError::Internal(other.to_string()),
        }
    }
}
