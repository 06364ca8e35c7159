//! Last position and trail of every vehicle, by event time.

use std::collections::VecDeque;

use bytes::Bytes;
use compact_str::CompactString;
use events::{Body, DeviceId, Event, Location, Offset, TopicPartition};
use foldhash::HashMap;
use hot_store::{Cell, Entry, Kind, Update};
use streets::{SegmentIndex, StreetNetwork};

use super::{Origin, Slot};

use crate::config::TeleportLimits;
use crate::values;

/// How many fixes a trail holds.
pub(crate) const TRAIL_LENGTH: usize = 20;
/// A vehicle that has not moved for this long is parked.
const PARKED_AFTER_US: i64 = 120_000_000;
/// Farther than this from fix to fix is a movement, metres; less is receiver noise.
const MOVED_M: f64 = 15.0;
/// From this speed on a vehicle counts as moving, km/h.
const MOVING_KMH: f64 = 3.0;
/// Not seen moving yet: parked until it moves.
const UNKNOWN_US: i64 = i64::MIN / 2;
/// Vehicles silent for this long are forgotten.
const FORGET_AFTER_US: i64 = 24 * 3_600_000_000;

/// One accepted fix of a trail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrailPoint {
    pub(crate) location: Location,
    pub(crate) speed_kmh: f64,
    pub(crate) timestamp_us: i64,
}

impl TrailPoint {
    fn encode(&self) -> Bytes {
        [
            self.location.latitude.to_le_bytes(),
            self.location.longitude.to_le_bytes(),
            self.speed_kmh.to_le_bytes(),
            self.timestamp_us.to_le_bytes(),
        ]
        .concat()
        .into()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        let [latitude, longitude, speed_kmh, timestamp_us] = *words else {
            return None;
        };
        rest.is_empty().then(|| Self {
            location: Location {
                latitude: f64::from_le_bytes(latitude),
                longitude: f64::from_le_bytes(longitude),
            },
            speed_kmh: f64::from_le_bytes(speed_kmh),
            timestamp_us: i64::from_le_bytes(timestamp_us),
        })
    }
}

/// An accepted newest fix, for the folds that follow from it.
pub(crate) struct Fix {
    pub(crate) device_id: DeviceId,
    pub(crate) location: Location,
    pub(crate) heading_deg: Option<f64>,
    pub(crate) speed_kmh: f64,
    pub(crate) parked: bool,
}

/// What a fix turned out to be.
pub(crate) enum Outcome {
    Moved(Fix),
    OutOfOrder,
    NullIsland,
    Teleport,
}

/// A refused jump, and the partition it came from.
#[derive(Clone, Copy)]
struct Suspect {
    point: TrailPoint,
    slot: Slot,
}

struct VehicleState {
    /// (event time, offset): the newest wins, ties by offset.
    order: (i64, Offset),
    location: Location,
    speed_kmh: f64,
    heading_deg: Option<f64>,
    /// `None` until the first event after a restart: nothing to write then.
    body: Option<Body>,
    trail: VecDeque<TrailPoint>,
    /// A refused jump. The vehicle really is there if the next fix agrees.
    suspect: Option<Suspect>,
    last_moved_us: i64,
    segment: Option<SegmentIndex>,
    written_at_us: i64,
    live: bool,
    dirty: bool,
}

pub(crate) struct Vehicles {
    by_id: HashMap<DeviceId, VehicleState>,
    dirty: Vec<DeviceId>,
    dirty_suspects: Vec<(DeviceId, Slot)>,
    limits: TeleportLimits,
}

impl Vehicles {
    pub(crate) fn new(limits: TeleportLimits) -> Self {
        Self {
            by_id: HashMap::default(),
            dirty: Vec::new(),
            dirty_suspects: Vec::new(),
            limits,
        }
    }

