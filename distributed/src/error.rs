//! Why a role or a client cannot begin.

use std::io;

use crate::Address;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a role or a client cannot begin, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Ballista was left out of this binary.
    #[error(
        "this binary was built without distributed jobs; build one with `cargo build --features distributed` \
         (`make build FEATURES=distributed`)"
    )]
    NotBuilt,
    /// Something else has the port, or the host is not this machine's.
    #[error("cannot listen on {address}: {cause}; choose another with --listen")]
    Listen {
        /// What was asked for.
        address: Address,
        /// What the system says.
        cause: io::Error,
    },
    /// The others would not know where to connect.
    #[error(
        "--listen is {0}, which names no host to connect to; expected --advertise HOST with the name or address by \
         which executors reach this machine"
    )]
    Advertise(Address),
    /// Nobody answers there, or not a scheduler.
    #[error(
        "the scheduler at {address} does not answer: {reason}; start one with `citypulse job scheduler --listen {address}`"
    )]
    Scheduler {
        /// Where it should be.
        address: Address,
        /// What is wrong.
        reason: String,
    },
    /// The folder for what is computed cannot be used.
    #[error("--work-dir is {path}, where no folder can be made: {cause}; choose another")]
    WorkDir {
        /// The folder.
        path: String,
        /// What the system says.
        cause: io::Error,
    },
    /// It ended although nobody asked for it.
    #[error("{0}")]
    Ended(String),
}
