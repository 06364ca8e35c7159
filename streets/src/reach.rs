//! How far it is to drive from where the fix before was.

use crate::NodeIndex;
use crate::graph::Graph;

/// The most junctions a search looks at: about five blocks around in a city.
const JUNCTIONS_MAX: usize = 64;

/// The junctions around a start and the shortest way to each (Dijkstra), on the
/// stack: a search is made for most fixes that change street.
pub(crate) struct Reach {
    junctions: [Junction; JUNCTIONS_MAX],
    len: usize,
}

#[derive(Clone, Copy)]
struct Junction {
    node: NodeIndex,
    way_m: f32,
    is_settled: bool,
}

impl Reach {
    /// From junctions that are already some metres away, up to `budget_m`
    /// metres in all. Junctions beyond the limit of the search are not found.
    /// Only ways of up to `enough_m` are surely the shortest.
    pub fn from(
        graph: &Graph,
        starts: impl IntoIterator<Item = (NodeIndex, f32)>,
        budget_m: f32,
        enough_m: f32,
    ) -> Self {
        let nowhere = Junction {
            node: NodeIndex::MAX,
            way_m: f32::INFINITY,
            is_settled: true,
        };
        let mut reach = Self {
            junctions: [nowhere; JUNCTIONS_MAX],
            len: 0,
        };
        for (node, way_m) in starts {
            reach.improve(node, way_m, budget_m);
        }
        while let Some(at) = reach.nearest_open() {
            let Junction { node, way_m, .. } = reach.junctions[at];
            if way_m > enough_m {
                break;
            }
            reach.junctions[at].is_settled = true;
            for (exit, length_m) in graph.exits_with_lengths(node) {
                reach.improve(exit.to, way_m + length_m, budget_m);
            }
        }
        reach
    }

    /// Metres to a junction; `None` where it was not reached.
    pub fn way_m(&self, node: NodeIndex) -> Option<f32> {
        let found = self.found().iter().find(|junction| junction.node == node);
        found.map(|junction| junction.way_m)
    }

    fn found(&self) -> &[Junction] {
        &self.junctions[..self.len]
    }

    fn nearest_open(&self) -> Option<usize> {
        let open = (0..self.len).filter(|at| !self.junctions[*at].is_settled);
        open.min_by(|a, b| {
            self.junctions[*a]
                .way_m
                .total_cmp(&self.junctions[*b].way_m)
        })
    }

    fn improve(&mut self, node: NodeIndex, way_m: f32, budget_m: f32) {
        // Also where the way is not a number.
        let is_within = way_m <= budget_m;
        if !is_within {
            return;
        }
        let known = self
            .found()
            .iter()
            .position(|junction| junction.node == node);
        match known {
            Some(at) => {
                let junction = &mut self.junctions[at];
                junction.way_m = junction.way_m.min(way_m);
            }
            None if self.len < JUNCTIONS_MAX => {
                self.junctions[self.len] = Junction {
                    node,
                    way_m,
                    is_settled: false,
                };
                self.len += 1;
            }
            None => {}
        }
    }
}
