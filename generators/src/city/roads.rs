//! The streets as traffic sees them: lengths, bends, signals, who is on them.

use events::Location;
use streets::{NodeIndex, RoadClass, SegmentIndex, StreetNetwork};

use super::demand::{self, Clock};
use super::random;

/// Metres per degree of latitude.
pub(crate) const M_PER_DEGREE: f64 = 111_195.08;

/// A bend: no faster than this at that place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bend {
    /// Metres from the line's start.
    pub offset_m: f64,
    pub speed_ms: f64,
}

/// What driving needs to know of one segment.
pub(crate) struct Road {
    /// Metres from the start to each point of the line.
    pub offsets_m: Vec<f64>,
    pub bends: Vec<Bend>,
    /// Metres per degree of longitude here.
    pub m_per_lon: f64,
    pub limit_ms: f64,
    /// How much of the city's traffic wants to be here, 0 to 1.
    pub busy: f64,
    /// 1, or less where an incident is in the way.
    pub incident_factor: f64,
    /// Vehicles on it, forward and backward.
    pub counts: [u32; 2],
    phase: f64,
}

pub(crate) struct Roads {
    roads: Vec<Road>,
    is_signal: Vec<bool>,
    vehicles_each: f64,
    seed: u64,
}

/// A simulated vehicle stands for several on the road, for fewer the more are
/// simulated: so many in all, but at most [`VEHICLES_EACH_MAX`] each.
const VEHICLES_IN_ALL: f64 = 2_000.0;
const VEHICLES_EACH_MAX: f64 = 4.0;
/// Vehicles a kilometre at which nothing moves.
const JAM_PER_KM: f64 = 140.0;
const SIGNAL_CYCLE_S: f64 = 60.0;
const SIGNAL_RED_S: f64 = 24.0;

impl Roads {
    pub fn new(streets: &StreetNetwork, vehicles: usize, seed: u64) -> Self {
        let roads = (0..streets.segments().len())
            .map(|index| Road::new(streets, SegmentIndex(index as u32), seed))
            .collect();
        let is_signal = (0..streets.node_count())
            .map(|node| is_signal(streets, node))
            .collect();
        let vehicles_each = (VEHICLES_IN_ALL / vehicles.max(1) as f64).min(VEHICLES_EACH_MAX);
        Self {
            roads,
            is_signal,
            vehicles_each,
            seed,
        }
    }

    pub fn road(&self, segment: SegmentIndex) -> &Road {
        &self.roads[segment.as_usize()]
    }

    pub fn enter(&mut self, segment: SegmentIndex, forward: bool) {
        self.roads[segment.as_usize()].counts[usize::from(!forward)] += 1;
    }

    pub fn leave(&mut self, segment: SegmentIndex, forward: bool) {
        let count = &mut self.roads[segment.as_usize()].counts[usize::from(!forward)];
        *count = count.saturating_sub(1);
    }

    /// Lets incidents slow the segments around them; `factors` replaces all
    /// earlier ones.
    pub fn set_incident_factors(&mut self, factors: &[(SegmentIndex, f64)]) {
        for road in &mut self.roads {
            road.incident_factor = 1.0;
        }
        for (segment, factor) in factors {
            let road = &mut self.roads[segment.as_usize()];
            road.incident_factor = road.incident_factor.min(*factor);
        }
    }

    /// How fast traffic moves here now, as a share of the limit, 0.08 to 1.
    pub fn flow_factor(
        &self,
        segment: SegmentIndex,
        forward: bool,
        clock: &Clock,
        now_us: i64,
    ) -> f64 {
        let road = self.road(segment);
        let wave = (now_us as f64 / 1e6 / 900.0 * std::f64::consts::TAU + road.phase).sin();
        let wanted = (clock.demand(now_us) * road.busy * (1.0 + 0.25 * wave)).clamp(0.0, 1.0);
        // Nearly free up to half of what fits, then quickly slower.
        let background = 1.0 - 0.62 * wanted.powf(2.2);
        let others =
            f64::from(road.counts[usize::from(!forward)].saturating_sub(1)) * self.vehicles_each;
        let per_km = others / (road.length_m() / 1000.0).max(0.15);
        let density = 1.0 - (per_km / JAM_PER_KM).min(0.85);
        (background * density * road.incident_factor).clamp(0.08, 1.0)
    }

