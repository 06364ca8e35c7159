//! Incidents: they begin, are attended, end, and slow the road around them.

use events::{Body, Event, Incident, Location};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use streets::{NodeIndex, SegmentIndex};

use super::message::Outbox;
use super::{World, random, roads};
use crate::config::GeneratorConfig;

const STREAM: u64 = 2;
const MINUTE_US: i64 = 60_000_000;
/// Mean life, used to keep the configured number active.
const LIFE_MEAN_S: f64 = 1_500.0;
/// How far around an incident traffic is slowed, metres.
const SLOWED_WITHIN_M: f64 = 260.0;

/// A kind of incident and how it usually goes.
struct Kind {
    name: &'static str,
    severities: &'static [(&'static str, f64)],
    descriptions: &'static [&'static str],
    units: &'static [&'static str],
    /// Share of the free speed that is left at the place.
    slows_to: f64,
    /// How often in quiet traffic and how much more in the rush hour.
    weight: f64,
    rush_weight: f64,
    /// Happens on large roads mostly.
    on_large_roads: bool,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "Accident",
        severities: &[("Critical", 1.0), ("High", 4.0), ("Medium", 5.0)],
        descriptions: &[
            "Two cars collided",
            "Car hit a lamp post",
            "Cyclist hit by a car",
            "Rear-end collision",
        ],
        units: &["ambulance", "police", "fire"],
        slows_to: 0.2,
        weight: 2.0,
        rush_weight: 4.0,
        on_large_roads: true,
    },
    Kind {
        name: "Breakdown",
        severities: &[("Low", 3.0), ("Medium", 2.0)],
        descriptions: &[
            "Car stopped in the right lane",
            "Truck with engine failure",
            "Bus cannot move on",
        ],
        units: &["tow"],
        slows_to: 0.45,
        weight: 2.0,
        rush_weight: 3.0,
        on_large_roads: true,
    },
    Kind {
        name: "Traffic",
        severities: &[("Low", 2.0), ("Medium", 3.0)],
        descriptions: &["Signal out of order", "Object on the road", "Lane closed"],
        units: &["police"],
        slows_to: 0.4,
        weight: 1.5,
        rush_weight: 3.0,
        on_large_roads: true,
    },
    Kind {
        name: "Medical",
        severities: &[("Critical", 2.0), ("High", 4.0), ("Medium", 2.0)],
        descriptions: &[
            "Chest pain",
            "Person fell",
            "Difficulty breathing",
            "Person unconscious",
        ],
        units: &["ambulance"],
        slows_to: 0.85,
        weight: 4.0,
        rush_weight: 0.5,
        on_large_roads: false,
    },
    Kind {
        name: "Fire",
        severities: &[("Critical", 2.0), ("High", 3.0), ("Medium", 1.0)],
        descriptions: &[
            "Smoke from a flat",
            "Fire alarm in a school",
            "Vehicle on fire",
            "Waste container burns",
        ],
        units: &["fire", "fire", "ambulance", "police"],
        slows_to: 0.35,
        weight: 1.2,
        rush_weight: 0.2,
        on_large_roads: false,
    },
    Kind {
        name: "Theft",
        severities: &[("Low", 3.0), ("Medium", 1.0)],
        descriptions: &[
            "Bicycle stolen",
            "Break-in at a shop",
            "Parked car broken open",
        ],
        units: &["police"],
        slows_to: 1.0,
        weight: 1.5,
        rush_weight: 0.0,
        on_large_roads: false,
    },
    Kind {
        name: "Police",
        severities: &[("Low", 1.0), ("Medium", 2.0), ("High", 1.0)],
        descriptions: &[
            "Disturbance in the street",
            "Threatening person",
            "Suspicious vehicle",
        ],
        units: &["police", "police"],
        slows_to: 0.8,
        weight: 1.5,
        rush_weight: 0.3,
        on_large_roads: false,
    },
];

