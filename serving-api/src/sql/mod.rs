//! SQL over HTTP. Planning, running and rendering are the lake's; here is how a
//! request chooses, and how an answer begins, stalls and fails.

mod answer;
mod engine;
mod format;

pub(crate) use answer::{Delivery, problem};
pub(crate) use format::{freshness, output_format};

pub use engine::{LakePositions, QueryEngine};
