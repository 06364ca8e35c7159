//! The track of one device.

use std::collections::VecDeque;

use events::columns::date_of;
use events::{DeviceId, Location, Offset};
use streets::SegmentIndex;

use crate::{Fix, TeleportLimits};

/// How many fixes a trail holds.
pub const TRAIL_LENGTH: usize = 20;
/// Room is made for so many of a trail's older fixes at a time: doubling would leave
/// every device half as much again as it ever uses.
const TRAIL_STEP: usize = 3;
/// Farther than this from where it last moved is a movement, metres; less is
/// receiver noise.
const MOVED_M: f64 = 15.0;
/// From this speed on a vehicle counts as moving, km/h.
const MOVING_KMH: f64 = 3.0;
/// A vehicle that has not moved for this long has stopped.
const STOPPED_AFTER_US: i64 = 30_000_000;
/// One that has not moved for this long is parked: no part of the traffic.
const PARKED_AFTER_US: i64 = 120_000_000;
/// One that has not moved for this long has ended its trip where it last moved.
const TRIP_ENDS_AFTER_US: i64 = 300_000_000;
/// Shorter ways say nothing about the heading, metres.
const HEADING_M: f64 = 5.0;
/// Not seen moving yet: parked until it moves. Nor on a trip.
pub(crate) const NEVER_US: i64 = i64::MIN / 2;

/// One accepted fix of a trail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrailPoint {
    /// Where.
    pub location: Location,
    /// Speed over ground, km/h.
    pub speed_kmh: f64,
    /// When, microseconds since the epoch.
    pub timestamp_us: i64,
}

/// An older fix of a trail, in a third less memory: degrees to 1e-7 (a centimetre), speed
/// to 1e-4 km/h, both finer than any receiver is. There are more of these than of
/// anything else.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(Rust, packed(4))]
pub(crate) struct Spot {
    timestamp_us: i64,
    latitude_e7: i32,
    longitude_e7: i32,
    speed_e4: u32,
}

impl Spot {
    const DEGREE: f64 = 1e7;
    const SPEED: f64 = 1e4;

    fn of(point: &TrailPoint) -> Self {
        let degrees = |value: f64| (value * Self::DEGREE).round() as i32;
        Self {
            timestamp_us: point.timestamp_us,
            latitude_e7: degrees(point.location.latitude),
            longitude_e7: degrees(point.location.longitude),
            speed_e4: (point.speed_kmh * Self::SPEED).round() as u32,
        }
    }

    fn point(self) -> TrailPoint {
        TrailPoint {
            location: Location {
                latitude: f64::from(self.latitude_e7) / Self::DEGREE,
                longitude: f64::from(self.longitude_e7) / Self::DEGREE,
            },
            speed_kmh: f64::from(self.speed_e4) / Self::SPEED,
            timestamp_us: self.timestamp_us,
        }
    }
}

/// Whether a device moves. That it has gone silent is for those to say who know
/// what time it is: see [`Track::motion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// It moved within the last 30 s.
    Moving,
    /// It did not.
    Stopped,
    /// Nothing has been heard of it.
    Silent,
}

impl Motion {
    /// `moving`, `stopped` or `silent`.
    pub const fn name(self) -> &'static str {
        match self {
            Motion::Moving => "moving",
            Motion::Stopped => "stopped",
            Motion::Silent => "silent",
        }
    }
}

/// From setting off to standing still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// The first movement, microseconds since the epoch.
    pub started_at_us: i64,
    /// The last movement.
    pub ended_at_us: i64,
}

/// What a fix says about trips; both when a vehicle sets off after it was silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TripChange {
    /// The trip that is over.
    pub ended: Option<Trip>,
    /// When the new one began, microseconds since the epoch.
    pub started_at_us: Option<i64>,
}

/// Why a fix is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Doubt {
    /// At (0,0).
    NullIsland,
    /// Its stated accuracy is worse than the limit.
    Inaccurate,
    /// Too far from the fix before.
    Teleport,
}

impl Doubt {
    /// Every reason, in the order of their numbers.
    pub(crate) const ALL: [Doubt; 3] = [Doubt::NullIsland, Doubt::Inaccurate, Doubt::Teleport];

    /// `null_island`, `inaccurate` or `teleport`.
    pub const fn name(self) -> &'static str {
        match self {
            Doubt::NullIsland => "null_island",
            Doubt::Inaccurate => "inaccurate",
            Doubt::Teleport => "teleport",
        }
    }
}