    /// Whether a signal at `node` is red for who comes heading `heading_deg`:
    /// north-south and east-west take turns.
    pub fn is_red(&self, node: NodeIndex, heading_deg: f64, now_us: i64) -> bool {
        if !self.is_signal[node as usize] {
            return false;
        }
        let is_north_south = (heading_deg.rem_euclid(180.0) - 90.0).abs() > 45.0;
        let shift_s = random::hash_unit(self.seed, u64::from(node)) * SIGNAL_CYCLE_S;
        let at_s = (now_us as f64 / 1e6 + shift_s).rem_euclid(SIGNAL_CYCLE_S);
        let red_from_s = if is_north_south {
            0.0
        } else {
            SIGNAL_CYCLE_S / 2.0
        };
        (red_from_s..red_from_s + SIGNAL_RED_S).contains(&at_s)
    }
}

impl Road {
    fn new(streets: &StreetNetwork, index: SegmentIndex, seed: u64) -> Self {
        let segment = streets.segment(index);
        let mut offsets_m = Vec::with_capacity(segment.line.len());
        let mut offset_m = 0.0;
        for (position, point) in segment.line.iter().enumerate() {
            if position > 0 {
                offset_m += segment.line[position - 1].distance_m(*point);
            }
            offsets_m.push(offset_m);
        }
        let bends = bends(&segment.line, &offsets_m);
        let middle = segment.line[segment.line.len() / 2];
        let m_per_lon = M_PER_DEGREE * middle.latitude.to_radians().cos();
        // Busy places are about 1.2 km wide.
        let (x, y) = (
            middle.longitude * m_per_lon / 1200.0,
            middle.latitude * M_PER_DEGREE / 1200.0,
        );
        let busy = class_share(segment.class) * (0.25 + 0.95 * demand::noise(seed, x, y));
        let phase =
            random::hash_unit(seed ^ 0x5ea, u64::from(index.0 / 16)) * std::f64::consts::TAU;
        Self {
            offsets_m,
            bends,
            m_per_lon,
            limit_ms: segment.free_flow_kmh / 3.6,
            busy: busy.min(1.0),
            incident_factor: 1.0,
            counts: [0, 0],
            phase,
        }
    }

    pub fn length_m(&self) -> f64 {
        self.offsets_m[self.offsets_m.len() - 1]
    }
}

/// How much traffic a class draws.
pub(crate) fn class_share(class: RoadClass) -> f64 {
    match class {
        RoadClass::Motorway | RoadClass::Trunk => 1.0,
        RoadClass::Primary => 0.95,
        RoadClass::Secondary => 0.85,
        RoadClass::Tertiary => 0.7,
        RoadClass::Unclassified => 0.5,
        RoadClass::Residential => 0.35,
        RoadClass::LivingStreet | RoadClass::Service => 0.2,
    }
}

/// How fast one takes a turn of that many degrees, m/s.
pub(crate) fn turn_speed_ms(turn_deg: f64) -> f64 {
    match turn_deg.abs() {
        turn if turn < 12.0 => f64::INFINITY,
        turn if turn < 25.0 => 20.0,
        turn if turn < 45.0 => 12.0,
        turn if turn < 75.0 => 8.0,
        turn if turn < 120.0 => 5.5,
        _ => 3.0,
    }
}

/// From -180 up to 180.
pub(crate) fn turn_deg(from_deg: f64, to_deg: f64) -> f64 {
    (to_deg - from_deg + 180.0).rem_euclid(360.0) - 180.0
}

fn bends(line: &[Location], offsets_m: &[f64]) -> Vec<Bend> {
    let mut bends = Vec::new();
    for at in 1..line.len().saturating_sub(1) {
        let turn = turn_deg(
            line[at - 1].bearing_deg(line[at]),
            line[at].bearing_deg(line[at + 1]),
        );
        // A curve drawn with many points turns little at each of them.
        let spread_m = ((offsets_m[at + 1] - offsets_m[at - 1]) / 2.0).max(1.0);
        let radius_m = spread_m / turn.to_radians().abs().max(1e-6);
        // 2 m/s2 to the side is what passengers take.
        let speed_ms = (2.0 * radius_m)
            .sqrt()
            .max(turn_speed_ms(turn).min(5.5))
            .max(3.0);
        if speed_ms < 35.0 {
            bends.push(Bend {
                offset_m: offsets_m[at],
                speed_ms,
            });
        }
    }
    bends
}

/// Larger roads that cross have signals; motorways do not.
fn is_signal(streets: &StreetNetwork, node: NodeIndex) -> bool {
    let mut large: Vec<SegmentIndex> = Vec::new();
    for exit in streets.exits(node) {
        match streets.segment(exit.segment).class {
            RoadClass::Motorway | RoadClass::Trunk => return false,
            RoadClass::Primary | RoadClass::Secondary | RoadClass::Tertiary => {
                large.push(exit.segment)
            }
            _ => {}
        }
    }
    large.dedup();
    large.len() >= 3
}
