//! What fences say of the folded records, whatever restarts lie between.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use events::{Event, Gps, Location, Stream, TopicPartition, Vehicle};
use fences::Fence;
use proptest::prelude::*;
use rules::{AlertStep, RuleSet, Status};
use serde_json::json;
use streets::StreetNetwork;

use super::{Slot, State};
use crate::config::SpeedConfig;

const NOW_US: i64 = 1_700_000_000_000_000;
const SECOND_US: i64 = 1_000_000;
const INSIDE: f64 = 11.97;
const OUTSIDE: f64 = 11.98;

fn new_state() -> State {
    static STREETS: OnceLock<Arc<StreetNetwork>> = OnceLock::new();
    let streets = STREETS.get_or_init(StreetNetwork::gothenburg).clone();
    let mut state = State::new(streets, SpeedConfig::default());
    state.set_rules(RuleSet::with_built_in([]).into());
    for (id, shape) in [
        (
            "yard",
            json!({"type": "circle", "center": [INSIDE, 57.7], "radius_m": 200}),
        ),
        (
            "guard",
            json!({"type": "around", "device_id": "t9", "radius_m": 100}),
        ),
    ] {
        let document = json!({"id": id, "name": id, "shape": shape, "dwell_s": 120});
        let fence = Fence::from_json(document.to_string().as_bytes()).unwrap();
        state.fences_mut().put(Arc::new(fence), 0).unwrap();
    }
    state
}

fn fix(device: usize, at_s: i64, longitude: f64) -> Event {
    Event {
        id: format!("{device}-{at_s}").into(),
        device_id: format!("t{device}").into(),
        timestamp_us: NOW_US + at_s * SECOND_US,
        extra: None,
        body: events::Body::Gps(Gps {
            location: Location {
                latitude: 57.7,
                longitude,
            },
            speed_kmh: 20.0,
            ..Gps::default()
        }),
    }
}

fn fold(state: &mut State, slot: Slot, events: &[Event], from: usize) -> Vec<AlertStep> {
    for (index, event) in events.iter().enumerate() {
        let offset = (from + index) as i64;
        state.fold(slot, event.clone(), offset, event.timestamp_us);
    }
    state.take_alert_steps()
}

/// Rule, subject and status of the steps that are about fences.
fn told(steps: &[AlertStep]) -> Vec<String> {
    let fenced = steps
        .iter()
        .filter(|step| step.rule.starts_with("geofence"));
    let text = |step: &AlertStep| format!("{} {} {:?}", step.rule, step.subject, step.status);
    fenced.map(text).collect()
}

#[test]
fn a_vehicle_that_enters_stays_and_leaves_raises_and_clears() {
    let mut state = new_state();
    let slot = state.assign(&TopicPartition::new("gps_data", 0), Stream::GpsData, &[]);
    let drive = [
        fix(0, 0, OUTSIDE),
        fix(0, 60, INSIDE),
        fix(0, 120, INSIDE),
        fix(0, 190, INSIDE),
        fix(0, 260, OUTSIDE),
    ];
    let told = told(&fold(&mut state, slot, &drive, 0));
    let raised = format!("{:?}", Status::Raised);
    let cleared = format!("{:?}", Status::Cleared);
    for (rule, status) in [
        ("geofence-enter", &raised),
        ("geofence-dwell", &raised),
        ("geofence-enter", &cleared),
        ("geofence-exit", &raised),
    ] {
        let wanted = format!("{rule} yard:t0 {status}");
        assert!(told.contains(&wanted), "{wanted} is not in {told:?}");
    }
}