    pub(crate) fn fold(&mut self, event: Event, origin: Origin, now_us: i64) -> Outcome {
        let (location, speed_kmh, heading) = match &event.body {
            Body::Vehicle(vehicle) => (vehicle.location, vehicle.speed_kmh, vehicle.direction_deg),
            Body::Gps(gps) => (gps.location, gps.speed_kmh, gps.direction_deg),
            _ => unreachable!("only fixes are folded into vehicles"),
        };
        if location.is_null_island() {
            return Outcome::NullIsland;
        }
        let point = TrailPoint {
            location,
            speed_kmh,
            timestamp_us: event.timestamp_us,
        };
        let order = (event.timestamp_us, origin.offset);
        let vehicle = match self.by_id.entry(event.device_id.clone()) {
            std::collections::hash_map::Entry::Occupied(entry) => {
                let vehicle = entry.into_mut();
                if order <= vehicle.order {
                    return Outcome::OutOfOrder;
                }
                let refused = vehicle.is_teleport(point, self.limits);
                if let Some(cleared) = vehicle.suspect.take() {
                    self.dirty_suspects
                        .push((event.device_id.clone(), cleared.slot));
                }
                if refused {
                    vehicle.suspect = Some(Suspect {
                        point,
                        slot: origin.slot,
                    });
                    self.dirty_suspects.push((event.device_id, origin.slot));
                    return Outcome::Teleport;
                }
                vehicle
            }
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(VehicleState::at(point))
            }
        };
        vehicle.advance(point, order, heading, event.body, now_us);
        if !vehicle.dirty {
            vehicle.dirty = true;
            self.dirty.push(event.device_id.clone());
        }
        Outcome::Moved(Fix {
            device_id: event.device_id,
            location,
            heading_deg: vehicle.heading_deg,
            speed_kmh,
            parked: vehicle.is_parked(),
        })
    }

    pub(crate) fn set_segment(&mut self, device_id: &DeviceId, segment: Option<SegmentIndex>) {
        if let Some(vehicle) = self.by_id.get_mut(device_id) {
            vehicle.segment = segment;
        }
    }

    pub(crate) fn restore(&mut self, entry: &Entry, written_at_us: i64) {
        let Some(value) = values::StoredVehicle::parse(&entry.value) else {
            return;
        };
        let point = TrailPoint {
            location: Location {
                latitude: value.latitude,
                longitude: value.longitude,
            },
            speed_kmh: value.speed,
            timestamp_us: value.timestamp_us,
        };
        let mut vehicle = VehicleState::at(point);
        vehicle.order = (value.timestamp_us, value.log_offset);
        vehicle.speed_kmh = value.speed;
        vehicle.heading_deg = value.direction;
        vehicle.last_moved_us = value.last_moved_us.unwrap_or(UNKNOWN_US);
        vehicle.written_at_us = written_at_us;
        self.by_id
            .insert(CompactString::from(entry.id.as_str()), vehicle);
    }

    /// Trails are restored after vehicles.
    pub(crate) fn restore_trail(&mut self, entry: &Entry) {
        if let Some(vehicle) = self.by_id.get_mut(entry.id.as_str()) {
            vehicle.trail = values::parse_trail(&entry.value).into();
        }
    }

    /// Vehicles are restored before the cells of their partitions.
    pub(crate) fn restore_cell(&mut self, slot: Slot, device_id: &str, value: &[u8]) {
        if let (Some(vehicle), Some(point)) =
            (self.by_id.get_mut(device_id), TrailPoint::decode(value))
        {
            vehicle.suspect = Some(Suspect { point, slot });
        }
    }

    pub(crate) fn drain_cells(&mut self, partitions: &[TopicPartition], cells: &mut Vec<Cell>) {
        self.dirty_suspects.sort_unstable();
        self.dirty_suspects.dedup();
        for (device_id, slot) in self.dirty_suspects.drain(..) {
            let suspect = self
                .by_id
                .get(&device_id)
                .and_then(|vehicle| vehicle.suspect);
            cells.push(Cell {
                partition: partitions[slot as usize].clone(),
                key: format!("suspect:{device_id}"),
                value: suspect
                    .filter(|suspect| suspect.slot == slot)
                    .map(|suspect| suspect.point.encode()),
            });
        }
    }

    pub(crate) fn drain(&mut self, streets: &StreetNetwork, updates: &mut Vec<Update>) {
        for device_id in self.dirty.drain(..) {
            let Some(vehicle) = self.by_id.get_mut(&device_id) else {
                continue;
            };
            vehicle.dirty = false;
            let Some(body) = &vehicle.body else { continue };
            let value = values::Vehicle {
                vehicle_id: &device_id,
                latitude: vehicle.location.latitude,
                longitude: vehicle.location.longitude,
                speed: vehicle.speed_kmh,
                direction: vehicle.heading_deg,
                timestamp: events::time::format_rfc3339(vehicle.order.0),
                last_moved: (vehicle.last_moved_us != UNKNOWN_US)
                    .then(|| events::time::format_rfc3339(vehicle.last_moved_us)),
                road_id: vehicle
                    .segment
                    .map(|index| streets.segment(index).id.as_str()),
                log_offset: vehicle.order.1,
                details: values::VehicleDetails::of(body),
            };
            updates.push(values::update(Kind::Vehicle, &device_id, &value));
            updates.push(values::trail(&device_id, vehicle.trail.iter()));
        }
    }

    pub(crate) fn expire(&mut self, now_us: i64) {
        let time_to_live_us = Kind::Vehicle.time_to_live().as_micros() as i64;
        self.by_id.retain(|_, vehicle| {
            let silent_us = now_us - vehicle.written_at_us;
            vehicle.live = silent_us < time_to_live_us;
            silent_us < FORGET_AFTER_US
        });
    }

    fn live_vehicles(&self) -> impl Iterator<Item = &VehicleState> {
        self.by_id.values().filter(|vehicle| vehicle.live)
    }

    pub(crate) fn live(&self) -> usize {
        self.live_vehicles().count()
    }

    pub(crate) fn moving(&self) -> usize {
        self.live_vehicles()
            .filter(|vehicle| vehicle.speed_kmh >= MOVING_KMH)
            .count()
    }

    /// Mean of the last speeds of the live vehicles; 0 without vehicles.
    pub(crate) fn mean_speed_kmh(&self) -> f64 {
        let (count, sum) = self
            .live_vehicles()
            .fold((0u32, 0.0), |(count, sum), vehicle| {
                (count + 1, sum + vehicle.speed_kmh)
            });
        values::round1(if count == 0 {
            0.0
        } else {
            sum / f64::from(count)
        })
    }
}

