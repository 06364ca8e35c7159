//! What the fix before says about this one: the ways from there to here.

use super::candidates::Candidate;
use crate::SegmentIndex;
use crate::graph::{Graph, NodeIndex};
use crate::reach::Reach;

/// How far the way and the straight line differ by noise and bends alone: so
/// many metres, and so large a share of the line.
pub(super) const WAY_SPREAD_M: f32 = 15.0;
const WAY_SPREAD_SHARE: f32 = 0.15;
/// The most that a way may cost.
pub(super) const WAY_COST_MAX: f32 = 3.0;
/// What it costs to believe that the vehicle took another street at the last
/// junction than was thought.
const FORK_COST: f32 = 0.5;
/// Turning round counts as that many metres of way.
const TURN_ROUND_M: f32 = 25.0;

/// The fix before, seen from this one.
pub(super) struct Before {
    pub segment: SegmentIndex,
    /// Metres along the segment's line.
    pub offset_m: f32,
    /// Direction of travel along the line, by the movement since.
    pub forward: Option<bool>,
    /// Straight from fix to fix.
    pub moved_m: f32,
    /// Unit vector from there to here, where they are far enough apart.
    pub movement: Option<(f32, f32)>,
}

impl Before {
    /// What it costs to be on the same segment still.
    pub fn staying_cost(&self, offset_m: f32, one_way: bool) -> f32 {
        let ahead_m = offset_m - self.offset_m;
        let back_m = if one_way { (-ahead_m).max(0.0) } else { 0.0 };
        let off_m = (ahead_m.abs() - self.moved_m).abs() + back_m;
        (off_m / self.way_spread_m()).min(WAY_COST_MAX)
    }

    fn way_cost(&self, way_m: f32) -> f32 {
        ((way_m - self.moved_m).abs() / self.way_spread_m()).min(WAY_COST_MAX)
    }

    fn way_spread_m(&self) -> f32 {
        WAY_SPREAD_M + WAY_SPREAD_SHARE * self.moved_m
    }
}

/// The ways to other segments, searched when they are first asked for.
pub(super) struct Ways<'a> {
    graph: &'a Graph,
    before: &'a Before,
    worth: f32,
    onward: Option<Reach>,
    forked: Option<Reach>,
}

impl<'a> Ways<'a> {
    /// A way that costs more than `worth` decides nothing: it may be said to cost more
    /// than it does.
    pub fn new(graph: &'a Graph, before: &'a Before, worth: f32) -> Self {
        Self {
            graph,
            before,
            worth,
            onward: None,
            forked: None,
        }
    }

    /// What it costs to be on another segment now; [`WAY_COST_MAX`] where no
    /// way was found.
    pub fn cost(&mut self, candidate: &Candidate) -> f32 {
        let (graph, before, worth) = (self.graph, self.before, self.worth);
        let onward = self
            .onward
            .get_or_insert_with(|| onward(graph, before, worth));
        let cost = way_m(graph, onward, candidate).map_or(WAY_COST_MAX, |m| before.way_cost(m));
        if cost <= FORK_COST || worth < FORK_COST {
            return cost;
        }
        let forked = self
            .forked
            .get_or_insert_with(|| forked(graph, before, worth - FORK_COST));
        let fork_cost = way_m(graph, forked, candidate).map(|m| FORK_COST + before.way_cost(m));
        fork_cost.map_or(cost, |fork_cost| fork_cost.min(cost))
    }
}

/// No way longer than this costs less than that.
fn longest_m(before: &Before, cost: f32) -> f32 {
    before.moved_m + cost * before.way_spread_m()
}

fn reach(
    graph: &Graph,
    before: &Before,
    starts: impl IntoIterator<Item = (NodeIndex, f32)>,
    worth: f32,
) -> Reach {
    let budget_m = longest_m(before, WAY_COST_MAX);
    Reach::from(graph, starts, budget_m, longest_m(before, worth))
}

/// On from the previous place, both ways where one may.
fn onward(graph: &Graph, before: &Before, worth: f32) -> Reach {
    let road = graph.road(before.segment);
    let turning_round_m = |forward: bool| match before.forward {
        Some(was_forward) if was_forward != forward && !road.one_way => TURN_ROUND_M,
        _ => 0.0,
    };
    let ahead_m = (road.length_m - before.offset_m).max(0.0) + turning_round_m(true);
    let behind_m = before.offset_m + turning_round_m(false);
    let behind = (!road.one_way).then_some((road.from, behind_m));
    let starts = [(road.to, ahead_m)].into_iter().chain(behind);
    reach(graph, before, starts, worth)
}

/// From the last junction, as if another street had been taken there and driven
/// for as long: the previous fix may have been matched to the wrong branch.
fn forked(graph: &Graph, before: &Before, worth: f32) -> Reach {
    let road = graph.road(before.segment);
    let start = match before.forward {
        Some(false) if !road.one_way => Some((road.to, before.offset_m - road.length_m)),
        None if !road.one_way => None,
        _ => Some((road.from, -before.offset_m)),
    };
    reach(graph, before, start, worth)
}

/// Metres over the junctions that were reached to the place on a segment.
fn way_m(graph: &Graph, reach: &Reach, candidate: &Candidate) -> Option<f32> {
    let road = graph.road(candidate.segment);
    let along = || Some(reach.way_m(road.from)? + candidate.offset_m);
    let against = || Some(reach.way_m(road.to)? + (road.length_m - candidate.offset_m).max(0.0));
    match candidate.forward {
        Some(false) if !road.one_way => against(),
        None if !road.one_way => match (along(), against()) {
            (Some(along), Some(against)) => Some(along.min(against)),
            (along, against) => along.or(against),
        },
        _ => along(),
    }
}
