//! What a vehicle says of itself besides where it is and how fast.

use compact_str::CompactString;
use events::Body;

/// Of the newest fix. Kept small, as it is kept of every vehicle: what many do not say
/// is boxed.
#[derive(Debug)]
pub(crate) enum Details {
    /// `gps_data`
    Gps {
        vehicle_type: Option<CompactString>,
        /// Absent where it says none of it.
        more: Option<Box<GpsDetails>>,
    },
    /// `vehicle_data`
    Vehicle(Box<VehicleDetails>),
}

#[derive(Debug, Default)]
pub(crate) struct GpsDetails {
    pub(crate) accuracy_m: Option<f64>,
    pub(crate) occupied: Option<bool>,
    pub(crate) route_id: Option<CompactString>,
    pub(crate) trip_id: Option<CompactString>,
}

#[derive(Debug, Default)]
pub(crate) struct VehicleDetails {
    pub(crate) make: Option<CompactString>,
    pub(crate) model: Option<CompactString>,
    pub(crate) year: Option<i32>,
    pub(crate) fuel_type: Option<CompactString>,
}

impl Details {
    /// Makes `details` those of a newer fix, in the same place. Other bodies have none.
    pub(crate) fn renew(details: &mut Option<Self>, body: Body) {
        match body {
            Body::Gps(gps) => {
                let says_more = gps.accuracy_m.is_some()
                    || gps.occupied.is_some()
                    || gps.route_id.is_some()
                    || gps.trip_id.is_some();
                let before = match details.take() {
                    Some(Details::Gps { more, .. }) => more,
                    _ => None,
                };
                let more = says_more.then(|| {
                    let mut more = before.unwrap_or_default();
                    *more = GpsDetails {
                        accuracy_m: gps.accuracy_m,
                        occupied: gps.occupied,
                        route_id: gps.route_id,
                        trip_id: gps.trip_id,
                    };
                    more
                });
                *details = Some(Details::Gps {
                    vehicle_type: gps.vehicle_type,
                    more,
                });
            }
            Body::Vehicle(vehicle) => {
                let newer = VehicleDetails {
                    make: vehicle.make,
                    model: vehicle.model,
                    year: vehicle.year,
                    fuel_type: vehicle.fuel_type,
                };
                match details {
                    Some(Details::Vehicle(known)) => **known = newer,
                    _ => *details = Some(Details::Vehicle(Box::new(newer))),
                }
            }
            _ => {}
        }
    }
}
