//! What the simulated city costs. Counted in the thread's computing time, so
//! that other tests on the machine do not matter.

use std::time::Instant;

use events::{Body, Event};
use generators::city::{City, Message};
use generators::{GeneratorConfig, Rate};
use streets::StreetNetwork;

const SECOND_US: i64 = 1_000_000;
/// Monday 2026-05-04, 06:00 UTC: 07:00 local time.
const MORNING_US: i64 = 1_777_874_400_000_000;

/// Seconds this thread has computed; the wall clock where the system does not tell.
fn busy_s(began: Instant) -> f64 {
    let on_cpu_ns = std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| {
            let first = text.split_ascii_whitespace().next()?;
            first.parse::<f64>().ok()
        });
    on_cpu_ns.map_or_else(|| began.elapsed().as_secs_f64(), |ns| ns / 1e9)
}

fn speeds(messages: &[Message]) -> Vec<f64> {
    let decode = |message: &Message| {
        events::decode(message.stream, &message.value, message.timestamp_us).ok()
    };
    let speed = |event: Event| match event.body {
        Body::Vehicle(vehicle) => Some(vehicle.speed_kmh),
        Body::Gps(gps) => Some(gps.speed_kmh),
        _ => None,
    };
    messages
        .iter()
        .filter_map(decode)
        .filter_map(speed)
        .collect()
}

#[test]
fn five_hundred_vehicles_take_little_of_a_core() {
    let began = Instant::now();
    let streets = StreetNetwork::gothenburg();
    let loaded_s = busy_s(began);
    let mut city = City::new(streets, &GeneratorConfig::default(), MORNING_US);
    let built_s = busy_s(began);
    for minute in 0..10 {
        let mut last = Vec::new();
        for tick in 1..=600 {
            let messages = city.step(MORNING_US + minute * 60 * SECOND_US + tick * SECOND_US / 10);
            if tick > 590 {
                last.extend(messages);
            }
        }
        let speeds = speeds(&last);
        let moving: Vec<f64> = speeds
            .iter()
            .copied()
            .filter(|speed| *speed > 1.0)
            .collect();
        let mean = moving.iter().sum::<f64>() / moving.len().max(1) as f64;
        println!(
            "minute {minute}: {} of {} move, {mean:.1} km/h",
            moving.len(),
            speeds.len()
        );
    }
    let share = (busy_s(began) - built_s) / 600.0;
    println!(
        "streets {loaded_s:.3} s, city {:.3} s, {:.2} % of a core",
        built_s - loaded_s,
        share * 100.0
    );
    assert!(built_s < 3.0, "{built_s}");
    assert!(share < 0.05, "{share}");
}

#[test]
fn full_speed_is_far_above_what_a_log_takes() {
    let config = GeneratorConfig {
        rate: Rate::Max,
        ..GeneratorConfig::default()
    };
    let mut city = City::new(StreetNetwork::gothenburg(), &config, MORNING_US);
    let began = Instant::now();
    let before_s = busy_s(began);
    let sent: usize = (1..=200)
        .map(|step| city.step(MORNING_US + step * 10_000).len())
        .sum();
    let per_s = sent as f64 / (busy_s(began) - before_s);
    println!("{per_s:.0} events a second");
    assert!(per_s > 60_000.0, "{per_s}");
}
