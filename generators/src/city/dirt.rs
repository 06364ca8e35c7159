//! The mistakes that real devices and networks make.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bytes::Bytes;
use events::{Body, Event, Location};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::message::{Message, Outbox};
use super::random;
use crate::config::{Dirt, GeneratorConfig};

const STREAM: u64 = 5;
/// No more messages than this wait for their late delivery; beyond it they go
/// out on time.
const HELD_MAX: usize = 50_000;

/// A message that is delivered later: (when, order of holding, message).
struct Held {
    release_us: i64,
    order: u64,
    message: Message,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Held {}
impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.release_us, self.order).cmp(&(other.release_us, other.order))
    }
}

pub(crate) struct Spoiler {
    dirt: Dirt,
    interval_us: i64,
    random: ChaCha8Rng,
    held: BinaryHeap<Reverse<Held>>,
    order: u64,
}

enum Mistake {
    None,
    Late,
    Duplicate,
    OutOfOrder,
    NullIsland,
    Teleport,
    Malformed,
}

impl Spoiler {
    pub fn new(config: &GeneratorConfig, interval_us: i64) -> Self {
        let random = random::source(config.seed, STREAM);
        Self {
            dirt: config.dirt,
            interval_us,
            random,
            held: BinaryHeap::new(),
            order: 0,
        }
    }

    /// Turns events into messages, some of them wrong, and adds those held back
    /// until now. Only fixes of vehicles go wrong.
    pub fn spoil(&mut self, outbox: Outbox, now_us: i64) -> Vec<Message> {
        let mut messages = Vec::with_capacity(outbox.events.len() + 8);
        for event in outbox.events {
            if matches!(event.body, Body::Vehicle(_) | Body::Gps(_)) {
                self.spoil_fix(event, now_us, &mut messages);
            } else {
                messages.push(Message::of(&event));
            }
        }
        // Last, so that what was held back comes after its device's newer fix.
        while self
            .held
            .peek()
            .is_some_and(|held| held.0.release_us <= now_us)
        {
            messages.extend(self.held.pop().map(|held| held.0.message));
        }
        messages
    }

    fn spoil_fix(&mut self, mut event: Event, now_us: i64, messages: &mut Vec<Message>) {
        match self.draw() {
            Mistake::None => messages.push(Message::of(&event)),
            Mistake::Late => {
                let delay_s = self.random.random_range(10.0..120.0);
                self.hold(
                    Message::of(&event),
                    now_us + (delay_s * 1e6) as i64,
                    messages,
                );
            }
            Mistake::OutOfOrder => {
                // Due again with the device's next fix at the earliest, and that
                // one is not held back: it comes after.
                let release_us = event.timestamp_us + self.interval_us * 3 / 2 + 1;
                self.hold(Message::of(&event), release_us.max(now_us + 1), messages);
            }
            Mistake::Duplicate => {
                messages.push(Message::of(&event));
                event.id = random::event_id(&mut self.random, &event.device_id, event.timestamp_us)
                    .to_string()
                    .into();
                messages.push(Message::of(&event));
            }
            Mistake::NullIsland => {
                relocate(&mut event, Location::default());
                messages.push(Message::of(&event));
            }
            Mistake::Teleport => {
                let there = self.far_from(event.location().unwrap_or_default());
                relocate(&mut event, there);
                messages.push(Message::of(&event));
            }
            Mistake::Malformed => {
                let mut message = Message::of(&event);
                message.value = self.damage(&event);
                messages.push(message);
            }
        }
    }

    fn draw(&mut self) -> Mistake {
        let at: f64 = self.random.random_range(0.0..1.0);
        let Dirt {
            late,
            duplicate,
            out_of_order,
            null_island,
            teleport,
            malformed,
        } = self.dirt;
        let shares = [
            (late, Mistake::Late),
            (duplicate, Mistake::Duplicate),
            (out_of_order, Mistake::OutOfOrder),
            (null_island, Mistake::NullIsland),
            (teleport, Mistake::Teleport),
            (malformed, Mistake::Malformed),
        ];
        let mut upto = 0.0;
        for (share, mistake) in shares {
            upto += share;
            if at < upto {
                return mistake;
            }
        }
        Mistake::None
    }

    fn hold(&mut self, message: Message, release_us: i64, messages: &mut Vec<Message>) {
        if self.held.len() >= HELD_MAX {
            messages.push(message);
            return;
        }
        self.order += 1;
        self.held.push(Reverse(Held {
            release_us,
            order: self.order,
            message,
        }));
    }

    fn far_from(&mut self, from: Location) -> Location {
        let (sin, cos) = self
            .random
            .random_range(0.0..std::f64::consts::TAU)
            .sin_cos();
        let degrees = self.random.random_range(20.0..200.0) / 111.2;
        let stretch = from.latitude.to_radians().cos().max(0.1);
        let longitude = from.longitude + degrees * sin / stretch;
        Location {
            latitude: (from.latitude + degrees * cos).clamp(-89.9, 89.9),
            longitude: (longitude + 180.0).rem_euclid(360.0) - 180.0,
        }
    }

    /// Bytes that no reader accepts.
    fn damage(&mut self, event: &Event) -> Bytes {
        let json = event.to_json();
        match self.random.random_range(0..7) {
            0 => Bytes::copy_from_slice(&json[..json.len() * 2 / 3]),
            1 => self.with_member(&json, "speed", Some("-12.5")),
            2 => self.with_member(&json, "location", None),
            3 => self.with_member(&json, "location", Some("[123.4,11.9]")),
            4 => self.with_member(&json, "timestamp", Some("\"yesterday\"")),
            5 => self.with_member(&json, "speed", Some("\"fast\"")),
            _ => self.with_member(&json, "device_id", None),
        }
    }

    /// The object with one member changed or left out.
    fn with_member(&self, json: &[u8], name: &str, value: Option<&str>) -> Bytes {
        let mut members: serde_json::Map<String, serde_json::Value> =
            match serde_json::from_slice(json) {
                Ok(members) => members,
                // Not an object already: damaged enough.
                Err(_) => return Bytes::copy_from_slice(json),
            };
        members.remove(name);
        if let Some(value) = value.and_then(|value| serde_json::from_str(value).ok()) {
            members.insert(name.to_owned(), value);
        }
        serde_json::Value::Object(members).to_string().into()
    }
}

fn relocate(event: &mut Event, there: Location) {
    match &mut event.body {
        Body::Vehicle(vehicle) => vehicle.location = there,
        Body::Gps(gps) => gps.location = there,
        _ => {}
    }
}
