//! Enter, exit and dwell of one device.

use std::sync::Arc;

use events::Location;
use fences::{Fence, FenceEvent, FenceEventKind, FenceIndex, FenceState, Fix};
use proptest::prelude::*;
use serde_json::{Value, json};

const SECOND: i64 = 1_000_000;
const HOME: [f64; 2] = [12.0, 57.7];
const AWAY: [f64; 2] = [12.1, 57.7];

fn fence(id: &str, more: Value) -> Arc<Fence> {
    let mut document = json!({
        "id": id, "name": id,
        "shape": {"type": "circle", "center": HOME, "radius_m": 500}
    });
    document
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    Arc::new(Fence::from_json(document.to_string().as_bytes()).unwrap())
}

fn index(fences: &[(&str, Value)]) -> FenceIndex {
    let mut index = FenceIndex::default();
    for (id, more) in fences {
        index.put(fence(id, more.clone()), 0).unwrap();
    }
    index
}

fn fix<'a>(device_id: &'a str, at: [f64; 2], at_us: i64) -> Fix<'a> {
    Fix {
        device_id,
        vehicle_type: Some("Taxi"),
        location: Location {
            longitude: at[0],
            latitude: at[1],
        },
        at_us,
        appended_at_us: at_us,
    }
}

/// Observes and says what happened, like `enter a`.
fn observe(state: &mut FenceState, index: &FenceIndex, fix: &Fix<'_>) -> Vec<String> {
    let mut events: Vec<FenceEvent> = Vec::new();
    state.observe(index, fix, &mut Vec::new(), &mut events);
    let text = |event: &FenceEvent| format!("{} {}", event.kind.name(), event.fence_id);
    events.iter().map(text).collect()
}

#[test]
fn a_device_enters_dwells_once_and_exits() {
    let index = index(&[("a", json!({"dwell_s": 60}))]);
    let mut state = FenceState::default();
    let mut at =
        |place, second: i64| observe(&mut state, &index, &fix("car", place, second * SECOND));
    assert!(at(AWAY, 0).is_empty());
    assert_eq!(at(HOME, 10), ["enter a"]);
    assert!(at(HOME, 69).is_empty());
    assert_eq!(at(HOME, 70), ["dwell a"]);
    assert!(at(HOME, 500).is_empty());
    assert_eq!(at(AWAY, 510), ["exit a"]);
    assert!(at(AWAY, 520).is_empty());
    assert_eq!(at(HOME, 530), ["enter a"]);
}

#[test]
fn an_event_says_when_the_stay_began() {
    let index = index(&[("a", json!({}))]);
    let mut state = FenceState::default();
    let mut events = Vec::new();
    for (place, second) in [(HOME, 3), (HOME, 4), (AWAY, 9)] {
        let fix = fix("car", place, second * SECOND);
        state.observe(&index, &fix, &mut Vec::new(), &mut events);
    }
    let exit = events.last().unwrap();
    assert_eq!(exit.kind, FenceEventKind::Exit);
    assert_eq!((exit.since_us, exit.at_us), (3 * SECOND, 9 * SECOND));
}

#[test]
fn types_and_times_decide_whom_a_fence_watches() {
    let night = json!({"schedule": {"intervals": [{"from": "00:10", "to": "00:20"}]}});
    let index = index(&[
        ("buses", json!({"vehicle_types": ["bus"]})),
        ("taxis", json!({"vehicle_types": ["bus", "TAXI"]})),
        ("night", night),
        ("off", json!({"enabled": false})),
    ]);
    let mut state = FenceState::default();
    let mut at = |minute: i64| observe(&mut state, &index, &fix("car", HOME, minute * 60 * SECOND));
    assert_eq!(at(0), ["enter taxis"]);
    assert_eq!(at(10), ["enter night"]);
    assert!(at(19).is_empty());
    assert_eq!(at(20), ["exit night"]);
}

