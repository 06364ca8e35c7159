//! The segment nearest to a place.

use events::Location;

use crate::SegmentIndex;
use crate::grid::{Grid, Near, Visitor, unit};

/// The segment that a fix is on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// The segment.
    pub segment: SegmentIndex,
    /// Metres from the fix to its line.
    pub distance_m: f64,
    /// Metres along its line, from `from_node`, to the point nearest to the fix.
    pub offset_m: f64,
    /// Driven along its line; `false` against it; `None` where nothing tells.
    pub forward: Option<bool>,
    /// On the segment of the fix before, or on one that is driven to from there
    /// in about the distance between the two.
    pub continues: bool,
}

/// A street across the heading counts as this much further away, one that may
/// only be driven against the heading as twice this much.
const HEADING_PENALTY_M: f32 = 15.0;

/// See [`crate::StreetNetwork::nearest`].
pub(crate) fn nearest(
    grid: &Grid,
    location: Location,
    heading_deg: Option<f64>,
    max_distance_m: f64,
) -> Option<Match> {
    let mut best = Best {
        heading: heading_deg.map(unit),
        max_m: max_distance_m as f32,
        score: f32::INFINITY,
        found: None,
    };
    grid.search(&grid.place(location), &mut best);
    best.found
}

/// The best of all pieces by distance and heading.
struct Best {
    heading: Option<(f32, f32)>,
    max_m: f32,
    score: f32,
    found: Option<Match>,
}

impl Visitor for Best {
    fn limit_m(&self) -> f32 {
        self.score.min(self.max_m)
    }

    fn visit(&mut self, near: &Near) {
        let agreement = self.heading.map(|heading| near.agreement(heading));
        let penalty_m = match agreement {
            Some(agreement) if near.one_way => HEADING_PENALTY_M * (1.0 - agreement),
            Some(agreement) => HEADING_PENALTY_M * (1.0 - agreement.abs()),
            None => 0.0,
        };
        let score = near.distance_m + penalty_m;
        // Ties go to the lower number, so that the answer does not depend on
        // the order of the cells.
        let is_better = score < self.score
            || (score == self.score
                && self.found.is_some_and(|found| near.segment < found.segment));
        if is_better {
            self.score = score;
            self.found = Some(Match {
                segment: near.segment,
                distance_m: f64::from(near.distance_m),
                offset_m: f64::from(near.offset_m),
                forward: agreement.map(|agreement| near.one_way || agreement >= 0.0),
                continues: false,
            });
        }
    }
}
