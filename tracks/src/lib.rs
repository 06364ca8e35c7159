//! What each device's fixes amount to.
//!
//! Enters: the events of one log partition, in offset order. Leaves: a
//! [`Verdict`] per fix, and the [`Track`] of each device: last known place by
//! event time, street, motion, trip, distance of the day, trail. Promises: the
//! verdicts depend on the partition's records and nothing else, so a replay, a
//! restart from cells and the batch layer decide the same. Never: a clock, I/O,
//! other partitions.
//!
//! Later fixes never change an earlier verdict. A fix that is refused here is
//! still an event: it stays in the lake.

mod city;
mod codec;
mod fix;
mod ground;
mod hash;
mod ids;
mod limits;
mod track;
mod tracker;

pub use city::Streets;
pub use fix::Fix;
pub use ground::{Ground, NoGround, Previous};
pub use hash::{IdentityHasher, hash64};
pub use ids::IdsCell;
pub use limits::{Limits, TeleportLimits};
pub use track::{BadFixes, Doubt, Motion, TRAIL_LENGTH, Track, TrailPoint, Trip, TripChange};
pub use tracker::{Accepted, DeviceSlot, TRACK_PREFIX, Tracker, TrackerCell, Verdict};
