//! What the raw tables amount to, judged once more by the batch layer.
//!
//! Enters: rows of the raw tables. Leaves: the views `traffic_hourly`, `cell_hourly`,
//! `air_hourly`, `vehicle_daily`, `incident_daily`, and the audit of what the speed
//! layer said. Promises: the same judgement (`tracks`) and the same arithmetic
//! (`events`) as the speed layer, so a view follows from the raw rows alone, however
//! they were committed; a date of a view changes in one commit. Never: changes raw
//! tables.
//!
//! Rows are judged device by device, each device's in log order: nothing that is
//! decided about one device depends on another, and so one device is in memory, not
//! one day. Nothing is late here: who looks back has every event.
//!
//! - `source`: which rows; `by_device`: fixes put together; `judge`: each device's.
//! - `fixes`, `air`, `incidents`: one date's rows into rows of views (pure).
//! - [`audit`]: what the speed layer said, beside what is computed.
//! - [`Views`]: computes dates and puts them into the lake.

mod air;
pub mod audit;
mod by_device;
mod compute;
mod difference;
mod draft;
mod fixes;
mod groups;
mod incidents;
mod judge;
mod refresh;
mod source;

pub use compute::{Progress, Recomputed, Views, ViewsConfig};
pub use difference::Difference;

/// Why a view could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] lake::Error),
    /// Rows could not be read.
    #[error(transparent)]
    Query(#[from] lake::query::QueryError),
    /// Rows could not be put together: a fault of ours.
    #[error("rows do not fit the view: {0}")]
    Columns(#[from] arrow::error::ArrowError),
    /// A column that every version of the table has.
    #[error("column {0} is missing or of another type")]
    Column(&'static str),
    /// Another audit runs; try again when it is done.
    #[error("another audit is running; try again in a moment")]
    Busy,
    /// The log failed.
    #[error(transparent)]
    Log(#[from] event_log::Error),
    /// The hot store failed.
    #[error(transparent)]
    Hot(#[from] hot_store::Error),
    /// What does not fit into memory could not go to disk or come back.
    #[error("rows could not be put on disk")]
    Disk(#[from] std::io::Error),
    /// A fault of ours.
    #[error("a view could not be computed: {0}")]
    Internal(String),
    /// It was asked to stop; nothing has changed.
    #[error("stopped; nothing was changed")]
    Stopped,
}

/// Result of computing a view.
pub type Result<T> = std::result::Result<T, Error>;
