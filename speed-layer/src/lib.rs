//! Event log to hot store: what is happening now.
//!
//! Enters: records of every stream. Leaves: absolute values (last position,
//! trail, traffic per road, windows, incidents, weather, the city's figures),
//! applied together with the log positions they follow from, and closed windows
//! in the topic `windows`. Promises: all state is in memory and saved as cells at
//! checkpoints; after a crash the records since the last one are folded again in
//! silence up to the stored position, so nothing is counted twice or left out.
//! Never: increments a stored value, or reads a clock inside a fold.
//!
//! [`run`] is the shell (`session/`: poll, fold, apply); everything below
//! `state/` is pure.

mod alert_outbox;
mod config;
mod error;
mod fence_feed;
mod lag;
mod observer;
mod outbox;
mod progress;
mod publish;
mod rebuild;
mod session;
mod state;
mod values;
mod write;

pub use config::SpeedConfig;
pub use error::Error;
pub use rebuild::rebuild;
pub use session::{Deps, OWNER, run};
pub use state::{Counts, Slot, State};
