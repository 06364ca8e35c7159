//! What can go wrong with the lake.

use events::{Offset, TopicPartition};

/// Result of lake operations.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed lake operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage cannot be reached now; the same call may work later.
    #[error("the lake at {url} is not available: {reason}")]
    Unavailable {
        /// Bucket or folder.
        url: String,
        /// What the storage said, without credentials.
        reason: String,
    },
    /// The configuration cannot work: somebody has to change something.
    #[error("the lake at {url} cannot be used: {reason}")]
    Configuration {
        /// Bucket or folder.
        url: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Another writer has moved the position since it was read: what this commit
    /// holds is already in the table, or records before it are missing.
    #[error(
        "table {table}: stored position of {partition} is {stored:?}, not {expected:?}; read on from the stored one"
    )]
    PositionMoved {
        /// The table.
        table: String,
        /// Whose position.
        partition: TopicPartition,
        /// Where the refused commit begins.
        expected: Offset,
        /// Where the table is; `None` before the first commit.
        stored: Option<Offset>,
    },
    /// What this commit holds is already in the table under that mark.
    #[error("table {table}: {mark} is already in")]
    AlreadyMarked {
        /// The table.
        table: String,
        /// The mark that is there.
        mark: String,
    },
    /// Files that were to be exchanged for others are no longer in the table: somebody
    /// else has exchanged or removed them. Nothing was changed.
    #[error("table {table}: the files to be replaced were replaced by somebody else")]
    FilesChanged {
        /// The table.
        table: String,
    },
    /// The data does not fit the table.
    #[error("table {table}: {reason}")]
    Schema {
        /// The table.
        table: String,
        /// What does not fit.
        reason: String,
    },
    /// What is stored is not what a Delta table holds.
    #[error("table {table} is damaged or was written in a way that is not understood: {reason}")]
    Damaged {
        /// The table.
        table: String,
        /// What was found.
        reason: String,
    },
}

impl Error {
    /// Whether the same call may work later: when the storage is back, or when
    /// somebody has mended its configuration (created the bucket, given the right).
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Error::Unavailable { .. } | Error::Configuration { .. }
        )
    }
}
