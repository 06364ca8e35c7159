//! Ever: every event of the city in Delta tables of Parquet, on a local folder
//! or S3, and SQL over them together with the log's tail.
//!
//! Enters: record batches with the log positions they cover. Leaves: snapshots
//! (files + positions of one version) and query results. Promises: files and
//! positions become visible in one atomic commit, and a commit that does not
//! begin at the stored position is refused. Never: reads the environment, and
//! never lets SQL change anything. Results of jobs leave by [`export`].

mod config;
mod dated_files;
mod delta;
mod error;
pub mod export;
pub mod job_runs;
mod lake;
mod layout;
pub mod maintain;
mod parquet_file;
pub mod query;
pub mod rows;
pub mod s3;
mod snapshot;
mod statistics;
mod storage;
mod table;
mod view;

pub use config::{LakeConfig, S3Options};
pub use dated_files::{DatedFiles, EncodedFile};
pub use error::{Error, Result};
pub use lake::{Commit, FILE_COMMIT_LIMIT, Lake, Replacement};
pub use snapshot::{DataFile, NewFile, Snapshot};
pub use table::Table;
pub use view::View;
