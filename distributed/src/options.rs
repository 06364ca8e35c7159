//! What the two roles are told.

use std::path::PathBuf;

use crate::Address;

/// How a scheduler runs.
#[derive(Clone, Debug)]
pub struct SchedulerOptions {
    /// Where it listens.
    pub listen: Address,
    /// The host under which executors reach it; `None` for the one it listens on.
    pub advertise: Option<String>,
}

/// How an executor runs.
#[derive(Clone, Debug)]
pub struct ExecutorOptions {
    /// Who gives it work.
    pub scheduler: Address,
    /// Where others fetch what it computed. Orders come to the port after it; with port 0
    /// both are any free ones.
    pub listen: Address,
    /// Below it lies what it computed and what spilled, in a folder that goes with the
    /// process.
    pub work_dir: PathBuf,
    /// Parts of plans that it works on at once.
    pub slots: usize,
    /// Memory of sorts, joins and aggregates, all slots together, bytes.
    pub memory_bytes: usize,
    /// Most bytes spilled at once.
    pub spill_bytes: u64,
}
