//! The known layouts: each file turns content into rows.

mod by_time;
mod cabspotting;
mod capmetro;
mod csv_columns;
mod csv_rows;
mod detect;
mod gtfs_message;
mod gtfs_rt;
mod ndjson;
mod pacific_time;
mod sf_fire;
mod table;
mod track;

use std::path::PathBuf;

use events::{EventId, Stream, TopicNames};
use uuid::Uuid;

use super::input::Opened;
use super::row::Row;
use super::{Format, ReplayError, ReplayOptions};

/// Rows in the order they are sent. An error is the last item.
pub(crate) type Rows = Box<dyn Iterator<Item = Result<Row, ReplayError>> + Send>;

/// What formats need to know beside the content.
pub(crate) struct Context {
    pub path: PathBuf,
    pub stream: Option<Stream>,
    pub map: Vec<(String, String)>,
    pub set: Vec<(String, String)>,
    pub topics: TopicNames,
}

/// The layout of `opened`: as `options` say, otherwise told from the content.
pub(crate) fn of(opened: &Opened, options: &ReplayOptions) -> Result<Format, ReplayError> {
    let format = match options.format {
        Format::Auto => detect::detect(&opened.head, &opened.path)?,
        format => format,
    };
    let is_table = matches!(
        format,
        Format::Cabspotting | Format::Capmetro | Format::SfFire
    ) && opened.head.contains(&b',');
    // Who says what the columns are means them, also where the layout is a known one.
    let tells_fields = !options.map.is_empty() || !options.set.is_empty();
    let format = match tells_fields {
        true if options.format == Format::Auto && is_table => Format::Csv,
        _ => format,
    };
    if tells_fields && format != Format::Csv {
        let word = match options.map.is_empty() {
            true => "--set",
            false => "--map",
        };
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
    let context = Context {
        path: opened.path,
        stream: options.stream,
        map: options.map.clone(),
        set: options.set.clone(),
        topics: options.topics.clone(),
    };
    match format {
        Format::Ndjson | Format::Auto => Ok(ndjson::rows(opened.content, context)),
        Format::Csv => csv_rows::rows(opened.content, context),
        Format::Cabspotting => cabspotting::rows(opened.content, &opened.head, context),
        Format::Capmetro => capmetro::rows(opened.content, context),
        Format::GtfsRt => gtfs_rt::rows(opened.content, context),
        Format::SfFire => sf_fire::rows(opened.content, context),
    }
}

/// The same time and name give the same id: a row that is sent again after an
/// interruption is recognisable.
///
/// A UUID of version 8 (RFC 9562, 5.8). It begins with the time, as version 7 does, and
/// goes on with 62 bits of the name's hash: ids of a device's neighbouring rows begin
/// alike, and take less room than random ones.
pub(crate) fn stable_id(timestamp_us: i64, name: &str) -> EventId {
    let (ms, us) = (
        timestamp_us.div_euclid(1_000),
        timestamp_us.rem_euclid(1_000),
    );
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    bytes[6..8].copy_from_slice(&(us as u16).to_be_bytes());
    bytes[8..].copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..8]);
    let id = uuid::Builder::from_custom_bytes(bytes).into_uuid();
    EventId::from(&*id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()))
}

/// Reads a number; the error names field, value and what was expected.
pub(crate) fn number(field: &str, text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("field {field:?}: got {text:?}, expected a number")),
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

/// `(37.7458, -122.4566)`, with or without brackets.
pub(crate) fn point(field: &str, text: &str) -> Result<events::Location, String> {
    let inner = text.trim_matches(['(', ')', '[', ']', ' ']);
    let (latitude, longitude) = inner
        .split_once(',')
        .ok_or_else(|| format!("field {field:?}: got {text:?}, expected (latitude, longitude)"))?;
    place(number(field, latitude)?, number(field, longitude)?)
}

/// To so many parts of one: `round(0.126, 100.0)` is 0.13.
pub(crate) fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
