//! A loaded street network.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use events::Location;

use crate::clearance::Clearance;
use crate::graph::{Exit, Graph, NodeIndex};
use crate::grid::{Grid, OnLine};
use crate::nearest::{Match, nearest};
use crate::split::{Way, split_at_junctions};
use crate::{Error, Result, Segment, SegmentIndex, geojson, source};

/// The streets of one city. Immutable; share it behind an [`Arc`].
#[derive(Debug)]
pub struct StreetNetwork {
    name: String,
    segments: Vec<Segment>,
    by_id: Vec<SegmentIndex>,
    bounds: [f64; 4],
    node_locations: Vec<Location>,
    graph: Graph,
    grid: Grid,
    clearance: Clearance,
}

impl StreetNetwork {
    /// The streets that come with CityPulse. Built once a process.
    pub fn gothenburg() -> Arc<Self> {
        static GOTHENBURG: LazyLock<Arc<StreetNetwork>> = LazyLock::new(|| {
            // The bytes are part of the program and a test reads them.
            Arc::new(source::embedded::gothenburg().expect("the built-in streets are whole"))
        });
        Arc::clone(&GOTHENBURG)
    }

    /// Loads `gothenburg`, the path of an `.osm.pbf` extract, or a folder or
    /// path prefix with `*_nodes.csv` (`osmid,x,y`) and `*_edges.csv`
    /// (`u,v,length` in metres`,lanes,speed_mph`, directed).
    pub fn load(from: &str) -> Result<Arc<Self>> {
        if from.eq_ignore_ascii_case("gothenburg") {
            return Ok(Self::gothenburg());
        }
        let path = Path::new(from);
        let network = if from.ends_with(".pbf") && path.is_file() {
            source::osm_pbf::load(path)?
        } else if let Some(files) = source::csv_graph::find(path) {
            source::csv_graph::load(&files)?
        } else {
            return Err(Error::UnknownSource(from.to_owned()));
        };
        Ok(Arc::new(network))
    }

    pub(crate) fn from_ways(name: &str, ways: Vec<Way>) -> Result<Self> {
        let (segments, node_count) = split_at_junctions(ways);
        if segments.is_empty() {
            return Err(Error::Empty(name.to_owned()));
        }
        let mut node_locations = vec![Location::default(); node_count as usize];
        let mut bounds = [180.0_f64, 90.0, -180.0, -90.0];
        for segment in &segments {
            node_locations[segment.from_node as usize] = segment.line[0];
            node_locations[segment.to_node as usize] = segment.line[segment.line.len() - 1];
            for point in &segment.line {
                bounds[0] = bounds[0].min(point.longitude);
                bounds[1] = bounds[1].min(point.latitude);
                bounds[2] = bounds[2].max(point.longitude);
                bounds[3] = bounds[3].max(point.latitude);
            }
        }
        let mut by_id: Vec<_> = (0..segments.len() as u32).map(SegmentIndex).collect();
        by_id.sort_by(|a, b| segments[a.as_usize()].id.cmp(&segments[b.as_usize()].id));
        let graph = Graph::new(&segments, node_count);
        let grid = Grid::new(&segments, bounds);
        Ok(Self {
            name: name.to_owned(),
            segments,
            by_id,
            bounds,
            node_locations,
            graph,
            clearance: Clearance::new(&grid),
            grid,
        })
    }

    /// The city's name, or the file's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The line that must be visible wherever the streets are.
    pub fn attribution(&self) -> &'static str {
        "(c) OpenStreetMap contributors"
    }

    /// West, south, east, north in degrees.
    pub fn bounds(&self) -> [f64; 4] {
        self.bounds
    }

    /// The middle of the bounds.
    pub fn center(&self) -> Location {
        let [west, south, east, north] = self.bounds;
        Location {
            latitude: (south + north) / 2.0,
            longitude: (west + east) / 2.0,
        }
    }

    /// Every segment, in the source's order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// One segment. Panics where the number is of another network.
    pub fn segment(&self, index: SegmentIndex) -> &Segment {
        &self.segments[index.as_usize()]
    }

    /// The segment of that id.
    pub fn by_id(&self, id: &str) -> Option<SegmentIndex> {
        let found = self
            .by_id
            .binary_search_by(|index| self.segment(*index).id.as_str().cmp(id));
        found.ok().map(|position| self.by_id[position])
    }

    /// The segment a fix is on, within `max_distance_m` of its line. With a
    /// heading (degrees clockwise from north), a street across it counts as
    /// 15 m further away and a carriageway against it as 30 m, so that the
    /// right one of two parallel carriageways is found.
    pub fn nearest(
        &self,
        location: Location,
        heading_deg: Option<f64>,
        max_distance_m: f64,
    ) -> Option<Match> {
        nearest(&self.grid, location, heading_deg, max_distance_m)
    }

    /// How many junctions and dead ends there are.
    pub fn node_count(&self) -> u32 {
        self.node_locations.len() as u32
    }

    /// Where a junction is.
    pub fn node_location(&self, node: NodeIndex) -> Location {
        self.node_locations[node as usize]
    }

    /// Every way one may drive out of a junction.
    pub fn exits(&self, node: NodeIndex) -> &[Exit] {
        self.graph.exits(node)
    }

    /// Whether one can drive from this junction to every other such junction
    /// and back: the largest connected part of the network.
    pub fn is_connected(&self, node: NodeIndex) -> bool {
        self.graph.is_main(node)
    }

    pub(crate) fn grid(&self) -> &Grid {
        &self.grid
    }

    /// No other segment is nearer than this to the place on a segment's line, metres;
    /// never more than about 32.
    pub(crate) fn clearance_m(&self, on: &OnLine) -> f32 {
        self.clearance.around_m(&self.grid, on)
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// A GeoJSON FeatureCollection of LineStrings, one a segment, with the
    /// properties id, name (or null), class and limit_kmh.
    pub fn geojson(&self) -> Vec<u8> {
        geojson::feature_collection(&self.segments)
    }
}
