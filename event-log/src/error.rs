//! What can go wrong with a log.

/// Result of log operations.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed log operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log cannot be reached or is overloaded now.
    #[error("event log at {address} is not available: {reason}")]
    Unavailable {
        /// Servers or folder.
        address: String,
        /// What the client said.
        reason: String,
    },
    /// There is no such topic.
    #[error("topic {0} does not exist; `citypulse topics` creates the missing ones")]
    UnknownTopic(String),
    /// Another process holds the embedded log's folder.
    #[error(
        "data folder {0} is in use by another citypulse process; stop it or choose another --data-dir"
    )]
    Locked(String),
    /// The record or request is not one that the log can take.
    #[error("{0}")]
    Invalid(String),
    /// Stored data is not what was written.
    #[error("event log in {path} is damaged: {reason}")]
    Damaged {
        /// The folder.
        path: String,
        /// What was found.
        reason: String,
    },
}

impl Error {
    /// Whether the same call may work later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Unavailable { .. } | Error::UnknownTopic(_))
    }
}