#[test]
fn changes_meet_devices_that_are_inside() {
    let mut index = index(&[("a", json!({})), ("b", json!({}))]);
    let mut state = FenceState::default();
    assert_eq!(
        observe(&mut state, &index, &fix("car", HOME, SECOND)),
        ["enter a", "enter b"]
    );
    // Renamed and larger: the stay goes on.
    let larger = json!({"name": "x", "shape": {"type": "circle", "center": HOME, "radius_m": 900}});
    index.put(fence("a", larger), 2 * SECOND).unwrap();
    assert!(index.remove("b"));
    assert_eq!(
        observe(&mut state, &index, &fix("car", HOME, 3 * SECOND)),
        ["exit b"]
    );
    let elsewhere = json!({"shape": {"type": "circle", "center": AWAY, "radius_m": 900}});
    index.put(fence("a", elsewhere), 4 * SECOND).unwrap();
    // Appended before the change: decided as it was when it came.
    assert!(observe(&mut state, &index, &fix("car", HOME, 3 * SECOND)).is_empty());
    assert_eq!(
        observe(&mut state, &index, &fix("car", HOME, 5 * SECOND)),
        ["exit a"]
    );
}

#[test]
fn a_moving_fence_goes_with_its_vehicle_and_never_holds_it() {
    let around = json!({"shape": {"type": "around", "device_id": "bus", "radius_m": 300}});
    let mut index = index(&[("m", around)]);
    let (mut car, mut bus) = (FenceState::default(), FenceState::default());
    assert!(index.is_anchor("bus") && !index.is_anchor("car"));
    assert!(observe(&mut car, &index, &fix("car", HOME, SECOND)).is_empty());
    let place = |at: [f64; 2]| Location {
        longitude: at[0],
        latitude: at[1],
    };
    index.move_anchor("bus", place(HOME));
    assert!(observe(&mut bus, &index, &fix("bus", HOME, 2 * SECOND)).is_empty());
    assert_eq!(
        observe(&mut car, &index, &fix("car", HOME, 2 * SECOND)),
        ["enter m"]
    );
    index.move_anchor("bus", place(AWAY));
    assert_eq!(
        observe(&mut car, &index, &fix("car", HOME, 3 * SECOND)),
        ["exit m"]
    );
    assert_eq!(
        observe(&mut car, &index, &fix("car", AWAY, 4 * SECOND)),
        ["enter m"]
    );
    index.remove("m");
    assert!(!index.is_anchor("bus"));
}

proptest! {
    /// Encoded and decoded at any moment, the same happens as without.
    #[test]
    fn a_restart_at_any_fix_changes_nothing(
        mut fixes in proptest::collection::vec((11.95..12.05f64, 57.68..57.72f64, 0i64..600), 1..60),
        restart in any::<proptest::sample::Index>(),
    ) {
        let index = index(&[
            ("a", json!({"dwell_s": 30})),
            ("b", json!({"shape": {"type": "circle", "center": [12.01, 57.7], "radius_m": 1500}, "dwell_s": 90})),
            ("c", json!({"shape": {"type": "corridor", "line": [[11.95, 57.69], [12.05, 57.71]], "width_m": 400}})),
        ]);
        let (mut one, mut other) = (FenceState::default(), FenceState::default());
        fixes.sort_by_key(|fix| fix.2);
        let restart = restart.index(fixes.len());
        for (number, (x, y, second)) in fixes.into_iter().enumerate() {
            if number == restart {
                other = FenceState::decode(&other.encode()).unwrap();
            }
            let fix = fix("car", [x, y], second * SECOND);
            let events = observe(&mut one, &index, &fix);
            prop_assert_eq!(&events, &observe(&mut other, &index, &fix));
        }
        prop_assert_eq!(one, other);
    }
}

#[test]
fn bytes_of_something_else_are_refused() {
    let bytes = FenceState::default().encode();
    assert!(FenceState::decode(&bytes).is_some());
    assert!(FenceState::decode(&bytes[..bytes.len() - 1]).is_none());
    assert!(FenceState::decode(b"{}").is_none());
    assert!(FenceState::decode(&[]).is_none());
}
