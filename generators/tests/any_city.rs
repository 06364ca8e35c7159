//! The simulation works on any street network, however odd.

use std::path::PathBuf;
use std::sync::Arc;

use events::{Body, Event};
use generators::GeneratorConfig;
use generators::city::City;
use streets::StreetNetwork;

const SECOND_US: i64 = 1_000_000;
const MORNING_US: i64 = 1_777_874_400_000_000;

/// Runs a city for some minutes; returns the speeds of the last one.
fn speeds(streets: Arc<StreetNetwork>, vehicles: usize, minutes: i64) -> Vec<f64> {
    let config = GeneratorConfig {
        vehicles,
        cameras: 10,
        stations: 5,
        ..GeneratorConfig::default()
    };
    let mut city = City::new(streets, &config, MORNING_US);
    let mut speeds = Vec::new();
    for second in 1..=minutes * 60 {
        let messages = city.step(MORNING_US + second * SECOND_US);
        if second <= minutes * 60 - 60 {
            continue;
        }
        let decode =
            |m: &generators::city::Message| events::decode(m.stream, &m.value, m.timestamp_us).ok();
        let speed = |event: Event| match event.body {
            Body::Vehicle(vehicle) => Some(vehicle.speed_kmh),
            Body::Gps(gps) => Some(gps.speed_kmh),
            _ => None,
        };
        speeds.extend(messages.iter().filter_map(decode).filter_map(speed));
    }
    speeds
}

fn graph(nodes: &str, edges: &str) -> Arc<StreetNetwork> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("odd_nodes.csv"),
        format!("osmid,x,y\n{nodes}"),
    )
    .expect("written");
    std::fs::write(
        folder.path().join("odd_edges.csv"),
        format!("u,v,length,lanes,speed_mph\n{edges}"),
    )
    .expect("written");
    StreetNetwork::load(folder.path().to_str().expect("a path")).expect("a network")
}

#[test]
fn a_single_street_and_a_one_way_dead_end_do_no_harm() {
    let nodes = "1,12.0,57.0\n2,12.01,57.0\n3,12.02,57.0\n";
    let two_way = graph(nodes, "1,2,600,1,30\n2,1,600,1,30\n");
    assert!(speeds(two_way, 30, 4).iter().any(|speed| *speed > 10.0));
    let dead_end = graph(nodes, "1,2,600,1,30\n2,3,600,1,30\n");
    assert_eq!(speeds(dead_end, 30, 2).len() / 60, 29);
}

#[test]
fn the_bay_area_drives() {
    let beside = PathBuf::from("../../shared/data");
    let folder = std::env::var_os("CITYPULSE_REALDATA")
        .map_or(beside, PathBuf::from)
        .join("roads");
    if !folder.exists() {
        println!("skipped: {} is missing", folder.display());
        return;
    }
    let streets = StreetNetwork::load(folder.to_str().expect("a path")).expect("a network");
    let speeds = speeds(streets, 500, 10);
    let moving = speeds.iter().filter(|speed| **speed > 1.0).count();
    assert!(
        moving * 3 > speeds.len(),
        "{moving} of {} move",
        speeds.len()
    );
    assert!(speeds.iter().all(|speed| *speed < 140.0));
}

#[test]
fn traffic_neither_stops_nor_races_in_a_crowded_city() {
    let speeds = speeds(StreetNetwork::gothenburg(), 4_000, 6);
    let moving: Vec<f64> = speeds
        .iter()
        .copied()
        .filter(|speed| *speed > 1.0)
        .collect();
    let mean = moving.iter().sum::<f64>() / moving.len() as f64;
    println!("{} of {} move, {mean:.1} km/h", moving.len(), speeds.len());
    assert!(moving.len() * 3 > speeds.len() && (20.0..60.0).contains(&mean));
}
