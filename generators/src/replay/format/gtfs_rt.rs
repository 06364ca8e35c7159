//! GTFS-Realtime: each vehicle position is one `gps_data` event. Trip updates
//! and alerts have no place of their own and are counted as skipped.
//!
//! Speed is m/s in the message. A vehicle that reports none gets 0, because the
//! stream requires a speed, and `speed_reported: false` beside it.

use events::json::ObjectWriter;
use events::{Body, Event, Gps};
use prost::Message;

use super::gtfs_message::{FeedEntity, FeedMessage, VehiclePosition};
use super::{Context, Rows, by_time, place, round, stable_id};
use crate::replay::ReplayError;
use crate::replay::input::{Content, read_whole};
use crate::replay::row::{Outcome, Row};

const KMH_PER_MS: f64 = 3.6;

pub(crate) fn rows(content: Content, context: Context) -> Result<Rows, ReplayError> {
    let whole = read_whole(content, &context.path)?;
    let feed = FeedMessage::decode(whole.as_slice()).map_err(|error| {
        ReplayError::Format(format!(
            "{} is not a GTFS-Realtime message: {error}",
            context.path.display()
        ))
    })?;
    let header_time = feed.header.timestamp;
    let entities = feed.entity.into_iter().enumerate();
    let mut rows: Vec<Row> = entities
        .map(|(index, entity)| row(index, entity, header_time))
        .collect();
    // A snapshot has no order of its own; pacing wants that of time.
    by_time::sort(&mut rows);
    Ok(Box::new(rows.into_iter().map(Ok)))
}

/// There are no lines: the number is that of the entity, from 1.
fn row(index: usize, entity: FeedEntity, header_time: Option<u64>) -> Row {
    let number = index as u64 + 1;
    let skipped = |what| Row::new(number, Outcome::Skipped(what));
    match entity {
        FeedEntity {
            is_deleted: Some(true),
            ..
        } => skipped("deleted entities"),
        FeedEntity {
            vehicle: Some(vehicle),
            id,
            ..
        } => Row::of(number, event(&id, vehicle, header_time)),
        FeedEntity {
            trip_update: Some(_),
            ..
        } => skipped("trip updates (they have no place)"),
        FeedEntity { alert: Some(_), .. } => skipped("service alerts (they have no place)"),
        _ => skipped("entities of an unknown kind"),
    }
}

fn event(
    entity_id: &str,
    vehicle: VehiclePosition,
    header_time: Option<u64>,
) -> Result<Event, String> {
    let position = vehicle
        .position
        .ok_or("field \"position\": got nothing, expected latitude and longitude")?;
    let location = place(exact(position.latitude), exact(position.longitude))?;
    let seconds = vehicle.timestamp.or(header_time).ok_or(
        "field \"timestamp\": got nothing in the entity and in the header, expected seconds since 1970",
    )?;
    let timestamp_us = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| seconds.checked_mul(1_000_000))
        .ok_or_else(|| {
            format!("field \"timestamp\": got {seconds}, expected seconds since 1970")
        })?;
    let speed_ms = exact(position.speed.unwrap_or(0.0));
    if !(speed_ms.is_finite() && speed_ms >= 0.0) {
        return Err(format!(
            "field \"speed\": got {speed_ms}, expected m/s, at least 0"
        ));
    }
    let descriptor = vehicle.vehicle.unwrap_or_default();
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let label = given(descriptor.label);
    let device_id = given(descriptor.id)
        .or_else(|| label.clone())
        .unwrap_or_else(|| entity_id.to_owned());
    let trip = vehicle.trip.unwrap_or_default();
    let mut extra = ObjectWriter::new();
    extra
        .optional_text("label", label.as_deref())
        .optional_text("stop_id", given(vehicle.stop_id).as_deref());
    if position.speed.is_none() {
        // The stream requires a speed; that it is unknown must not get lost.
        extra.boolean("speed_reported", false);
    }
    let has_extra = !extra.is_empty();
    Ok(Event {
        id: stable_id(timestamp_us, &format!("gtfs-rt/{entity_id}/{device_id}")),
        device_id: device_id.into(),
        timestamp_us,
        extra: has_extra.then(|| extra.finish_text().into()),
        body: Body::Gps(Gps {
            location,
            speed_kmh: round(speed_ms * KMH_PER_MS, 100.0),
            direction_deg: position
                .bearing
                .map(|bearing| exact(bearing).rem_euclid(360.0))
                .filter(|bearing| bearing.is_finite()),
            vehicle_type: Some("transit".into()),
            route_id: given(trip.route_id).map(Into::into),
            trip_id: given(trip.trip_id).map(Into::into),
            ..Gps::default()
        }),
    })
}

/// The decimal number that was meant: 38.24545, not 38.245449066162109375.
fn exact(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