#[test]
fn what_went_on_at_a_fence_that_is_gone_is_over_without_another_fix() {
    let id = TopicPartition::new("gps_data", 0);
    let mut state = new_state();
    let slot = state.assign(&id, Stream::GpsData, &[]);
    let drive = [
        fix(0, 0, INSIDE),
        fix(1, 1, INSIDE),
        fix(1, 20, OUTSIDE),
        fix(0, 130, INSIDE),
    ];
    fold(&mut state, slot, &drive, 0);
    let mut cells: BTreeMap<String, Bytes> = BTreeMap::new();
    for cell in state.checkpoint(slot, NOW_US) {
        cells.extend(cell.value.map(|value| (cell.key, value)));
    }
    let cells: Vec<_> = cells.into_iter().collect();
    state.end_unwatched_fences();
    assert!(state.take_alert_steps().is_empty(), "all are watched");

    state.fences_mut().remove("yard");
    state.end_unwatched_fences();
    let steps = state.take_alert_steps();
    let cleared = format!("{:?}", Status::Cleared);
    let of = |rule: &str, device: &str| format!("geofence-{rule} yard:{device} {cleared}");
    assert_eq!(
        told(&steps),
        [of("dwell", "t0"), of("enter", "t0"), of("exit", "t1")]
    );
    state.end_unwatched_fences();
    assert!(state.take_alert_steps().is_empty(), "once");
    // A fix where it was says nothing more.
    assert!(told(&fold(&mut state, slot, &[fix(0, 140, INSIDE)], 4)).is_empty());

    // Another that finds it gone when it starts says the same steps.
    let mut next = new_state();
    next.fences_mut().remove("yard");
    next.assign(&id, Stream::GpsData, &cells);
    let again = next.take_alert_steps();
    let ids = |steps: &[AlertStep]| steps.iter().map(AlertStep::event_id).collect::<Vec<_>>();
    let (mut first, mut second) = (ids(&steps), ids(&again));
    first.sort_unstable();
    second.sort_unstable();
    assert_eq!(first, second);
}

#[test]
fn a_fence_that_is_switched_off_ends_what_went_on_there() {
    let mut state = new_state();
    let slot = state.assign(&TopicPartition::new("gps_data", 0), Stream::GpsData, &[]);
    fold(&mut state, slot, &[fix(0, 0, INSIDE)], 0);
    let document = json!({"id": "yard", "name": "Yard", "enabled": false,
        "shape": {"type": "circle", "center": [INSIDE, 57.7], "radius_m": 200}});
    let fence = Fence::from_json(document.to_string().as_bytes()).unwrap();
    state.fences_mut().put(Arc::new(fence), 0).unwrap();
    state.end_unwatched_fences();
    assert_eq!(
        told(&state.take_alert_steps()),
        [format!("geofence-enter yard:t0 {:?}", Status::Cleared)]
    );
}

#[test]
fn a_fence_that_is_gone_ends_its_own_alerts_whatever_colons_ids_have() {
    let add = |state: &mut State, id: &str| {
        let document = json!({"id": id, "name": "Yard",
            "shape": {"type": "circle", "center": [INSIDE, 57.7], "radius_m": 200}});
        let fence = Fence::from_json(document.to_string().as_bytes()).unwrap();
        state.fences_mut().put(Arc::new(fence), 0).unwrap();
    };
    let mut state = new_state();
    add(&mut state, "yard:1");
    add(&mut state, "yard:1:2");
    let id = TopicPartition::new("gps_data", 0);
    let slot = state.assign(&id, Stream::GpsData, &[]);
    let colons = Event {
        device_id: "a:b".into(),
        ..fix(0, 0, INSIDE)
    };
    fold(&mut state, slot, &[fix(0, 0, INSIDE), colons], 0);
    let cells = state.checkpoint(slot, NOW_US).into_iter();
    let cells: Vec<_> = cells
        .filter_map(|cell| Some((cell.key, cell.value?)))
        .collect();
    // The others stay: whose id begins like theirs, and whose theirs begin like.
    state.fences_mut().remove("yard:1");
    state.end_unwatched_fences();
    let cleared = format!("{:?}", Status::Cleared);
    let of = |device: &str| format!("geofence-enter yard:1:{device} {cleared}");
    assert_eq!(told(&state.take_alert_steps()), [of("a:b"), of("t0")]);

    let mut next = new_state();
    add(&mut next, "yard:1");
    next.assign(&id, Stream::GpsData, &cells);
    assert_eq!(told(&next.take_alert_steps()), [of("2:a:b"), of("2:t0")]);
}

