//! Where a fence is: shapes, how they are read, and what is wrong with one.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::error::Invalid;
use crate::rings;

/// Corners of one shape, all rings together.
pub const CORNERS_MAX: usize = 10_000;
/// Degrees from one side of a polygon or corridor to the other. Several polygons may
/// lie as far apart as they like.
pub const SPAN_DEG_MAX: f64 = 10.0;
/// Of circles, fixed or around a vehicle.
pub const RADIUS_M_MAX: f64 = 100_000.0;
/// Of corridors.
pub const WIDTH_M_MAX: f64 = 10_000.0;

/// Before the words of an error that names the field within the shape itself.
pub(crate) const MARK: &str = "\u{1}";

/// `[longitude, latitude]` in degrees WGS 84, as in GeoJSON. A third number, the
/// height, is read and left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Position(pub [f64; 2]);

impl Position {
    /// Degrees, -180 to 180.
    pub fn longitude(self) -> f64 {
        self.0[0]
    }

    /// Degrees, -90 to 90.
    pub fn latitude(self) -> f64 {
        self.0[1]
    }

    pub(crate) fn location(self) -> events::Location {
        events::Location {
            latitude: self.latitude(),
            longitude: self.longitude(),
        }
    }
}

/// A closed line: the last position is the first again.
pub type Ring = Vec<Position>;

/// What a fence covers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Shape {
    /// An area, its outline first, then its holes. On the outline is inside.
    Polygon {
        /// Rings.
        coordinates: Vec<Ring>,
    },
    /// Several areas as one.
    MultiPolygon {
        /// Polygons.
        coordinates: Vec<Vec<Ring>>,
    },
    /// What is at most so far from a point, over the ground.
    Circle {
        /// The point.
        center: Position,
        /// 1 to [`RADIUS_M_MAX`].
        radius_m: f64,
    },
    /// What is at most half the width from a line.
    Corridor {
        /// Two positions or more.
        line: Vec<Position>,
        /// From edge to edge, 1 to [`WIDTH_M_MAX`].
        width_m: f64,
    },
    /// A circle that goes where a vehicle goes; the vehicle itself is not in it.
    Around {
        /// The vehicle.
        device_id: String,
        /// 1 to [`RADIUS_M_MAX`].
        radius_m: f64,
    },
}

impl Shape {
    /// Its name in documents.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Polygon { .. } => "polygon",
            Self::MultiPolygon { .. } => "multi_polygon",
            Self::Circle { .. } => "circle",
            Self::Corridor { .. } => "corridor",
            Self::Around { .. } => "around",
        }
    }

    /// Whether it is a shape that can be watched.
    pub fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::Polygon { coordinates } => {
                check_corners(coordinates.iter().map(Vec::len).sum())?;
                rings::check_polygon("coordinates", coordinates)?;
                check_span("coordinates", coordinates.iter().flatten())?;
            }
            Self::MultiPolygon { coordinates } => {
                check_corners(coordinates.iter().flatten().map(Vec::len).sum())?;
                if coordinates.is_empty() {
                    return Err(Invalid::new("coordinates", "no polygon", "at least one"));
                }
                for (index, polygon) in coordinates.iter().enumerate() {
                    let field = format!("coordinates[{index}]");
                    rings::check_polygon(&field, polygon)?;
                    check_span(&field, polygon.iter().flatten())?;
                }
            }
            Self::Circle { center, radius_m } => {
                check_position("center", *center)?;
                check_size("radius_m", *radius_m, RADIUS_M_MAX)?;
            }
            Self::Corridor { line, width_m } => {
                check_corners(line.len())?;
                if line.len() < 2 {
                    let got = format!("{} positions", line.len());
                    return Err(Invalid::new("line", got, "at least 2"));
                }
                for (index, position) in line.iter().enumerate() {
                    check_position(&format!("line[{index}]"), *position)?;
                }
                check_span("line", line)?;
                check_size("width_m", *width_m, WIDTH_M_MAX)?;
            }
            Self::Around {
                device_id,
                radius_m,
            } => {
                if device_id.is_empty() || device_id.chars().count() > 128 {
                    let got = format!("{device_id:?}");
                    return Err(Invalid::new("device_id", got, "1 to 128 characters"));
                }
                check_size("radius_m", *radius_m, RADIUS_M_MAX)?;
            }
        }
        Ok(())
    }

    /// Reads a shape; errors name the field within it.
    pub(crate) fn from_value(value: Value) -> Result<Self, Invalid> {
        let Value::Object(mut fields) = value else {
            return Err(Invalid::new("", value, "an object with \"type\""));
        };
        let kind = take(&mut fields, "type")?;
        let shape = match kind.as_str() {
            Some("polygon") => Self::Polygon {
                coordinates: read_polygon("coordinates", take(&mut fields, "coordinates")?)?,
            },
            Some("multi_polygon") => {
                let coordinates = take(&mut fields, "coordinates")?;
                Self::MultiPolygon {
                    coordinates: read_list("coordinates", coordinates, "polygons", read_polygon)?,
                }
            }
            Some("circle") => Self::Circle {
                center: read_position("center", take(&mut fields, "center")?)?,
                radius_m: read_number("radius_m", take(&mut fields, "radius_m")?)?,
            },
            Some("corridor") => Self::Corridor {
                line: read_line("line", take(&mut fields, "line")?)?,
                width_m: read_number("width_m", take(&mut fields, "width_m")?)?,
            },
            Some("around") => Self::Around {
                device_id: match take(&mut fields, "device_id")? {
                    Value::String(id) => id,
                    other => return Err(Invalid::new("device_id", other, "text")),
                },
                radius_m: read_number("radius_m", take(&mut fields, "radius_m")?)?,
            },
            _ => {
                let expected =
                    "\"polygon\", \"multi_polygon\", \"circle\", \"corridor\" or \"around\"";
                return Err(Invalid::new("type", kind, expected));
            }
        };
        match fields.into_iter().next() {
            Some((name, value)) => {
                let expected = format!("no such field in a {}", shape.kind());
                Err(Invalid::new(name, value, expected))
            }
            None => Ok(shape),
        }
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_value(value).map_err(|error| match error.field.as_str() {
            "" => D::Error::custom(format!("{MARK}{}", error.problem)),
            _ => D::Error::custom(format!("{MARK}{error}")),
        })
    }
}

