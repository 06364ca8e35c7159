//! Events to run on: a simulated city, and recordings of real ones.
//!
//! Enters: a street network and a seed, or a recorded file. Leaves: messages in
//! the wire form, appended to the event log or posted to the ingest path.
//! Promises: the same seed and start give the same city, event for event; every
//! row of a recording becomes its event or is reported. Never: anything that a
//! real producer could not do; no layer knows that its input is simulated.
//!
//! [`city`] is the simulation, pure; [`run()`] steps it by the clock. [`replay`]
//! reads recordings.

pub mod city;
mod config;
pub mod replay;
mod run;

pub use config::{Dirt, GeneratorConfig, Rate};
pub use run::{Error, run};
