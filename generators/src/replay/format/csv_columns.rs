//! Which column of a CSV file becomes which field.

use events::Stream;

use super::table::Table;
use crate::replay::ReplayError;

/// Field, and the names under which files carry it, the likelier first. Compared
/// without case, blanks, dashes and underscores.
const KNOWN: &[(&str, &[&str])] = &[
    ("id", &["id", "eventid", "uuid"]),
    (
        "device_id",
        &[
            "deviceid",
            "vehicleid",
            "device",
            "vehicle",
            "busid",
            "bus",
            "cab",
            "taxiid",
            "stationid",
            "station",
            "sensorid",
            "sensor",
        ],
    ),
    (
        "timestamp",
        &[
            "timestamp",
            "time",
            "datetime",
            "t",
            "ts",
            "eventtime",
            "recordedat",
            "when",
            "date",
        ],
    ),
    ("location", &["location", "position", "point"]),
    ("latitude", &["latitude", "lat", "y"]),
    ("longitude", &["longitude", "lon", "lng", "long", "x"]),
    ("speed", &["speed", "speedkmh", "velocity"]),
    (
        "direction",
        &["direction", "heading", "bearing", "course", "azimuth"],
    ),
    ("vehicle_type", &["vehicletype"]),
    ("route_id", &["routeid", "route"]),
    ("trip_id", &["tripid", "trip"]),
    ("occupied", &["occupied", "occ"]),
    ("incidentId", &["incidentid", "incident"]),
    ("incident_type", &["incidenttype"]),
    ("status", &["status"]),
    ("severity", &["severity"]),
    ("description", &["description"]),
    ("camera_id", &["cameraid", "camera"]),
    ("vehicle_count", &["vehiclecount"]),
    ("airQualityIndex", &["airqualityindex", "aqi"]),
    ("temperature", &["temperature", "temp"]),
    ("humidity", &["humidity"]),
    ("wind_speed", &["windspeed"]),
    ("precipitation", &["precipitation"]),
    ("visibility", &["visibility"]),
    (
        "weather_condition",
        &["weathercondition", "condition", "weather"],
    ),
    ("pm25", &["pm25", "pm2.5"]),
    ("pm10", &["pm10"]),
    ("no2", &["no2"]),
    ("o3", &["o3"]),
    ("so2", &["so2"]),
    ("co", &["co"]),
    ("noise_db", &["noisedb", "noise"]),
    ("accuracy_m", &["accuracym", "accuracy"]),
    ("altitude_m", &["altitudem", "altitude"]),
];

/// How a field's text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By its own rule, not with the rest: id, device_id, timestamp.
    Elsewhere,
    /// Text, also where it looks like a number.
    Text,
    Latitude,
    Longitude,
    /// km/h.
    Speed,
    /// `latitude, longitude` in one column, with or without brackets.
    Place,
    /// A measurement, which may be missing.
    Number,
    /// Also 1 for true and 0 for false.
    Truth,
    /// A number, a truth value or a text.
    AsItLooks,
}

pub(crate) struct Column {
    pub field: String,
    pub kind: Kind,
}

