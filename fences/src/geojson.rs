//! GeoJSON (RFC 7946): import and export.
//!
//! A fence is a Feature: Polygon and MultiPolygon as they are, a circle as a Point
//! with the property `radius_m`, a corridor as a LineString with `width_m`, a
//! circle around a vehicle without geometry, with `device_id` and `radius_m`. The
//! fence's other fields are properties of the same names; properties that are no
//! field of a fence are kept as they are, and so is an id that cannot name a fence.
//! What was exported imports as the same.

use std::f64::consts::TAU;

use events::document::Misfit;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::document::{Fence, check_id, explain, read_json};
use crate::error::Invalid;
use crate::index::METRES_PER_DEGREE;
use crate::shape::{
    Position, Shape, read_line, read_list, read_number, read_polygon, read_position,
};

/// The fields of a fence that are properties of its feature.
const FIELDS: [&str; 7] = [
    "name",
    "vehicle_types",
    "schedule",
    "dwell_s",
    "enabled",
    "author",
    "updated_at",
];
/// Ids in place of foreign ones are made in this namespace.
const NAMESPACE: Uuid = Uuid::from_u128(0x2b7c_91e4_0d53_5f86_b1a9_64c8_7e30_d2f5);
/// Sides of a circle that is drawn as a polygon.
const CIRCLE_SIDES: usize = 64;

/// The parts of a collection that matter, as text: numbers take many times as much
/// memory once they are read, so features are read one after the other.
#[derive(Deserialize)]
struct Collection<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    features: Option<&'a RawValue>,
}

/// Reads the features of a FeatureCollection (or one Feature), each as a checked
/// fence or what is wrong with it; ids may be empty.
///
/// Errors: when it is no FeatureCollection at all.
pub fn import(bytes: &[u8]) -> Result<Vec<Result<Fence, Invalid>>, Invalid> {
    let text = |raw: Option<&RawValue>| raw.map_or("nothing", RawValue::get).to_owned();
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        let expected = "a GeoJSON FeatureCollection";
        return Err(Invalid::new("body", read_json(bytes)?, expected));
    }
    let collection: Collection<'_> =
        serde_json::from_slice(bytes).map_err(|error| Misfit::of_text(bytes, "", &error))?;
    match collection.kind.map(RawValue::get) {
        Some("\"FeatureCollection\"") => {
            let features = collection.features;
            let list = features.and_then(|list| serde_json::from_str(list.get()).ok());
            let list: Vec<&RawValue> =
                list.ok_or_else(|| Invalid::new("features", text(features), "a list of features"))?;
            let read = |feature: &RawValue| import_feature(read_json(feature.get().as_bytes())?);
            Ok(list.into_iter().map(read).collect())
        }
        Some("\"Feature\"") => Ok(vec![import_feature(read_json(bytes)?)]),
        _ => {
            let got = text(collection.kind);
            Err(Invalid::new("type", got, "\"FeatureCollection\""))
        }
    }
}

/// The id of a feature whose own cannot name a fence, like OpenStreetMap's
/// `way/123`: the same for the same one, so that importing it again replaces it.
fn id_in_place_of(foreign: &str) -> String {
    Uuid::new_v5(&NAMESPACE, foreign.as_bytes()).to_string()
}

