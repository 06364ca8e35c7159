//! Recordings of real cities, whole.

mod replay_support;

use std::collections::{HashMap, HashSet};

use generators::replay::ReplayOptions;
use replay_support::{gps, incident, recording, replay};

#[tokio::test]
async fn two_days_of_taxis_become_one_event_a_row() {
    let Some(path) = recording("gps/cabspotting_2008-05-20_21.csv.gz") else {
        return;
    };
    let (summary, collector, _) = replay(&ReplayOptions::file(path)).await;
    assert_eq!(
        (summary.rows, summary.accepted, summary.bad),
        (890_071, 890_071, 0)
    );
    let (mut ids, mut newest) = (HashSet::new(), HashMap::new());
    let mut jumps = 0;
    for event in collector.events() {
        let gps = gps(&event);
        assert!((0.0..=200.0).contains(&gps.speed_kmh));
        jumps += usize::from(event.extra.is_some());
        let newest = newest.entry(event.device_id).or_insert(event.timestamp_us);
        *newest = event.timestamp_us.max(*newest);
        assert!(ids.insert(event.id), "an id came twice");
    }
    assert_eq!(newest.len(), 503);
    assert!(jumps > 0 && jumps < 20_000, "{jumps} jumps");
}

#[tokio::test]
async fn raw_taxi_files_become_one_event_a_line() {
    for (name, cab, rows) in [
        ("gps/cabspotting_new_abboip.txt", "abboip", 23_495),
        ("gps/cabspotting_new_abcoij.txt", "abcoij", 5_454),
    ] {
        let Some(path) = recording(name) else { return };
        let lines = std::fs::read_to_string(&path)
            .expect("text")
            .lines()
            .count();
        let (summary, collector, _) = replay(&ReplayOptions::file(path)).await;
        assert_eq!((lines, summary.accepted), (rows, rows as u64));
        let events = collector.events();
        assert!(events.iter().all(|event| event.device_id == cab));
        assert!(events.is_sorted_by_key(|event| event.timestamp_us));
    }
}

#[tokio::test]
async fn days_of_buses_become_one_event_a_row() {
    for (name, rows) in [
        ("gps/capmetro_austin_2015-09-06.csv", 53_569),
        ("gps/capmetro_austin_2017-03-21.csv", 45_386),
    ] {
        let Some(path) = recording(name) else { return };
        let lines = std::fs::read_to_string(&path)
            .expect("text")
            .lines()
            .count() as u64
            - 1;
        let (summary, collector, told) = replay(&ReplayOptions::file(path)).await;
        assert_eq!((lines, summary.rows), (rows, rows), "{name}");
        assert_eq!((summary.accepted, &told.bad), (rows, &Vec::new()));
        let events = collector.events();
        assert_eq!(events.len() as u64, rows);
        assert!(events.is_sorted_by_key(|event| event.timestamp_us));
    }
}

#[tokio::test]
async fn positions_of_louisville_equal_those_of_another_decoder() {
    let (Some(feed), Some(decoded)) = (
        recording("gtfs_rt/louisville_2026-04-01_positions.pb"),
        recording("gtfs_rt/louisville_2026-04-01_positions.decoded.json"),
    ) else {
        return;
    };
    let text = std::fs::read(decoded).expect("JSON");
    let decoded: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let (summary, collector, _) = replay(&ReplayOptions::file(feed)).await;
    let entities = decoded["Entities"].as_array().expect("a list");
    assert_eq!((summary.accepted, entities.len()), (78, 78));
    let events = collector.events();
    for entity in entities {
        let vehicle = &entity["Vehicle"];
        let id = vehicle["Vehicle"]["Id"].as_str().expect("an id");
        let event = events
            .iter()
            .find(|event| event.device_id == id)
            .expect("its event");
        let fix = gps(event);
        let position = &vehicle["Position"];
        // Both came from 32 bits.
        let bits = |value: &serde_json::Value| value.as_f64().expect("a number") as f32;
        assert_eq!(fix.location.latitude as f32, bits(&position["Latitude"]));
        assert_eq!(fix.location.longitude as f32, bits(&position["Longitude"]));
        assert_eq!(
            fix.direction_deg.unwrap_or(0.0) as f32,
            bits(&position["Bearing"])
        );
        assert!((fix.speed_kmh - 3.6 * f64::from(bits(&position["Speed"]))).abs() < 0.006);
        assert_eq!(
            event.timestamp_us / 1_000_000,
            vehicle["Timestamp"].as_i64().expect("seconds")
        );
        assert_eq!(fix.trip_id.as_deref(), vehicle["Trip"]["TripId"].as_str());
        assert_eq!(fix.route_id.as_deref(), vehicle["Trip"]["RouteId"].as_str());
    }
}

