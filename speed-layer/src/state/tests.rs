//! What the folded state promises, whatever the order of arrival.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use events::{Body, Event, Gps, Incident, Location, Stream, TopicPartition, Vehicle, Weather};
use hot_store::{Cell, Kind, Update};
use proptest::prelude::*;
use serde_json::Value;
use streets::StreetNetwork;

use super::{Observation, State, combined_cells_of, shared_cells_of};
use crate::config::SpeedConfig;

const NOW_US: i64 = 1_700_000_000_000_000;
const SECOND_US: i64 = 1_000_000;
const APPENDED_US: i64 = NOW_US + 3600 * SECOND_US;

fn streets() -> Arc<StreetNetwork> {
    static STREETS: OnceLock<Arc<StreetNetwork>> = OnceLock::new();
    STREETS.get_or_init(StreetNetwork::gothenburg).clone()
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("vehicle_data", number)
}

fn event(device: &str, at_s: i64, body: Body) -> Event {
    Event {
        id: format!("{device}-{at_s}").into(),
        device_id: device.into(),
        timestamp_us: NOW_US + at_s * SECOND_US,
        extra: None,
        body,
    }
}

fn car(device: &str, at_s: i64, latitude: f64, longitude: f64, speed_kmh: f64) -> Event {
    let location = Location {
        latitude,
        longitude,
    };
    event(
        device,
        at_s,
        Body::Vehicle(Vehicle {
            location,
            speed_kmh,
            ..Vehicle::default()
        }),
    )
}

fn incident(id: &str, at_s: i64, status: &str) -> Event {
    let incident = Incident {
        incident_id: id.into(),
        location: Location {
            latitude: 57.7,
            longitude: 11.97,
        },
        incident_type: "Fire".into(),
        status: status.into(),
        severity: "High".into(),
        ..Incident::default()
    };
    event("dispatch", at_s, Body::Incident(Box::new(incident)))
}

/// The hot store as the writes leave it.
#[derive(Clone, Default)]
struct Store {
    values: BTreeMap<(Kind, String), Bytes>,
    cells: HashMap<TopicPartition, HashMap<String, Bytes>>,
    /// Closed windows by id, the last one written.
    closed: BTreeMap<String, String>,
    closed_twice: usize,
}

impl Store {
    fn put(&mut self, updates: Vec<Update>, cells: Vec<Cell>) {
        for update in updates {
            match update.value {
                Some(value) => self.values.insert((update.kind, update.id), value),
                None => self.values.remove(&(update.kind, update.id)),
            };
        }
        for cell in cells {
            let all = self.cells.entry(cell.partition).or_default();
            match cell.value {
                Some(value) => all.insert(cell.key, value),
                None => all.remove(&cell.key),
            };
        }
    }

    fn close(&mut self, window: &Event) {
        let json = String::from_utf8(window.to_json()).unwrap();
        let before = self.closed.insert(window.id.to_string(), json);
        self.closed_twice += usize::from(before.is_some());
    }

    fn cells_of(&self, id: &TopicPartition) -> Vec<(String, Bytes)> {
        let cells = self.cells.get(id).into_iter().flatten();
        cells
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    fn json(&self, kind: Kind, id: &str) -> Option<Value> {
        let value = self.values.get(&(kind, id.to_string()))?;
        Some(serde_json::from_slice(value).unwrap())
    }
}

/// One process over some partitions, as the session drives it.
struct Process {
    state: State,
    own: Vec<(TopicPartition, Vec<Event>)>,
    /// Of each own partition: folded, checkpointed.
    at: Vec<(usize, usize)>,
    is_first: bool,
}

fn new_state() -> State {
    State::new(streets(), SpeedConfig::default())
}

impl Process {
    /// Takes over partitions whose log is `own`, which was folded up to `at`.
    fn start(
        store: &Store,
        own: Vec<(TopicPartition, Vec<Event>)>,
        at: Vec<(usize, usize)>,
    ) -> Self {
        let mut process = Self {
            state: new_state(),
            is_first: own.iter().any(|(id, _)| *id == partition(0)),
            own,
            at,
        };
        process
            .state
            .restore_combined(&store.cells_of(&combined_cells_of(&partition(0))));
        let learned = store.cells_of(&super::learned_cells_of(&partition(0)));
        process.state.restore_learned(&learned);
        for index in 0..process.own.len() {
            let (id, events) = process.own[index].clone();
            let (folded, checkpointed) = process.at[index];
            let mut cells = store.cells_of(&id);
            cells.extend(store.cells_of(&shared_cells_of(&id)));
            let stream = Stream::from_name(&id.topic).unwrap();
            let slot = process.state.assign(&id, stream, &cells);
            process.state.catch_up(slot);
            for (offset, event) in events.iter().enumerate().take(folded).skip(checkpointed) {
                process
                    .state
                    .fold(slot, event.clone(), offset as i64, APPENDED_US);
            }
            process.state.reached(slot, folded as i64);
            process.state.caught_up(slot);
        }
        process.see_ends();
        process
    }

