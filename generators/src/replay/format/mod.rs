//! The known layouts: each file turns content into rows.

mod by_time;
mod cabspotting;
mod capmetro;
mod columns;
mod csv_table;
mod detect;
mod gtfs_message;
mod gtfs_rt;
mod ndjson;
mod pacific_time;
mod sf_fire;
mod table_rows;
mod times;
mod track;

use std::path::PathBuf;

use events::{EventId, Stream, TopicNames};
use serde::Deserialize;
use uuid::Uuid;

use super::input::{BYTE_ORDER_MARK, Opened};
use super::records::Records;
use super::row::Row;
use super::{Format, ReplayError, ReplayOptions};
pub use times::TimeFormat;

/// Of a value in a message.
const SHOWN_CHARS_MAX: usize = 100;

/// Rows in the order they are sent. An error is the last item.
pub(crate) type Rows = Box<dyn Iterator<Item = Result<Row, ReplayError>> + Send>;

/// What formats need to know beside the content.
pub(crate) struct Context {
    pub path: PathBuf,
    pub stream: Option<Stream>,
    pub map: Vec<(String, String)>,
    pub set: Vec<(String, String)>,
    pub time_format: Option<TimeFormat>,
    pub topics: TopicNames,
}

impl Context {
    fn new(path: PathBuf, options: &ReplayOptions) -> Self {
        Self {
            path,
            stream: options.stream,
            map: options.map.clone(),
            set: options.set.clone(),
            time_format: options.time_format.clone(),
            topics: options.topics.clone(),
        }
    }
}

/// The layout of `opened`: as `options` say, otherwise told from the content.
pub(crate) fn of(opened: &Opened, options: &ReplayOptions) -> Result<Format, ReplayError> {
    if is_blank(&opened.head) {
        let path = opened.path.display();
        return Err(ReplayError::Format(format!("{path} is empty")));
    }
    let format = match options.format {
        Format::Auto => detect::detect(&opened.head, &opened.path)?,
        format => format,
    };
    let is_table = matches!(
        format,
        Format::Cabspotting | Format::Capmetro | Format::SfFire
    ) && opened.head.contains(&b',');
    // Who says what the columns are means them, also where the layout is a known one.
    let said = [
        ("--map", !options.map.is_empty()),
        ("--set", !options.set.is_empty()),
        ("--time-format", options.time_format.is_some()),
    ];
    let said = said.iter().find(|(_, is_said)| *is_said);
    let format = match said {
        Some(_) if options.format == Format::Auto && is_table => Format::Csv,
        _ => format,
    };
    if let Some((word, _)) = said
        && format != Format::Csv
    {
        return Err(ReplayError::Options(format!(
            "{word} is for csv; {} is {format}",
            opened.path.display()
        )));
    }
    match (format.stream(), options.stream) {
        (Some(fixed), Some(asked)) if fixed != asked => Err(ReplayError::Options(format!(
            "--stream: got {asked}, expected {fixed}, which the rows of {} are ({format})",
            opened.path.display()
        ))),
        _ => Ok(format),
    }
}

/// The rows of `opened`.
pub(crate) fn rows(
    opened: Opened,
    format: Format,
    options: &ReplayOptions,
) -> Result<Rows, ReplayError> {
    let context = Context::new(opened.path, options);
    match format {
        Format::Ndjson | Format::Auto => Ok(ndjson::rows(opened.content, context)),
        Format::Csv => table_rows::rows(csv_table::open(opened.content)?, context),
        Format::Cabspotting => cabspotting::rows(opened.content, &opened.head, context),
        Format::Capmetro => capmetro::rows(opened.content, context),
        Format::GtfsRt => gtfs_rt::rows(opened.content, context),
        Format::SfFire => sf_fire::rows(opened.content, context),
    }
}

/// The rows of a table that somebody else reads, from `path`.
pub(crate) fn rows_of(
    table: Box<dyn Records>,
    path: PathBuf,
    options: &ReplayOptions,
) -> Result<Rows, ReplayError> {
    table_rows::rows(table, Context::new(path, options))
}

fn is_blank(head: &[u8]) -> bool {
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    head.trim_ascii().is_empty()
}

/// The same time and name give the same id: a row that is sent again after an
/// interruption is recognisable.
///
/// A UUID of version 8 (RFC 9562, 5.8). It begins with the time, as version 7 does, and
/// goes on with 62 bits of the name's hash: ids of a device's neighbouring rows begin
/// alike, and take less room than random ones.
pub(crate) fn stable_id(timestamp_us: i64, name: &str) -> EventId {
    id_of(timestamp_us, blake3::hash(name.as_bytes()))
}

/// As [`stable_id`], of a hash that is there already.
pub(crate) fn id_of(timestamp_us: i64, name: blake3::Hash) -> EventId {
    let (ms, us) = (
        timestamp_us.div_euclid(1_000),
        timestamp_us.rem_euclid(1_000),
    );
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    bytes[6..8].copy_from_slice(&(us as u16).to_be_bytes());
    bytes[8..].copy_from_slice(&name.as_bytes()[..8]);
    let id = uuid::Builder::from_custom_bytes(bytes).into_uuid();
    EventId::from(&*id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()))
}

/// A value for messages, in quotes; of a long one the beginning.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
        None => format!("{text:?}"),
    }
}

/// Reads a number; the error names field, value and what was expected.
pub(crate) fn number(field: &str, text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!(
            "field {}: got {}, expected a number",
            shown(field),
            shown(text)
        )),
    }
}

/// A place in degrees, within the globe.
pub(crate) fn place(latitude: f64, longitude: f64) -> Result<events::Location, String> {
    if !(-90.0..=90.0).contains(&latitude) {
        return Err(format!(
            "field \"latitude\": got {latitude}, expected degrees from -90 to 90"
        ));
    }
    if !(-180.0..=180.0).contains(&longitude) {
        return Err(format!(
            "field \"longitude\": got {longitude}, expected degrees from -180 to 180"
        ));
    }
    Ok(events::Location {
        latitude,
        longitude,
    })
}

/// A place as JSON.
#[derive(Deserialize)]
struct Point {
    #[serde(alias = "lat")]
    latitude: f64,
    #[serde(alias = "lon", alias = "lng")]
    longitude: f64,
}

/// `(37.7458, -122.4566)`, with or without brackets, or an object of both.
pub(crate) fn point(field: &str, text: &str) -> Result<events::Location, String> {
    if let Ok(point) = serde_json::from_str::<Point>(text) {
        return place(point.latitude, point.longitude);
    }
    let inner = text.trim_matches(['(', ')', '[', ']', ' ']);
    let (latitude, longitude) = inner.split_once(',').ok_or_else(|| {
        let (field, got) = (shown(field), shown(text));
        format!("field {field}: got {got}, expected (latitude, longitude)")
    })?;
    place(number(field, latitude)?, number(field, longitude)?)
}

/// To so many parts of one: `round(0.126, 100.0)` is 0.13.
pub(crate) fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
