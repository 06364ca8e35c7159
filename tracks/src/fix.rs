//! One fix, whichever stream it came on.

use events::{Body, Event, Location};

use crate::hash64;

/// A fix as it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Fix<'a> {
    /// The sender.
    pub device_id: &'a str,
    /// [`hash64`] of it with seed 0.
    pub device_hash: u64,
    /// [`hash64`] of the producer's id of the event, with `device_hash` for its seed:
    /// all that is asked of an id is whether it came before.
    pub id: u64,
    /// Event time, microseconds since the epoch.
    pub timestamp_us: i64,
    /// Where it is.
    pub location: Location,
    /// Speed over ground, km/h.
    pub speed_kmh: f64,
    /// Heading as sent, degrees clockwise from north.
    pub heading_deg: Option<f64>,
    /// Radius of the uncertainty, metres.
    pub accuracy_m: Option<f64>,
    /// taxi, bus, ...; `car` for connected vehicles.
    pub vehicle_type: Option<&'a str>,
}

impl<'a> Fix<'a> {
    /// The fix that `event` is; `None` for events of other streams.
    pub fn of(event: &'a Event) -> Option<Self> {
        let (location, speed_kmh, heading_deg, accuracy_m, vehicle_type) = match &event.body {
            Body::Gps(gps) => (
                gps.location,
                gps.speed_kmh,
                gps.direction_deg,
                gps.accuracy_m,
                gps.vehicle_type.as_deref(),
            ),
            Body::Vehicle(car) => (
                car.location,
                car.speed_kmh,
                car.direction_deg,
                None,
                Some("car"),
            ),
            _ => return None,
        };
        let device_hash = hash64(0, event.device_id.as_bytes());
        Some(Self {
            device_id: &event.device_id,
            device_hash,
            id: hash64(device_hash, event.id.as_bytes()),
            timestamp_us: event.timestamp_us,
            location,
            speed_kmh,
            heading_deg,
            accuracy_m,
            vehicle_type,
        })
    }
}