    fn see_ends(&mut self) {
        self.see_ends_at(APPENDED_US);
    }

    fn see_ends_at(&mut self, at_us: i64) {
        let ends = self
            .own
            .iter()
            .map(|(id, events)| (id.clone(), events.len() as i64));
        let observation = Observation {
            at_us,
            ends: ends.collect(),
            ..Observation::default()
        };
        self.state.observe(observation, true);
    }

    fn fold_all(&mut self, until: usize) {
        for index in 0..self.own.len() {
            self.fold(index, until);
        }
    }

    fn fold(&mut self, index: usize, until: usize) {
        let (id, events) = &self.own[index];
        let slot = self.state.slot(id).unwrap();
        let (folded, _) = &mut self.at[index];
        while *folded < until.min(events.len()) {
            self.state
                .fold(slot, events[*folded].clone(), *folded as i64, APPENDED_US);
            *folded += 1;
        }
    }

    fn write(&mut self, store: &mut Store) {
        self.state.gather_vehicles();
        let mut updates = self.state.drain_vehicles(usize::MAX, NOW_US);
        for (device, id) in self.state.take_unknown(usize::MAX) {
            if let Some(value) = store.values.get(&(Kind::Vehicle, id)) {
                self.state.recall(device, value);
            }
        }
        self.state.gather_vehicles();
        updates.extend(self.state.drain_vehicles(usize::MAX, NOW_US));
        let mut cells = Vec::new();
        if self.is_first && self.state.can_combine() {
            updates.extend(self.state.drain_latest(NOW_US));
            cells.push(self.state.latest_shown(&partition(0)));
        }
        store.put(updates, cells);
    }

    /// Writes what is known while folding goes on, a vehicle at a time, and no positions.
    fn write_ahead(&mut self, until: usize, store: &mut Store) {
        self.fold_all(until - 2);
        self.state.gather_vehicles();
        for until in until - 1..=until {
            store.put(self.state.drain_vehicles(1, NOW_US), Vec::new());
            self.fold_all(until);
        }
        self.flush_trails(store);
        self.flush_combined(store);
    }

    fn flush(&mut self, store: &mut Store) {
        self.write(store);
        self.flush_trails(store);
        self.flush_combined(store);
    }

    fn flush_trails(&mut self, store: &mut Store) {
        let (grown, flushed) = self.state.drain_trails(NOW_US);
        let trails = grown.into_iter();
        let trails = trails.filter_map(|grown| self.state.trail(grown, NOW_US));
        store.put(trails.collect(), flushed);
    }

    fn flush_combined(&mut self, store: &mut Store) {
        if self.is_first && self.state.can_combine() {
            self.state.combine(NOW_US);
            let cells = self.state.combined_cells(&partition(0));
            let close = |window| store.close(&window);
            let updates = self.state.drain_combined(usize::MAX, NOW_US, close);
            store.put(updates, cells);
        }
    }

