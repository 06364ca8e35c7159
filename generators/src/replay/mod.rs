//! Replay of recordings.
//!
//! Enters: a file in one of the known formats, plain or compressed. Leaves: its
//! rows as messages, to the ingest path of a running instance or straight to a
//! log. Promises: the order of the file is kept, but of layouts whose files are
//! not in order of time; each row is sent or reported with line and cause; an interrupted replay goes on after the last row that
//! was acknowledged, with the same ids, so that at most one batch is sent twice.
//! Never: the whole of a large file in memory, except where a format must be
//! sorted first (one raw cab file, buses, fire calls, one GTFS message; each
//! limited).
//!
//! `input` opens, `format/` makes rows, `reader` encodes them on a thread of its
//! own, `runner` paces and sends, `sink/` delivers, `progress` remembers.
//! [`Recording`] gives the rows as events instead, and [`rows_of`] those of a table that
//! somebody else reads ([`Records`]).

mod batch;
mod format;
mod input;
mod options;
mod progress;
mod reader;
mod recording;
mod records;
mod row;
mod runner;
mod sink;

pub use input::ContentHash;
pub use options::{Format, Input, ReplayOptions, Speed, TimeFormat, parse_mapping};
pub use recording::{Extent, RecordedRow, RecordedRows, Recording, RefusedRow, rows_of};
pub use records::{Advanced, Form, Records};
pub use runner::{Status, Summary, Update, run_replay};
pub use sink::{HttpSink, LogSink, Outgoing, SendError, Sent, Sink};

use std::path::PathBuf;

/// Why a replay cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be opened or read on.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The content is not what the format says.
    #[error("{0}")]
    Format(String),
    /// The options do not fit together.
    #[error("{0}")]
    Options(String),
    /// The receiver refused what trying again will not change.
    #[error("{0}")]
    Refused(String),
    /// The receiver never answered, however often it was tried.
    #[error("{0}")]
    Unreachable(String),
    /// Where it got to cannot be remembered.
    #[error("cannot write the replay's progress to {path}")]
    Progress {
        /// The progress file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The reading thread ended before the file did.
    #[error("reading stopped: {0}")]
    Reader(String),
}
