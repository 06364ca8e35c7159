//! What can go wrong with a hot store.

use events::{Offset, TopicPartition};

/// Result of hot store operations.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed hot store operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be reached or answers with an error now.
    #[error("hot store at {address} is not available: {reason}")]
    Unavailable {
        /// Server address without credentials.
        address: String,
        /// What the client said.
        reason: String,
    },
    /// Another process moved the partition's position.
    #[error(
        "position of {partition} is {stored}, not {expected}: another process owns the partition"
    )]
    Conflict {
        /// The partition.
        partition: TopicPartition,
        /// The batch's `from`.
        expected: Offset,
        /// The position that is stored.
        stored: Offset,
    },
    /// The store cannot be set up as configured; trying again does not help.
    #[error("hot store configuration: {0}")]
    Configuration(String),
    /// A stored value cannot be read back.
    #[error("hot store value {key} is damaged: {reason}")]
    Damaged {
        /// The key.
        key: String,
        /// What was found.
        reason: String,
    },
}

impl Error {
    /// Whether the same call may work later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Unavailable { .. })
    }
}
