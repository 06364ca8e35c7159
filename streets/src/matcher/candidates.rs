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

/// Collects the segments that may still win.
pub(super) struct Search {
    heading: Option<(f32, f32)>,
    heading_weight: f32,
    max_m: f32,
    limit_m: f32,
    /// Who costs more by distance and heading alone cannot win.
    limit_cost: f32,
    way_cost_max: f32,
    candidates: [Candidate; CANDIDATES_MAX],
    len: usize,
}

impl Search {
    /// `heading` counts by its weight, 0 to 1; segments that cost
    /// `way_cost_max` more than the best may still win.
    pub fn new(
        (heading, heading_weight): (Option<(f32, f32)>, f32),
        max_m: f32,
        way_cost_max: f32,
    ) -> Self {
        Self {
            heading,
            heading_weight,
            max_m,
            limit_m: max_m,
            limit_cost: f32::INFINITY,
            way_cost_max,
            candidates: [Candidate::NONE; CANDIDATES_MAX],
            len: 0,
        }
    }

    pub fn found(&self) -> &[Candidate] {
        &self.candidates[..self.len]
    }

    pub fn tighten(&mut self, cost: f32) {
        // A little more, so that rounding never shuts out the cheapest itself.
        let cost = cost + 1e-3;
        if cost < self.limit_cost {
            self.limit_cost = cost;
            self.limit_m = self.max_m.min(SPREAD_M * (2.0 * cost).sqrt());
        }
    }

    /// Cost by distance and heading, and the direction that the heading tells.
    pub fn cost(&self, near: &Near) -> (f32, Option<bool>) {
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

impl Visitor for Search {
    fn limit_m(&self) -> f32 {
        self.limit_m
    }

    fn visit(&mut self, near: &Near) {
        let (cost, forward) = self.cost(near);
        // Also where the cost is not a number.
        let may_win = cost < f32::INFINITY && cost <= self.limit_cost;
        if !may_win {
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
        self.tighten(cost + self.way_cost_max);
    }
}
