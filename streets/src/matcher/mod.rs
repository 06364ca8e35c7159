//! Which segment a vehicle is on, fix by fix.
//!
//! A hidden Markov model as in Newson and Krumm, "Hidden Markov Map Matching
//! Through Noise and Sparseness" (2009), filtered online with one state: the
//! segment of the fix before. A segment costs by its distance from the fix
//! (normal), by the turn between it and the heading, and by how much the way
//! driven to it from the previous place differs from the straight line between
//! the two fixes. The last is capped, so that one wrong match cannot hold on
//! to a vehicle; where no way is found, distance and heading decide.

mod before;
mod candidates;

use std::sync::Arc;

use events::Location;

use crate::grid::{OnLine, Place, unit};
use crate::{Match, SegmentIndex, StreetNetwork};
use before::{Before, WAY_COST_MAX, WAY_SPREAD_M, Ways};
use candidates::{Candidate, Costs, Limits, ROUNDING_COST, Search};

/// Receivers know no heading below the first speed, and know it from the second on.
const HEADING_KMH: (f32, f32) = (2.0, 8.0);
/// What the heading still weighs at a stand while nothing else is known.
const HEADING_FIRST_WEIGHT: f32 = 0.3;
/// From this distance between two fixes their line is a heading where the
/// receiver gives none.
const HEADING_FROM_M: f32 = 10.0;
/// Farther than this between two fixes the previous segment says nothing.
const PREVIOUS_MAX_M: f32 = 3_000.0;

/// Matches fixes to the segments of a network. Cheap to clone; keeps nothing of
/// a vehicle: that is in [`Previous`].
#[derive(Clone, Debug)]
pub struct Matcher {
    streets: Arc<StreetNetwork>,
}

/// What is matched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixForMatch {
    /// Where the receiver says it is.
    pub location: Location,
    /// Degrees clockwise from north.
    pub heading_deg: Option<f64>,
    /// How fast: slow receivers know no heading.
    pub speed_kmh: f64,
}

/// Where the same vehicle's fix before was matched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Previous {
    /// The segment.
    pub segment: SegmentIndex,
    /// The fix itself.
    pub location: Location,
}

impl Match {
    /// This match as what comes before the next fix.
    pub fn as_previous(&self, location: Location) -> Previous {
        Previous {
            segment: self.segment,
            location,
        }
    }
}

impl Matcher {
    /// A matcher on these streets.
    pub fn new(streets: Arc<StreetNetwork>) -> Self {
        Self { streets }
    }

    /// The streets it matches to.
    pub fn streets(&self) -> &Arc<StreetNetwork> {
        &self.streets
    }

    /// The segment that a fix is on, at most `max_distance_m` from its line.
    /// The same arguments give the same answer. A `previous` of other streets
    /// may mislead but does no harm.
    pub fn match_fix(
        &self,
        fix: &FixForMatch,
        previous: Option<&Previous>,
        max_distance_m: f64,
    ) -> Option<Match> {
        self.look(fix, previous, max_distance_m).search()
    }

    /// The segment alone of what [`Matcher::match_fix`] finds: faster, because where no
    /// other segment is near nothing is searched.
    pub fn segment_of(
        &self,
        fix: &FixForMatch,
        previous: Option<&Previous>,
        max_distance_m: f64,
    ) -> Option<SegmentIndex> {
        let look = self.look(fix, previous, max_distance_m);
        match look.surely_stays() {
            Some(segment) => Some(segment),
            None => look.search().map(|found| found.segment),
        }
    }

    /// What is known before anything else than the segment before is looked at.
    fn look(
        &self,
        fix: &FixForMatch,
        previous: Option<&Previous>,
        max_distance_m: f64,
    ) -> Look<'_> {
        let grid = self.streets.grid();
        let place = grid.place(fix.location);
        let before = previous.and_then(|previous| self.before(previous, &place));
        let costs = Costs::new(weighed_heading(fix, before.as_ref()));
        let mut limits = Limits::new(max_distance_m as f32);
        let mut staying = None;
        if let Some(before) = &before {
            // Staying is the likeliest: what it costs narrows the search.
            let reach_m = before.moved_m * 1.5 + 4.0 * WAY_SPREAD_M;
            let part_m = (before.offset_m - reach_m, before.offset_m + reach_m);
            staying = grid
                .near_segment(before.segment, part_m, &place)
                .filter(|on| f64::from(on.near.distance_m) <= max_distance_m);
            if let Some(OnLine { near, .. }) = &staying {
                let (cost, _) = costs.of(near);
                limits.tighten(cost + before.staying_cost(near.offset_m, near.one_way));
            }
        }
        Look {
            streets: &self.streets,
            place,
            before,
            costs,
            staying,
            limits,
        }
    }

    fn before(&self, previous: &Previous, place: &Place) -> Option<Before> {
        if previous.segment.as_usize() >= self.streets.segments().len() {
            return None;
        }
        let grid = self.streets.grid();
        let previous_place = grid.place_near(previous.location, place);
        let (east_m, north_m) = place.from(&previous_place);
        let moved_m = east_m.hypot(north_m);
        // Also where it is not a number.
        let is_near = moved_m <= PREVIOUS_MAX_M;
        let was = is_near
            .then(|| grid.near_segment(previous.segment, (0.0, f32::INFINITY), &previous_place))
            .flatten()?
            .near;
        let movement = (moved_m >= HEADING_FROM_M).then(|| (east_m / moved_m, north_m / moved_m));
        Some(Before {
            segment: previous.segment,
            offset_m: was.offset_m,
            forward: movement.map(|movement| was.agreement(movement) >= 0.0),
            moved_m,
            movement,
        })
    }
}

