//! `vehicle_data`: telemetry of connected vehicles.

use compact_str::CompactString;

use crate::Location;
use crate::columns::{Column, Row};
use crate::decode::{DecodeError, Reader, SPEED};
use crate::json::ObjectWriter;
use crate::stream::Fields;

/// One telemetry message of a vehicle.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Vehicle {
    /// Where it is.
    pub location: Location,
    /// Speed over ground, km/h, at least 0.
    pub speed_kmh: f64,
    /// Heading, degrees clockwise from north, 0 up to 360.
    pub direction_deg: Option<f64>,
    /// Manufacturer.
    pub make: Option<CompactString>,
    /// Model name.
    pub model: Option<CompactString>,
    /// Model year.
    pub year: Option<i32>,
    /// Petrol, Diesel, Electric, ...
    pub fuel_type: Option<CompactString>,
}

impl Fields for Vehicle {
    const COLUMNS: &'static [Column] = &[
        Column::number("speed"),
        Column::number("direction"),
        Column::text("make"),
        Column::text("model"),
        Column::int32("year"),
        Column::text("fuel_type"),
    ];

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut vehicle = Vehicle::default();
        let mut speed_kmh = None;
        while let Some(name) = reader.next_field()? {
            match name.as_ref() {
                "speed" => reader.speed(&mut speed_kmh)?,
                "direction" => reader.direction(&mut vehicle.direction_deg)?,
                "make" => reader.text(&mut vehicle.make)?,
                "model" => reader.text(&mut vehicle.model)?,
                "year" => reader.whole(&mut vehicle.year)?,
                "fuel_type" | "fuelType" => reader.text(&mut vehicle.fuel_type)?,
                _ => reader.keep()?,
            }
        }
        vehicle.location = reader.location()?;
        vehicle.speed_kmh = reader.required(speed_kmh, "speed", SPEED)?;
        Ok(vehicle)
    }

    fn write(&self, json: &mut ObjectWriter) {
        json.location("location", self.location)
            .number("speed", self.speed_kmh)
            .optional_number("direction", self.direction_deg)
            .optional_text("make", self.make.as_deref())
            .optional_text("model", self.model.as_deref())
            .optional_integer("year", self.year.map(i64::from))
            .optional_text("fuel_type", self.fuel_type.as_deref());
    }

    fn append(&self, row: &mut Row<'_>) {
        row.number(Some(self.speed_kmh));
        row.number(self.direction_deg);
        row.text(self.make.as_deref());
        row.text(self.model.as_deref());
        row.int32(self.year);
        row.text(self.fuel_type.as_deref());
    }

    fn location(&self) -> Option<Location> {
        Some(self.location)
    }
}
