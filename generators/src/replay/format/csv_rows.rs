//! Any CSV with a header: columns become fields by `--map` or by their names
//! (`csv_columns`). Speed is km/h, as everywhere.
//!
//! Times are RFC 3339, or seconds, milliseconds or microseconds since 1970, or several
//! columns (`--map timestamp=year,month,day,hour`). A row
//! without an id gets one that follows from the file's name, the row and its line. A
//! file of fixes without a column for the speed gets it from fix to fix (`track`). An
//! optional number that is `NA`, `N/A`, `NaN`, `null` or nothing is not there.

use events::json::ObjectWriter;
use events::{Location, Stream};

use super::csv_columns::{Column, Columns, Kind};
use super::table::{Fields, Table};
use super::track::Tracks;
use super::{Context, Rows, number, place, stable_id};
use crate::replay::ReplayError;
use crate::replay::input::Content;
use crate::replay::row::{self, Draft, Outcome, Row};

struct CsvRows {
    table: Table,
    columns: Columns,
    stream: Stream,
    context: Context,
    /// The file's name, of which ids are made.
    name: String,
    tracks: Tracks,
}

pub(crate) fn rows(content: Content, context: Context) -> Result<Rows, ReplayError> {
    let table = Table::new(content)?;
    let Some(stream) = context.stream else {
        return Err(ReplayError::Options(
            "csv: say with --stream what the rows are, such as --stream gps_data".to_owned(),
        ));
    };
    let columns = Columns::new(&table, &context.map, &context.set, stream)?;
    let name = context.path.file_name().unwrap_or_default();
    Ok(Box::new(CsvRows {
        table,
        columns,
        stream,
        name: name.to_string_lossy().into_owned(),
        tracks: Tracks::default(),
        context,
    }))
}

impl Iterator for CsvRows {
    type Item = Result<Row, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (line, fields) = match self.table.next_record() {
            Ok(next) => next?,
            Err(source) => {
                return Some(Err(ReplayError::Read {
                    path: self.context.path.clone(),
                    source,
                }));
            }
        };
        let (columns, tracks) = (&self.columns, &mut self.tracks);
        let draft =
            fields.and_then(|fields| draft(line, fields, columns, self.stream, &self.name, tracks));
        let outcome = draft.map_or_else(Outcome::Bad, Outcome::Message);
        let row = Row::new(line, outcome);
        Some(Ok(row.keeping(|| self.table.record_text())))
    }
}

fn draft(
    line: u64,
    fields: Fields<'_>,
    columns: &Columns,
    stream: Stream,
    file: &str,
    tracks: &mut Tracks,
) -> Result<Draft, String> {
    for (field, column) in &columns.required {
        fields.required(field, *column)?;
    }
    let timestamp_us = columns.timestamp.read(fields, timestamp_us)?;
    let device_id = columns.device_id.text(fields)?;
    let mut object = ObjectWriter::new();
    match columns.id.map(|column| fields.text(column)).transpose()? {
        Some(id) if !id.is_empty() => object.text("id", id),
        _ => object.text(
            "id",
            &stable_id(timestamp_us, &format!("csv/{file}/{device_id}/{line}")),
        ),
    };
    object.text("device_id", device_id);
    let mut here = Location {
        latitude: 0.0,
        longitude: 0.0,
    };
    for (index, column) in columns.all.iter().enumerate() {
        let text = fields.text(index)?;
        if !text.is_empty() {
            write(&mut object, column, text, &mut here)?;
        }
    }
    for (column, value) in &columns.set {
        write(&mut object, column, value, &mut here)?;
    }
    if columns.derives_speed {
        let motion = tracks.step(device_id, timestamp_us, here);
        object.number("speed", motion.speed_kmh);
        let set = columns.set.iter().map(|(column, _)| column);
        let mut named = columns.all.iter().chain(set);
        let has_direction = named.any(|column| column.field == "direction");
        if let (Some(direction_deg), false) = (motion.direction_deg, has_direction) {
            object.number("direction", direction_deg);
        }
    }
    Ok(Draft {
        stream,
        device_id: device_id.into(),
        timestamp_us: Some(timestamp_us),
        content: row::Content::Members(object),
    })
}

