//! All vehicles: their trips, their pauses, their messages.

use std::sync::Arc;

use events::{Body, DeviceId, Location};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use streets::{NodeIndex, SegmentIndex};

use super::catalog::{self, Kind};
use super::incident::Incidents;
use super::lines::{self, BusLine};
use super::member::Member;
use super::message::Outbox;
use super::plan::Plan;
use super::route::Router;
use super::vehicle::{Driver, Motion, Step};
use super::{World, random};

/// No more route searches a step than this: who gets none drives on at random
/// until the next junction.
const SEARCHES_PER_STEP: u32 = 16;
/// After a longer silence than this a vehicle just stood still.
const CATCH_UP_S: f64 = 120.0;
/// The most segments that one vehicle passes in a step.
const SEGMENTS_PER_STEP: u32 = 16;
const STREAM: u64 = 1;

pub(crate) struct Fleet {
    vehicles: Vec<Member>,
    lines: Vec<BusLine>,
    router: Router,
    searches_left: u32,
    interval_us: i64,
    /// Numbers of the open calls that were answered, or could not be.
    seen_calls: Vec<u64>,
}

/// What a simulated vehicle knows of itself, which its fixes do not tell: the
/// truth to hold a map matcher against.
#[derive(Clone, Copy, Debug)]
pub struct VehicleTruth<'a> {
    /// Who.
    pub device_id: &'a str,
    /// The segment it drives or stands on.
    pub segment: SegmentIndex,
    /// Along the segment's line; `false` against it.
    pub forward: bool,
    /// In its lane, not on the line.
    pub location: Location,
    /// Direction of the last movement.
    pub heading_deg: f64,
    /// Of the last step.
    pub speed_kmh: f64,
}

impl Fleet {
    pub fn new(world: &mut World, plan: &Plan, seed: u64, start_us: i64) -> Self {
        let router = Router::new(world.streets.node_count());
        let interval_us = plan.interval_us;
        let mut fleet = Self {
            vehicles: Vec::new(),
            lines: Vec::new(),
            router,
            searches_left: 0,
            interval_us,
            seen_calls: Vec::new(),
        };
        let mut source = random::source(seed, STREAM);
        let buses = plan.vehicles * 9 / 100;
        if buses > 0 {
            fleet.lines = lines::lines(
                world,
                &mut fleet.router,
                &mut source,
                (buses / 5).clamp(1, 24),
            );
        }
        let places = connected_segments(world);
        let mut numbers = [0usize; 6];
        for index in 0..plan.vehicles {
            // Every tenth message pattern is the same: 7 cars, 3 others.
            let kind = if index % 10 < 7 {
                Kind::Car
            } else {
                *random::weighted(&mut source, catalog::SERVICE_KINDS)
            };
            numbers[kind as usize] += 1;
            let device_id = format!("{}-{:04}", kind.name(), numbers[kind as usize]);
            let phase = if plan.vehicles > 0 {
                interval_us * index as i64 / plan.vehicles as i64
            } else {
                0
            };
            let random = random::source(seed, 1_000 + index as u64);
            let member = fleet.member(
                world,
                &places,
                kind,
                device_id.into(),
                random,
                start_us,
                start_us + phase,
            );
            world
                .roads
                .enter(member.motion.segment, member.motion.forward);
            fleet.vehicles.push(member);
        }
        fleet
    }

    pub fn len(&self) -> usize {
        self.vehicles.len()
    }

    /// Segment and speed (km/h) of every vehicle under way.
    pub fn moving(&self) -> impl Iterator<Item = (SegmentIndex, f64)> {
        self.vehicles
            .iter()
            .filter(|member| member.motion.shown_speed_ms > 0.5)
            .map(|member| (member.motion.segment, member.motion.shown_speed_ms * 3.6))
    }

