//! A job's plan on several machines: the scheduler, the executors and the client of a
//! Ballista cluster.
//!
//! Enters: a physical plan whose leaves are Parquet files of the lake. Leaves: its rows.
//! Promises: an executor that dies, at any moment, costs time and no row; what is
//! dropped is cancelled over there. Never: sends a key or a secret, every process reaches
//! the lake by its own configuration. Who reaches a port of these may run any plan over
//! the lake: they belong on a trusted network.
//!
//! All of it is behind the feature `ballista`; without it every call ends with
//! [`Error::NotBuilt`].
//!
//! - [`Address`]: a host and a port.
//! - `client`: what `job run --distributed` talks through; `job`: one job over there;
//!   `results`: its rows; `failure`: what its errors mean.
//! - `scheduler`, `executor`: the two roles.

mod address;
mod error;
mod options;

#[cfg(feature = "ballista")]
mod client;
#[cfg(feature = "ballista")]
mod executor;
#[cfg(feature = "ballista")]
mod failure;
#[cfg(feature = "ballista")]
mod job;
#[cfg(feature = "ballista")]
mod limits;
#[cfg(feature = "ballista")]
mod results;
#[cfg(feature = "ballista")]
mod scheduler;

#[cfg(not(feature = "ballista"))]
mod not_built;

pub use address::Address;
#[cfg(feature = "ballista")]
pub use client::connect;
pub use error::{Error, Result};
#[cfg(feature = "ballista")]
pub use executor::run_executor;
#[cfg(not(feature = "ballista"))]
pub use not_built::{connect, run_executor, run_scheduler};
pub use options::{ExecutorOptions, SchedulerOptions};
#[cfg(feature = "ballista")]
pub use scheduler::run_scheduler;

/// Whether this binary has Ballista in it.
///
/// # Errors
/// [`Error::NotBuilt`].
pub fn check_built() -> Result<()> {
    match cfg!(feature = "ballista") {
        true => Ok(()),
        false => Err(Error::NotBuilt),
    }
}
