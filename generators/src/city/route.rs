//! The quickest way from junction to junction.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use streets::{Exit, NodeIndex, SegmentIndex};

use super::World;

/// Optimistic speed for the remaining distance, m/s: a little below the fastest
/// roads, which keeps the search narrow at the price of a few seconds' detour.
const HEURISTIC_MS: f64 = 17.0;
/// What a junction costs, seconds.
const JUNCTION_S: f64 = 3.0;

/// A* with memory that is used again for every search.
pub(crate) struct Router {
    cost_s: Vec<f64>,
    reached_by: Vec<(NodeIndex, Exit)>,
    /// The search in which the node's entries were written.
    stamp: Vec<u32>,
    search: u32,
    open: BinaryHeap<Open>,
}

struct Open {
    estimate_s: f64,
    cost_s: f64,
    node: NodeIndex,
}

impl PartialEq for Open {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Open {}
impl PartialOrd for Open {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Open {
    fn cmp(&self, other: &Self) -> Ordering {
        other
            .estimate_s
            .total_cmp(&self.estimate_s)
            .then(other.node.cmp(&self.node))
    }
}

impl Router {
    pub fn new(node_count: u32) -> Self {
        let nowhere = Exit {
            segment: SegmentIndex(0),
            forward: true,
            to: 0,
        };
        let count = node_count as usize;
        Self {
            cost_s: vec![0.0; count],
            reached_by: vec![(0, nowhere); count],
            stamp: vec![0; count],
            search: 0,
            open: BinaryHeap::new(),
        }
    }

    /// The exits to take from `from` to `to`, last one first, so that `pop`
    /// gives the next. Does not turn round on `came_by` where there is another
    /// way. Empty where `from` is `to`; `None` where there is no way.
    pub fn find(
        &mut self,
        world: &World,
        from: NodeIndex,
        to: NodeIndex,
        came_by: Option<SegmentIndex>,
    ) -> Option<Vec<Exit>> {
        self.search += 1;
        self.open.clear();
        let target = world.streets.node_location(to);
        let remaining_s =
            |node: NodeIndex| world.streets.node_location(node).distance_m(target) / HEURISTIC_MS;
        self.stamp[from as usize] = self.search;
        self.cost_s[from as usize] = 0.0;
        self.open.push(Open {
            estimate_s: 0.0,
            cost_s: 0.0,
            node: from,
        });
        while let Some(Open { cost_s, node, .. }) = self.open.pop() {
            if node == to {
                return Some(self.trace(from, to));
            }
            if cost_s > self.cost_s[node as usize] {
                continue;
            }
            let exits = world.streets.exits(node);
            for exit in exits {
                let turns_round = node == from && Some(exit.segment) == came_by && exits.len() > 1;
                if turns_round || !world.streets.is_connected(exit.to) {
                    continue;
                }
                let road = world.roads.road(exit.segment);
                let next_s = cost_s + road.length_m() / road.limit_ms + JUNCTION_S;
                let seen = self.stamp[exit.to as usize] == self.search;
                if !seen || next_s < self.cost_s[exit.to as usize] {
                    self.stamp[exit.to as usize] = self.search;
                    self.cost_s[exit.to as usize] = next_s;
                    self.reached_by[exit.to as usize] = (node, *exit);
                    self.open.push(Open {
                        estimate_s: next_s + remaining_s(exit.to),
                        cost_s: next_s,
                        node: exit.to,
                    });
                }
            }
        }
        None
    }

    fn trace(&self, from: NodeIndex, to: NodeIndex) -> Vec<Exit> {
        let mut exits = Vec::new();
        let mut node = to;
        while node != from {
            let (previous, exit) = self.reached_by[node as usize];
            exits.push(exit);
            node = previous;
        }
        exits
    }
}