/// The fixes of a device that were not believed, since it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFixes {
    /// How many.
    pub count: u32,
    /// What was wrong with the last one.
    pub reason: Doubt,
    /// When that one says it was, microseconds since the epoch.
    pub at_us: i64,
}

/// A refused jump. The vehicle really is there if the next fix agrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Suspect {
    pub(crate) point: TrailPoint,
    pub(crate) id: u64,
}

/// What a device has said that was not believed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Doubted {
    pub(crate) fixes: BadFixes,
    /// The last jump, as long as no newer fix was believed.
    pub(crate) suspect: Option<Suspect>,
}

/// How a fix lies to what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Reachable,
    /// Not from where the device was, but from the jump that was refused last.
    Confirmed,
    Teleport,
}

/// What is known of one device, of one partition's records. `X` is what its user
/// keeps with it; it is neither judged nor stored.
#[derive(Clone, Debug)]
pub struct Track<X> {
    pub(crate) device_id: DeviceId,
    pub(crate) device_hash: u64,
    /// Event time and offset of the newest fix: the newest wins, ties by offset.
    pub(crate) order: (i64, Offset),
    pub(crate) appended_at_us: i64,
    /// Of the newest fix, as sent.
    pub(crate) location: Location,
    pub(crate) speed_kmh: f64,
    pub(crate) heading_deg: Option<f64>,
    pub(crate) segment: Option<SegmentIndex>,
    /// The accepted fixes before the newest, newest last.
    pub(crate) before: VecDeque<Spot>,
    /// Boxed: few devices have any.
    pub(crate) doubted: Option<Box<Doubted>>,
    /// Of the newest fix.
    pub(crate) last_id: u64,
    /// Where it last moved.
    pub(crate) anchor: Location,
    pub(crate) last_moved_us: i64,
    /// Or [`NEVER_US`].
    pub(crate) trip_started_us: i64,
    /// Boxed: in a day many devices end none.
    pub(crate) last_trip: Option<Box<Trip>>,
    pub(crate) distance_today_m: f64,
    pub(crate) dirty: bool,
    /// What the user of the track keeps with it.
    pub extra: X,
}

impl<X: Default> Track<X> {
    /// The track that begins with `fix`.
    pub(crate) fn begin(
        fix: &Fix<'_>,
        offset: Offset,
        appended_at_us: i64,
        device_hash: u64,
        id: u64,
    ) -> Self {
        let moved_us = match fix.speed_kmh >= MOVING_KMH {
            true => fix.timestamp_us,
            false => NEVER_US,
        };
        Self {
            device_id: fix.device_id.into(),
            device_hash,
            order: (fix.timestamp_us, offset),
            appended_at_us,
            location: fix.location,
            speed_kmh: fix.speed_kmh,
            heading_deg: fix.heading_deg,
            segment: None,
            before: VecDeque::new(),
            doubted: None,
            last_id: id,
            anchor: fix.location,
            last_moved_us: moved_us,
            trip_started_us: moved_us,
            last_trip: None,
            distance_today_m: 0.0,
            dirty: false,
            extra: X::default(),
        }
    }
}

impl<X> Track<X> {
    pub(crate) fn last(&self) -> TrailPoint {
        TrailPoint {
            location: self.location,
            speed_kmh: self.speed_kmh,
            timestamp_us: self.order.0,
        }
    }

    /// The device.
    pub fn device_id(&self) -> &DeviceId {
        &self.device_id
    }

    /// [`hash64`](crate::hash64) of the device's id with seed 0.
    pub fn device_hash(&self) -> u64 {
        self.device_hash
    }

    /// Event time (microseconds since the epoch) and offset of the newest fix.
    pub fn order(&self) -> (i64, Offset) {
        self.order
    }

    /// When the log took the newest fix in, microseconds since the epoch.
    pub fn appended_at_us(&self) -> i64 {
        self.appended_at_us
    }

    /// The newest place.
    pub fn location(&self) -> Location {
        self.location
    }

    /// The newest speed, km/h.
    pub fn speed_kmh(&self) -> f64 {
        self.speed_kmh
    }

    /// As sent, else derived from the way it came; degrees clockwise from north.
    pub fn heading_deg(&self) -> Option<f64> {
        self.heading_deg
    }

    /// The street it is on.
    pub fn segment(&self) -> Option<SegmentIndex> {
        self.segment
    }