const STATUSES: [&str; 4] = ["Active", "Dispatched", "OnScene", "Resolved"];

struct Case {
    number: u64,
    kind: &'static Kind,
    severity: &'static str,
    description: String,
    location: Location,
    segment: SegmentIndex,
    node: NodeIndex,
    /// When each status begins.
    begins_us: [i64; 4],
    units: Vec<String>,
    status: Option<usize>,
    repeat_us: i64,
}

/// A call for an ambulance.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub number: u64,
    pub node: NodeIndex,
    pub ends_us: i64,
}

pub(crate) struct Incidents {
    cases: Vec<Case>,
    random: ChaCha8Rng,
    next_us: i64,
    mean_gap_s: f64,
    next_number: u64,
}

impl Incidents {
    pub fn new(world: &mut World, config: &GeneratorConfig, start_us: i64) -> Self {
        let random = random::source(config.seed, STREAM);
        let mean_gap_s = LIFE_MEAN_S / config.incidents.max(1) as f64;
        let mut incidents = Self {
            cases: Vec::new(),
            random,
            next_us: i64::MAX,
            mean_gap_s,
            next_number: 1,
        };
        if config.incidents == 0 {
            return incidents;
        }
        // A city that has been running: some incidents are under way already.
        for _ in 0..config.incidents.div_ceil(2) {
            let age_s = incidents.random.random_range(0.0..700.0);
            incidents.begin(world, start_us - (age_s * 1e6) as i64);
        }
        incidents.cases.retain(|case| case.begins_us[3] > start_us);
        incidents.slow_roads(world);
        incidents.next_us = start_us + incidents.gap_us();
        incidents
    }

    /// Open calls that need an ambulance, in the order of their numbers.
    pub fn calls(&self) -> impl Iterator<Item = Call> {
        self.cases
            .iter()
            .filter(|case| {
                matches!(case.status, Some(1 | 2)) && case.kind.units.contains(&"ambulance")
            })
            .map(|case| Call {
                number: case.number,
                node: case.node,
                ends_us: case.begins_us[3],
            })
    }

    pub fn step(&mut self, world: &mut World, now_us: i64, outbox: &mut Outbox) {
        let mut changed = false;
        while self.next_us <= now_us {
            let began_us = self.next_us;
            self.begin(world, began_us);
            self.next_us = began_us + self.gap_us();
            changed = true;
        }
        for case in &mut self.cases {
            changed |= case.report(&mut self.random, now_us, outbox);
        }
        self.cases.retain(|case| case.status != Some(3));
        if changed {
            self.slow_roads(world);
        }
    }

    fn gap_us(&mut self) -> i64 {
        (random::exponential(&mut self.random, self.mean_gap_s) * 1e6) as i64
    }

