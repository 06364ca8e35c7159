//! Austin buses: `vehicle_id,timestamp,speed` (m/s)`,route_id,trip_id,latitude,
//! longitude,trip_headsign`, one `gps_data` event a row. Files are in order of
//! trips, so they are sorted by time (`by_time`); the direction is then from the
//! bus's fix before it.

use std::path::PathBuf;

use events::json::ObjectWriter;
use events::{Body, Event, Gps};

use super::track::Tracks;
use super::{Context, Rows, by_time, csv_table, number, place, round, shown, stable_id};
use crate::replay::ReplayError;
use crate::replay::input::Content;
use crate::replay::records::{Fields, Records};
use crate::replay::row::{Content as Message, Outcome, Row};

const KMH_PER_MS: f64 = 3.6;

struct Columns {
    vehicle_id: usize,
    timestamp: usize,
    speed: usize,
    route_id: usize,
    trip_id: usize,
    latitude: usize,
    longitude: usize,
    headsign: Option<usize>,
}

struct Capmetro {
    table: Box<dyn Records>,
    columns: Columns,
    path: PathBuf,
}

pub(crate) fn rows(content: Content, context: Context) -> Result<Rows, ReplayError> {
    let table = csv_table::open(content)?;
    let columns = Columns {
        vehicle_id: table.required("vehicle_id")?,
        timestamp: table.required("timestamp")?,
        speed: table.required("speed")?,
        route_id: table.required("route_id")?,
        trip_id: table.required("trip_id")?,
        latitude: table.required("latitude")?,
        longitude: table.required("longitude")?,
        headsign: table.position("trip_headsign"),
    };
    let path = context.path.clone();
    let unsorted = Capmetro {
        table,
        columns,
        path: context.path,
    };
    let mut tracks = Tracks::default();
    let rows = by_time::read(unsorted, &path)?.into_iter();
    Ok(Box::new(
        rows.map(move |row| Ok(directed(row, &mut tracks))),
    ))
}

/// With the direction from the bus's fix before it, which is the row before it in
/// time, not in the file.
fn directed(mut row: Row, tracks: &mut Tracks) -> Row {
    if let Outcome::Message(draft) = &mut row.outcome
        && let Message::Event(event) = &mut draft.content
        && let Body::Gps(gps) = &mut event.body
    {
        let motion = tracks.step(&event.device_id, event.timestamp_us, gps.location);
        gps.direction_deg = motion.direction_deg;
    }
    row
}

impl Iterator for Capmetro {
    type Item = Result<Row, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match self.table.next_record() {
            Ok(next) => next?,
            Err(source) => {
                return Some(Err(ReplayError::Read {
                    path: self.path.clone(),
                    source,
                }));
            }
        };
        let (line, fields) = next;
        let event = fields.and_then(|fields| event(line, fields, &self.columns));
        Some(Ok(Row::of(line, event).keeping(|| self.table.line_of_csv())))
    }
}

fn event(line: u64, fields: Fields<'_>, columns: &Columns) -> Result<Event, String> {
    let vehicle_id = fields.required("vehicle_id", columns.vehicle_id)?;
    let timestamp = fields.text(columns.timestamp)?;
    let timestamp_us = events::time::parse_rfc3339_us(timestamp).ok_or_else(|| {
        let got = shown(timestamp);
        format!("field \"timestamp\": got {got}, expected RFC 3339")
    })?;
    let location = place(
        number("latitude", fields.text(columns.latitude)?)?,
        number("longitude", fields.text(columns.longitude)?)?,
    )?;
    let speed_ms = number("speed", fields.text(columns.speed)?)?;
    if speed_ms < 0.0 {
        return Err(format!(
            "field \"speed\": got {speed_ms}, expected m/s, at least 0"
        ));
    }
    let text = |column: usize| {
        let text = fields.text(column)?;
        Ok::<_, String>(Some(text).filter(|text| !text.is_empty()))
    };
    let headsign = columns.headsign.map(text).transpose()?.flatten();
    let extra = headsign.map(|headsign| {
        let mut extra = ObjectWriter::new();
        extra.text("trip_headsign", headsign);
        extra.finish_text().into()
    });
    Ok(Event {
        id: stable_id(timestamp_us, &format!("capmetro/{vehicle_id}/{line}")),
        device_id: vehicle_id.into(),
        timestamp_us,
        extra,
        body: Body::Gps(Gps {
            location,
            speed_kmh: round(speed_ms * KMH_PER_MS, 100.0),
            vehicle_type: Some("bus".into()),
            route_id: text(columns.route_id)?.map(Into::into),
            trip_id: text(columns.trip_id)?.map(Into::into),
            ..Gps::default()
        }),
    })
}
