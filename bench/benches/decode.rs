//! How fast events are read, written and put into columns, on one core.
//!
//! The peer is `serde_json` into a derived struct, on the same bytes: it checks
//! the types but no ranges, leaves the timestamp and the compass word as text, and
//! ignores unknown fields.

use std::hint::black_box;

use anyhow::{Context, Result};
use bench::{Measurement, Report, median_rates};
use events::columns::{ColumnBuilder, Origin};
use events::{Event, Stream, decode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const MESSAGES: u64 = 20_000;
const PASSES: u64 = 10;
const ROUNDS: usize = 9;
const DECODE_TARGET: f64 = 1.5e6;
/// 1 June 2026.
const APPENDED_AT_US: i64 = 1_780_272_000_000_000;

/// What the peer reads; the form of the direction is told to it beforehand.
#[derive(Deserialize)]
#[allow(dead_code, reason = "the peer's work is to fill the fields")]
struct PeerVehicle<Direction> {
    id: String,
    device_id: String,
    timestamp: String,
    location: [f64; 2],
    speed: f64,
    direction: Option<Direction>,
    make: Option<String>,
    model: Option<String>,
    year: Option<i32>,
    fuel_type: Option<String>,
}

fn main() -> Result<()> {
    let python: Vec<_> = (0..MESSAGES).map(python_message).collect();
    let events: Vec<_> = python
        .iter()
        .map(|message| decode(Stream::VehicleData, message, APPENDED_AT_US))
        .collect::<Result<_, _>>()?;
    let own: Vec<_> = events.iter().map(Event::to_json).collect();

    let mut report = Report::new("decode");
    measure_decode::<String>(
        &mut report,
        "decode vehicle_data, as Python writes it",
        &python,
    );
    measure_decode::<f64>(&mut report, "decode vehicle_data, as we write it", &own);
    measure_encode(&mut report, &events)?;
    report.finish()
}

fn measure_decode<Direction: DeserializeOwned>(
    report: &mut Report,
    measure: &str,
    messages: &[Vec<u8>],
) {
    let bytes: usize = messages.iter().map(Vec::len).sum();
    let ours = &mut || {
        for message in messages.iter().cycle().take((MESSAGES * PASSES) as usize) {
            let event = decode(Stream::VehicleData, black_box(message), APPENDED_AT_US);
            black_box(&event).as_ref().expect("every message is valid");
        }
        MESSAGES * PASSES
    };
    let peers = &mut || {
        for message in messages.iter().cycle().take((MESSAGES * PASSES) as usize) {
            let event = serde_json::from_slice::<PeerVehicle<Direction>>(black_box(message));
            black_box(&event).as_ref().expect("every message is valid");
        }
        MESSAGES * PASSES
    };
    let rates = median_rates(ROUNDS, &mut [ours, peers]);
    report.add(
        Measurement::rate(measure, rates[0], "events/s")
            .at_least(DECODE_TARGET)
            .against("serde_json", rates[1]),
    );
    let mean_bytes = bytes as f64 / messages.len() as f64;
    report.add(Measurement::rate(
        "  the same in bytes",
        rates[0] * mean_bytes / 1e6,
        "MB/s",
    ));
}

fn measure_encode(report: &mut Report, events: &[Event]) -> Result<()> {
    let to_json = &mut || {
        for event in events.iter().cycle().take((MESSAGES * PASSES) as usize) {
            black_box(black_box(event).to_json());
        }
        MESSAGES * PASSES
    };
    let mut columns = ColumnBuilder::new(Stream::VehicleData);
    let to_columns = &mut || {
        for _ in 0..PASSES {
            for (offset, event) in (0..).zip(events) {
                let origin = Origin {
                    partition: 0,
                    offset,
                    appended_at_us: APPENDED_AT_US,
                };
                columns.push(black_box(event), &origin);
            }
            black_box(columns.finish());
        }
        MESSAGES * PASSES
    };
    let rates = median_rates(ROUNDS, &mut [to_json, to_columns]);
    let mut rates = rates.into_iter();
    let mut next = || rates.next().context("a rate for each candidate");
    report.add(Measurement::rate(
        "write vehicle_data as JSON",
        next()?,
        "events/s",
    ));
    report.add(Measurement::rate(
        "vehicle_data to Arrow columns",
        next()?,
        "events/s",
    ));
    Ok(())
}

/// A message as Python's `json.dumps` writes it.
fn python_message(number: u64) -> Vec<u8> {
    const WORDS: [&str; 8] = [
        "North",
        "North-East",
        "East",
        "South-East",
        "South",
        "South-West",
        "West",
        "North-West",
    ];
    const MAKES: [(&str, &str, &str); 5] = [
        ("Volvo", "EX30", "Electric"),
        ("BMW", "320d Touring", "Diesel"),
        ("Volkswagen", "Golf", "Petrol"),
        ("Toyota", "Corolla Cross", "Hybrid"),
        ("Scania", "Citywide LF", "Electric"),
    ];
    let random = spread(number);
    let other = spread(random);
    let (make, model, fuel) = MAKES[(random % 5) as usize];
    format!(
        "{{\"id\": \"{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}\", \"device_id\": \"car-{:04}\", \
         \"timestamp\": \"2026-05-{:02}T{:02}:{:02}:{:02}.{:06}\", \
         \"location\": [57.{:015}, 11.{:06}], \"speed\": {}.{:02}, \"direction\": \"{}\", \
         \"make\": \"{make}\", \"model\": \"{model}\", \"year\": {}, \"fuel_type\": \"{fuel}\"}}",
        random >> 32,
        random & 0xffff,
        other & 0xfff,
        (other >> 12) & 0xfff,
        other >> 16,
        number % 500,
        1 + random % 31,
        random / 31 % 24,
        random / 744 % 60,
        other % 60,
        other / 60 % 1_000_000,
        600_000_000_000_000 + random % 200_000_000_000_000,
        800_000 + other % 200_000,
        random / 7 % 90,
        other / 11 % 100,
        WORDS[(random / 13 % 8) as usize],
        2010 + other / 17 % 16,
    )
    .into_bytes()
}

/// Well-spread bits from a number (splitmix64).
fn spread(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