    /// Writes, and checkpoints: the store never has a checkpoint ahead of its values.
    fn checkpoint(&mut self, store: &mut Store) {
        self.write(store);
        for (index, (id, _)) in self.own.iter().enumerate() {
            let slot = self.state.slot(id).unwrap();
            store.put(Vec::new(), self.state.checkpoint(slot, NOW_US));
            self.at[index].1 = self.at[index].0;
        }
    }
}

/// The events as partitions, numbered `number`, of their streams' topics.
fn logs(number: i32, events: Vec<Event>) -> Vec<(TopicPartition, Vec<Event>)> {
    let mut logs = vec![(partition(number), Vec::new())];
    for event in events {
        let id = TopicPartition::new(event.stream().name(), number);
        match logs.iter_mut().find(|(other, _)| *other == id) {
            Some((_, log)) => log.push(event),
            None => logs.push((id, vec![event])),
        }
    }
    logs
}

fn begin(own: Vec<(TopicPartition, Vec<Event>)>) -> Process {
    let at = vec![(0, 0); own.len()];
    Process::start(&Store::default(), own, at)
}

fn one(events: Vec<Event>) -> Process {
    begin(logs(0, events))
}

fn stored(events: impl IntoIterator<Item = Event>) -> Store {
    let mut process = one(events.into_iter().collect());
    process.fold_all(usize::MAX);
    let mut store = Store::default();
    process.flush(&mut store);
    store
}

#[test]
fn the_last_position_is_the_newest_by_event_time() {
    let store = stored([
        car("a", 10, 57.70, 11.97, 30.0),
        car("a", 5, 57.71, 11.98, 40.0),
    ]);
    let vehicle = store.json(Kind::Vehicle, "a").unwrap();
    assert_eq!(vehicle["latitude"], 57.70);
    assert_eq!(vehicle["timestamp"], "2023-11-14T22:13:30Z");
}

#[test]
fn of_equal_times_the_later_record_wins() {
    let mut later = car("a", 10, 57.7001, 11.97, 31.0);
    later.id = "another".into();
    let store = stored([car("a", 10, 57.70, 11.97, 30.0), later]);
    assert_eq!(store.json(Kind::Vehicle, "a").unwrap()["speed"], 31.0);
}

#[test]
fn bad_fixes_stay_off_the_map() {
    let mut process = one(vec![
        car("a", 0, 57.70, 11.97, 30.0),
        car("a", 1, 0.0, 0.0, 30.0),
        car("a", 2, 58.70, 11.97, 30.0),
        car("a", 3, 57.7001, 11.97, 30.0),
    ]);
    process.fold_all(usize::MAX);
    let counts = process.state.counts().next().unwrap().1;
    assert_eq!((counts.null_island, counts.teleports), (1, 1));
    let mut store = Store::default();
    process.flush(&mut store);
    let vehicle = store.json(Kind::Vehicle, "a").unwrap();
    assert_eq!(vehicle["latitude"], 57.7001);
    assert_eq!(
        vehicle["bad_fixes"],
        serde_json::json!({"count": 2, "reason": "teleport", "timestamp": "2023-11-14T22:13:22Z"})
    );
    let trail = store.json(Kind::Trail, "a").unwrap();
    assert_eq!(trail.as_array().unwrap().len(), 2);
    assert_eq!(
        store.json(Kind::Window, "city:speed:1699999980").unwrap()["count"],
        2
    );
}

#[test]
fn a_bad_fix_is_shown_at_once_and_keeps_no_position_alive() {
    let mut process = one(vec![
        car("a", 0, 57.70, 11.97, 30.0),
        car("a", 9, 0.0, 0.0, 30.0),
    ]);
    let mut shown = |until: usize, now_us: i64| {
        process.fold_all(until);
        process.state.gather_vehicles();
        let update = process.state.drain_vehicles(usize::MAX, now_us).pop();
        let update = update.expect("the vehicle");
        let value: Value = serde_json::from_slice(&update.value.expect("a value")).unwrap();
        (value, update.age_s)
    };
    let (good, _) = shown(1, NOW_US);
    assert_eq!(good.get("bad_fixes"), None);
    let (bad, age) = shown(2, APPENDED_US + 60 * SECOND_US);
    assert_eq!(
        (&bad["bad_fixes"]["reason"], &bad["timestamp"], age),
        (&"null_island".into(), &good["timestamp"], 60)
    );
}

#[test]
fn a_bad_fix_is_shown_after_a_restart_too() {
    let mut fix = car("a", 0, 57.70, 11.97, 30.0);
    if let Body::Vehicle(vehicle) = &mut fix.body {
        vehicle.make = Some("Volvo".into());
        vehicle.year = Some(2024);
    }
    let log = logs(0, vec![fix, car("a", 9, 0.0, 0.0, 30.0)]);
    let mut store = Store::default();
    let mut process = begin(log.clone());
    process.fold_all(1);
    process.checkpoint(&mut store);
    let before = store.json(Kind::Vehicle, "a").unwrap();
    let mut process = Process::start(&store, log, process.at);
    process.fold_all(2);
    process.write(&mut store);
    let mut after = store.json(Kind::Vehicle, "a").unwrap();
    let bad = after.as_object_mut().unwrap().remove("bad_fixes");
    assert_eq!((after, bad.unwrap()["count"].as_u64()), (before, Some(1)));
}

#[test]
fn the_last_trip_is_shown_when_it_is_over() {
    let stands = |at_s: i64| car("a", at_s, 57.7009, 11.97, 0.0);
    let drive = [
        car("a", 0, 57.70, 11.97, 30.0),
        car("a", 10, 57.7009, 11.97, 30.0),
        stands(100),
    ];
    let on_trip = stored(drive.clone()).json(Kind::Vehicle, "a").unwrap();
    assert_eq!(on_trip["trip_started_at"], "2023-11-14T22:13:20Z");
    assert_eq!(on_trip.get("last_trip"), None);
    let over = stored(drive.into_iter().chain([stands(330)]));
    let over = over.json(Kind::Vehicle, "a").unwrap();
    assert_eq!(over.get("trip_started_at"), None);
    let trip = serde_json::json!({
        "started_at": "2023-11-14T22:13:20Z", "ended_at": "2023-11-14T22:13:30Z",
    });
    assert_eq!(over["last_trip"], trip);
}

#[test]
fn a_jump_that_the_next_fix_confirms_is_real() {
    let store = stored([
        car("a", 0, 57.70, 11.97, 30.0),
        car("a", 1, 58.70, 11.97, 30.0),
        car("a", 2, 58.7001, 11.97, 30.0),
    ]);
    assert_eq!(store.json(Kind::Vehicle, "a").unwrap()["latitude"], 58.7001);
}

#[test]
fn a_trail_keeps_the_last_twenty_newest_last() {
    let store =
        stored((0..30).map(|second| car("a", second, 57.70 + second as f64 * 1e-5, 11.97, 30.0)));
    let trail = store.json(Kind::Trail, "a").unwrap();
    assert_eq!(trail.as_array().unwrap().len(), 20);
    assert_eq!(trail[19]["timestamp"], "2023-11-14T22:13:49Z");
}

#[test]
fn a_slow_street_is_congested() {
    let streets = streets();
    let index = streets
        .segments()
        .iter()
        .position(|segment| segment.length_m > 200.0)
        .unwrap();
    let segment = &streets.segments()[index];
    let middle = segment.line[segment.line.len() / 2];
    let at = |speed_kmh: f64, vehicles: i64| {
        let fixes = (0..10).map(move |n| {
            car(
                &format!("car{}", n % vehicles),
                n,
                middle.latitude,
                middle.longitude,
                speed_kmh,
            )
        });
        let store = stored(fixes);
        let roads: Vec<Value> = store
            .values
            .iter()
            .filter(|((kind, _), _)| *kind == Kind::Road)
            .map(|(_, value)| serde_json::from_slice(value).unwrap())
            .collect();
        roads
            .iter()
            .find(|road| road["vehicle_count"] == vehicles)
            .cloned()
            .unwrap()
    };
    let slow = at(4.0, 10);
    assert_eq!(
        (&slow["congestion_level"], &slow["average_speed"]),
        (&"severe".into(), &4.0.into())
    );
    assert_eq!(at(200.0, 10)["congestion_level"], "light");
    assert_eq!(at(4.0, 1)["congestion_level"], "moderate", "it may wait");
}

#[test]
fn an_ended_incident_does_not_come_back() {
    let events = vec![
        incident("i", 0, "Active"),
        incident("i", 60, "Resolved"),
        incident("i", 30, "OnScene"),
        incident("i", 40, "OnScene"),
    ];
    let mut store = Store::default();
    let mut process = one(events.clone());
    process.fold_all(3);
    process.checkpoint(&mut store);
    assert_eq!(store.json(Kind::Incident, "i"), None);
    let mut process = Process::start(&store, logs(0, events), process.at);
    process.fold_all(usize::MAX);
    process.flush(&mut store);
    assert_eq!(store.json(Kind::Incident, "i"), None);
}

#[test]
fn the_citys_weather_is_the_mean_of_its_stations() {
    let station = |id: &str, temperature: f64, condition: &str| {
        let weather = Weather {
            location: Location {
                latitude: 57.7,
                longitude: 11.9,
            },
            temperature: Some(temperature),
            weather_condition: Some(condition.into()),
            ..Weather::default()
        };
        event(id, 0, Body::Weather(Box::new(weather)))
    };
    let store = stored([
        station("a", 4.0, "Rain"),
        station("b", 6.0, "Rain"),
        station("c", 8.0, "Clear"),
    ]);
    let city = store.json(Kind::Weather, "").unwrap();
    assert_eq!(
        (&city["temperature"], &city["condition"]),
        (&6.0.into(), &"Rain".into())
    );
}

#[test]
fn each_sensor_of_a_station_has_windows_also_those_of_its_own() {
    let weather = Weather {
        humidity: Some(40.0),
        ..Weather::default()
    };
    let says = |at_s: i64, co2: u32| {
        let mut event = event("a", at_s, Body::Weather(Box::new(weather.clone())));
        event.extra = Some(format!(r#"{{"co2":{co2},"note":"ok"}}"#).into());
        event
    };
    let store = stored([says(0, 400), says(10, 500)]);
    let windows: Vec<&str> = store
        .values
        .keys()
        .filter(|(kind, _)| *kind == Kind::Window)
        .map(|(_, id)| id.as_str())
        .collect();
    let of = |reading: &str| format!("station:a:{reading}:1699999980");
    assert_eq!(windows, [of("extra.co2"), of("humidity")]);
    let co2 = store.json(Kind::Window, &of("extra.co2")).unwrap();
    assert_eq!((&co2["count"], &co2["mean"]), (&2.into(), &450.0.into()));
}

#[test]
fn the_summary_counts_what_is_live() {
    let tracker = Gps {
        location: Location {
            latitude: 57.7,
            longitude: 11.9,
        },
        speed_kmh: 0.0,
        ..Gps::default()
    };
    let mut process = one(vec![
        car("a", 0, 57.70, 11.97, 30.0),
        event("b", 0, Body::Gps(tracker)),
    ]);
    process.fold_all(usize::MAX);
    let mut summary = |now_us: i64| -> Value {
        let update = process
            .state
            .summary(now_us)
            .into_iter()
            .find(|update| update.kind == Kind::CitySummary)
            .unwrap();
        serde_json::from_slice(&update.value.unwrap()).unwrap()
    };
    let now = summary(APPENDED_US);
    assert_eq!(
        (
            &now["total_vehicles"],
            &now["moving_vehicles"],
            &now["stopped_vehicles"]
        ),
        (&2.into(), &1.into(), &1.into())
    );
    assert_eq!(now["average_city_speed"], 15.0);
    let silent = summary(APPENDED_US + 400 * SECOND_US);
    assert_eq!(
        (&silent["total_vehicles"], &silent["silent_vehicles"]),
        (&2.into(), &2.into())
    );
    assert_eq!(summary(APPENDED_US + 601 * SECOND_US)["total_vehicles"], 0);
}

#[test]
fn a_vehicle_that_falls_silent_says_so_once_and_lives_no_longer_for_it() {
    let mut process = one(vec![car("a", 0, 57.70, 11.97, 30.0)]);
    process.fold_all(usize::MAX);
    let mut at = |now_us: i64| {
        process.state.look_for_silence(now_us);
        process.state.gather_vehicles();
        process.state.drain_vehicles(usize::MAX, now_us)
    };
    assert_eq!(at(APPENDED_US).len(), 1);
    assert_eq!(at(APPENDED_US + 299 * SECOND_US), []);
    let silent = at(APPENDED_US + 301 * SECOND_US).remove(0);
    let value: Value = serde_json::from_slice(silent.value.as_ref().unwrap()).unwrap();
    assert_eq!(value["state"], "silent");
    assert_eq!(silent.time_to_live(), Duration::from_secs(299));
    assert_eq!(at(APPENDED_US + 302 * SECOND_US), []);
}

#[test]
fn a_vehicle_says_what_it_does() {
    let store = stored([
        car("a", 0, 57.70, 11.97, 36.0),
        car("a", 10, 57.701, 11.97, 36.0),
        car("a", 60, 57.701, 11.97, 0.0),
    ]);
    let vehicle = store.json(Kind::Vehicle, "a").unwrap();
    assert_eq!(vehicle["state"], "stopped");
    assert_eq!(vehicle["trip_started_at"], "2023-11-14T22:13:20Z");
    let metres = vehicle["distance_today_m"].as_f64().unwrap();
    assert!((metres - 111.2).abs() < 0.2, "{metres}");
}

#[test]
fn a_duplicate_is_in_no_window_twice() {
    let twice = car("a", 0, 57.70, 11.97, 30.0);
    let store = stored([twice.clone(), car("a", 1, 57.70, 11.97, 50.0), twice]);
    let city = store.json(Kind::Window, "city:speed:1699999980").unwrap();
    assert_eq!(
        (&city["count"], &city["mean"], &city["vehicles"]),
        (&2.into(), &40.0.into(), &1.into())
    );
}

#[test]
fn a_window_is_closed_once_and_late_events_are_counted() {
    let mut events: Vec<Event> = (0..20)
        .map(|n| car("a", n * 10, 57.70, 11.97, n as f64))
        .collect();
    // Its minute ended 60 s of lateness ago.
    events.push(car("b", 0, 57.70, 11.97, 99.0));
    let mut process = one(events);
    let mut store = Store::default();
    for until in [5, 12, 20, 21] {
        process.fold(0, until);
        process.flush(&mut store);
    }
    assert_eq!(store.closed_twice, 0);
    let city = store.json(Kind::Window, "city:speed:1699999980").unwrap();
    assert_eq!((&city["final"], &city["count"]), (&true.into(), &4.into()));
    assert_eq!(process.state.counts().next().unwrap().1.late, 1);
    // 2 panes of one minute each, of the city and of one cell; parked or on no
    // street otherwise.
    let cities = store
        .closed
        .values()
        .filter(|json| json.contains("\"kind\":\"city\""));
    assert_eq!(cities.count(), 2);
}

fn drive(device: &str) -> Vec<Event> {
    (0..20)
        .map(|n| car(device, n * 10, 57.70, 11.97, n as f64))
        .collect()
}

#[test]
fn a_log_that_is_read_again_says_each_window_once_and_whole() {
    let all = vec![(partition(0), drive("a")), (partition(1), drive("b"))];
    let mut process = begin(all);
    process.state.closed_until(NOW_US + 3600 * SECOND_US);
    let mut store = Store::default();
    for (index, until) in [(0, 7), (0, 20), (1, 4), (1, 20)] {
        process.fold(index, until);
        process.flush(&mut store);
    }
    assert_eq!(store.closed_twice, 0);
    let city = store.json(Kind::Window, "city:speed:1700000040").unwrap();
    assert_eq!((&city["final"], &city["count"]), (&true.into(), &12.into()));
}

#[test]
fn a_city_that_falls_silent_keeps_no_window_open() {
    let mut process = one(drive("a"));
    process.fold_all(usize::MAX);
    let mut store = Store::default();
    process.flush(&mut store);
    let last = |store: &Store| store.json(Kind::Window, "city:speed:1700000160").unwrap();
    assert_eq!(last(&store)["final"], false);
    process.see_ends_at(APPENDED_US + 200 * SECOND_US);
    process.flush(&mut store);
    assert_eq!(last(&store)["final"], true);
    // One that goes on after all corrects what was closed, once: city, cell, street.
    let mut events = drive("a");
    events.extend((20..40).map(|n| car("a", n * 10, 57.70, 11.97, 9.0)));
    process.own[0].1 = events;
    process.see_ends_at(APPENDED_US + 200 * SECOND_US);
    for until in [21, 22, 40] {
        process.fold(0, until);
        process.flush(&mut store);
    }
    assert_eq!(store.closed_twice, 3);
    assert_eq!(last(&store)["count"], 6);
}

/// What the platform says itself, such as alerts, is among it.
#[test]
fn what_is_in_no_window_keeps_none_open() {
    let mut events = drive("a");
    events.extend((0..9).map(|n| incident(&format!("i-{n}"), 0, "Active")));
    let mut process = one(events);
    process.fold(0, usize::MAX);
    let mut store = Store::default();
    process.flush(&mut store);
    let (id, incidents) = process.own[1].clone();
    let slot = process.state.slot(&id).unwrap();
    for (offset, incident) in (0..).zip(incidents) {
        let appended_us = APPENDED_US + (offset + 1) * 20 * SECOND_US;
        process.state.fold(slot, incident, offset, appended_us);
        process.state.reached(slot, offset + 1);
        process.see_ends_at(appended_us + SECOND_US);
        process.flush(&mut store);
    }
    let last = store.json(Kind::Window, "city:speed:1700000160").unwrap();
    assert_eq!(last["final"], true);
}

#[test]
fn a_value_whose_time_is_over_is_not_written_again() {
    let mut process = one(vec![car("a", 0, 57.70, 11.97, 30.0)]);
    process.fold_all(usize::MAX);
    process.state.gather_vehicles();
    let now_us = APPENDED_US + 700 * SECOND_US;
    assert_eq!(process.state.drain_vehicles(usize::MAX, now_us), []);
    assert!(process.state.are_vehicles_shown());
}

#[test]
fn vehicles_are_shown_in_parts_as_they_are_by_then() {
    let cars = |at_s, speed| ["a", "b", "c"].map(|id| car(id, at_s, 57.70, 11.97, speed));
    let mut process = one([cars(0, 30.0), cars(1, 40.0)].concat());
    process.fold_all(3);
    process.state.gather_vehicles();
    let shown = |process: &mut Process| {
        let vehicles = process.state.drain_vehicles(2, NOW_US).into_iter();
        let vehicles = vehicles.map(|vehicle| {
            let value: Value = serde_json::from_slice(vehicle.value.as_ref().unwrap()).unwrap();
            (vehicle.id, value["speed"].as_f64().unwrap())
        });
        vehicles.collect::<Vec<_>>()
    };
    let ids = |vehicles: &[(&str, f64)]| {
        let vehicles = vehicles.iter();
        vehicles
            .map(|(id, speed)| ((*id).to_owned(), *speed))
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&mut process), ids(&[("a", 30.0), ("b", 30.0)]));
    assert!(!process.state.are_vehicles_shown());
    process.fold_all(6);
    assert_eq!(shown(&mut process), ids(&[("c", 40.0)]));
    // What moved after it was shown waits for the next time, and nothing else.
    process.state.gather_vehicles();
    assert_eq!(shown(&mut process), ids(&[("a", 40.0), ("b", 40.0)]));
    assert!(process.state.are_vehicles_shown());
}

#[test]
fn of_a_device_in_several_partitions_the_newest_speaks() {
    let own = vec![
        (partition(0), vec![car("a", 10, 57.70, 11.97, 30.0)]),
        (
            partition(1),
            vec![
                car("a", 5, 57.701, 11.97, 40.0),
                car("a", 20, 57.702, 11.97, 50.0),
            ],
        ),
    ];
    let mut process = Process::start(&Store::default(), own, vec![(0, 0), (0, 0)]);
    let mut store = Store::default();
    process.fold(0, 1);
    process.write(&mut store);
    process.fold(1, 1);
    process.write(&mut store);
    assert_eq!(store.json(Kind::Vehicle, "a").unwrap()["speed"], 30.0);
    process.fold(1, 2);
    process.flush(&mut store);
    assert_eq!(store.json(Kind::Vehicle, "a").unwrap()["speed"], 50.0);
    assert_eq!(
        store
            .json(Kind::Trail, "a")
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

/// Fixes of a few cars on real streets, in any order, some late, some twice.
fn fixes() -> impl Strategy<Value = Vec<Event>> {
    let fix = (0..4u8, 0..300i64, 0..400usize, 0.0..90.0f64).prop_map(
        |(car_no, at_s, segment, speed)| {
            let streets = streets();
            let line = &streets.segments()[segment].line;
            let (latitude, longitude) = (line[0].latitude, line[0].longitude);
            match segment % 40 {
                0 => incident(&format!("i{car_no}"), at_s, "Active"),
                1 => incident(&format!("i{car_no}"), at_s, "Resolved"),
                _ => car(&format!("car{car_no}"), at_s, latitude, longitude, speed),
            }
        },
    );
    proptest::collection::vec(fix, 1..120)
}

/// Names the first difference only.
fn same(one: &Store, other: &Store) -> Result<(), TestCaseError> {
    let keys: std::collections::BTreeSet<_> =
        one.values.keys().chain(other.values.keys()).collect();
    for key in keys {
        prop_assert_eq!(one.values.get(key), other.values.get(key), "{:?}", key);
    }
    let ids: std::collections::BTreeSet<_> = one.closed.keys().chain(other.closed.keys()).collect();
    for id in ids {
        prop_assert_eq!(one.closed.get(id), other.closed.get(id));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Crash after any write, restart from the last checkpoint: the same values
    /// and the same closed windows.
    #[test]
    fn a_restart_changes_nothing(
        all in fixes(),
        steps in prop::collection::vec((1..20usize, 0..5u8), 1..30),
    ) {
        let mut whole = Store::default();
        let mut process = one(all.clone());
        let mut broken_store = Store::default();
        let mut broken = one(all.clone());
        let mut until = 0;
        for (count, action) in steps.into_iter().chain([(1000, 1)]) {
            until += count;
            process.fold_all(until);
            broken.fold_all(until);
            if action == 2 {
                process.write(&mut whole);
                broken.write(&mut broken_store);
            } else {
                process.flush(&mut whole);
                broken.flush(&mut broken_store);
            }
            match action {
                0 => broken.checkpoint(&mut broken_store),
                3 => broken = Process::start(&broken_store, broken.own, broken.at),
                // In the middle of a write, whose values are newer than its positions.
                4 => {
                    let stored = broken.at.clone();
                    until += 9;
                    process.write_ahead(until, &mut whole);
                    broken.write_ahead(until, &mut broken_store);
                    broken = Process::start(&broken_store, broken.own, stored);
                }
                _ => {}
            }
        }
        same(&whole, &broken_store)?;
    }

    /// Two processes that share the partitions show the same windows, roads and
    /// incidents as one that has all.
    #[test]
    fn processes_share_the_work(first in fixes(), second in fixes(), cut in 0..120usize) {
        let rename = |events: Vec<Event>| -> Vec<Event> {
            events.into_iter().map(|mut event| {
                event.device_id = format!("{}-b", event.device_id).into();
                event
            }).collect()
        };
        let (here, there) = (logs(0, first), logs(1, rename(second)));
        let everything: Vec<_> = here.iter().chain(&there).cloned().collect();
        let (mut whole, mut store) = (Store::default(), Store::default());
        let mut alone = begin(everything.clone());
        let mut one = begin(here);
        let mut other = begin(there.clone());
        for until in [cut, usize::MAX] {
            alone.fold_all(until);
            alone.flush(&mut whole);
            one.fold_all(until);
            other.fold_all(until);
            other.flush(&mut store);
            other.checkpoint(&mut store);
            let remotes = there.iter().map(|(id, _)| {
                let stream = Stream::from_name(&id.topic).unwrap();
                (id.clone(), stream, store.cells_of(&shared_cells_of(id)))
            });
            let ends = everything.iter().map(|(id, events)| (id.clone(), events.len() as i64));
            let observation = Observation {
                at_us: APPENDED_US,
                ends: ends.collect(),
                remotes: remotes.collect(),
                ..Observation::default()
            };
            one.state.observe(observation, true);
            one.flush(&mut store);
        }
        same(&whole, &store)?;
    }
}
