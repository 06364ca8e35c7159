//! The simulated city: vehicles, cameras, stations and incidents on one clock.
//!
//! Pure: time is passed in, randomness comes from the seed.

mod air;
mod camera;
mod catalog;
mod demand;
mod dirt;
mod fleet;
mod incident;
mod lines;
mod member;
mod message;
mod plan;
mod random;
mod roads;
mod route;
mod vehicle;
mod weather;

use std::sync::Arc;

use streets::StreetNetwork;

pub use fleet::VehicleTruth;
pub use message::Message;
pub use plan::Plan;

use crate::config::GeneratorConfig;
use camera::Cameras;
use demand::Clock;
use dirt::Spoiler;
use fleet::Fleet;
use incident::Incidents;
use message::Outbox;
use roads::Roads;
use weather::Stations;

/// What all parts of the city read: the streets and how they are now.
pub(crate) struct World {
    pub streets: Arc<StreetNetwork>,
    pub roads: Roads,
    pub clock: Clock,
}

/// The whole city. Step it forward; it never goes back.
pub struct City {
    world: World,
    fleet: Fleet,
    cameras: Cameras,
    stations: Stations,
    incidents: Incidents,
    spoiler: Spoiler,
    now_us: i64,
}

impl City {
    /// A city at `start_us`. Costs some 100 ms for Gothenburg; same arguments,
    /// same city.
    pub fn new(streets: Arc<StreetNetwork>, config: &GeneratorConfig, start_us: i64) -> Self {
        let plan = Plan::new(config);
        let clock = Clock::new(config.utc_offset_hours);
        let roads = Roads::new(&streets, plan.vehicles, config.seed);
        let mut world = World {
            streets,
            roads,
            clock,
        };
        let incidents = Incidents::new(&mut world, config, start_us);
        let fleet = Fleet::new(&mut world, &plan, config.seed, start_us);
        let cameras = Cameras::new(&world, config, &plan, start_us);
        let stations = Stations::new(&world, config, &plan, start_us);
        let spoiler = Spoiler::new(config, plan.interval_us);
        Self {
            world,
            fleet,
            cameras,
            stations,
            incidents,
            spoiler,
            now_us: start_us,
        }
    }

    /// Moves the city to `now_us` and returns what its devices sent since the
    /// last step, by the time of sending. However long the step is, a vehicle
    /// sends at most one fix: after a stall there is a gap, never a burst.
    pub fn step(&mut self, now_us: i64) -> Vec<Message> {
        // A clock that was set back stands still until it is made up for.
        self.now_us = now_us.max(self.now_us);
        let mut outbox = Outbox::default();
        self.incidents
            .step(&mut self.world, self.now_us, &mut outbox);
        self.fleet
            .step(&mut self.world, &self.incidents, self.now_us, &mut outbox);
        self.cameras
            .step(&self.world, &self.fleet, self.now_us, &mut outbox);
        self.stations.step(&self.world, self.now_us, &mut outbox);
        self.spoiler.spoil(outbox, self.now_us)
    }

    /// How far the city is, microseconds since the epoch.
    pub fn now_us(&self) -> i64 {
        self.now_us
    }

    /// Where every vehicle really is, by the time of its last fix.
    pub fn vehicles(&self) -> impl Iterator<Item = VehicleTruth<'_>> {
        self.fleet.truth()
    }

    /// How many devices it has.
    pub fn device_count(&self) -> usize {
        self.fleet.len() + self.cameras.len() + self.stations.len()
    }
}