fn import_feature(feature: Value) -> Result<Fence, Invalid> {
    let Value::Object(mut feature) = feature else {
        return Err(Invalid::new("type", feature, "a Feature"));
    };
    if feature.get("type").and_then(Value::as_str) != Some("Feature") {
        let got = feature.remove("type").unwrap_or_default();
        return Err(Invalid::new("type", got, "\"Feature\""));
    }
    let id = match feature.remove("id") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(id)) => id,
        Some(Value::Number(number)) => number.to_string(),
        Some(other) => return Err(Invalid::new("id", other, "text or a number")),
    };
    let mut properties = match feature.remove("properties") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(properties)) => properties,
        Some(other) => return Err(Invalid::new("properties", other, "an object")),
    };
    let named = json!(if id.is_empty() { "unnamed" } else { &id });
    let id = match id.is_empty() || check_id(&id).is_ok() {
        true => id,
        false => {
            let ours = id_in_place_of(&id);
            properties.entry("id").or_insert(json!(id));
            ours
        }
    };
    let geometry = feature.remove("geometry").unwrap_or_default();
    let shape = import_shape(geometry, &mut properties)?;
    let mut document = Map::new();
    for field in FIELDS {
        if let Some(value) = properties.remove(field) {
            document.insert(field.to_owned(), value);
        }
    }
    let name = document.entry("name").or_insert(Value::Null);
    if name.is_null() {
        *name = named;
    }
    document.insert("id".to_owned(), json!(id));
    document.insert("properties".to_owned(), Value::Object(properties));
    // The shape is read already: any will do for reading the other fields.
    let placeholder = json!({"type": "circle", "center": [0, 0], "radius_m": 1});
    document.insert("shape".to_owned(), placeholder);
    let document = Value::Object(document);
    let mut fence: Fence = serde_path_to_error::deserialize(&document)
        .map_err(|error| explain(&document, &error).within("properties"))?;
    fence.shape = shape;
    fence.check()?;
    Ok(fence)
}

fn import_shape(geometry: Value, properties: &mut Map<String, Value>) -> Result<Shape, Invalid> {
    let mut size = |name: &str| {
        let value = properties.remove(name).unwrap_or_default();
        read_number(&format!("properties.{name}"), value)
    };
    let Value::Object(mut geometry) = geometry else {
        if !geometry.is_null() {
            return Err(Invalid::new("geometry", geometry, "an object"));
        }
        let radius_m = size("radius_m")?;
        return match properties.remove("device_id") {
            Some(Value::String(device_id)) => Ok(Shape::Around {
                device_id,
                radius_m,
            }),
            other => {
                let got = other.unwrap_or_default();
                let expected = "the id of a vehicle, as there is no geometry";
                Err(Invalid::new("properties.device_id", got, expected))
            }
        };
    };
    let coordinates = geometry.remove("coordinates").unwrap_or_default();
    let field = "geometry.coordinates";
    match geometry.get("type").and_then(Value::as_str) {
        Some("Polygon") => Ok(Shape::Polygon {
            coordinates: read_polygon(field, coordinates)?,
        }),
        Some("MultiPolygon") => Ok(Shape::MultiPolygon {
            coordinates: read_list(field, coordinates, "polygons", read_polygon)?,
        }),
        Some("Point") => Ok(Shape::Circle {
            center: read_position(field, coordinates)?,
            radius_m: size("radius_m")?,
        }),
        Some("LineString") => Ok(Shape::Corridor {
            line: read_line(field, coordinates)?,
            width_m: size("width_m")?,
        }),
        _ => {
            let got = geometry.remove("type").unwrap_or_default();
            let expected = "\"Polygon\", \"MultiPolygon\", \"Point\" with the property radius_m, \
                            or \"LineString\" with the property width_m";
            Err(Invalid::new("geometry.type", got, expected))
        }
    }
}

/// A fence as a Feature, from which [`import`] makes the same fence.
pub fn export(fence: &Fence) -> Value {
    let mut properties = properties_of(fence);
    let geometry = match &fence.shape {
        Shape::Polygon { coordinates } => json!({"type": "Polygon", "coordinates": coordinates}),
        Shape::MultiPolygon { coordinates } => {
            json!({"type": "MultiPolygon", "coordinates": coordinates})
        }
        Shape::Circle { center, radius_m } => {
            properties.insert("radius_m".to_owned(), json!(radius_m));
            json!({"type": "Point", "coordinates": center})
        }
        Shape::Corridor { line, width_m } => {
            properties.insert("width_m".to_owned(), json!(width_m));
            json!({"type": "LineString", "coordinates": line})
        }
        Shape::Around {
            device_id,
            radius_m,
        } => {
            properties.insert("device_id".to_owned(), json!(device_id));
            properties.insert("radius_m".to_owned(), json!(radius_m));
            Value::Null
        }
    };
    json!({"type": "Feature", "id": fence.id, "geometry": geometry, "properties": properties})
}