pub(crate) struct Columns {
    pub all: Vec<Column>,
    pub id: Option<usize>,
    pub device_id: usize,
    pub timestamp: usize,
    /// Fields that no row may lack, and their columns.
    pub required: Vec<(&'static str, usize)>,
    /// No column has the speed: it follows from the fix before, as the direction then does.
    pub derives_speed: bool,
}

impl Columns {
    /// `map` holds (field, column) pairs, which win over names. A column that is
    /// no known field keeps its name; where that name is taken by another column,
    /// it is kept as `csv_<name>`.
    pub fn new(
        table: &Table,
        map: &[(String, String)],
        stream: Stream,
    ) -> Result<Self, ReplayError> {
        let fields = fields(table, map)?;
        let find = |field: &str| fields.iter().position(|name| name == field);
        let has_place = find("location").is_some();
        let mut required = Vec::new();
        let mut derives_speed = false;
        for field in required_of(stream) {
            let is_place = matches!(*field, "latitude" | "longitude");
            match find(field) {
                Some(column) => required.push((*field, column)),
                None if is_place && has_place => {}
                None if *field == "speed" => derives_speed = true,
                None => return Err(missing(field, table, stream)),
            }
        }
        let column = |field| find(field).ok_or_else(|| missing(field, table, stream));
        Ok(Self {
            id: find("id"),
            device_id: column("device_id")?,
            timestamp: column("timestamp")?,
            required,
            derives_speed,
            all: fields
                .into_iter()
                .map(|field| Column {
                    kind: kind(&field),
                    field,
                })
                .collect(),
        })
    }
}

fn missing(field: &str, table: &Table, stream: Stream) -> ReplayError {
    ReplayError::Options(format!(
        "csv: no column for {field}, which {stream} requires: name one with --map {field}=COLUMN; the header has {}",
        table.headers().join(", ")
    ))
}

fn required_of(stream: Stream) -> &'static [&'static str] {
    match stream {
        Stream::VehicleData | Stream::GpsData => {
            &["device_id", "timestamp", "latitude", "longitude", "speed"]
        }
        Stream::TrafficCameraData => &[
            "device_id",
            "timestamp",
            "latitude",
            "longitude",
            "camera_id",
        ],
        Stream::WeatherData => &["device_id", "timestamp", "latitude", "longitude"],
        Stream::EmergencyIncidentData => &[
            "device_id",
            "timestamp",
            "latitude",
            "longitude",
            "incidentId",
            "incident_type",
            "status",
        ],
        Stream::Alerts | Stream::Windows => &["device_id", "timestamp"],
    }
}

/// The field of each column.
fn fields(table: &Table, map: &[(String, String)]) -> Result<Vec<String>, ReplayError> {
    let headers = table.headers();
    let mut fields = vec![String::new(); headers.len()];
    for (field, column) in map {
        let position = table.required(column)?;
        if !fields[position].is_empty() {
            return Err(ReplayError::Options(format!(
                "--map names column {column:?} twice"
            )));
        }
        if fields.contains(field) {
            return Err(ReplayError::Options(format!(
                "--map names field {field:?} twice"
            )));
        }
        fields[position].clone_from(field);
    }
    let plain = |name: &str| name.to_lowercase().replace([' ', '_', '-'], "");
    for (field, names) in KNOWN {
        if fields.iter().any(|taken| taken == field) {
            continue;
        }
        let found = names.iter().find_map(|name| {
            (0..fields.len())
                .find(|column| fields[*column].is_empty() && plain(&headers[*column]) == *name)
        });
        if let Some(column) = found {
            fields[column] = (*field).to_owned();
        }
    }
    for column in 0..fields.len() {
        if fields[column].is_empty() {
            let mut name = headers[column].clone();
            while name.is_empty() || fields.contains(&name) {
                name = format!("csv_{name}");
            }
            fields[column] = name;
        }
    }
    Ok(fields)
}

fn kind(field: &str) -> Kind {
    match field {
        "id" | "device_id" | "timestamp" => Kind::Elsewhere,
        "latitude" => Kind::Latitude,
        "longitude" => Kind::Longitude,
        "speed" => Kind::Speed,
        "location" => Kind::Place,
        "direction" | "year" | "vehicle_count" | "temperature" | "humidity" | "wind_speed"
        | "precipitation" | "visibility" | "airQualityIndex" | "pm25" | "pm10" | "no2" | "o3"
        | "so2" | "co" | "noise_db" | "accuracy_m" | "altitude_m" => Kind::Number,
        "occupied" => Kind::Truth,
        "incidentId" | "incident_type" | "status" | "severity" | "description" | "camera_id"
        | "snapshot" | "vehicle_type" | "route_id" | "trip_id" | "make" | "model" | "fuel_type"
        | "weather_condition" => Kind::Text,
        _ => Kind::AsItLooks,
    }
}