    /// Where every vehicle really is, in the order of their making.
    pub fn truth(&self) -> impl Iterator<Item = VehicleTruth<'_>> {
        self.vehicles.iter().map(|member| VehicleTruth {
            device_id: &member.device_id,
            segment: member.motion.segment,
            forward: member.motion.forward,
            location: member.motion.position,
            heading_deg: member.motion.heading_deg,
            speed_kmh: member.motion.shown_speed_ms * 3.6,
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn member(
        &self,
        world: &World,
        places: &[SegmentIndex],
        kind: Kind,
        device_id: DeviceId,
        mut random: ChaCha8Rng,
        start_us: i64,
        due_us: i64,
    ) -> Member {
        let driver = Driver {
            pace: random.random_range(0.84..0.99),
            speed_max_ms: kind.speed_max_ms(),
            acceleration: kind.acceleration() * random.random_range(0.85..1.15),
            is_urgent: false,
        };
        let template = match kind {
            Kind::Car => Body::Vehicle(catalog::car(&mut random)),
            _ => Body::Gps(catalog::tracker(kind, &mut random)),
        };
        let mut line = (0, 0);
        let mut segment = places[random.random_range(0..places.len())];
        if kind == Kind::Bus && !self.lines.is_empty() {
            let number = random.random_range(0..self.lines.len());
            line = (
                number,
                random.random_range(0..self.lines[number].stops.len()),
            );
            let stop = self.lines[number].stops[line.1];
            segment = world
                .streets
                .exits(stop)
                .first()
                .map_or(segment, |exit| exit.segment);
        }
        let forward = world.streets.segment(segment).one_way || random.random_bool(0.5);
        let motion = Motion::at(world, segment, forward, random.random_range(0.05..0.8));
        let is_driving = match kind {
            Kind::Ambulance => false,
            Kind::Car => random.random_bool(world.clock.share_driving(start_us)),
            _ => random.random_bool(0.8),
        };
        let pause_s = if is_driving {
            0.0
        } else {
            random.random_range(5.0..600.0)
        };
        let mut member = Member {
            device_id,
            kind,
            driver,
            template,
            motion,
            random,
            route: Vec::new(),
            goal: None,
            paused_until_us: if kind == Kind::Ambulance {
                i64::MAX
            } else {
                start_us + (pause_s * 1e6) as i64
            },
            line,
            attends_until_us: None,
            moved_us: start_us,
            due_us,
        };
        member.describe_trip(&self.lines, start_us);
        // The first way on is taken at random: nothing is searched at the start.
        member.motion.next = member.wander(world);
        if is_driving {
            let limit_ms = world.roads.road(segment).limit_ms;
            member.motion.speed_ms = (limit_ms * 0.5).min(8.0);
        }
        member
    }

    /// Lets every vehicle whose fix is due drive up to it and send it.
    pub fn step(
        &mut self,
        world: &mut World,
        incidents: &Incidents,
        now_us: i64,
        outbox: &mut Outbox,
    ) {
        self.searches_left = SEARCHES_PER_STEP;
        self.answer_calls(world, incidents, now_us);
        let mut vehicles = std::mem::take(&mut self.vehicles);
        for member in &mut vehicles {
            if member.due_us > now_us {
                continue;
            }
            // The newest fix that is due; older ones are skipped.
            let fix_us = match self.interval_us {
                0 => now_us,
                interval_us => member.due_us + (now_us - member.due_us) / interval_us * interval_us,
            };
            if fix_us <= member.moved_us && self.interval_us == 0 {
                continue;
            }
            self.move_to(member, world, fix_us);
            member.due_us = fix_us + self.interval_us;
            outbox.push(member.event(fix_us));
        }
        self.vehicles = vehicles;
    }

    fn move_to(&mut self, member: &mut Member, world: &mut World, fix_us: i64) {
        let total_s = (fix_us - member.moved_us) as f64 / 1e6;
        let moving_s = if total_s > CATCH_UP_S {
            CATCH_UP_S
        } else {
            total_s
        };
        let steps = moving_s.ceil().max(1.0);
        let dt_s = moving_s / steps;
        for step in 1..=steps as u32 {
            let at_us = fix_us - ((steps - f64::from(step)) * dt_s * 1e6) as i64;
            self.drive_once(member, world, at_us, dt_s);
        }
        member.moved_us = fix_us;
    }

    fn drive_once(&mut self, member: &mut Member, world: &mut World, at_us: i64, dt_s: f64) {
        if member.paused_until_us > at_us {
            member.motion.stand();
            return;
        }
        if member.motion.next.is_none() && member.goal != Some(member.motion.end_node(world)) {
            self.choose_next(member, world, at_us);
        }
        let mut step = member.motion.drive(world, member.driver, at_us, dt_s);
        // Short segments: several may be passed in one step.
        for _ in 0..SEGMENTS_PER_STEP {
            if step != Step::Entered {
                break;
            }
            self.choose_next(member, world, at_us);
            step = member.motion.roll(world, member.driver, at_us);
        }
        member.motion.place(world, dt_s);
        if step == Step::Stopped {
            member.arrive(world, &self.lines, at_us);
        }
    }

    /// What follows the segment that was just entered.
    fn choose_next(&mut self, member: &mut Member, world: &World, now_us: i64) {
        let node = member.motion.end_node(world);
        member.motion.next = member.route.pop();
        if member.motion.next.is_some() || member.goal == Some(node) {
            return;
        }
        if self.searches_left > 0 {
            self.searches_left -= 1;
            let goal = match member.goal {
                Some(goal) => goal,
                None => self.choose_goal(member, world, node, now_us),
            };
            let route = self
                .router
                .find(world, node, goal, Some(member.motion.segment));
            if let Some(route) = route.filter(|route| !route.is_empty()) {
                member.goal = Some(goal);
                member.route = route;
                member.motion.next = member.route.pop();
                return;
            }
            member.goal = None;
        }
        member.motion.next = member.wander(world);
    }

    fn choose_goal(
        &self,
        member: &mut Member,
        world: &World,
        from: NodeIndex,
        now_us: i64,
    ) -> NodeIndex {
        if member.kind == Kind::Bus
            && let Some(line) = self.lines.get(member.line.0)
        {
            member.line.1 = (member.line.1 + 1) % line.stops.len();
            return line.stops[member.line.1];
        }
        let here = world.streets.node_location(from);
        // By day people go where it is busy, in the evening where it is quiet.
        let to_busy = world.clock.hour(now_us) < 14.0;
        let mut goal = from;
        for _ in 0..8 {
            let segment = SegmentIndex(
                member
                    .random
                    .random_range(0..world.streets.segments().len() as u32),
            );
            let node = world.streets.segment(segment).to_node;
            let distance_m = world.streets.node_location(node).distance_m(here);
            if !world.streets.is_connected(node)
                || node == from
                || !(600.0..8_000.0).contains(&distance_m)
            {
                continue;
            }
            goal = node;
            let busy = world.roads.road(segment).busy;
            if member.random.random_bool(if to_busy {
                0.2 + 0.8 * busy
            } else {
                1.0 - 0.8 * busy
            }) {
                break;
            }
        }
        goal
    }

    /// Sends the nearest idle ambulance to each new call.
    fn answer_calls(&mut self, world: &World, incidents: &Incidents, now_us: i64) {
        self.seen_calls
            .retain(|number| incidents.calls().any(|call| call.number == *number));
        for call in incidents.calls() {
            if self.seen_calls.contains(&call.number) {
                continue;
            }
            self.seen_calls.push(call.number);
            let there = world.streets.node_location(call.node);
            let nearest = self
                .vehicles
                .iter_mut()
                .filter(|member| {
                    member.kind == Kind::Ambulance && member.paused_until_us == i64::MAX
                })
                .min_by(|a, b| {
                    let distance_m = |member: &Member| member.motion.position.distance_m(there);
                    distance_m(a).total_cmp(&distance_m(b))
                });
            if let Some(member) = nearest {
                member.paused_until_us = now_us;
                member.attends_until_us = Some(call.ends_us);
                member.goal = Some(call.node);
                member.route.clear();
                member.driver.is_urgent = true;
            }
        }
    }
}

/// Where a vehicle may start: both ends are in the connected part.
fn connected_segments(world: &World) -> Vec<SegmentIndex> {
    let streets: &Arc<streets::StreetNetwork> = &world.streets;
    let all = (0..streets.segments().len() as u32).map(SegmentIndex);
    let connected: Vec<_> = all
        .clone()
        .filter(|index| {
            let segment = streets.segment(*index);
            streets.is_connected(segment.from_node) && streets.is_connected(segment.to_node)
        })
        .collect();
    // A network in which nothing leads back still has a city on it.
    if connected.is_empty() {
        all.collect()
    } else {
        connected
    }
}
