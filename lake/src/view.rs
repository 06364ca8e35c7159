//! The views: tables that are computed of the raw ones, and their columns.
//! docs/views.md says what each column means.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use events::columns::timestamp_type;

/// A table that is computed of the raw ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum View {
    /// Speeds per street segment and hour.
    TrafficHourly,
    /// Speeds per H3 cell (resolution 8) and hour.
    CellHourly,
    /// Readings per station and hour.
    AirHourly,
    /// Each vehicle's day.
    VehicleDaily,
    /// Incidents per kind, severity and day.
    IncidentDaily,
}

impl View {
    /// Every view.
    pub const ALL: [View; 5] = [
        View::TrafficHourly,
        View::CellHourly,
        View::AirHourly,
        View::VehicleDaily,
        View::IncidentDaily,
    ];

    /// The table's name.
    pub const fn name(self) -> &'static str {
        match self {
            View::TrafficHourly => "traffic_hourly",
            View::CellHourly => "cell_hourly",
            View::AirHourly => "air_hourly",
            View::VehicleDaily => "vehicle_daily",
            View::IncidentDaily => "incident_daily",
        }
    }

    /// The name of the table that is written to be compared.
    pub const fn draft_name(self) -> &'static str {
        match self {
            View::TrafficHourly => "traffic_hourly__new",
            View::CellHourly => "cell_hourly__new",
            View::AirHourly => "air_hourly__new",
            View::VehicleDaily => "vehicle_daily__new",
            View::IncidentDaily => "incident_daily__new",
        }
    }

    /// The columns that tell its rows apart, together with `date`.
    pub const fn key(self) -> &'static [&'static str] {
        match self {
            View::TrafficHourly => &["segment_id", "hour"],
            View::CellHourly => &["cell", "hour"],
            View::AirHourly => &["station_id", "reading", "hour"],
            View::VehicleDaily => &["device_id"],
            View::IncidentDaily => &["incident_type", "severity"],
        }
    }

    /// Its columns, `date` last.
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; View::ALL.len()]> =
            LazyLock::new(|| View::ALL.map(|view| Arc::new(view.new_schema())));
        Arc::clone(&SCHEMAS[self as usize])
    }

    fn new_schema(self) -> Schema {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let number = |name: &str| Field::new(name, DataType::Float64, true);
        let whole = |name: &str| Field::new(name, DataType::Int64, true);
        let instant = |name: &str| Field::new(name, timestamp_type(), true);
        let measured = || {
            let names = ["mean", "min", "max", "p50", "p90", "p99", "sum"];
            let mut fields = vec![whole("count")];
            fields.extend(names.map(number));
            fields.push(Field::new("aggregate", DataType::Binary, true));
            fields
        };
        let mut fields = match self {
            View::TrafficHourly => vec![instant("hour"), text("segment_id"), text("name")],
            View::CellHourly => vec![
                instant("hour"),
                text("cell"),
                number("latitude"),
                number("longitude"),
            ],
            View::AirHourly => vec![instant("hour"), text("station_id"), text("reading")],
            View::VehicleDaily => vec![
                text("device_id"),
                whole("fixes"),
                number("distance_m"),
                whole("trips"),
                number("moving_s"),
                number("mean_speed"),
                number("max_speed"),
                number("sum_speed"),
                instant("first_fix"),
                instant("last_fix"),
                whole("duplicates"),
                whole("refused"),
            ],
            View::IncidentDaily => vec![
                text("incident_type"),
                text("severity"),
                whole("count"),
                whole("opened"),
                whole("ended"),
                number("mean_duration_s"),
                number("sum_duration_s"),
            ],
        };
        match self {
            View::TrafficHourly | View::CellHourly => {
                fields.extend(measured());
                fields.push(whole("vehicles"));
            }
            View::AirHourly => fields.extend(measured()),
            View::VehicleDaily | View::IncidentDaily => {}
        }
        fields.push(Field::new("date", DataType::Date32, true));
        Schema::new(fields)
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for View {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || View::ALL.map(View::name).join(", ");
        let mut views = View::ALL.into_iter();
        let found = views.find(|view| view.name() == text);
        found.ok_or_else(|| format!("expected one of {}", names()))
    }
}
