//! One member of the fleet: what it is, where it is bound, what it says.

use events::{Body, DeviceId, Event, Gps, Vehicle};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use streets::{Exit, NodeIndex};

use super::catalog::Kind;
use super::lines::BusLine;
use super::vehicle::{Driver, Motion};
use super::{World, random, roads};

/// How long a private trip takes, about.
const TRIP_MEAN_S: f64 = 420.0;

pub(crate) struct Member {
    pub device_id: DeviceId,
    pub kind: Kind,
    pub driver: Driver,
    pub template: Body,
    pub motion: Motion,
    pub random: ChaCha8Rng,
    pub route: Vec<Exit>,
    pub goal: Option<NodeIndex>,
    /// Parked, at a stop or at a call until then.
    pub paused_until_us: i64,
    /// Index into the lines and the next stop, for buses.
    pub line: (usize, usize),
    /// When an attended incident ends, for ambulances under way.
    pub attends_until_us: Option<i64>,
    pub moved_us: i64,
    pub due_us: i64,
}

impl Member {
    /// At the end of a trip: pause, and forget where it went.
    pub fn arrive(&mut self, world: &World, lines: &[BusLine], now_us: i64) {
        let pause_s = match self.kind {
            Kind::Car => {
                let driving = world.clock.share_driving(now_us);
                random::exponential(&mut self.random, TRIP_MEAN_S * (1.0 - driving) / driving)
                    .max(20.0)
            }
            Kind::Taxi => self.random.random_range(20.0..180.0),
            Kind::Bus if self.line.1 == 0 => self.random.random_range(60.0..180.0),
            Kind::Bus => self.random.random_range(12.0..28.0),
            Kind::Truck => self.random.random_range(120.0..900.0),
            Kind::Van => self.random.random_range(40.0..240.0),
            Kind::Ambulance => 0.0,
        };
        self.goal = None;
        self.route.clear();
        self.paused_until_us = now_us + (pause_s * 1e6) as i64;
        if self.kind == Kind::Ambulance {
            // On scene until the incident ends, then back to waiting.
            self.paused_until_us = self
                .attends_until_us
                .take()
                .map_or(i64::MAX, |ends_us| ends_us.max(now_us));
            self.driver.is_urgent = false;
        }
        self.describe_trip(lines, now_us);
    }

    /// Route, trip and passengers of what comes next.
    pub fn describe_trip(&mut self, lines: &[BusLine], now_us: i64) {
        let Body::Gps(gps) = &mut self.template else {
            return;
        };
        match self.kind {
            Kind::Taxi => gps.occupied = Some(self.random.random_bool(0.55)),
            Kind::Bus => {
                let Some(line) = lines.get(self.line.0) else {
                    return;
                };
                gps.route_id = Some(line.name.as_str().into());
                if gps.trip_id.is_none() || self.line.1 == 0 {
                    gps.trip_id = Some(format!("{}-{}", line.name, now_us / 1_000_000).into());
                }
            }
            _ => {}
        }
    }

    /// A way on at random, straight ahead rather than round the corner.
    pub fn wander(&mut self, world: &World) -> Option<Exit> {
        let node = self.motion.end_node(world);
        let all = world
            .streets
            .exits(node)
            .iter()
            .filter(|exit| world.streets.is_connected(exit.to));
        let choices: Vec<(Exit, f64)> = all
            .map(|exit| {
                let turns_round = exit.segment == self.motion.segment;
                (
                    *exit,
                    if turns_round {
                        1e-6
                    } else {
                        roads::class_share(world.streets.segment(exit.segment).class)
                    },
                )
            })
            .collect();
        (!choices.is_empty()).then(|| *random::weighted(&mut self.random, &choices))
    }

    pub fn event(&mut self, timestamp_us: i64) -> Event {
        let round = |value: f64, steps: f64| (value * steps).round() / steps;
        let location = events::Location {
            latitude: round(self.motion.position.latitude, 1e7),
            longitude: round(self.motion.position.longitude, 1e7),
        };
        let speed_kmh = round(self.motion.shown_speed_ms * 3.6, 10.0);
        let direction_deg = Some(round(self.motion.heading_deg, 10.0) % 360.0);
        let body = match &self.template {
            Body::Gps(gps) => Body::Gps(Gps {
                location,
                speed_kmh,
                direction_deg,
                ..gps.clone()
            }),
            Body::Vehicle(car) => Body::Vehicle(Vehicle {
                location,
                speed_kmh,
                direction_deg,
                ..car.clone()
            }),
            other => other.clone(),
        };
        Event {
            id: random::event_id(&mut self.random, &self.device_id, timestamp_us)
                .to_string()
                .into(),
            device_id: self.device_id.clone(),
            timestamp_us,
            extra: None,
            body,
        }
    }
}