#[test]
fn a_fence_for_cars_watches_connected_vehicles() {
    let mut state = new_state();
    let document = json!({"id": "cars", "name": "Cars", "vehicle_types": ["car"],
        "shape": {"type": "circle", "center": [INSIDE, 57.7], "radius_m": 200}});
    let fence = Fence::from_json(document.to_string().as_bytes()).unwrap();
    state.fences_mut().put(Arc::new(fence), 0).unwrap();
    let topic = TopicPartition::new("vehicle_data", 0);
    let slot = state.assign(&topic, Stream::VehicleData, &[]);
    let car = |at_s: i64, longitude: f64| {
        let location = Location {
            latitude: 57.7,
            longitude,
        };
        let vehicle = Vehicle {
            location,
            ..Vehicle::default()
        };
        Event {
            body: events::Body::Vehicle(vehicle),
            ..fix(1, at_s, longitude)
        }
    };
    let told = told(&fold(
        &mut state,
        slot,
        &[car(0, OUTSIDE), car(60, INSIDE)],
        0,
    ));
    let wanted = format!("geofence-enter cars:t1 {:?}", Status::Raised);
    assert!(told.contains(&wanted), "{wanted} is not in {told:?}");
}

#[test]
fn a_fence_around_a_vehicle_goes_with_it() {
    let mut state = new_state();
    let slot = state.assign(&TopicPartition::new("gps_data", 0), Stream::GpsData, &[]);
    let drive = [
        fix(9, 0, 11.90),
        fix(0, 1, 11.93),
        fix(9, 120, 11.93),
        fix(0, 121, 11.93),
    ];
    let told = told(&fold(&mut state, slot, &drive, 0));
    assert_eq!(
        told,
        [format!("geofence-enter guard:t0 {:?}", Status::Raised)]
    );
    // Folded here a moment ago: nobody has to be asked where it is.
    assert!(state.unseen_anchors().is_empty());
    assert_eq!(state.unseen_anchors(), ["t9"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_crash_anywhere_says_the_same(
        steps in proptest::collection::vec((0..3_usize, 20..200_i64, any::<bool>()), 1..50),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 2),
    ) {
        let mut now_s = 0;
        let events: Vec<Event> = steps
            .into_iter()
            .map(|(device, after_s, is_in)| {
                now_s += after_s;
                fix(device, now_s, if is_in { INSIDE } else { OUTSIDE })
            })
            .collect();
        let id = TopicPartition::new("gps_data", 0);
        let mut whole = new_state();
        let slot = whole.assign(&id, Stream::GpsData, &[]);
        let expected: Vec<_> = fold(&mut whole, slot, &events, 0).iter().map(AlertStep::event_id).collect();

        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.index(events.len() + 1)).collect();
        cuts.sort_unstable();
        let mut first = new_state();
        let slot = first.assign(&id, Stream::GpsData, &[]);
        let mut said = fold(&mut first, slot, &events[..cuts[0]], 0);
        let mut cells: BTreeMap<String, Bytes> = BTreeMap::new();
        for cell in first.checkpoint(slot, NOW_US) {
            match cell.value {
                Some(value) => cells.insert(cell.key, value),
                None => cells.remove(&cell.key),
            };
        }
        said.extend(fold(&mut first, slot, &events[cuts[0]..cuts[1]], cuts[0]));
        let cells: Vec<_> = cells.into_iter().collect();
        let mut second = new_state();
        let slot = second.assign(&id, Stream::GpsData, &cells);
        let mut ids: Vec<_> = said.iter().map(AlertStep::event_id).collect();
        for step in fold(&mut second, slot, &events[cuts[0]..], cuts[0]) {
            if !ids.contains(&step.event_id()) {
                ids.push(step.event_id());
            }
        }
        prop_assert_eq!(ids, expected);
    }
}