/// One fix before the search, with what staying on the segment before costs.
struct Look<'a> {
    streets: &'a StreetNetwork,
    place: Place,
    before: Option<Before>,
    costs: Costs,
    /// On the segment before.
    staying: Option<OnLine>,
    limits: Limits,
}

impl Look<'_> {
    /// The segment before, where a search would find it and nothing else.
    fn surely_stays(&self) -> Option<SegmentIndex> {
        let on = self.staying.as_ref()?;
        let others_m = self.streets.clearance_m(on) - on.near.distance_m;
        // Also where either is not a number.
        let is_alone = others_m > self.limits.distance_m;
        if !is_alone {
            return None;
        }
        // A search looks at lines cut into pieces, each of them rounded: at the very
        // limit it may miss what is found on the whole line.
        let grid = self.streets.grid();
        grid.surely_visited(on, &self.place, self.limits.distance_m)
            .any(|near| self.limits.allow(self.costs.of(&near).0))
            .then_some(on.near.segment)
    }

    fn search(&self) -> Option<Match> {
        let way_cost_max = self.before.as_ref().map_or(0.0, |_| WAY_COST_MAX);
        let mut search = Search::new(&self.costs, self.limits, way_cost_max);
        self.streets.grid().search(&self.place, &mut search);
        let best = match &self.before {
            Some(before) => self.best_after(before, search.found()),
            None => search
                .found()
                .iter()
                .map(|candidate| (candidate.cost, false, candidate))
                .min_by(better),
        };
        best.map(|(_, continues, candidate)| candidate.as_match(continues))
    }

    fn best_after<'a>(
        &self,
        before: &Before,
        candidates: &'a [Candidate],
    ) -> Option<(f32, bool, &'a Candidate)> {
        let staying = candidates
            .iter()
            .find(|candidate| candidate.segment == before.segment)
            .map(|candidate| {
                let way_cost = before.staying_cost(candidate.offset_m, candidate.one_way);
                (candidate.cost + way_cost, true, candidate)
            });
        let rest = candidates.iter().filter(|candidate| {
            let may_win = staying.is_none_or(|(cost, ..)| candidate.cost <= cost);
            candidate.segment != before.segment && may_win
        });
        // Who costs more than staying with its way has lost.
        let cheapest = rest.clone().map(|candidate| candidate.cost);
        let cheapest = cheapest.fold(f32::INFINITY, f32::min);
        let worth = staying.map_or(WAY_COST_MAX, |(cost, ..)| cost - cheapest + ROUNDING_COST);
        let mut ways = Ways::new(self.streets.graph(), before, worth.min(WAY_COST_MAX));
        let changing = rest.map(|candidate| {
            let way_cost = ways.cost(candidate);
            (
                candidate.cost + way_cost,
                way_cost < WAY_COST_MAX,
                candidate,
            )
        });
        changing.chain(staying).min_by(better)
    }
}

/// The heading and how much it counts, 0 to 1.
fn weighed_heading(fix: &FixForMatch, before: Option<&Before>) -> (Option<(f32, f32)>, f32) {
    let (slow_kmh, fast_kmh) = HEADING_KMH;
    let by_speed = ((fix.speed_kmh as f32 - slow_kmh) / (fast_kmh - slow_kmh)).clamp(0.0, 1.0);
    let given = fix.heading_deg.filter(|degrees| degrees.is_finite());
    match (given, before) {
        (Some(degrees), None) => (Some(unit(degrees)), by_speed.max(HEADING_FIRST_WEIGHT)),
        (Some(degrees), Some(_)) if by_speed > 0.0 => (Some(unit(degrees)), by_speed),
        (_, Some(before)) => (before.movement, 1.0),
        (None, None) => (None, 0.0),
    }
}

fn better(a: &(f32, bool, &Candidate), b: &(f32, bool, &Candidate)) -> std::cmp::Ordering {
    // Ties go to the lower number, so that the answer does not depend on the
    // order of the cells.
    a.0.total_cmp(&b.0).then(a.2.segment.cmp(&b.2.segment))
}
