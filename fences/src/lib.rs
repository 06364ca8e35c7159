//! Geofences: areas that people draw, and who is inside them.
//!
//! Enters: fence documents, then fixes. Leaves: which fences contain a point, and
//! enter, exit and dwell events per device. Promises: containment is exact, the
//! index only makes it fast; a changed fence costs microseconds. Never: reads a
//! clock, the log or the network. Pure.
//!
//! - [`document`], [`mod@shape`], [`schedule`]: what people write, and what is wrong with it.
//! - [`geojson`]: import and export.
//! - [`index`]: all fences, ready to be asked. [`state`]: one device's ins and outs.

pub mod document;
mod error;
pub mod geojson;
pub mod index;
mod rings;
pub mod schedule;
pub mod shape;
pub mod state;

pub use document::{FENCES_MAX, Fence, TOPIC};
pub use error::Invalid;
pub use index::{ActiveFence, FenceIndex, FenceNo};
pub use schedule::Schedule;
pub use shape::{Position, Shape};
pub use state::{FenceEvent, FenceEventKind, FenceState, Fix};