#[tokio::test]
async fn only_the_vehicles_of_boston_are_events() {
    let (Some(positions), Some(updates)) = (
        recording("gtfs_rt/mbta_2024-11-20_VehiclePositions.pb"),
        recording("gtfs_rt/mbta_2024-11-20_TripUpdates.pb"),
    ) else {
        return;
    };
    let (summary, collector, told) = replay(&ReplayOptions::file(positions)).await;
    assert_eq!((summary.accepted, &told.bad), (650, &Vec::new()));
    let events = collector.events();
    let devices: HashSet<_> = events.iter().map(|event| &event.device_id).collect();
    assert_eq!(devices.len(), 650);
    let (summary, _, _) = replay(&ReplayOptions::file(updates)).await;
    assert_eq!((summary.accepted, summary.bad), (0, 0));
    assert_eq!(summary.skipped.values().sum::<u64>(), summary.rows);
}

#[tokio::test]
async fn every_fire_call_lives_in_order() {
    let Some(path) = recording("emergency/sf_fire_calls_2016-12-31_2017-01-07.csv") else {
        return;
    };
    let (summary, collector, told) = replay(&ReplayOptions::file(path)).await;
    assert_eq!((summary.rows, &told.bad), (7_704, &Vec::new()));
    let events = collector.events();
    assert!(events.is_sorted_by_key(|event| event.timestamp_us));
    let mut units = HashSet::new();
    let mut lives: HashMap<_, Vec<_>> = HashMap::new();
    for event in &events {
        let incident = incident(event);
        units.extend(incident.units.iter().cloned());
        lives
            .entry(&incident.incident_id)
            .or_default()
            .push(incident.status.as_str());
    }
    assert_eq!((lives.len(), units.len()), (3_560, 178));
    // 131 calls had nobody on scene, 5 were still open.
    let with = |status: &str| lives.values().filter(|life| life.contains(&status)).count();
    assert_eq!(
        (with("Active"), with("OnScene"), with("Resolved")),
        (3_560, 3_429, 3_555)
    );
    let order = ["Active", "Dispatched", "OnScene", "Resolved"];
    for life in lives.values() {
        assert!(life.is_sorted_by_key(|status| order.iter().position(|known| known == status)));
    }
}

#[tokio::test]
async fn an_hourly_air_station_without_place_and_time_in_one_column_is_read() {
    let Some(path) = recording("air/PRSA_Data_Dongsi.csv.gz") else {
        return;
    };
    let pair = |field: &str, value: &str| (field.to_owned(), value.to_owned());
    let options = ReplayOptions {
        stream: Some(events::Stream::WeatherData),
        map: vec![pair("timestamp", "year,month,day,hour,+08:00")],
        set: vec![pair("latitude", "39.929"), pair("longitude", "116.417")],
        ..ReplayOptions::file(path)
    };
    let (summary, collector, told) = replay(&options).await;
    assert_eq!(
        (summary.rows, summary.accepted),
        (35_064, 35_064),
        "{told:?}"
    );
    let times: HashSet<i64> = collector
        .events()
        .iter()
        .map(|event| event.timestamp_us)
        .collect();
    assert_eq!(times.len(), 35_064, "an hour each");
}
