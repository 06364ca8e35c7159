//! How fast decoded events are folded into state and windows, on one core.
//!
//! Ten minutes of a simulated city's vehicles, in four partitions a stream as
//! the log keeps them: last positions, trails, trips, duplicates, and windows of
//! one minute per H3 cell and for the city; with map matching, per street
//! segment too. Events are made and states dropped outside of what is timed.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::Result;
use bench::{CoreClock, Measurement, Report, median};
use events::{Event, Offset, TopicPartition, decode};
use generators::city::City;
use generators::{Dirt, GeneratorConfig};
use speed_layer::{Slot, SpeedConfig, State};
use streets::StreetNetwork;

const VEHICLES: u32 = 500;
const SECONDS: i64 = 600;
const SECOND_US: i64 = 1_000_000;
/// Monday 2026-05-04, 06:00 UTC: 07:00 local time.
const MORNING_US: i64 = 1_777_874_400_000_000;
const PARTITIONS: u32 = 4;
const ROUNDS: usize = 9;
/// Events a second.
const TARGET: f64 = 1.5e6;
const MATCHING_TARGET: f64 = 0.6e6;

/// An event and where it lies in the log.
#[derive(Clone)]
struct Record {
    stream: events::Stream,
    partition: u32,
    offset: Offset,
    appended_at_us: i64,
    event: Event,
}

fn main() -> Result<()> {
    let streets = StreetNetwork::gothenburg();
    let records = records(&streets)?;
    let config = |match_distance_m| SpeedConfig {
        match_distance_m,
        ..SpeedConfig::default()
    };
    let (off, on) = (config(0.0), SpeedConfig::default());
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (config, rates) in [&off, &on].into_iter().zip(&mut rates) {
            let rate = fold(&streets, config, &records);
            // The first warms caches up.
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let [off, on] = rates.map(median);
    let mut report = Report::new("fold");
    report.add(
        Measurement::rate("fold: state, windows, H3; matching off", off, "events/s")
            .at_least(TARGET),
    );
    report.add(
        Measurement::rate("fold: state, windows, H3; matching on", on, "events/s")
            .at_least(MATCHING_TARGET),
    );
    report.finish()
}

/// What the vehicles send, in the order of sending.
fn records(streets: &Arc<StreetNetwork>) -> Result<Vec<Record>> {
    let generator = GeneratorConfig {
        vehicles: VEHICLES as _,
        cameras: 0,
        stations: 0,
        dirt: Dirt::NONE,
        ..GeneratorConfig::default()
    };
    let mut city = City::new(Arc::clone(streets), &generator, MORNING_US);
    let mut records: Vec<Record> = Vec::new();
    let mut next_offset = std::collections::HashMap::new();
    for second in 1..=SECONDS {
        let now_us = MORNING_US + second * SECOND_US;
        for message in city.step(now_us) {
            let event = decode(message.stream, &message.value, now_us)?;
            let partition = event.device_id.bytes().map(u32::from).sum::<u32>() % PARTITIONS;
            let offset = next_offset.entry((message.stream, partition)).or_insert(0);
            records.push(Record {
                stream: message.stream,
                partition,
                offset: *offset,
                appended_at_us: now_us,
                event,
            });
            *offset += 1;
        }
    }
    Ok(records)
}

/// Folds all records into a new state; events a second.
fn fold(streets: &Arc<StreetNetwork>, config: &SpeedConfig, records: &[Record]) -> f64 {
    let mut state = State::new(Arc::clone(streets), config.clone());
    let slots: Vec<(Slot, Record)> = records
        .iter()
        .map(|record| {
            let id = TopicPartition::new(record.stream.name(), record.partition as _);
            let slot = state.slot(&id);
            let slot = slot.unwrap_or_else(|| state.assign(&id, record.stream, &[]));
            (slot, record.clone())
        })
        .collect();
    let clock = CoreClock::start();
    let began_s = clock.seconds();
    for (slot, record) in slots {
        state.fold(slot, record.event, record.offset, record.appended_at_us);
    }
    let rate = records.len() as f64 / (clock.seconds() - began_s);
    black_box(&state);
    rate
}
