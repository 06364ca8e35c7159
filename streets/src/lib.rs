//! The streets of a city.
//!
//! Enters: OpenStreetMap ways (the city that comes with CityPulse, an
//! `.osm.pbf` extract) or a road graph in CSV. Leaves: [`Segment`]s between
//! junctions with stable ids, the segment that a vehicle is on ([`Matcher`]) or
//! nearest to a place, the directed graph to drive on, each segment's own free
//! flow ([`FreeFlow`]), GeoJSON to draw. Promises: the same input gives the same ids
//! and the same order. Never: the network, a clock, changing after loading.

mod clearance;
mod error;
mod free_flow;
mod geojson;
mod graph;
mod grid;
mod matcher;
mod nearest;
mod network;
mod reach;
mod segment;
mod source;
mod split;

pub use error::{Error, Result};
pub use free_flow::FreeFlow;
pub use graph::{Exit, NodeIndex};
pub use matcher::{FixForMatch, Matcher, Previous};
pub use nearest::Match;
pub use network::StreetNetwork;
pub use segment::{RoadClass, Segment, SegmentIndex};
