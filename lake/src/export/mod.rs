//! Query results as files outside of the tables, of which nobody sees half.
//!
//! Enters: record batches in order of the columns that make folders. Leaves: files
//! `part-*` (in folders `column=value`, as Hive names them) and beside them the
//! manifest `_SUCCESS`, which lists them. Promises: until the last row is written
//! nothing is visible; a run that fails, is cancelled or is killed leaves nothing
//! that looks like a result; what others wrote is never removed. Never: holds more
//! than one file in the making in memory.
//!
//! - [`target`]: where it goes, and whether it may.
//! - `folder`: written beside the target and renamed into its place.
//! - `bucket`: multipart uploads that are completed all together at the end.
//! - [`writer`]: rows into files.
//! - [`scratch`]: folders that a killed process leaves are found and removed.

mod bucket;
mod error;
mod folder;
mod names;
pub mod scratch;
mod target;
mod writer;

pub use error::ExportError;
pub use target::{Manifest, ManifestFile, Target};
pub use writer::{ExportFormat, Exported, Exporter, Finished};
