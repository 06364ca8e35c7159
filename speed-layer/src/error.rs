//! Why the speed layer cannot go on.

/// Why the speed layer gave up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log failed.
    #[error("speed layer cannot use the event log")]
    Log(#[from] event_log::Error),
    /// The hot store failed.
    #[error("speed layer cannot use the hot store")]
    Hot(#[from] hot_store::Error),
}

impl Error {
    /// A conflict is retried as well: another process took the partition, and a
    /// new session starts from what that process stored.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Error::Log(error) => error.is_retryable(),
            Error::Hot(error) => error.is_retryable() || self.is_conflict(),
        }
    }

    /// Whether another process has moved on with one of this one's partitions.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Error::Hot(hot_store::Error::Conflict { .. }))
    }

    pub(crate) fn sentence(&self) -> String {
        let cause = std::error::Error::source(self)
            .map(ToString::to_string)
            .unwrap_or_default();
        format!("{self}: {cause}; retrying")
    }
}
