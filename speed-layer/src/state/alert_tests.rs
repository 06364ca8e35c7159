//! What rules say of the folded records, whatever restarts lie between.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use events::{Body, Event, Gps, Incident, Location, Stream, TopicPartition};
use hot_store::Kind;
use proptest::prelude::*;
use rules::{AlertStep, Rule, RuleDocument, RuleSet, Status};
use serde_json::{Value, json};
use streets::StreetNetwork;

use super::{Observation, Slot, State};
use crate::config::SpeedConfig;

const NOW_US: i64 = 1_700_000_000_000_000;
const SECOND_US: i64 = 1_000_000;

fn rule_set() -> Arc<RuleSet> {
    let document = json!({
        "id": "fast", "name": "Fast", "source": {"stream": "gps_data", "field": "speed"},
        "comparison": ">", "threshold": 60, "clear_threshold": 50, "hold_s": 10, "severity": "High"
    });
    let document = RuleDocument::from_value(&document).unwrap();
    RuleSet::with_built_in([Arc::new(Rule::new(document).unwrap())]).into()
}

fn new_state() -> State {
    static STREETS: OnceLock<Arc<StreetNetwork>> = OnceLock::new();
    let streets = STREETS.get_or_init(StreetNetwork::gothenburg).clone();
    let mut state = State::new(streets, SpeedConfig::default());
    state.set_rules(rule_set());
    state
}

fn fix(device: usize, at_s: i64, speed_kmh: f64) -> Event {
    let gps = Gps {
        location: Location {
            // Device 9 is in the fields, where no street has a limit.
            latitude: if device == 9 {
                57.2
            } else {
                57.7 + device as f64 / 100.0
            },
            longitude: 11.97,
        },
        speed_kmh,
        ..Gps::default()
    };
    Event {
        id: format!("{device}-{at_s}-{speed_kmh}").into(),
        device_id: format!("t{device}").into(),
        timestamp_us: NOW_US + at_s * SECOND_US,
        extra: None,
        body: Body::Gps(gps),
    }
}

fn fold(state: &mut State, slot: Slot, events: &[Event], from: usize) -> Vec<AlertStep> {
    for (index, event) in events.iter().enumerate() {
        let offset = (from + index) as i64;
        state.fold(slot, event.clone(), offset, event.timestamp_us);
    }
    state.take_alert_steps()
}

/// Cells as the checkpoints leave them.
#[derive(Default)]
struct Cells(BTreeMap<String, Bytes>);

impl Cells {
    fn checkpoint(&mut self, state: &mut State, slot: Slot) {
        for cell in state.checkpoint(slot, NOW_US) {
            match cell.value {
                Some(value) => self.0.insert(cell.key, value),
                None => self.0.remove(&cell.key),
            };
        }
    }

