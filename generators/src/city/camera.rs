//! Traffic cameras at junctions of the larger roads, looking along them.

use events::{Body, DeviceId, Event, Location, TrafficCamera};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use streets::{Exit, NodeIndex};

use super::fleet::Fleet;
use super::message::Outbox;
use super::plan::Plan;
use super::{World, random, roads};
use crate::config::GeneratorConfig;

const STREAM: u64 = 3;
const INTERVAL_US: f64 = 10e6;
/// Cameras stand at least this far apart where there are places enough.
const APART_M: f64 = 250.0;

struct Camera {
    device_id: DeviceId,
    location: Location,
    direction_deg: f64,
    /// The segment it looks along and, beyond it, what follows.
    watched: Vec<Exit>,
    due_us: i64,
}

pub(crate) struct Cameras {
    cameras: Vec<Camera>,
    random: ChaCha8Rng,
    interval_us: i64,
}

impl Cameras {
    pub fn new(world: &World, config: &GeneratorConfig, plan: &Plan, start_us: i64) -> Self {
        let mut random = random::source(config.seed, STREAM);
        let interval_us = (INTERVAL_US * plan.slower) as i64;
        let places = places(world, &mut random, config.cameras);
        let count = places.len().max(1) as i64;
        let cameras = places
            .into_iter()
            .enumerate()
            .map(|(index, (node, exit))| {
                let due_us = start_us + interval_us * index as i64 / count;
                Camera::new(world, index, node, exit, due_us)
            })
            .collect();
        Self {
            cameras,
            random,
            interval_us,
        }
    }

    pub fn len(&self) -> usize {
        self.cameras.len()
    }

    pub fn step(&mut self, world: &World, fleet: &Fleet, now_us: i64, outbox: &mut Outbox) {
        for camera in self
            .cameras
            .iter_mut()
            .filter(|camera| camera.due_us <= now_us)
        {
            let sent_us =
                camera.due_us + (now_us - camera.due_us) / self.interval_us * self.interval_us;
            camera.due_us = sent_us + self.interval_us;
            outbox.push(camera.look(world, fleet, &mut self.random, sent_us));
        }
    }
}

impl Camera {
    fn new(world: &World, index: usize, node: NodeIndex, exit: Exit, due_us: i64) -> Self {
        let line = &world.streets.segment(exit.segment).line;
        let (from, to) = if exit.forward {
            (line[0], line[1])
        } else {
            (line[line.len() - 1], line[line.len() - 2])
        };
        let mut watched = vec![exit];
        watched.extend(
            world
                .streets
                .exits(exit.to)
                .iter()
                .filter(|next| next.segment != exit.segment)
                .take(2),
        );
        Self {
            device_id: format!("cam-{:03}", index + 1).into(),
            location: world.streets.node_location(node),
            direction_deg: (from.bearing_deg(to) * 10.0).round() / 10.0 % 360.0,
            watched,
            due_us,
        }
    }

    /// The simulated vehicles it sees, among the many that the model does not
    /// simulate one by one.
    fn look(&self, world: &World, fleet: &Fleet, random: &mut ChaCha8Rng, now_us: i64) -> Event {
        let exit = self.watched[0];
        let segment = world.streets.segment(exit.segment);
        let flow = world
            .roads
            .flow_factor(exit.segment, exit.forward, &world.clock, now_us);
        let busy = world.roads.road(exit.segment).busy * roads::class_share(segment.class);
        let others = random::poisson(random, 14.0 * busy * world.clock.demand(now_us));
        let stream_kmh = segment.free_flow_kmh * 0.92 * flow;
        let mut sum_kmh = 0.0;
        for _ in 0..others {
            sum_kmh += stream_kmh * random.random_range(0.82..1.12);
        }
        let is_watched = |at| self.watched.iter().any(|watched| watched.segment == at);
        let mut count = others;
        for (_, speed_kmh) in fleet.moving().filter(|(at, _)| is_watched(*at)) {
            count += 1;
            sum_kmh += speed_kmh;
        }
        let speed_kmh = (count > 0).then(|| (sum_kmh / f64::from(count) * 10.0).round() / 10.0);
        let camera = TrafficCamera {
            camera_id: self.device_id.clone(),
            location: self.location,
            snapshot: Some(
                format!("snapshots/{}/{}.jpg", self.device_id, now_us / 1_000_000).into(),
            ),
            direction_deg: Some(self.direction_deg),
            speed_kmh,
            vehicle_count: Some(i64::from(count)),
        };
        Event {
            id: random::event_id(random, &self.device_id, now_us)
                .to_string()
                .into(),
            device_id: self.device_id.clone(),
            timestamp_us: now_us,
            extra: None,
            body: Body::Camera(camera),
        }
    }
}

/// Junctions of larger roads, the largest first, with the exit to look along.
fn places(world: &World, random: &mut ChaCha8Rng, count: usize) -> Vec<(NodeIndex, Exit)> {
    let mut candidates: Vec<(f64, NodeIndex, Exit)> = Vec::new();
    for node in 0..world.streets.node_count() {
        let exits = world.streets.exits(node);
        let share = |exit: &Exit| roads::class_share(world.streets.segment(exit.segment).class);
        let Some(best) = exits.iter().max_by(|a, b| share(a).total_cmp(&share(b))) else {
            continue;
        };
        let is_junction = exits.len() >= 2;
        if is_junction && world.streets.is_connected(node) {
            candidates.push((share(best) + random.random_range(0.0..0.35), node, *best));
        }
    }
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut places: Vec<(NodeIndex, Exit)> = Vec::new();
    let mut apart_m = APART_M;
    while places.len() < count.min(candidates.len()) && apart_m > 1.0 {
        for (_, node, exit) in &candidates {
            if places.len() == count {
                break;
            }
            let here = world.streets.node_location(*node);
            let is_free = places
                .iter()
                .all(|(other, _)| world.streets.node_location(*other).distance_m(here) >= apart_m);
            if is_free {
                places.push((*node, *exit));
            }
        }
        apart_m /= 2.0;
    }
    places
}
