//! Why a query was not answered, and whose turn it is.

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

/// Result of a query.
pub type QueryResult<T> = std::result::Result<T, QueryError>;

/// A query that was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The query itself is wrong or not allowed; the sentence is for its author.
    #[error("{0}")]
    User(String),
    /// It took longer than the limit.
    #[error(
        "the query took longer than {limit_s} s and was stopped; narrow it (a time range, a LIMIT) or raise the limit"
    )]
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
    #[error(
        "the query needs more memory than it may use; narrow it (a time range, fewer groups): {0}"
    )]
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
        matches!(
            self,
            QueryError::Busy { .. } | QueryError::Unavailable(_) | QueryError::Timeout { .. }
        )
    }

    pub(crate) fn from_log(error: event_log::Error) -> Self {
        if error.is_retryable() {
            Self::Unavailable(error.to_string())
        } else {
            Self::Internal(error.to_string())
        }
    }

    pub(crate) fn from_lake(error: crate::Error) -> Self {
        if error.is_retryable() {
            Self::Unavailable(error.to_string())
        } else {
            Self::Internal(error.to_string())
        }
    }

    /// An error that carries this one through a result stream.
    pub(crate) fn into_datafusion(self) -> DataFusionError {
        DataFusionError::External(Box::new(self))
    }
}

impl From<DataFusionError> for QueryError {
    /// Sorts an error of planning or of a result stream.
    fn from(error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::SQL(parser, _) => {
                let reason = parser.to_string();
                let reason = reason.trim_start_matches("sql parser error: ");
                Self::User(format!("the SQL cannot be read: {reason}"))
            }
            DataFusionError::Plan(text)
            | DataFusionError::NotImplemented(text)
            | DataFusionError::Execution(text) => Self::User(sentence(text)),
            DataFusionError::Configuration(text) => Self::User(sentence(text)),
            DataFusionError::SchemaError(schema, _) => Self::User(schema_sentence(schema)),
            DataFusionError::ArrowError(arrow, _) => from_arrow(arrow),
            DataFusionError::ResourcesExhausted(text) => Self::Resources(sentence(text)),
            DataFusionError::ObjectStore(store) => {
                Self::Unavailable(format!("a file of the lake cannot be read: {store}"))
            }
            DataFusionError::IoError(io) => {
                Self::Unavailable(format!("a file cannot be read or written: {io}"))
            }
            DataFusionError::External(external) => from_external(external.as_ref()),
            other => Self::Internal(other.to_string()),
        }
    }
}

fn from_external(error: &(dyn std::error::Error + Send + Sync + 'static)) -> QueryError {
    if let Some(query) = error.downcast_ref::<QueryError>() {
        return query.clone();
    }
    if let Some(log) = error.downcast_ref::<event_log::Error>() {
        return QueryError::Unavailable(log.to_string());
    }
    QueryError::Internal(error.to_string())
}

/// Faults of values in the data or the query are the author's to avoid.
fn from_arrow(error: &ArrowError) -> QueryError {
    match error {
        ArrowError::DivideByZero => QueryError::User("division by zero".to_owned()),
        ArrowError::CastError(text)
        | ArrowError::ParseError(text)
        | ArrowError::ComputeError(text)
        | ArrowError::ArithmeticOverflow(text)
        | ArrowError::InvalidArgumentError(text) => QueryError::User(sentence(text)),
        // The one word there is for a full spill folder.
        ArrowError::IoError(text, _) if text.contains("spilling process") => {
            QueryError::Resources(sentence(text))
        }
        ArrowError::ExternalError(external) => from_external(external.as_ref()),
        other => QueryError::Internal(other.to_string()),
    }
}

fn schema_sentence(error: &SchemaError) -> String {
    sentence(&error.to_string())
}

/// One line, without the library's own prefixes.
fn sentence(text: &str) -> String {
    let text = text
        .trim_start_matches("Error during planning: ")
        .trim_start_matches("Schema error: ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