    fn begin(&mut self, world: &World, began_us: i64) {
        let demand = world.clock.demand(began_us);
        let kinds: Vec<(&'static Kind, f64)> = KINDS
            .iter()
            .map(|kind| (kind, kind.weight + kind.rush_weight * demand))
            .collect();
        let kind = *random::weighted(&mut self.random, &kinds);
        let segment = self.place(world, kind);
        let street = world.streets.segment(segment);
        let name = street.name.as_deref().unwrap_or("a side street");
        let what = kind.descriptions[self.random.random_range(0..kind.descriptions.len())];
        let mut unit_names: Vec<String> = Vec::new();
        for unit in kind.units {
            let number = self.random.random_range(1..=12);
            let unit = format!("{unit}-{number:02}");
            if !unit_names.contains(&unit) {
                unit_names.push(unit);
            }
        }
        let mut after =
            |range: std::ops::Range<f64>| (self.random.random_range(range) * 1e6) as i64;
        let dispatched_us = began_us + after(20.0..90.0);
        let on_scene_us = dispatched_us + after(150.0..540.0);
        let resolved_us = on_scene_us + after(420.0..1_800.0);
        let severity = *random::weighted::<&'static str>(&mut self.random, kind.severities);
        self.cases.push(Case {
            number: self.next_number,
            kind,
            severity,
            description: format!("{what}, {name}"),
            location: street.line[street.line.len() / 2],
            segment,
            node: street.to_node,
            begins_us: [began_us, dispatched_us, on_scene_us, resolved_us],
            units: unit_names,
            status: None,
            repeat_us: began_us,
        });
        self.next_number += 1;
    }

    fn place(&mut self, world: &World, kind: &Kind) -> SegmentIndex {
        let count = world.streets.segments().len() as u32;
        let mut segment = SegmentIndex(self.random.random_range(0..count));
        for _ in 0..64 {
            let street = world.streets.segment(segment);
            let large = roads::class_share(street.class);
            let wanted = if kind.on_large_roads {
                large.powi(3)
            } else {
                0.3 + world.roads.road(segment).busy * 0.7
            };
            if world.streets.is_connected(street.to_node)
                && self.random.random_bool(wanted.clamp(0.0, 1.0))
            {
                break;
            }
            segment = SegmentIndex(self.random.random_range(0..count));
        }
        segment
    }

    fn slow_roads(&self, world: &mut World) {
        let mut factors = Vec::new();
        for case in self.cases.iter().filter(|case| case.kind.slows_to < 1.0) {
            factors.push((case.segment, case.kind.slows_to));
            for (index, segment) in world.streets.segments().iter().enumerate() {
                let near_m = segment.line[0].distance_m(case.location);
                if near_m < SLOWED_WITHIN_M {
                    let eased =
                        case.kind.slows_to + (1.0 - case.kind.slows_to) * near_m / SLOWED_WITHIN_M;
                    factors.push((SegmentIndex(index as u32), eased));
                }
            }
        }
        world.roads.set_incident_factors(&factors);
    }
}

impl Case {
    /// Sends each status that was reached, once, in order, and the present one
    /// again every minute. True where the status changed.
    fn report(&mut self, random: &mut ChaCha8Rng, now_us: i64, outbox: &mut Outbox) -> bool {
        let before = self.status;
        loop {
            let next = self.status.map_or(0, |status| status + 1);
            if next > 3 || self.begins_us[next] > now_us {
                break;
            }
            self.status = Some(next);
            outbox.push(self.event(random, self.begins_us[next]));
            self.repeat_us = self.begins_us[next] + MINUTE_US;
        }
        if self.status.is_some() && self.status != Some(3) && self.repeat_us <= now_us {
            // After a stall one repeat is enough.
            let repeat_us = now_us - (now_us - self.repeat_us) % MINUTE_US;
            outbox.push(self.event(random, repeat_us));
            self.repeat_us = repeat_us + MINUTE_US;
        }
        before != self.status
    }

    fn event(&self, random: &mut ChaCha8Rng, timestamp_us: i64) -> Event {
        let status = self.status.unwrap_or(0);
        let incident = Incident {
            incident_id: self.id().into(),
            location: self.location,
            incident_type: self.kind.name.into(),
            status: STATUSES[status].into(),
            severity: self.severity.into(),
            description: Some(self.description.as_str().into()),
            units: if status == 0 {
                Vec::new()
            } else {
                self.units.iter().map(|unit| unit.as_str().into()).collect()
            },
        };
        // All messages of one incident come from one desk, so they keep their order.
        let desk = format!("dispatch-{}", 1 + self.number % 4);
        Event {
            id: random::event_id(random, &desk, timestamp_us)
                .to_string()
                .into(),
            device_id: desk.into(),
            timestamp_us,
            extra: None,
            body: Body::Incident(Box::new(incident)),
        }
    }

    /// Names the second it began, so that ids of later runs are others.
    fn id(&self) -> String {
        format!("INC-{}-{}", self.begins_us[0] / 1_000_000, self.number)
    }
}
