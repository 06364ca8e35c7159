//! Where streets come from.

pub(crate) mod csv_graph;
pub(crate) mod embedded;
pub(crate) mod osm_pbf;