fn take(fields: &mut Map<String, Value>, name: &str) -> Result<Value, Invalid> {
    let taken = fields.remove(name);
    taken.ok_or_else(|| Invalid::new(name, "nothing", "it to be given"))
}

/// A GeoJSON Polygon's coordinates.
pub(crate) fn read_polygon(field: &str, value: Value) -> Result<Vec<Ring>, Invalid> {
    read_list(field, value, "rings", read_line)
}

/// A GeoJSON LineString's coordinates, or a ring's.
pub(crate) fn read_line(field: &str, value: Value) -> Result<Vec<Position>, Invalid> {
    read_list(field, value, "positions", read_position)
}

pub(crate) fn read_list<T>(
    field: &str,
    value: Value,
    of: &str,
    read: impl Fn(&str, Value) -> Result<T, Invalid>,
) -> Result<Vec<T>, Invalid> {
    let Value::Array(items) = value else {
        return Err(Invalid::new(field, value, format!("a list of {of}")));
    };
    let read = |(index, item)| read(&format!("{field}[{index}]"), item);
    items.into_iter().enumerate().map(read).collect()
}

pub(crate) fn read_position(field: &str, value: Value) -> Result<Position, Invalid> {
    let numbers = value.as_array().map(Vec::as_slice);
    let position = match numbers {
        Some([longitude, latitude] | [longitude, latitude, _]) => {
            longitude.as_f64().zip(latitude.as_f64())
        }
        _ => None,
    };
    let Some((longitude, latitude)) = position else {
        return Err(Invalid::new(
            field,
            value,
            "[longitude, latitude] in degrees",
        ));
    };
    Ok(Position([longitude, latitude]))
}

pub(crate) fn read_number(field: &str, value: Value) -> Result<f64, Invalid> {
    let number = value.as_f64();
    number.ok_or_else(|| Invalid::new(field, value, "a number"))
}

fn check_corners(corners: usize) -> Result<(), Invalid> {
    if corners <= CORNERS_MAX {
        return Ok(());
    }
    let got = format!("{corners} corners");
    Err(Invalid::new(
        "coordinates",
        got,
        format!("at most {CORNERS_MAX}"),
    ))
}

/// Whether a polygon or corridor is no larger than can be watched.
fn check_span<'p>(
    field: &str,
    positions: impl IntoIterator<Item = &'p Position>,
) -> Result<(), Invalid> {
    let (mut west, mut south) = (f64::INFINITY, f64::INFINITY);
    let (mut east, mut north) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    for Position([longitude, latitude]) in positions {
        west = west.min(*longitude);
        east = east.max(*longitude);
        south = south.min(*latitude);
        north = north.max(*latitude);
    }
    let expected = format!(
        "at most {SPAN_DEG_MAX}; several polygons may be one multi_polygon, also on both sides \
         of the 180th meridian"
    );
    for (span, name) in [(east - west, "longitude"), (north - south, "latitude")] {
        if span > SPAN_DEG_MAX {
            let got = format!("{span:.3} degrees of {name} from side to side");
            return Err(Invalid::new(field, got, expected));
        }
    }
    Ok(())
}

fn check_size(field: &str, metres: f64, metres_max: f64) -> Result<(), Invalid> {
    if (1.0..=metres_max).contains(&metres) {
        return Ok(());
    }
    Err(Invalid::new(
        field,
        metres,
        format!("1 to {metres_max} metres"),
    ))
}

/// Whether the position is on earth.
pub(crate) fn check_position(field: &str, position: Position) -> Result<(), Invalid> {
    let Position([longitude, latitude]) = position;
    if !(-180.0..=180.0).contains(&longitude) {
        let expected = "a longitude from -180 to 180 first";
        return Err(Invalid::new(field, longitude, expected));
    }
    if !(-90.0..=90.0).contains(&latitude) {
        let expected = "a latitude from -90 to 90 second";
        return Err(Invalid::new(field, latitude, expected));
    }
    Ok(())
}
