//! SQL over HTTP: the two things needed of the lake, and the answer's formats.

pub(crate) mod answer;
pub(crate) mod encode;
mod engine;
pub(crate) mod format;

pub use engine::{LakePositions, QueryEngine, QueryError};
