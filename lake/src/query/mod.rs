//! SQL over the lake and the log's tail: every event once, at any moment.
//!
//! - [`tail`]: rows behind the newest snapshot, in memory (pure).
//! - [`follower`]: keeps the tail; [`pin`]: what one query takes of it.
//! - [`provider`], [`files`], [`log_range`]: a pinned table as a plan.
//! - [`engine`]: the door, with [`session`], [`statement`], [`catalog`], [`guard`].
//! - [`bounded`], [`growth`]: functions whose results could be far too large.
//! - [`json_get`]: what the column `extra` holds.
//! - [`job`], [`params`]: queries with parameters, for results that go to files;
//!   [`cluster`]: those that other machines run.
//! - [`output`]: results as bytes.

mod bounded;
mod catalog;
mod cluster;
mod engine;
mod error;
mod files;
mod follower;
mod growth;
mod guard;
mod job;
mod json_get;
mod log_range;
pub mod output;
mod params;
mod pin;
mod plan_check;
mod provider;
mod reader;
mod session;
mod split_pool;
mod statement;
mod tail;
mod threads;

pub use cluster::{Cluster, RowsRead, worker_state};
pub use engine::{Freshness, QueryConfig, SqlEngine};
pub use error::{QueryError, QueryResult};
pub use job::{PinnedVersion, Prepared, ReadCounter, check_job};
pub use params::{Declared, ParameterType, ParameterValue, Parameters};
pub(crate) use provider::conform;
pub use reader::LakeReader;
