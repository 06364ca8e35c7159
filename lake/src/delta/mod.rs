//! Delta tables: reading versions, committing new ones, keeping the log short.
//!
//! The library creates tables, loads them from their checkpoints and writes
//! checkpoints. Following and appending commits is done here, entry by entry,
//! because a commit has to be refused or retried by the positions it carries,
//! and because following the log must cost one small read a commit.

mod checkpoint;
mod create;
mod entry;
mod load;
mod log;

pub(crate) use checkpoint::{checkpoint, is_due};
pub(crate) use create::{create, evolve};
pub(crate) use entry::{encode_commit, encode_rewrite, push_counters};
pub(crate) use load::load;
pub(crate) use log::{TableLog, Written};