    fn all(&self) -> Vec<(String, Bytes)> {
        let cells = self.0.iter();
        cells
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

fn history() -> impl Strategy<Value = Vec<Event>> {
    let step = (
        0..3_usize,
        prop_oneof![0..20_i64, 0..700_i64],
        0.0..120.0_f64,
    );
    prop::collection::vec(step, 1..60).prop_map(|steps| {
        let mut now_s = 0;
        let events = steps.into_iter().map(|(device, after_s, speed_kmh)| {
            now_s += after_s;
            fix(device, now_s, speed_kmh.round())
        });
        events.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_crash_anywhere_says_the_same_alerts(events in history(), cuts in prop::collection::vec(0..60_usize, 2)) {
        let id = TopicPartition::new("gps_data", 0);
        let mut whole = new_state();
        let slot = whole.assign(&id, Stream::GpsData, &[]);
        let expected: Vec<_> = fold(&mut whole, slot, &events, 0).iter().map(AlertStep::event_id).collect();

        // Folds to `crash`, with a checkpoint at `saved`; another goes on from there.
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(events.len())).collect();
        cuts.sort_unstable();
        let (saved, crash) = (cuts[0], cuts[1]);
        let mut first = new_state();
        let slot = first.assign(&id, Stream::GpsData, &[]);
        let mut said = fold(&mut first, slot, &events[..saved], 0);
        let mut cells = Cells::default();
        cells.checkpoint(&mut first, slot);
        said.extend(fold(&mut first, slot, &events[saved..crash], saved));
        let mut second = new_state();
        let slot = second.assign(&id, Stream::GpsData, &cells.all());
        let mut ids: Vec<_> = said.iter().map(AlertStep::event_id).collect();
        for step in fold(&mut second, slot, &events[saved..], saved) {
            if !ids.contains(&step.event_id()) {
                ids.push(step.event_id());
            }
        }
        prop_assert_eq!(ids, expected);
    }
}

fn value(state: &mut State) -> Option<Value> {
    let mut updates = state.drain_alerts(NOW_US);
    let update = updates.pop()?;
    assert!(updates.is_empty() && update.kind == Kind::Alert);
    serde_json::from_slice(&update.value?).ok()
}

#[test]
fn what_is_shown_of_an_alert_follows_from_its_topic_alone() {
    let fixes = TopicPartition::new("gps_data", 0);
    let mut state = new_state();
    let slot = state.assign(&fixes, Stream::GpsData, &[]);
    let events = [fix(9, 0, 90.0), fix(9, 15, 90.0), fix(9, 30, 20.0)];
    let steps = fold(&mut state, slot, &events, 0);
    let statuses: Vec<Status> = steps.iter().map(|step| step.status).collect();
    assert_eq!(statuses, [Status::Raised, Status::Cleared]);

    let alerts = TopicPartition::new("alerts", 0);
    let slot = state.assign(&alerts, Stream::Alerts, &[]);
    fold(&mut state, slot, &[steps[0].to_event()], 0);
    let raised = value(&mut state).expect("shown");
    assert_eq!(
        (&raised["status"], &raised["subject"]),
        (&json!("raised"), &json!("t9"))
    );
    assert_eq!(state.active_alerts(), 1);
    let known = rules::AlertState::from_json(raised.to_string().as_bytes()).expect("an alert");
    let seen = known.acknowledgement("e", "me", None, NOW_US);
    fold(&mut state, slot, &[seen], 1);
    assert_eq!(value(&mut state).expect("shown")["acknowledged_by"], "me");

    let mut cells = Cells::default();
    cells.checkpoint(&mut state, slot);
    let mut next = new_state();
    let slot = next.assign(&alerts, Stream::Alerts, &cells.all());
    assert_eq!(value(&mut next), None);
    fold(&mut next, slot, &[steps[1].to_event()], 2);
    let cleared = value(&mut next).expect("shown");
    assert_eq!(
        (&cleared["status"], &cleared["acknowledged_by"]),
        (&json!("cleared"), &json!("me"))
    );
    assert_eq!(next.active_alerts(), 0);
}

#[test]
fn the_last_device_of_a_partition_falls_silent_by_the_clock() {
    let id = TopicPartition::new("gps_data", 0);
    let mut state = new_state();
    let slot = state.assign(&id, Stream::GpsData, &[]);
    let look = |state: &mut State, at_s: i64| {
        let observation = Observation {
            at_us: NOW_US + at_s * SECOND_US,
            ends: [(id.clone(), 1)].into(),
            ..Observation::default()
        };
        state.observe(observation, true);
        state.pass_idle_time();
        state.take_alert_steps()
    };
    assert!(fold(&mut state, slot, &[fix(1, 0, 30.0)], 0).is_empty());
    state.reached(slot, 1);
    assert!(look(&mut state, 1).is_empty());
    let silent_us = NOW_US + 600 * SECOND_US;
    assert!(
        state.alerts_said_until_us() < silent_us,
        "that is still to come"
    );
    // Silent for 600 s; 60 s are waited for what is late, 10 s until it counts as idle.
    assert!(look(&mut state, 660).is_empty());
    assert!(state.alerts_said_until_us() < silent_us);
    let steps = look(&mut state, 700);
    assert_eq!(steps[0].at_us, silent_us);
    assert!(state.alerts_said_until_us() >= silent_us);
    let told: Vec<_> = steps.iter().map(|s| (&*s.rule, &*s.subject)).collect();
    assert_eq!(told, [("device-silent", "t1")]);
    assert!(look(&mut state, 800).is_empty(), "once");
    // Two days later the alert is given up and the device forgotten: nothing is to come.
    look(&mut state, 2 * 86_400);
    assert_eq!(state.alerts_said_until_us(), i64::MAX);

    // A process that was not there meanwhile cannot tell.
    let mut cells = Cells::default();
    let mut before = new_state();
    let slot = before.assign(&id, Stream::GpsData, &[]);
    fold(&mut before, slot, &[fix(1, 0, 30.0)], 0);
    cells.checkpoint(&mut before, slot);
    let mut state = new_state();
    let slot = state.assign(&id, Stream::GpsData, &cells.all());
    state.reached(slot, 1);
    assert!(look(&mut state, 7_200).is_empty());
    assert!(look(&mut state, 7_300).is_empty());
    assert_eq!(look(&mut state, 7_900).len(), 1);
}

#[test]
fn the_last_windows_of_a_recording_are_judged_by_the_clock() {
    let document = json!({
        "id": "busy", "name": "Busy", "severity": "Low", "comparison": ">", "threshold": 10,
        "source": {"window": "city", "aggregate": "mean", "size": "5m"},
    });
    let rule = Rule::new(RuleDocument::from_value(&document).unwrap()).unwrap();
    let rules = Arc::new(RuleSet::new([Arc::new(rule)]));
    let id = TopicPartition::new("gps_data", 0);
    let start = |cells: &[(String, Bytes)], city: &[(String, Bytes)]| {
        let mut state = new_state();
        state.set_rules(rules.clone());
        state.restore_combined(city);
        let slot = state.assign(&id, Stream::GpsData, cells);
        (state, slot)
    };
    let look = |state: &mut State, at_s: i64, end: i64| {
        let observation = Observation {
            at_us: NOW_US + at_s * SECOND_US,
            ends: [(id.clone(), end)].into(),
            ..Observation::default()
        };
        state.observe(observation, true);
        let steps = state.combine(NOW_US).into_iter();
        steps
            .map(|step| (step.status, step.at_us))
            .collect::<Vec<_>>()
    };
    let (mut state, slot) = start(&[], &[]);
    fold(&mut state, slot, &[fix(1, 0, 30.0)], 0);
    state.reached(slot, 1);
    // The window ends after 100 s; 60 s are waited for what is late, 10 s until the
    // partition counts as idle.
    assert_eq!(look(&mut state, 165, 1), []);
    let raised = [(Status::Raised, NOW_US + 100 * SECOND_US)];
    assert_eq!(look(&mut state, 175, 1), raised);
    assert_eq!(look(&mut state, 185, 1), [], "once");

    // It goes on: the window has been judged, the next one has not.
    let goes_on = [fix(1, 60, 90.0), fix(1, 130, 5.0), fix(1, 700, 5.0)];
    let mut cells = Cells::default();
    cells.checkpoint(&mut state, slot);
    let city = state.combined_cells(&id).into_iter();
    let city: Vec<_> = city
        .filter_map(|cell| Some((cell.key, cell.value?)))
        .collect();
    let (mut state, slot) = start(&cells.all(), &city);
    fold(&mut state, slot, &goes_on, 1);
    state.reached(slot, 4);
    let cleared = [(Status::Cleared, NOW_US + 400 * SECOND_US)];
    assert_eq!(look(&mut state, 186, 4), cleared);
}

#[test]
fn rules_are_changed_while_records_are_folded() {
    let fixes = TopicPartition::new("gps_data", 0);
    let mut state = new_state();
    let slot = state.assign(&fixes, Stream::GpsData, &[]);
    assert_eq!(
        fold(&mut state, slot, &[fix(9, 0, 90.0), fix(9, 15, 90.0)], 0).len(),
        1
    );
    state.set_rules(Arc::new(RuleSet::with_built_in([])));
    let steps = state.take_alert_steps();
    assert_eq!(
        steps.iter().map(|step| step.status).collect::<Vec<_>>(),
        [Status::Cleared]
    );
}

#[test]
fn reports_of_one_incident_from_two_partitions_are_merged() {
    let mut state = new_state();
    for number in 0..2 {
        let id = TopicPartition::new("emergency_incident_data", number);
        let slot = state.assign(&id, Stream::EmergencyIncidentData, &[]);
        let incident = Incident {
            incident_id: format!("i{number}").into(),
            incident_type: "Fire".into(),
            status: "Active".into(),
            location: Location {
                latitude: 57.7,
                longitude: 11.97,
            },
            ..Incident::default()
        };
        let event = Event {
            body: Body::Incident(Box::new(incident)),
            ..fix(1, i64::from(number), 0.0)
        };
        fold(&mut state, slot, &[event], 0);
    }
    let said = state.combine(NOW_US);
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].rule, "merged-incidents");
    assert_eq!(said[0].sources, ["i0", "i1"]);
    assert!(state.combine(NOW_US).is_empty());
}

#[test]
fn rules_over_fixes_know_the_free_flow_that_was_learned() {
    let streets = StreetNetwork::gothenburg();
    let segment = &streets.segments()[0];
    let middle = segment.line[segment.line.len() / 2];
    let document = json!({
        "id": "slow", "name": "Slow", "severity": "Low", "comparison": "<", "threshold": 0.9,
        "source": {"stream": "gps_data", "field": "free_flow / speed_limit"},
    });
    let rule = Rule::new(RuleDocument::from_value(&document).unwrap()).unwrap();
    let mut learned = streets::FreeFlow::new(streets.clone());
    for minute in 0..600 {
        let index = streets.by_id(&segment.id).unwrap();
        learned.observe(index, 1.0, minute * 60 * SECOND_US);
    }
    // Of every street: whichever the fix is matched to.
    let (_, bytes) = learned.drain_changed().remove(0);
    let bytes = Bytes::from(bytes);
    let cells = streets.segments().iter();
    let cells: Vec<_> = cells.map(|of| (of.id.to_string(), bytes.clone())).collect();
    let said = |cells: &[(String, Bytes)]| {
        let mut state = new_state();
        state.set_rules(Arc::new(RuleSet::new([Arc::new(rule.clone())])));
        let id = TopicPartition::new("gps_data", 0);
        let slot = state.assign(&id, Stream::GpsData, &[]);
        state.restore_learned(cells);
        let mut event = fix(1, 0, 30.0);
        if let Body::Gps(gps) = &mut event.body {
            gps.location = middle;
        }
        fold(&mut state, slot, &[event], 0).len()
    };
    assert_eq!(said(&[]), 0, "it is the limit");
    assert_eq!(said(&cells), 1);
}
