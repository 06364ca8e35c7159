//! Why a query was not answered, and whose turn it is.

use datafusion::error::DataFusionError;

/// Result of a query.
pub type QueryResult<T> = std::result::Result<T, QueryError>;

/// A query that was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The query itself is wrong or not allowed; the sentence is for its author.
    #[error("{0}")]
    User(String),
    /// It took longer than the limit.
    #[error("the query took longer than {limit_s} s and was stopped; narrow it (a time range, a LIMIT) or raise the limit")]
    Timeout {
        /// The limit, seconds.
        limit_s: u64,
    },
    /// More queries run than the limit allows; try again shortly.
    #[error("{limit} queries are running already; try again in a moment")]
    Busy {
        /// How many may run at once.
        limit: usize,
    },
    /// The query needs more memory or spill space than the limit.
    #[error("the query needs more than the memory it may use: {0}")]
    Resources(String),
    /// The log or the lake cannot be read now.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of ours.
    #[error("the query failed: {0}")]
    Internal(String),
}

impl QueryError {
    /// Whether the query's author has to change it.
    pub fn is_user(&self) -> bool {
        matches!(self, QueryError::User(_))
    }

    /// Whether the same query may work later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, QueryError::Busy { .. } | QueryError::Unavailable(_) | QueryError::Timeout { .. })
    }
}

impl From<DataFusionError> for QueryError {
    /// Sorts an error of planning or of a result stream.
    fn from(error: DataFusionError) -> Self {
        QueryError::Internal(error.to_string())
    }
}
