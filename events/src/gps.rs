//! `gps_data`: fixes of trackers in taxis, buses and service vehicles.

use compact_str::CompactString;

use crate::Location;
use crate::columns::{Column, Row};
use crate::decode::{DecodeError, Reader, SPEED};
use crate::json::ObjectWriter;
use crate::stream::Fields;

/// One fix of a tracker.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Gps {
    /// Where it is.
    pub location: Location,
    /// Speed over ground, km/h, at least 0.
    pub speed_kmh: f64,
    /// Heading, degrees clockwise from north, 0 up to 360.
    pub direction_deg: Option<f64>,
    /// taxi, bus, truck, ...
    pub vehicle_type: Option<CompactString>,
    /// Radius of the fix's uncertainty, metres.
    pub accuracy_m: Option<f64>,
    /// Height above the ellipsoid, metres.
    pub altitude_m: Option<f64>,
    /// A taxi with passengers.
    pub occupied: Option<bool>,
    /// Public transport route.
    pub route_id: Option<CompactString>,
    /// Public transport trip.
    pub trip_id: Option<CompactString>,
}

impl Fields for Gps {
    const COLUMNS: &'static [Column] = &[
        Column::number("speed"),
        Column::number("direction"),
        Column::text("vehicle_type"),
        Column::number("accuracy_m"),
        Column::number("altitude_m"),
        Column::boolean("occupied"),
        Column::text("route_id"),
        Column::text("trip_id"),
    ];

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut gps = Gps::default();
        let mut speed_kmh = None;
        while let Some(name) = reader.next_field()? {
            match name.as_ref() {
                "speed" => reader.speed(&mut speed_kmh)?,
                "direction" => reader.direction(&mut gps.direction_deg)?,
                "vehicle_type" | "vehicleType" => reader.text(&mut gps.vehicle_type)?,
                "accuracy_m" => reader.reading(&mut gps.accuracy_m)?,
                "altitude_m" => reader.reading(&mut gps.altitude_m)?,
                "occupied" => reader.boolean(&mut gps.occupied)?,
                "route_id" | "routeId" => reader.text(&mut gps.route_id)?,
                "trip_id" | "tripId" => reader.text(&mut gps.trip_id)?,
                _ => reader.keep()?,
            }
        }
        gps.location = reader.location()?;
        gps.speed_kmh = reader.required(speed_kmh, "speed", SPEED)?;
        Ok(gps)
    }

    fn write(&self, json: &mut ObjectWriter) {
        json.location("location", self.location)
            .number("speed", self.speed_kmh)
            .optional_number("direction", self.direction_deg)
            .optional_text("vehicle_type", self.vehicle_type.as_deref())
            .optional_number("accuracy_m", self.accuracy_m)
            .optional_number("altitude_m", self.altitude_m)
            .optional_boolean("occupied", self.occupied)
            .optional_text("route_id", self.route_id.as_deref())
            .optional_text("trip_id", self.trip_id.as_deref());
    }

    fn append(&self, row: &mut Row<'_>) {
        row.number(Some(self.speed_kmh));
        row.number(self.direction_deg);
        row.text(self.vehicle_type.as_deref());
        row.number(self.accuracy_m);
        row.number(self.altitude_m);
        row.boolean(self.occupied);
        row.text(self.route_id.as_deref());
        row.text(self.trip_id.as_deref());
    }

    fn location(&self) -> Option<Location> {
        Some(self.location)
    }
}