/// A fence as a Feature to be drawn: circles and corridors as the areas that they
/// are. `anchor` is where the vehicle of a moving fence is, if that is known.
pub fn outline(fence: &Fence, anchor: Option<Position>) -> Value {
    let geometry = match &fence.shape {
        Shape::Circle { center, radius_m } => circle(*center, *radius_m),
        Shape::Around { radius_m, .. } => {
            anchor.map_or(Value::Null, |center| circle(center, *radius_m))
        }
        Shape::Corridor { line, width_m } => corridor(line, *width_m),
        Shape::Polygon { .. } | Shape::MultiPolygon { .. } => {
            return export(fence);
        }
    };
    let mut properties = properties_of(fence);
    properties.insert("shape".to_owned(), json!(fence.shape.kind()));
    json!({"type": "Feature", "id": fence.id, "geometry": geometry, "properties": properties})
}

/// The fence's own properties, and over them its fields.
fn properties_of(fence: &Fence) -> Map<String, Value> {
    let mut properties = fence.properties.clone();
    if let Ok(Value::Object(mut document)) = serde_json::to_value(fence) {
        let known = FIELDS.into_iter();
        let fields = known.filter_map(|field| Some((field.to_owned(), document.remove(field)?)));
        properties.extend(fields);
    }
    properties
}

/// Metres per degree of longitude and latitude there.
fn scale_at(latitude: f64) -> (f64, f64) {
    let shrunk = latitude.to_radians().cos().max(1e-6);
    (METRES_PER_DEGREE * shrunk, METRES_PER_DEGREE)
}

fn circle(center: Position, radius_m: f64) -> Value {
    let (x_scale, y_scale) = scale_at(center.latitude());
    let corner = |number: usize| {
        let angle = TAU * (number % CIRCLE_SIDES) as f64 / CIRCLE_SIDES as f64;
        Position([
            center.longitude() + radius_m * angle.cos() / x_scale,
            (center.latitude() + radius_m * angle.sin() / y_scale).clamp(-90.0, 90.0),
        ])
    };
    let ring: Vec<_> = (0..=CIRCLE_SIDES).map(corner).collect();
    json!({"type": "Polygon", "coordinates": [ring]})
}

/// One area per side of the line: a box with round ends, so that they join.
fn corridor(line: &[Position], width_m: f64) -> Value {
    const END_SIDES: usize = 8;
    let polygons: Vec<_> = line
        .windows(2)
        .map(|pair| {
            let (from, to) = (pair[0], pair[1]);
            let (x_scale, y_scale) = scale_at((from.latitude() + to.latitude()) / 2.0);
            let dx = (to.longitude() - from.longitude()) * x_scale;
            let dy = (to.latitude() - from.latitude()) * y_scale;
            let heading = dy.atan2(dx);
            let around = |center: Position, first: f64| {
                (0..=END_SIDES).map(move |number| {
                    let angle = first + TAU / 2.0 * number as f64 / END_SIDES as f64;
                    Position([
                        center.longitude() + width_m / 2.0 * angle.cos() / x_scale,
                        center.latitude() + width_m / 2.0 * angle.sin() / y_scale,
                    ])
                })
            };
            let mut ring: Vec<_> = around(to, heading - TAU / 4.0)
                .chain(around(from, heading + TAU / 4.0))
                .collect();
            ring.push(ring[0]);
            vec![ring]
        })
        .collect();
    json!({"type": "MultiPolygon", "coordinates": polygons})
}