    /// The last accepted fixes, newest last, at least one and at most [`TRAIL_LENGTH`].
    /// The newest is as it was sent, the others are to a centimetre.
    pub fn trail(&self) -> impl DoubleEndedIterator<Item = TrailPoint> {
        let before = self.before.iter().map(|spot| spot.point());
        before.chain(std::iter::once(self.last()))
    }

    /// How many fixes the trail has.
    pub fn trail_len(&self) -> usize {
        self.before.len() + 1
    }

    /// The newest movement, microseconds since the epoch; none was seen yet
    /// where absent.
    pub fn last_moved_us(&self) -> Option<i64> {
        (self.last_moved_us != NEVER_US).then_some(self.last_moved_us)
    }

    /// When the trip that it is on began.
    pub fn trip_started_us(&self) -> Option<i64> {
        (self.trip_started_us != NEVER_US).then_some(self.trip_started_us)
    }

    /// The last trip that is over. Who knows that the device has fallen silent takes it
    /// to have ended its trip where it last moved: it may yet go on with it.
    pub fn last_trip(&self, is_silent: bool) -> Option<Trip> {
        let silent = self.trip_started_us().filter(|_| is_silent);
        let silent = silent.map(|started_at_us| Trip {
            started_at_us,
            ended_at_us: self.last_moved_us,
        });
        silent.or(self.last_trip.as_deref().copied())
    }

    /// The fixes that were not believed, if there were any.
    pub fn bad_fixes(&self) -> Option<BadFixes> {
        self.doubted.as_ref().map(|doubted| doubted.fixes)
    }

    pub(crate) fn suspect(&self) -> Option<&Suspect> {
        self.doubted.as_ref()?.suspect.as_ref()
    }

    /// Takes note of a fix that is not believed; of one that may be confirmed as well.
    pub(crate) fn doubt(&mut self, fix: &Fix<'_>, reason: Doubt, suspect: Option<Suspect>) {
        let count = self.bad_fixes().map_or(0, |bad| bad.count);
        let fixes = BadFixes {
            count: count.saturating_add(1),
            reason,
            at_us: fix.timestamp_us,
        };
        match &mut self.doubted {
            Some(doubted) => {
                doubted.fixes = fixes;
                doubted.suspect = suspect.or(doubted.suspect);
            }
            None => self.doubted = Some(Box::new(Doubted { fixes, suspect })),
        }
    }

    /// Metres driven on the UTC day of the newest fix.
    pub fn distance_today_m(&self) -> f64 {
        self.distance_today_m
    }

    /// Its motion as of the newest fix, which is not silence.
    pub fn motion(&self) -> Motion {
        match self.order.0 - self.last_moved_us <= STOPPED_AFTER_US {
            true => Motion::Moving,
            false => Motion::Stopped,
        }
    }

    /// Whether it has been standing for two minutes and more.
    pub fn is_parked(&self) -> bool {
        self.order.0 - self.last_moved_us > PARKED_AFTER_US
    }

    pub(crate) fn step(&self, fix: &Fix<'_>, limits: &TeleportLimits) -> Step {
        if reachable(&self.last(), fix, limits) {
            return Step::Reachable;
        }
        match self.suspect() {
            Some(suspect) if reachable(&suspect.point, fix, limits) => Step::Confirmed,
            _ => Step::Teleport,
        }
    }

    /// Whether an older fix fits between those around it.
    pub(crate) fn fits_behind(&self, fix: &Fix<'_>, limits: &TeleportLimits) -> bool {
        let is_later = |point: &TrailPoint| point.timestamp_us > fix.timestamp_us;
        let earlier = self.trail().take_while(|point| !is_later(point)).last();
        let later = self.trail().find(is_later);
        let mut neighbours = earlier.into_iter().chain(later);
        neighbours.any(|point| reachable(&point, fix, limits))
    }

