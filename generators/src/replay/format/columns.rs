//! Which column of a table becomes which field.

use events::Stream;
use events::time::parse_rfc3339_us;

use super::times::{TimeFormat, known_us};
use super::{Context, shown};
use crate::replay::ReplayError;
use crate::replay::records::{Fields, Form, Records};

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
    /// JSON.
    Json,
}

pub(crate) struct Column {
    pub field: String,
    pub kind: Kind,
}

pub(crate) struct Columns {
    pub all: Vec<Column>,
    /// What every row has, whatever its columns say.
    pub set: Vec<(Column, String)>,
    pub id: Option<usize>,
    pub device_id: Source,
    pub timestamp: Time,
    /// Fields that no row may lack, and their columns.
    pub required: Vec<(&'static str, usize)>,
    /// No column has the speed: it follows from the fix before, as the direction then does.
    pub derives_speed: bool,
}

/// Where a text comes from.
pub(crate) enum Source {
    Column(usize),
    /// The same in every row.
    Constant(String),
}

impl Source {
    pub fn text<'a>(&'a self, fields: Fields<'a>) -> Result<&'a str, String> {
        match self {
            Source::Column(column) => fields.text(*column),
            Source::Constant(text) => Ok(text),
        }
    }
}

/// Where the time of a row comes from.
pub(crate) enum Time {
    Whole(Source),
    /// Date and time, or year, month, day and perhaps hour, minute, second.
    Parts {
        columns: Vec<usize>,
        /// What the zone is ahead of UTC: `Z`, `+08:00`.
        offset: String,
    },
}

impl Time {
    /// Reads it, microseconds since the epoch.
    pub fn read(&self, fields: Fields<'_>, format: Option<&TimeFormat>) -> Result<i64, String> {
        match self {
            Time::Whole(source) => {
                let text = source.text(fields)?;
                let read = match format {
                    Some(format) => format.read_us(text),
                    None => known_us(text),
                };
                read.ok_or_else(|| no_time(text, format))
            }
            Time::Parts { columns, offset } => {
                let mut parts = Vec::with_capacity(columns.len());
                for column in columns {
                    parts.push(fields.required("timestamp", *column)?);
                }
                let text = match format {
                    Some(_) => parts.join(" "),
                    None => joined(&parts, offset),
                };
                let read = match format {
                    Some(format) => format
                        .read_us(&text)
                        .map(|local_us| local_us - ahead_us(offset)),
                    None => known_us(&text),
                };
                read.ok_or_else(|| no_time(&text, format))
            }
        }
    }
}

/// How far a zone such as `+08:00` is ahead of UTC.
fn ahead_us(offset: &str) -> i64 {
    parse_rfc3339_us(&format!("1970-01-01T00:00:00{offset}")).map_or(0, |utc_us| -utc_us)
}

fn no_time(text: &str, format: Option<&TimeFormat>) -> String {
    let got = shown(text);
    match format {
        Some(format) => format!("field \"timestamp\": got {got}, expected a time as {format}"),
        None => format!(
            "field \"timestamp\": got {got}, expected RFC 3339, a date, or seconds, milliseconds, microseconds \
             or nanoseconds since 1970; --time-format says another form"
        ),
    }
}

fn joined(parts: &[&str], offset: &str) -> String {
    if let [date, time] = parts {
        // `7:30` is 07:30:00.
        return match time.matches(':').count() {
            1 => format!("{date}T{time:0>5}:00{offset}"),
            _ => format!("{date}T{time:0>8}{offset}"),
        };
    }
    // A table that has been through a spreadsheet may say 2013.0.
    let part = |index: usize| {
        let text = parts.get(index).copied().unwrap_or("0");
        text.strip_suffix(".0").unwrap_or(text)
    };
    format!(
        "{:0>4}-{:0>2}-{:0>2}T{:0>2}:{:0>2}:{:0>2}{offset}",
        part(0),
        part(1),
        part(2),
        part(3),
        part(4),
        part(5)
    )
}

impl Columns {
    /// `--map` has (field, column) pairs, which win over names, and `--set` (field, value)
    /// pairs, which win over both. A column that is no known field keeps its name; where
    /// that name is taken by another column, it is kept as `csv_<name>`, in CSV.
    pub fn new(
        table: &dyn Records,
        context: &Context,
        stream: Stream,
    ) -> Result<Self, ReplayError> {
        let (map, set) = (&context.map[..], &context.set[..]);
        if let Some((field, _)) = set.iter().find(|(field, _)| is_named(map, field)) {
            return Err(ReplayError::Options(format!(
                "--map and --set both name field {field:?}"
            )));
        }
        if is_named(set, "id") {
            return Err(ReplayError::Options(
                "--set id: expected another field; no two rows have the same id".to_owned(),
            ));
        }
        let (map, parts) = split(table, map)?;
        let fields = fields(table, &map, set, parts.as_ref())?;
        let constant = |field: &str| {
            let found = set.iter().find(|(name, _)| name == field);
            found.map(|(_, value)| value.clone())
        };
        let find = |field: &str| fields.iter().position(|name| name == field);
        let has_place = find("location").is_some() || constant("location").is_some();
        let mut required = Vec::new();
        let mut derives_speed = false;
        for field in required_of(stream) {
            let is_place = matches!(*field, "latitude" | "longitude");
            match find(field) {
                _ if constant(field).is_some() => {}
                None if *field == "timestamp" && parts.is_some() => {}
                Some(column) => required.push((*field, column)),
                None if is_place && has_place => {}
                None if *field == "speed" => derives_speed = true,
                None => return Err(missing(field, table, stream)),
            }
        }
        let source = |field| match (constant(field), find(field)) {
            (Some(text), _) => Ok(Source::Constant(text)),
            (None, Some(column)) => Ok(Source::Column(column)),
            (None, None) => Err(missing(field, table, stream)),
        };
        let column = |field: &str| Column {
            kind: kind(field),
            field: field.to_owned(),
        };
        Ok(Self {
            id: find("id"),
            device_id: source("device_id")?,
            timestamp: match parts {
                Some(parts) => parts,
                None => Time::Whole(source("timestamp")?),
            },
            required,
            derives_speed,
            set: set
                .iter()
                .map(|(field, value)| (column(field), value.clone()))
                .collect(),
            all: fields
                .iter()
                .enumerate()
                .map(|(index, field)| Column {
                    kind: kind_in(table.form(index), kind(field)),
                    field: field.clone(),
                })
                .collect(),
        })
    }
}

fn missing(field: &str, table: &dyn Records, stream: Stream) -> ReplayError {
    ReplayError::Options(format!(
        "no column for {field}, which {stream} requires: name one with --map {field}=COLUMN, or say with \
         --set {field}=VALUE what it is in every row; the header has {}",
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

fn is_named(pairs: &[(String, String)], field: &str) -> bool {
    pairs.iter().any(|(name, _)| name == field)
}

type Mapping = Vec<(String, String)>;

/// Takes a timestamp of several columns out of the mapping.
fn split(
    table: &dyn Records,
    map: &[(String, String)],
) -> Result<(Mapping, Option<Time>), ReplayError> {
    let is_parts = |(field, columns): &(String, String)| {
        field == "timestamp" && columns.contains(',') && table.position(columns).is_none()
    };
    let (parts, map): (Mapping, Mapping) = map.iter().cloned().partition(is_parts);
    let [(_, parts)] = &parts[..] else {
        return match parts.is_empty() {
            true => Ok((map, None)),
            false => Err(ReplayError::Options(
                "--map names field \"timestamp\" twice".to_owned(),
            )),
        };
    };
    let mut names: Vec<&str> = parts.split(',').map(str::trim).collect();
    let offset = names
        .pop_if(|last| last.starts_with(['+', '-']) || *last == "Z")
        .unwrap_or("Z")
        .to_owned();
    if !(2..=6).contains(&names.len()) {
        return Err(ReplayError::Options(format!(
            "--map timestamp={parts}: expected date,time or year,month,day and perhaps hour,minute,second, \
             and an offset such as +08:00 where they are not UTC"
        )));
    }
    let columns = names.into_iter().map(|name| table.required(name));
    let columns = columns.collect::<Result<_, _>>()?;
    Ok((map, Some(Time::Parts { columns, offset })))
}

/// The field of each column.
fn fields(
    table: &dyn Records,
    map: &[(String, String)],
    set: &[(String, String)],
    parts: Option<&Time>,
) -> Result<Vec<String>, ReplayError> {
    let headers = table.headers();
    let mut fields = vec![String::new(); headers.len()];
    if let Some(Time::Parts { columns, .. }) = parts {
        // They are in the timestamp.
        for column in columns {
            fields[*column] = "timestamp".to_owned();
        }
    }
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
        if is_named(set, field) || fields.iter().any(|taken| taken == field) {
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
            while name.is_empty() || is_named(set, &name) || fields.contains(&name) {
                name = format!("{}_{name}", table.kind());
            }
            fields[column] = name;
        }
    }
    Ok(fields)
}

/// What a file says of a column's values decides where the field leaves it open.
fn kind_in(form: Form, kind: Kind) -> Kind {
    match (form, kind) {
        (Form::Text, Kind::AsItLooks) => Kind::Text,
        (Form::Json, Kind::AsItLooks | Kind::Text | Kind::Number | Kind::Truth) => Kind::Json,
        _ => kind,
    }
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
