//! The segments around a fix that may be the one, by distance and heading.

use crate::grid::{Near, Visitor};
use crate::{Match, SegmentIndex};

/// Spread of fixes around a segment's line, metres: receiver noise and the
/// distance of a lane from the line.
const SPREAD_M: f32 = 8.0;
/// What driving right across the heading costs; against it on a one-way street
/// twice that. More than a way may cost: a vehicle that turns round on a divided
/// road is found on the other carriageway.
const HEADING_COST: f32 = 6.0;
/// What rounding may change in a cost.
pub(super) const ROUNDING_COST: f32 = 1e-3;
/// The most segments that are compared.
const CANDIDATES_MAX: usize = 16;

#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub segment: SegmentIndex,
    pub one_way: bool,
    /// By distance and heading.
    pub cost: f32,
    distance_m: f32,
    pub offset_m: f32,
    pub forward: Option<bool>,
}

impl Candidate {
    const NONE: Self = Self {
        segment: SegmentIndex(u32::MAX),
        one_way: false,
        cost: f32::INFINITY,
        distance_m: f32::INFINITY,
        offset_m: 0.0,
        forward: None,
    };

    pub fn as_match(&self, continues: bool) -> Match {
        Match {
            segment: self.segment,
            distance_m: f64::from(self.distance_m),
            offset_m: f64::from(self.offset_m),
            forward: self.forward,
            continues,
        }
    }
}

/// What a segment costs by distance and heading.
pub(super) struct Costs {
    heading: Option<(f32, f32)>,
    heading_weight: f32,
}

impl Costs {
    /// `heading` counts by its weight, 0 to 1.
    pub fn new((heading, heading_weight): (Option<(f32, f32)>, f32)) -> Self {
        Self {
            heading,
            heading_weight,
        }
    }

    /// The cost, and the direction that the heading tells.
    pub fn of(&self, near: &Near) -> (f32, Option<bool>) {
        let spreads = near.distance_m / SPREAD_M;
        let distance_cost = 0.5 * spreads * spreads;
        let agreement = self.heading.map(|heading| near.agreement(heading));
        let (turn, forward) = match agreement {
            Some(agreement) if near.one_way => (1.0 - agreement, Some(true)),
            Some(agreement) => (1.0 - agreement.abs(), Some(agreement >= 0.0)),
            None => (0.0, near.one_way.then_some(true)),
        };
        (
            distance_cost + HEADING_COST * self.heading_weight * turn,
            forward,
        )
    }
}

/// What may still win.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Segments further away cannot.
    pub distance_m: f32,
    /// Who costs more by distance and heading alone cannot.
    cost: f32,
}

impl Limits {
    pub fn new(max_m: f32) -> Self {
        Self {
            distance_m: max_m,
            cost: f32::INFINITY,
        }
    }

    /// Whether that cost by distance and heading may win.
    pub fn allow(&self, cost: f32) -> bool {
        // Also where it is not a number.
        cost < f32::INFINITY && cost <= self.cost
    }

    /// Something costs so much in all.
    pub fn tighten(&mut self, cost: f32) {
        // A little more, so that rounding never shuts out the cheapest itself.
        let cost = cost + ROUNDING_COST;
        if cost < self.cost {
            self.cost = cost;
            self.distance_m = self.distance_m.min(SPREAD_M * (2.0 * cost).sqrt());
        }
    }
}

/// Collects the segments that may still win.
pub(super) struct Search<'a> {
    costs: &'a Costs,
    limits: Limits,
    way_cost_max: f32,
    candidates: [Candidate; CANDIDATES_MAX],
    len: usize,
}

impl<'a> Search<'a> {
    /// Segments that cost `way_cost_max` more than the best may still win.
    pub fn new(costs: &'a Costs, limits: Limits, way_cost_max: f32) -> Self {
        Self {
            costs,
            limits,
            way_cost_max,
            candidates: [Candidate::NONE; CANDIDATES_MAX],
            len: 0,
        }
    }

    pub fn found(&self) -> &[Candidate] {
        &self.candidates[..self.len]
    }

    /// Where a candidate goes: over the same segment's, to the end, or in the
    /// place of the worst.
    fn slot(&mut self, segment: SegmentIndex) -> usize {
        if let Some(at) = self
            .found()
            .iter()
            .position(|known| known.segment == segment)
        {
            return at;
        }
        if self.len < CANDIDATES_MAX {
            self.len += 1;
            return self.len - 1;
        }
        let worst = (0..self.len).max_by(|a, b| {
            self.candidates[*a]
                .cost
                .total_cmp(&self.candidates[*b].cost)
        });
        worst.unwrap_or(0)
    }
}

impl Visitor for Search<'_> {
    fn limit_m(&self) -> f32 {
        self.limits.distance_m
    }

    fn visit(&mut self, near: &Near) {
        let (cost, forward) = self.costs.of(near);
        if !self.limits.allow(cost) {
            return;
        }
        let at = self.slot(near.segment);
        if cost < self.candidates[at].cost {
            self.candidates[at] = Candidate {
                segment: near.segment,
                one_way: near.one_way,
                cost,
                distance_m: near.distance_m,
                offset_m: near.offset_m,
                forward,
            };
        }
        self.limits.tighten(cost + self.way_cost_max);
    }
}