/// Writes a field; a place is also noted in `here`.
fn write(
    object: &mut ObjectWriter,
    column: &Column,
    text: &str,
    here: &mut Location,
) -> Result<(), String> {
    let field = column.field.as_str();
    match column.kind {
        Kind::Number if is_nothing(text) => {}
        Kind::Number => write_as_it_looks(object, field, text),
        Kind::Elsewhere => {}
        Kind::Text => {
            object.text(field, text);
        }
        Kind::Latitude => {
            here.latitude = place(number(field, text)?, 0.0)?.latitude;
            object.number(field, here.latitude);
        }
        Kind::Longitude => {
            here.longitude = place(0.0, number(field, text)?)?.longitude;
            object.number(field, here.longitude);
        }
        Kind::Speed => match number(field, text)? {
            speed_kmh if speed_kmh >= 0.0 => {
                object.number(field, speed_kmh);
            }
            _ => {
                return Err(format!(
                    "field \"speed\": got {text:?}, expected km/h, at least 0"
                ));
            }
        },
        Kind::Place => {
            *here = super::point(field, text)?;
            object.location(field, *here);
        }
        Kind::Truth if matches!(text, "0" | "1") => {
            object.boolean(field, text == "1");
        }
        Kind::Truth | Kind::AsItLooks => write_as_it_looks(object, field, text),
    }
    Ok(())
}

/// A number or truth value where the text is nothing else: `007` is a name.
fn write_as_it_looks(object: &mut ObjectWriter, field: &str, text: &str) {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_name = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    let begins_a_number = digits.starts_with(|first: char| first.is_ascii_digit());
    if begins_a_number && !is_name {
        if let Ok(whole) = text.parse::<i64>() {
            object.integer(field, whole);
            return;
        }
        if let Some(number) = text.parse::<f64>().ok().filter(|number| number.is_finite()) {
            object.number(field, number);
            return;
        }
    }
    match text {
        "true" | "True" | "TRUE" => object.boolean(field, true),
        "false" | "False" | "FALSE" => object.boolean(field, false),
        _ => object.text(field, text),
    };
}

/// How programs write a measurement that is missing.
fn is_nothing(text: &str) -> bool {
    ["na", "n/a", "nan", "null", "none", "-"]
        .iter()
        .any(|nothing| text.eq_ignore_ascii_case(nothing))
}

/// RFC 3339, or a number of seconds (below 1e11), milliseconds (below 1e14) or
/// microseconds since 1970.
fn timestamp_us(text: &str) -> Option<i64> {
    if let Ok(whole) = text.parse::<i64>() {
        return match whole.abs() {
            0..100_000_000_000 => whole.checked_mul(1_000_000),
            100_000_000_000..100_000_000_000_000 => whole.checked_mul(1_000),
            100_000_000_000_000..100_000_000_000_000_000 => Some(whole),
            _ => None,
        };
    }
    match text.parse::<f64>() {
        Ok(number) if number.abs() < 1e11 => Some((number * 1e6).round() as i64),
        Ok(number) if number.abs() < 1e14 => Some((number * 1e3).round() as i64),
        Ok(_) => None,
        Err(_) => events::time::parse_rfc3339_us(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_unit() {
        let at = Some(1_700_049_600_000_000);
        for text in [
            "1700049600",
            "1700049600.0",
            "1700049600000",
            "1700049600000000",
            "2023-11-15T12:00:00Z",
            "2023-11-15 13:00:00+01:00",
        ] {
            assert_eq!(timestamp_us(text), at, "{text}");
        }
        for text in ["noon", "1e20", "nan", "9223372036854775807"] {
            assert_eq!(timestamp_us(text), None, "{text}");
        }
    }

    #[test]
    fn a_text_that_begins_with_zero_is_no_number() {
        let mut object = ObjectWriter::new();
        for (field, text) in [
            ("a", "007"),
            ("b", "0.5"),
            ("c", "-3"),
            ("d", "inf"),
            ("e", "true"),
        ] {
            write_as_it_looks(&mut object, field, text);
        }
        assert_eq!(
            object.finish_text(),
            r#"{"a":"007","b":0.5,"c":-3,"d":"inf","e":true}"#
        );
    }
}
