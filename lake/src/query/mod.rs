//! SQL over the lake and the log's tail.

mod engine;
mod error;
pub mod output;

pub use engine::{Freshness, QueryConfig, SqlEngine};
pub use error::{QueryError, QueryResult};