impl VehicleState {
    fn at(point: TrailPoint) -> Self {
        Self {
            order: (i64::MIN, -1),
            location: point.location,
            speed_kmh: point.speed_kmh,
            heading_deg: None,
            body: None,
            trail: VecDeque::with_capacity(TRAIL_LENGTH),
            suspect: None,
            last_moved_us: UNKNOWN_US,
            segment: None,
            written_at_us: 0,
            live: true,
            dirty: false,
        }
    }

    fn is_teleport(&self, point: TrailPoint, limits: TeleportLimits) -> bool {
        let from_last = reachable(self.location, self.order.0, point, limits);
        let from_suspect = self.suspect.is_some_and(|Suspect { point: at, .. }| {
            reachable(at.location, at.timestamp_us, point, limits)
        });
        !from_last && !from_suspect
    }

    fn advance(
        &mut self,
        point: TrailPoint,
        order: (i64, Offset),
        heading: Option<f64>,
        body: Body,
        now_us: i64,
    ) {
        let moved_m = self.location.distance_m(point.location);
        let derived = (moved_m > 5.0).then(|| self.location.bearing_deg(point.location));
        self.heading_deg = heading.or(derived).or(self.heading_deg);
        if moved_m > MOVED_M || point.speed_kmh >= MOVING_KMH {
            self.last_moved_us = point.timestamp_us;
        }
        self.order = order;
        self.location = point.location;
        self.speed_kmh = point.speed_kmh;
        self.body = Some(body);
        self.written_at_us = now_us;
        self.live = true;
        if self.trail.len() == TRAIL_LENGTH {
            self.trail.pop_front();
        }
        self.trail.push_back(point);
    }

    fn is_parked(&self) -> bool {
        self.order.0 - self.last_moved_us > PARKED_AFTER_US
    }
}

fn reachable(from: Location, from_us: i64, to: TrailPoint, limits: TeleportLimits) -> bool {
    let distance_m = from.distance_m(to.location);
    let seconds = ((to.timestamp_us - from_us) as f64 / 1e6).max(1.0);
    distance_m <= limits.distance_m || distance_m / seconds * 3.6 <= limits.speed_kmh
}
