//! How rows lie in a file: in which order, and in which encodings.
//!
//! Order: block of three hours, then device, then time. Together with small pages, one
//! vehicle's day and one area's hour both read little; docs/lake.md has the figures.

mod encodings;
mod gather;
mod order;

pub(crate) use encodings::{ROW_GROUP_MIN_ROWS, properties};
pub(crate) use gather::Gather;
pub(crate) use order::{BLOCK_US, Order, block_of, time_column};
