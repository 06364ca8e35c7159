//! Any table with named columns, CSV or another: they become fields by `--map` or by
//! their names (`columns`). Speed is km/h, as everywhere.
//!
//! Times are in a form that is known (`times`) or that `--time-format` says, also in
//! several columns (`--map timestamp=year,month,day,hour`). A row without an id gets one
//! that follows from what it says and from its line, whatever its file is called. A
//! table of fixes without a column for the speed gets it from fix to fix (`track`). An
//! optional number that is `NA`, `N/A`, `NaN`, `null` or nothing is not there.

use events::json::ObjectWriter;
use events::{Location, Stream};

use super::columns::{Column, Columns, Kind};
use super::track::Tracks;
use super::{Context, Rows, id_of, number, place, shown};
use crate::replay::ReplayError;
use crate::replay::records::{Fields, Records};
use crate::replay::row::{self, Draft, Outcome, Row};

struct TableRows {
    table: Box<dyn Records>,
    columns: Columns,
    stream: Stream,
    context: Context,
    tracks: Tracks,
}

pub(crate) fn rows(table: Box<dyn Records>, context: Context) -> Result<Rows, ReplayError> {
    let Some(stream) = context.stream else {
        return Err(ReplayError::Options(format!(
            "{}: say with --stream what the rows are, such as --stream gps_data",
            table.kind()
        )));
    };
    let columns = Columns::new(&*table, &context, stream)?;
    Ok(Box::new(TableRows {
        table,
        columns,
        stream,
        tracks: Tracks::default(),
        context,
    }))
}

impl Iterator for TableRows {
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
        let (columns, context, tracks) = (&self.columns, &self.context, &mut self.tracks);
        let draft =
            fields.and_then(|fields| draft(line, fields, columns, self.stream, context, tracks));
        let outcome = match (draft, self.table.line_ends()) {
            (Ok(draft), _) => Outcome::Message(draft),
            (Err(cause), 0) => Outcome::Bad(cause),
            // A stray quote makes one record of good lines: who looks for them is told where.
            (Err(cause), more) => Outcome::Bad(format!(
                "{cause} (a quote makes one record of lines {line} to {})",
                line + more
            )),
        };
        let row = Row::new(line, outcome);
        Some(Ok(row.keeping(|| self.table.line_of_csv())))
    }
}

fn draft(
    line: u64,
    fields: Fields<'_>,
    columns: &Columns,
    stream: Stream,
    context: &Context,
    tracks: &mut Tracks,
) -> Result<Draft, String> {
    for (field, column) in &columns.required {
        fields.required(field, *column)?;
    }
    let timestamp_us = columns
        .timestamp
        .read(fields, context.time_format.as_ref())?;
    let device_id = columns.device_id.text(fields)?;
    let mut object = ObjectWriter::new();
    match columns.id.map(|column| fields.text(column)).transpose()? {
        Some(id) if !id.is_empty() => object.text("id", id),
        _ => object.text("id", &id_of(timestamp_us, says(line, fields, columns)?)),
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

/// What a row says, field by field: the same row of two files is told apart by nothing but
/// its line.
fn says(line: u64, fields: Fields<'_>, columns: &Columns) -> Result<blake3::Hash, String> {
    let mut all = blake3::Hasher::new();
    let mut say = |field: &str, text: &str| {
        for part in [field, text] {
            all.update(&(part.len() as u64).to_le_bytes());
            all.update(part.as_bytes());
        }
    };
    for (index, column) in columns.all.iter().enumerate() {
        match fields.text(index)? {
            "" => {}
            text => say(&column.field, text),
        }
    }
    for (column, value) in &columns.set {
        say(&column.field, value);
    }
    Ok(all.update(&line.to_le_bytes()).finalize())
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
        Kind::Number => write_number(object, field, text),
        Kind::Elsewhere => {}
        Kind::Json => {
            object.raw(field, text.as_bytes());
        }
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
                let got = shown(text);
                return Err(format!(
                    "field \"speed\": got {got}, expected km/h, at least 0"
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

/// A number, however it is padded; what is none the receiver reads or refuses, such as a
/// direction in words.
fn write_number(object: &mut ObjectWriter, field: &str, text: &str) {
    match (text.parse::<i64>(), number(field, text)) {
        (Ok(whole), _) => object.integer(field, whole),
        (_, Ok(number)) => object.number(field, number),
        _ => object.text(field, text),
    };
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_measurement_is_a_number_however_it_is_padded() {
        let mut object = ObjectWriter::new();
        for (field, text) in [
            ("a", "05"),
            ("b", "-00.5"),
            ("c", "+3"),
            ("d", ".5"),
            ("e", "5."),
            ("f", "1e3"),
            ("g", "North-East"),
            ("h", "inf"),
        ] {
            write_number(&mut object, field, text);
        }
        assert_eq!(
            object.finish_text(),
            r#"{"a":5,"b":-0.5,"c":3,"d":0.5,"e":5.0,"f":1000.0,"g":"North-East","h":"inf"}"#
        );
    }

    proptest! {
        #[test]
        fn any_number_is_read_as_what_it_is(number in -1e9..1e9_f64, zeros in 0..4_usize) {
            let padded = format!("{}{}{}", if number < 0.0 { "-" } else { "+" }, "0".repeat(zeros), number.abs());
            let mut object = ObjectWriter::new();
            write_number(&mut object, "a", &padded);
            let text = object.finish_text();
            let value = text.strip_prefix("{\"a\":").and_then(|rest| rest.strip_suffix('}'));
            prop_assert_eq!(value.and_then(|value| value.parse::<f64>().ok()), Some(number));
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
