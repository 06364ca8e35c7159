//! What the folded state promises, whatever the order of arrival.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use events::{Body, Event, Gps, Incident, Location, TopicPartition, Vehicle, Weather};
use hot_store::{Entry, HotBatch, Kind};
use proptest::prelude::*;
use serde_json::Value;
use streets::StreetNetwork;

use super::{Origin, State};
use crate::config::SpeedConfig;

const NOW_US: i64 = 1_700_000_000_000_000;
const SECOND_US: i64 = 1_000_000;

fn streets() -> Arc<StreetNetwork> {
    static STREETS: OnceLock<Arc<StreetNetwork>> = OnceLock::new();
    STREETS.get_or_init(StreetNetwork::gothenburg).clone()
}

fn city() -> State {
    let mut state = State::new(streets(), SpeedConfig::default());
    state.assign(&partition(), &[]);
    state
}

fn partition() -> TopicPartition {
    TopicPartition::new("vehicle_data", 0)
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

fn fold(state: &mut State, events: impl IntoIterator<Item = Event>) {
    let slot = state.slot(&partition());
    for (offset, event) in events.into_iter().enumerate() {
        let appended_at_us = NOW_US + 3600 * SECOND_US;
        state.fold(
            event,
            Origin {
                slot,
                offset: offset as i64,
                appended_at_us,
            },
            NOW_US,
        );
    }
}

/// The hot store as the batches leave it.
#[derive(Default)]
struct Store {
    values: BTreeMap<(Kind, String), Bytes>,
    cells: HashMap<String, Bytes>,
}

impl Store {
    fn apply(&mut self, batch: HotBatch) {
        for update in batch.updates {
            match update.value {
                Some(value) => self.values.insert((update.kind, update.id), value),
                None => self.values.remove(&(update.kind, update.id)),
            };
        }
        for cell in batch.cells {
            match cell.value {
                Some(value) => self.cells.insert(cell.key, value),
                None => self.cells.remove(&cell.key),
            };
        }
    }

    fn json(&self, kind: Kind, id: &str) -> Option<Value> {
        self.values
            .get(&(kind, id.to_string()))
            .map(|value| serde_json::from_slice(value).unwrap())
    }

    /// A new state made of what is stored, as after a crash.
    fn restart(&self) -> State {
        let mut state = State::new(streets(), SpeedConfig::default());
        for kind in Kind::ALL {
            let entries: Vec<Entry> = self
                .values
                .iter()
                .filter(|((stored, _), _)| *stored == kind)
                .map(|((_, id), value)| Entry {
                    id: id.clone(),
                    value: value.clone(),
                    expires_in: Duration::from_secs(60),
                })
                .collect();
            state.restore(kind, &entries, NOW_US);
        }
        let cells: Vec<_> = self
            .cells
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        state.assign(&partition(), &cells);
        state
    }
}

fn stored(events: impl IntoIterator<Item = Event>) -> Store {
    let mut state = city();
    fold(&mut state, events);
    let mut store = Store::default();
    store.apply(state.drain(NOW_US));
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
    let store = stored([
        car("a", 10, 57.70, 11.97, 30.0),
        car("a", 10, 57.7001, 11.97, 31.0),
    ]);
    assert_eq!(store.json(Kind::Vehicle, "a").unwrap()["speed"], 31.0);
}

#[test]
fn bad_fixes_stay_off_the_map() {
    let mut state = city();
    fold(
        &mut state,
        [
            car("a", 0, 57.70, 11.97, 30.0),
            car("a", 1, 0.0, 0.0, 30.0),
            car("a", 2, 58.70, 11.97, 30.0),
            car("a", 3, 57.7001, 11.97, 30.0),
        ],
    );
    assert_eq!(
        (state.counts().null_island, state.counts().teleports),
        (1, 1)
    );
    let mut store = Store::default();
    store.apply(state.drain(NOW_US));
    assert_eq!(store.json(Kind::Vehicle, "a").unwrap()["latitude"], 57.7001);
    assert_eq!(
        store
            .json(Kind::Trail, "a")
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        2
    );
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
    let at = |speed_kmh: f64| {
        let fixes = (0..10).map(move |n| {
            car(
                &format!("car{n}"),
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
            .find(|road| road["vehicle_count"].as_u64() >= Some(5))
            .cloned()
            .unwrap()
    };
    let slow = at(4.0);
    assert_eq!(
        (&slow["congestion_level"], &slow["average_speed"]),
        (&"severe".into(), &4.0.into())
    );
    assert_eq!(at(200.0)["congestion_level"], "light");
}

#[test]
fn an_ended_incident_does_not_come_back() {
    let store = stored([
        incident("i", 0, "Active"),
        incident("i", 60, "Resolved"),
        incident("i", 30, "OnScene"),
    ]);
    assert_eq!(store.json(Kind::Incident, "i"), None);
    let mut state = store.restart();
    fold(&mut state, [incident("i", 30, "OnScene")]);
    let mut after = Store::default();
    after.apply(state.drain(NOW_US));
    assert_eq!(after.json(Kind::Incident, "i"), None);
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
fn the_summary_counts_what_is_live() {
    let mut state = city();
    let tracker = Gps {
        location: Location {
            latitude: 57.7,
            longitude: 11.9,
        },
        speed_kmh: 0.0,
        ..Gps::default()
    };
    fold(
        &mut state,
        [
            car("a", 0, 57.70, 11.97, 30.0),
            event("b", 0, Body::Gps(tracker)),
            incident("i", 0, "Active"),
        ],
    );
    let summary = |state: &mut State, now_us: i64| -> Value {
        let update = state
            .tick(now_us)
            .into_iter()
            .find(|update| update.kind == Kind::CitySummary)
            .unwrap();
        serde_json::from_slice(&update.value.unwrap()).unwrap()
    };
    let now = summary(&mut state, NOW_US);
    assert_eq!(
        (&now["total_vehicles"], &now["moving_vehicles"]),
        (&2.into(), &1.into())
    );
    assert_eq!(
        (&now["average_city_speed"], &now["active_emergencies"]),
        (&15.0.into(), &1.into())
    );
    let later = summary(&mut state, NOW_US + 601 * SECOND_US);
    assert_eq!(later["total_vehicles"], 0);
}

/// Fixes of a few cars on real streets, in any order, some late.
fn fixes() -> impl Strategy<Value = Vec<Event>> {
    let fix = (0..4u8, 0..300i64, 0..400usize, 0.0..90.0f64).prop_map(
        |(car_no, at_s, segment, speed)| {
            let streets = streets();
            let line = &streets.segments()[segment].line;
            car(
                &format!("car{car_no}"),
                at_s,
                line[0].latitude,
                line[0].longitude,
                speed,
            )
        },
    );
    proptest::collection::vec(fix, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Crash after any batch, restart from what is stored: the same values.
    #[test]
    fn a_restart_changes_nothing(all in fixes(), cut in 0.0..1.0f64) {
        let slot = 0;
        let origin = |offset: usize| Origin { slot, offset: offset as i64, appended_at_us: NOW_US + 3600 * SECOND_US };
        let cut = (all.len() as f64 * cut) as usize;

        let mut whole = Store::default();
        let mut state = city();
        for (offset, event) in all.iter().enumerate() {
            state.fold(event.clone(), origin(offset), NOW_US);
            whole.apply(state.drain(NOW_US));
        }

        let mut broken = Store::default();
        let mut state = city();
        for (offset, event) in all.iter().enumerate() {
            if offset == cut {
                state = broken.restart();
            }
            state.fold(event.clone(), origin(offset), NOW_US);
            broken.apply(state.drain(NOW_US));
        }
        let visible = |store: &Store| -> BTreeMap<(Kind, String), Bytes> {
            store.values.iter().filter(|((kind, _), _)| *kind != Kind::CitySummary).map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        prop_assert_eq!(visible(&whole), visible(&broken));
    }
}
