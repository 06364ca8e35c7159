//! Ways become segments: cut wherever another way touches.

use std::collections::HashMap;

use events::Location;
use foldhash::fast::FixedState;

use crate::{NodeIndex, RoadClass, Segment};

/// A way as a source gives it.
pub(crate) struct Way {
    /// Begins the segments' ids, such as `w4040439`.
    pub id: String,
    pub name: Option<String>,
    pub class: RoadClass,
    pub limit_kmh: f64,
    pub one_way: bool,
    /// The source's ids of the points: equal ids are the same place.
    pub nodes: Vec<i64>,
    /// As many as `nodes`.
    pub line: Vec<Location>,
    /// A whole segment by itself: the id is used as it is.
    pub is_whole: bool,
}

/// Cuts ways at every node that is used more than once. Returns the segments
/// in the ways' order and how many junctions there are.
pub(crate) fn split_at_junctions(ways: Vec<Way>) -> (Vec<Segment>, u32) {
    let mut uses: HashMap<i64, u32, FixedState> = HashMap::default();
    for way in &ways {
        let last = way.nodes.len().saturating_sub(1);
        for (position, node) in way.nodes.iter().enumerate() {
            // An end is a junction even where nothing else touches it.
            *uses.entry(*node).or_default() += if position == 0 || position == last {
                2
            } else {
                1
            };
        }
    }
    let mut splitter = Splitter::default();
    for way in ways {
        splitter.split(way, &uses);
    }
    (splitter.segments, splitter.node_count)
}

#[derive(Default)]
struct Splitter {
    segments: Vec<Segment>,
    numbers: HashMap<i64, NodeIndex, FixedState>,
    node_count: u32,
    last_id: String,
    next_part: u32,
}

impl Splitter {
    fn split(&mut self, way: Way, uses: &HashMap<i64, u32, FixedState>) {
        // A way whose middle was cut out of an extract arrives in runs.
        if way.id != self.last_id {
            self.last_id.clone_from(&way.id);
            self.next_part = 0;
        }
        let mut start = 0;
        for end in 1..way.nodes.len() {
            if uses.get(&way.nodes[end]).is_some_and(|uses| *uses > 1) {
                self.push(&way, start, end);
                start = end;
            }
        }
    }

    fn push(&mut self, way: &Way, start: usize, end: usize) {
        let line = way.line[start..=end].to_vec();
        let length_m = line
            .windows(2)
            .map(|pair| pair[0].distance_m(pair[1]))
            .sum();
        let id = if way.is_whole {
            way.id.clone()
        } else {
            format!("{}-{}", way.id, self.next_part)
        };
        self.next_part += 1;
        if length_m < 0.01 {
            return;
        }
        let from_node = self.number(way.nodes[start]);
        let to_node = self.number(way.nodes[end]);
        self.segments.push(Segment {
            id,
            name: way.name.clone(),
            class: way.class,
            free_flow_kmh: way.limit_kmh,
            one_way: way.one_way,
            length_m,
            line,
            from_node,
            to_node,
        });
    }

    fn number(&mut self, node: i64) -> NodeIndex {
        *self.numbers.entry(node).or_insert_with(|| {
            self.node_count += 1;
            self.node_count - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(id: &str, nodes: &[i64]) -> Way {
        let line = nodes
            .iter()
            .map(|node| Location {
                latitude: 57.0,
                longitude: 11.0 + *node as f64 / 1e3,
            })
            .collect();
        Way {
            id: id.into(),
            name: None,
            class: RoadClass::Residential,
            limit_kmh: 40.0,
            one_way: false,
            nodes: nodes.to_vec(),
            line,
            is_whole: false,
        }
    }

    #[test]
    fn ways_are_cut_where_they_touch_and_share_the_junction() {
        let (segments, nodes) =
            split_at_junctions(vec![way("w1", &[1, 2, 3, 4]), way("w2", &[3, 9])]);
        let ids: Vec<_> = segments.iter().map(|segment| segment.id.as_str()).collect();
        assert_eq!(ids, ["w1-0", "w1-1", "w2-0"]);
        assert_eq!(nodes, 4);
        assert_eq!(segments[0].to_node, segments[2].from_node);
        assert_eq!(segments[0].line.len(), 3);
    }

    #[test]
    fn a_loop_is_one_segment_back_to_its_start() {
        let (segments, nodes) = split_at_junctions(vec![way("w1", &[1, 2, 3, 1])]);
        assert_eq!((segments.len(), nodes), (1, 1));
        assert_eq!(segments[0].from_node, segments[0].to_node);
    }
}
