//! Upkeep of the tables beside running writers and readers: small files into large
//! ones, files that nobody needs away, dates that are too old away.
//!
//! Promises: a row is never lost or doubled, whatever runs beside it and wherever it
//! is interrupted, because files change places in one commit that is refused when
//! somebody else has touched them. Positions are never moved. Memory is bounded.

mod blocks;
mod compact;
mod lifecycle;
mod plan;
mod reader;
mod retention;
mod rewrite;
mod vacuum;

pub use compact::{CompactOptions, Compacted, Pace, Progress};
pub use lifecycle::lifecycle_rules;
pub use plan::PartitionPlan;
pub use retention::{Expired, Retention};
pub use vacuum::{VacuumOptions, Vacuumed};