    /// Takes the newest fix in.
    pub(crate) fn advance(
        &mut self,
        fix: &Fix<'_>,
        offset: Offset,
        appended_at_us: i64,
        id: u64,
        step: Step,
    ) -> TripChange {
        let before = self.last();
        let way = before.location;
        if let Some(heading_deg) = fix.heading_deg {
            self.heading_deg = Some(heading_deg);
        } else if step == Step::Reachable && distance_m(way, fix.location) > HEADING_M {
            self.heading_deg = Some(way.bearing_deg(fix.location));
        }
        if date_of(fix.timestamp_us) != date_of(self.order.0) {
            self.distance_today_m = 0.0;
        }
        let trip = self.follow_motion(fix, step);
        self.push_before(&before);
        self.order = (fix.timestamp_us, offset);
        self.location = fix.location;
        self.speed_kmh = fix.speed_kmh;
        self.appended_at_us = appended_at_us;
        self.last_id = id;
        if let Some(doubted) = &mut self.doubted {
            doubted.suspect = None;
        }
        trip
    }

    /// Adds the fix that is no longer the newest one to those before it.
    pub(crate) fn push_before(&mut self, point: &TrailPoint) {
        const MOST: usize = TRAIL_LENGTH - 1;
        match self.before.len() {
            MOST => {
                self.before.pop_front();
            }
            length if length == self.before.capacity() => {
                self.before.reserve_exact(TRAIL_STEP.min(MOST - length));
            }
            _ => {}
        }
        self.before.push_back(Spot::of(point));
    }

    fn follow_motion(&mut self, fix: &Fix<'_>, step: Step) -> TripChange {
        let mut change = TripChange::default();
        let gone_m = match step {
            Step::Reachable => distance_m(self.anchor, fix.location),
            // It was somewhere else all the time: a correction, no way driven.
            _ => {
                self.anchor = fix.location;
                0.0
            }
        };
        let stands = fix.timestamp_us - self.last_moved_us > TRIP_ENDS_AFTER_US;
        if stands && let Some(started_at_us) = self.trip_started_us() {
            self.trip_started_us = NEVER_US;
            let ended = Trip {
                started_at_us,
                ended_at_us: self.last_moved_us,
            };
            self.last_trip = Some(Box::new(ended));
            change.ended = Some(ended);
        }
        if gone_m > MOVED_M || fix.speed_kmh >= MOVING_KMH {
            self.distance_today_m += gone_m;
            self.anchor = fix.location;
            self.last_moved_us = fix.timestamp_us;
            if self.trip_started_us == NEVER_US {
                self.trip_started_us = fix.timestamp_us;
                change.started_at_us = Some(fix.timestamp_us);
            }
        }
        change
    }
}

pub(crate) fn point_of(fix: &Fix<'_>) -> TrailPoint {
    TrailPoint {
        location: fix.location,
        speed_kmh: fix.speed_kmh,
        timestamp_us: fix.timestamp_us,
    }
}

/// Whether the way between the two can have been driven, given that receivers are off:
/// the noise comes on top of the way that the time allows, so that a fast vehicle with a
/// noisy fix is no teleport for being a little farther than either alone explains.
fn reachable(from: &TrailPoint, to: &Fix<'_>, limits: &TeleportLimits) -> bool {
    let distance_m = distance_m(from.location, to.location);
    if distance_m <= limits.distance_m {
        return true;
    }
    let seconds = ((to.timestamp_us - from.timestamp_us).abs() as f64 / 1e6).max(1.0);
    (distance_m - limits.distance_m) / seconds * 3.6 <= limits.speed_kmh(to.vehicle_type)
}

/// Great-circle distance, metres; near by on the plane through both, which is
/// exact to a millionth there.
fn distance_m(from: Location, to: Location) -> f64 {
    const M_PER_DEGREE: f64 = 6_371_008.8 * std::f64::consts::PI / 180.0;
    let (north, east) = (to.latitude - from.latitude, to.longitude - from.longitude);
    if north == 0.0 && east == 0.0 {
        return 0.0;
    }
    if north.abs() > 0.1 || east.abs() > 0.1 || from.latitude.abs() > 80.0 {
        return from.distance_m(to);
    }
    let middle = (from.latitude + to.latitude).to_radians() / 2.0;
    let east = east * middle.cos();
    (north * north + east * east).sqrt() * M_PER_DEGREE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_distances_are_those_of_the_great_circle() {
        let from = Location {
            latitude: 57.7,
            longitude: 11.97,
        };
        for (north, east) in [(0.0001, 0.0), (0.0, 0.0001), (0.05, -0.05), (-0.09, 0.09)] {
            let to = Location {
                latitude: from.latitude + north,
                longitude: from.longitude + east,
            };
            let exact = from.distance_m(to);
            assert!(
                (distance_m(from, to) - exact).abs() <= exact * 2e-6,
                "{north} {east}"
            );
        }
    }
}
