//! `traffic_camera_data`: what a traffic camera saw since its last message.

use compact_str::CompactString;

use crate::Location;
use crate::columns::{Column, Row};
use crate::decode::{DecodeError, Reader};
use crate::json::ObjectWriter;
use crate::stream::Fields;

/// One message of a traffic camera.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TrafficCamera {
    /// The camera.
    pub camera_id: CompactString,
    /// Where it stands.
    pub location: Location,
    /// Reference to the picture.
    pub snapshot: Option<Box<str>>,
    /// Where it looks, degrees clockwise from north.
    pub direction_deg: Option<f64>,
    /// Mean speed of the vehicles seen, km/h.
    pub speed_kmh: Option<f64>,
    /// How many vehicles it saw.
    pub vehicle_count: Option<i64>,
}

const CAMERA_ID: &str = "a text that identifies the camera";

impl Fields for TrafficCamera {
    const COLUMNS: &'static [Column] = &[
        Column::text("camera_id"),
        Column::text("snapshot"),
        Column::number("direction"),
        Column::number("speed"),
        Column::int64("vehicle_count"),
    ];

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut camera = TrafficCamera::default();
        let mut camera_id = None;
        while let Some(name) = reader.next_field()? {
            match name.as_ref() {
                "camera_id" | "cameraId" => reader.name(&mut camera_id, CAMERA_ID)?,
                "snapshot" => reader.text(&mut camera.snapshot)?,
                "direction" => reader.direction(&mut camera.direction_deg)?,
                "speed" => reader.speed(&mut camera.speed_kmh)?,
                "vehicle_count" | "vehicleCount" => reader.whole(&mut camera.vehicle_count)?,
                _ => reader.keep()?,
            }
        }
        camera.location = reader.location()?;
        camera.camera_id = reader.required(camera_id, "camera_id", CAMERA_ID)?;
        Ok(camera)
    }

    fn write(&self, json: &mut ObjectWriter) {
        json.text("camera_id", &self.camera_id)
            .location("location", self.location)
            .optional_text("snapshot", self.snapshot.as_deref())
            .optional_number("direction", self.direction_deg)
            .optional_number("speed", self.speed_kmh)
            .optional_integer("vehicle_count", self.vehicle_count);
    }

    fn append(&self, row: &mut Row<'_>) {
        row.text(Some(&self.camera_id));
        row.text(self.snapshot.as_deref());
        row.number(self.direction_deg);
        row.number(self.speed_kmh);
        row.int64(self.vehicle_count);
    }

    fn location(&self) -> Option<Location> {
        Some(self.location)
    }
}
