//! Which way one may drive on.

use crate::{Segment, SegmentIndex};

/// The number of a junction, 0 up to [`crate::StreetNetwork::node_count`].
pub type NodeIndex = u32;

/// A way out of a junction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The segment one drives.
    pub segment: SegmentIndex,
    /// Along its line; `false` against it, where it is two-way.
    pub forward: bool,
    /// The junction it leads to.
    pub to: NodeIndex,
}

/// The exits of every junction, and which junctions all reach each other.
#[derive(Debug)]
pub(crate) struct Graph {
    starts: Vec<u32>,
    exits: Vec<Exit>,
    /// Metres of each exit's segment.
    lengths_m: Vec<f32>,
    roads: Vec<Road>,
    is_main: Vec<bool>,
}

/// What driving over a segment needs, close together in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Road {
    pub from: NodeIndex,
    pub to: NodeIndex,
    pub length_m: f32,
    pub one_way: bool,
}

impl Graph {
    pub fn new(segments: &[Segment], node_count: u32) -> Self {
        let (starts, exits) = exits_by_node(segments, node_count, false);
        let (entry_starts, entries) = exits_by_node(segments, node_count, true);
        let order = finishing_order(&starts, &exits);
        let is_main = largest_component(&order, &entry_starts, &entries);
        let roads: Vec<_> = segments
            .iter()
            .map(|segment| Road {
                from: segment.from_node,
                to: segment.to_node,
                length_m: segment.length_m as f32,
                one_way: segment.one_way,
            })
            .collect();
        let lengths_m = exits
            .iter()
            .map(|exit| roads[exit.segment.as_usize()].length_m)
            .collect();
        Self {
            starts,
            exits,
            lengths_m,
            roads,
            is_main,
        }
    }

    pub fn exits(&self, node: NodeIndex) -> &[Exit] {
        slice(&self.starts, &self.exits, node)
    }

    pub fn exits_with_lengths(&self, node: NodeIndex) -> impl Iterator<Item = (&Exit, f32)> {
        let lengths_m = slice(&self.starts, &self.lengths_m, node);
        self.exits(node).iter().zip(lengths_m.iter().copied())
    }

    pub fn road(&self, segment: SegmentIndex) -> &Road {
        &self.roads[segment.as_usize()]
    }

    pub fn is_main(&self, node: NodeIndex) -> bool {
        self.is_main[node as usize]
    }
}

fn slice<'a, T>(starts: &[u32], items: &'a [T], node: NodeIndex) -> &'a [T] {
    let node = node as usize;
    &items[starts[node] as usize..starts[node + 1] as usize]
}

fn exits_by_node(segments: &[Segment], node_count: u32, reversed: bool) -> (Vec<u32>, Vec<Exit>) {
    let mut all = Vec::with_capacity(segments.len() * 2);
    for (index, segment) in segments.iter().enumerate() {
        let index = SegmentIndex(index as u32);
        let (from, to) = (segment.from_node, segment.to_node);
        if !reversed || !segment.one_way {
            all.push((
                from,
                Exit {
                    segment: index,
                    forward: !reversed,
                    to,
                },
            ));
        }
        if reversed || !segment.one_way {
            all.push((
                to,
                Exit {
                    segment: index,
                    forward: reversed,
                    to: from,
                },
            ));
        }
    }
    all.sort_by_key(|(node, exit)| (*node, exit.segment, !exit.forward));
    let mut starts = vec![0u32; node_count as usize + 1];
    for (node, _) in &all {
        starts[*node as usize + 1] += 1;
    }
    for node in 1..starts.len() {
        starts[node] += starts[node - 1];
    }
    (starts, all.into_iter().map(|(_, exit)| exit).collect())
}

/// Kosaraju's algorithm, first pass: nodes in the order a depth-first search
/// leaves them. Iterative, because a city is deeper than the stack.
fn finishing_order(starts: &[u32], exits: &[Exit]) -> Vec<NodeIndex> {
    let count = starts.len() - 1;
    let mut is_seen = vec![false; count];
    let mut order = Vec::with_capacity(count);
    for root in 0..count as u32 {
        if std::mem::replace(&mut is_seen[root as usize], true) {
            continue;
        }
        let mut stack = vec![(root, 0usize)];
        while let Some((node, next)) = stack.last_mut() {
            match slice(starts, exits, *node).get(*next) {
                Some(exit) => {
                    *next += 1;
                    if !std::mem::replace(&mut is_seen[exit.to as usize], true) {
                        stack.push((exit.to, 0));
                    }
                }
                None => {
                    order.push(*node);
                    stack.pop();
                }
            }
        }
    }
    order
}

/// Second pass: the largest set of nodes that all reach each other.
fn largest_component(order: &[NodeIndex], entry_starts: &[u32], entries: &[Exit]) -> Vec<bool> {
    let mut component = vec![u32::MAX; order.len()];
    let mut largest = (0, 0);
    for (number, root) in order.iter().rev().enumerate() {
        if component[*root as usize] != u32::MAX {
            continue;
        }
        let number = number as u32;
        component[*root as usize] = number;
        let mut stack = vec![*root];
        let mut size = 0;
        while let Some(node) = stack.pop() {
            size += 1;
            for entry in slice(entry_starts, entries, node) {
                if component[entry.to as usize] == u32::MAX {
                    component[entry.to as usize] = number;
                    stack.push(entry.to);
                }
            }
        }
        if size > largest.0 {
            largest = (size, number);
        }
    }
    component
        .into_iter()
        .map(|number| number == largest.1)
        .collect()
}
