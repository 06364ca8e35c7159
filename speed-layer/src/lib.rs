//! Event log to hot store: what is happening now.
//!
//! Enters: records of every stream. Leaves: absolute values (last position,
//! trail, traffic per road, incidents, weather, the city's figures), applied
//! together with the log positions they follow from. Promises: after a crash it
//! resumes from the stored positions with the stored state, so a replay changes
//! nothing. Never: increments a stored value, or reads a clock inside a fold.
//!
//! [`run`] is the shell (`session.rs`: poll, fold, apply); everything below
//! `state/` is pure.

mod config;
mod session;
mod state;
mod values;

pub use config::{SpeedConfig, TeleportLimits};
pub use session::{Deps, OWNER, run};
pub use state::State;
