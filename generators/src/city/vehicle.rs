//! One vehicle on its way: where it is, how fast, and what is ahead.

use events::Location;
use streets::{Exit, NodeIndex, SegmentIndex};

use super::World;
use super::roads::{M_PER_DEGREE, turn_deg, turn_speed_ms};

/// Comfortable and hardest braking, m/s2.
const BRAKE: f64 = 2.2;
const BRAKE_MAX: f64 = 5.0;
/// How far right of the line one drives, metres.
const LANE_OFFSET_M: f64 = 2.0;
/// Metres over which the lane offset swings round at a turn.
const SWING_M: f64 = 6.0;
/// How far before the end of a segment one stops.
const STOP_BEFORE_M: f64 = 4.0;

/// A body on the road.
pub(crate) struct Motion {
    pub segment: SegmentIndex,
    pub forward: bool,
    /// Metres along the segment in the direction of travel.
    pub offset_m: f64,
    pub speed_ms: f64,
    /// The way on at the end; `None` stops there.
    pub next: Option<Exit>,
    pub position: Location,
    /// Direction of the last movement.
    pub heading_deg: f64,
    /// How fast the position moved in the last step.
    pub shown_speed_ms: f64,
    /// East and north of the line.
    lane_m: (f64, f64),
    /// Metres of this step that are still to go on the segment just entered.
    carry_m: f64,
}

/// How a driver drives.
#[derive(Clone, Copy)]
pub(crate) struct Driver {
    /// Share of the limit that is driven where the road is free.
    pub pace: f64,
    pub speed_max_ms: f64,
    pub acceleration: f64,
    /// Passes red lights and traffic: an ambulance under way to a call.
    pub is_urgent: bool,
}

/// What a step of driving came to.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Step {
    /// Still on the same segment.
    On,
    /// On the next segment: choose what follows.
    Entered,
    /// At the end, with nowhere to go on.
    Stopped,
}

impl Motion {
    pub fn at(world: &World, segment: SegmentIndex, forward: bool, share: f64) -> Self {
        let offset_m = world.roads.road(segment).length_m() * share;
        let mut motion = Self {
            segment,
            forward,
            offset_m,
            speed_ms: 0.0,
            next: None,
            position: Location::default(),
            heading_deg: 0.0,
            shown_speed_ms: 0.0,
            lane_m: (0.0, 0.0),
            carry_m: 0.0,
        };
        let (line, heading_deg) = motion.on_line(world);
        motion.lane_m = lane_offset(heading_deg);
        motion.heading_deg = heading_deg;
        motion.position = motion.beside(world, line);
        motion
    }

    /// Drives for `dt_s` seconds, at most about one. After [`Step::Entered`]
    /// choose `next` and [`Motion::roll`] on; then [`Motion::place`] the body.
    pub fn drive(&mut self, world: &mut World, driver: Driver, now_us: i64, dt_s: f64) -> Step {
        let allowed_ms = self.allowed_ms(world, driver, now_us, dt_s);
        let before_ms = self.speed_ms;
        self.speed_ms = if allowed_ms > before_ms {
            (before_ms + driver.acceleration * dt_s).min(allowed_ms)
        } else {
            (before_ms - BRAKE_MAX * dt_s).max(allowed_ms)
        };
        self.advance(
            world,
            driver,
            now_us,
            (before_ms + self.speed_ms) / 2.0 * dt_s,
        )
    }

    /// Goes on with what is left of the step.
    pub fn roll(&mut self, world: &mut World, driver: Driver, now_us: i64) -> Step {
        let moved_m = std::mem::take(&mut self.carry_m);
        self.advance(world, driver, now_us, moved_m)
    }

    /// Stands still for `dt_s`.
    pub fn stand(&mut self) {
        self.speed_ms = 0.0;
        self.shown_speed_ms = 0.0;
    }

    /// The speed that traffic, bends, signals and the way on allow.
    fn allowed_ms(&self, world: &World, driver: Driver, now_us: i64, dt_s: f64) -> f64 {
        let road = world.roads.road(self.segment);
        let flow = world
            .roads
            .flow_factor(self.segment, self.forward, &world.clock, now_us);
        let flow = if driver.is_urgent {
            flow.max(0.8)
        } else {
            flow
        };
        let mut allowed_ms = (road.limit_ms * driver.pace * flow).min(driver.speed_max_ms);
        let length_m = road.length_m();
        // Brakes for what is reached after this step, not for where it is now.
        let ahead_m = self.speed_ms * dt_s;
        let mut brake_for = |distance_m: f64, speed_ms: f64| {
            let room_m = (distance_m - ahead_m).max(0.0);
            allowed_ms = allowed_ms.min((speed_ms * speed_ms + 2.0 * BRAKE * room_m).sqrt());
        };
        for bend in &road.bends {
            let offset_m = if self.forward {
                bend.offset_m
            } else {
                length_m - bend.offset_m
            };
            if offset_m > self.offset_m {
                brake_for(offset_m - self.offset_m, bend.speed_ms);
            }
        }
        let to_end_m = length_m - self.offset_m;
        let to_stop_m = (to_end_m - STOP_BEFORE_M).max(0.0);
        match self.next {
            None => brake_for(to_stop_m, 0.0),
            Some(_) if !driver.is_urgent && to_end_m < 90.0 && self.is_red(world, now_us) => {
                brake_for(to_stop_m, 0.0)
            }
            Some(next) => {
                let limit_ms = world.roads.road(next.segment).limit_ms * driver.pace;
                brake_for(
                    to_end_m,
                    turn_speed_ms(self.turn_deg(world, next)).min(limit_ms.max(3.0)),
                );
            }
        }
        // Rolls up to the line instead of never reaching it.
        if to_stop_m > 0.5 && allowed_ms < 1.0 {
            allowed_ms.max(to_stop_m.min(1.0))
        } else {
            allowed_ms
        }
    }

    fn is_red(&self, world: &World, now_us: i64) -> bool {
        let heading_deg = end_heading_deg(&world.streets.segment(self.segment).line, self.forward);
        world
            .roads
            .is_red(self.end_node(world), heading_deg, now_us)
    }

    /// The junction it drives towards.
    pub fn end_node(&self, world: &World) -> NodeIndex {
        let segment = world.streets.segment(self.segment);
        if self.forward {
            segment.to_node
        } else {
            segment.from_node
        }
    }

    fn turn_deg(&self, world: &World, next: Exit) -> f64 {
        let from_deg = end_heading_deg(&world.streets.segment(self.segment).line, self.forward);
        turn_deg(
            from_deg,
            start_heading_deg(&world.streets.segment(next.segment).line, next.forward),
        )
    }

    fn advance(&mut self, world: &mut World, driver: Driver, now_us: i64, moved_m: f64) -> Step {
        let length_m = world.roads.road(self.segment).length_m();
        let target_m = self.offset_m + moved_m;
        let stops = match self.next {
            None => true,
            Some(_) => {
                !driver.is_urgent
                    && target_m >= length_m
                    && self.speed_ms < 3.0
                    && self.is_red(world, now_us)
            }
        };
        let stop_m = (length_m - STOP_BEFORE_M).max(length_m * 0.5);
        if stops && target_m >= stop_m - 0.5 {
            // Never backwards, also where it was already past the line.
            self.offset_m = target_m.min(stop_m.max(self.offset_m));
            self.speed_ms = 0.0;
            return if self.next.is_none() {
                Step::Stopped
            } else {
                Step::On
            };
        }
        let Some(next) = self.next.filter(|_| target_m >= length_m) else {
            self.offset_m = target_m.min(length_m);
            return Step::On;
        };
        world.roads.leave(self.segment, self.forward);
        world.roads.enter(next.segment, next.forward);
        self.segment = next.segment;
        self.forward = next.forward;
        self.offset_m = 0.0;
        self.carry_m = target_m - length_m;
        self.next = None;
        Step::Entered
    }

    /// Moves the position after the body moved along its line.
    pub fn place(&mut self, world: &World, dt_s: f64) {
        let moved_m = self.speed_ms * dt_s;
        let (line, line_heading_deg) = self.on_line(world);
        let target = lane_offset(line_heading_deg);
        let swing = 1.0 - (-moved_m / SWING_M).exp();
        self.lane_m.0 += (target.0 - self.lane_m.0) * swing;
        self.lane_m.1 += (target.1 - self.lane_m.1) * swing;
        let before = self.position;
        self.position = self.beside(world, line);
        let road = world.roads.road(self.segment);
        let east_m = (self.position.longitude - before.longitude) * road.m_per_lon;
        let north_m = (self.position.latitude - before.latitude) * M_PER_DEGREE;
        let distance_m = east_m.hypot(north_m);
        self.shown_speed_ms = if dt_s > 0.0 { distance_m / dt_s } else { 0.0 };
        if distance_m > 0.02 {
            self.heading_deg = east_m.atan2(north_m).to_degrees().rem_euclid(360.0);
        }
    }

    /// The point of the segment's line and the direction of travel there.
    fn on_line(&self, world: &World) -> (Location, f64) {
        let line = &world.streets.segment(self.segment).line;
        let offsets_m = &world.roads.road(self.segment).offsets_m;
        let length_m = offsets_m[offsets_m.len() - 1];
        let along_m = if self.forward {
            self.offset_m
        } else {
            length_m - self.offset_m
        }
        .clamp(0.0, length_m);
        let after = offsets_m
            .partition_point(|offset_m| *offset_m < along_m)
            .clamp(1, line.len() - 1);
        let (from, to) = (line[after - 1], line[after]);
        let part_m = offsets_m[after] - offsets_m[after - 1];
        let t = if part_m > 0.0 {
            (along_m - offsets_m[after - 1]) / part_m
        } else {
            0.0
        };
        let point = Location {
            latitude: from.latitude + (to.latitude - from.latitude) * t,
            longitude: from.longitude + (to.longitude - from.longitude) * t,
        };
        let heading_deg = if self.forward {
            from.bearing_deg(to)
        } else {
            to.bearing_deg(from)
        };
        (point, heading_deg)
    }

    fn beside(&self, world: &World, line: Location) -> Location {
        let m_per_lon = world.roads.road(self.segment).m_per_lon;
        Location {
            latitude: line.latitude + self.lane_m.1 / M_PER_DEGREE,
            longitude: line.longitude + self.lane_m.0 / m_per_lon,
        }
    }
}

/// East and north of the line, to the right of the direction of travel.
fn lane_offset(heading_deg: f64) -> (f64, f64) {
    let (sin, cos) = heading_deg.to_radians().sin_cos();
    (cos * LANE_OFFSET_M, -sin * LANE_OFFSET_M)
}

fn start_heading_deg(line: &[Location], forward: bool) -> f64 {
    if forward {
        line[0].bearing_deg(line[1])
    } else {
        line[line.len() - 1].bearing_deg(line[line.len() - 2])
    }
}

fn end_heading_deg(line: &[Location], forward: bool) -> f64 {
    if forward {
        line[line.len() - 2].bearing_deg(line[line.len() - 1])
    } else {
        line[1].bearing_deg(line[0])
    }
}
