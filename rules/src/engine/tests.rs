use std::collections::BTreeSet;

use bytes::Bytes;
use events::aggregate::Aggregate;
use events::window::{Pane, WindowKind};
use events::{Body, Gps, Incident, Weather};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::fact::{FenceTransition, SegmentFact};
use crate::{Rule, RuleDocument};

const SECOND_US: i64 = 1_000_000;
/// A minute boundary.
const START_US: i64 = 1_767_225_600_000_000;

fn rule(document: Value) -> Arc<Rule> {
    let document = RuleDocument::from_value(&document).expect("a document");
    Arc::new(Rule::new(document).expect("a valid rule"))
}

fn speed_rule(id: &str, hold_s: f64) -> Arc<Rule> {
    rule(json!({
        "id": id, "name": "Fast", "source": {"stream": "gps_data", "field": "speed"},
        "comparison": ">", "threshold": 50, "clear_threshold": 40, "hold_s": hold_s, "severity": "High"
    }))
}

fn engine(rules: impl IntoIterator<Item = Arc<Rule>>) -> Engine {
    Engine::new(Arc::new(RuleSet::new(rules)))
}

fn of_platform() -> Engine {
    Engine::new(Arc::new(RuleSet::with_built_in([])))
}

fn gps(device: &str, at_s: i64, speed_kmh: f64) -> Event {
    Event {
        id: "e".into(),
        device_id: device.into(),
        timestamp_us: START_US + at_s * SECOND_US,
        extra: None,
        body: Body::Gps(Gps {
            speed_kmh,
            location: Location {
                latitude: 57.7,
                longitude: 11.97,
            },
            vehicle_type: Some("taxi".into()),
            ..Gps::default()
        }),
    }
}

fn fix(engine: &mut Engine, event: &Event, limit_kmh: Option<f64>) -> Vec<AlertStep> {
    let mut out = Vec::new();
    let segment = limit_kmh.map(|limit_kmh| SegmentFact {
        id: "w1-0",
        limit_kmh,
        free_flow_kmh: limit_kmh,
    });
    engine.on_fix(&Fix { event, segment }, &mut out);
    out
}

fn told(steps: &[AlertStep]) -> Vec<(&str, &str, Status)> {
    steps
        .iter()
        .map(|step| (step.rule.as_str(), step.subject.as_str(), step.status))
        .collect()
}

#[test]
fn an_alert_is_raised_updated_and_cleared_under_one_id() {
    let mut engine = engine([speed_rule("fast", 10.0)]);
    let mut steps = Vec::new();
    for (at_s, speed) in [
        (0, 30.0),
        (5, 60.0),
        (10, 61.0),
        (15, 62.0),
        (20, 45.0),
        (80, 90.0),
        (90, 40.0),
        (95, 39.0),
    ] {
        steps.extend(fix(&mut engine, &gps("t1", at_s, speed), None));
    }
    let statuses: Vec<_> = steps
        .iter()
        .map(|step| (step.status, (step.at_us - START_US) / SECOND_US))
        .collect();
    assert_eq!(
        statuses,
        [
            (Status::Raised, 15),
            (Status::Updated, 80),
            (Status::Cleared, 90)
        ]
    );
    assert!(steps.iter().all(|step| step.alert_id == steps[0].alert_id));
    assert_eq!(steps[0].started_at_us, START_US + 5 * SECOND_US);
    assert_eq!(&*steps[0].message, "Fast: t1 is at 62, threshold 50");
    assert_eq!(engine.episodes(), 0);
    // Another episode is another alert.
    fix(&mut engine, &gps("t1", 200, 60.0), None);
    let again = fix(&mut engine, &gps("t1", 210, 60.0), None);
    assert_ne!(again[0].alert_id, steps[0].alert_id);
}

#[test]
fn speeding_is_measured_against_the_limit_of_the_street() {
    let mut engine = of_platform();
    assert!(fix(&mut engine, &gps("t1", 0, 59.0), Some(50.0)).is_empty());
    fix(&mut engine, &gps("t1", 10, 66.0), Some(50.0));
    let raised = fix(&mut engine, &gps("t1", 15, 66.0), Some(50.0));
    assert_eq!(told(&raised), [("overspeed", "t1", Status::Raised)]);
    assert_eq!(
        (raised[0].value, raised[0].threshold),
        (Some(66.0), Some(60.0))
    );
    // Off the streets nothing is known.
    assert!(fix(&mut engine, &gps("t1", 20, 10.0), None).is_empty());
    let cleared = fix(&mut engine, &gps("t1", 25, 52.0), Some(50.0));
    assert_eq!(told(&cleared), [("overspeed", "t1", Status::Cleared)]);
    // 28 km/h in a 20 zone is over by the share, not by the margin.
    fix(&mut engine, &gps("t2", 0, 28.0), Some(20.0));
    assert!(fix(&mut engine, &gps("t2", 30, 28.0), Some(20.0)).is_empty());
}

#[test]
fn a_silent_device_is_noticed_and_heard_again() {
    let mut engine = of_platform();
    let mut out = Vec::new();
    fix(&mut engine, &gps("t1", 0, 30.0), None);
    engine.on_time(START_US + 599 * SECOND_US, &mut out);
    assert!(out.is_empty());
    engine.on_time(START_US + 605 * SECOND_US, &mut out);
    assert_eq!(told(&out), [("device-silent", "t1", Status::Raised)]);
    assert_eq!(out[0].at_us, START_US + 600 * SECOND_US);
    let heard = fix(&mut engine, &gps("t1", 700, 30.0), None);
    assert_eq!(told(&heard), [("device-silent", "t1", Status::Cleared)]);
    assert_eq!(heard[0].alert_id, out[0].alert_id);
}

#[test]
fn fences_raise_on_entry_and_clear_on_exit() {
    let mut engine = of_platform();
    let mut out = Vec::new();
    let fact = |transition, at_s: i64| FenceFact {
        fence: "harbour",
        device_id: "t1",
        vehicle_type: None,
        transition,
        at_us: START_US + at_s * SECOND_US,
        inside_s: at_s as f64,
        location: Location::default(),
    };
    engine.on_fence(&fact(FenceTransition::Enter, 0), &mut out);
    engine.on_fence(&fact(FenceTransition::Dwell, 60), &mut out);
    engine.on_fence(&fact(FenceTransition::Exit, 90), &mut out);
    let subject = "harbour:t1";
    assert_eq!(
        told(&out),
        [
            ("geofence-enter", subject, Status::Raised),
            ("geofence-dwell", subject, Status::Raised),
            ("geofence-dwell", subject, Status::Cleared),
            ("geofence-enter", subject, Status::Cleared),
            ("geofence-exit", subject, Status::Raised),
        ]
    );
}

fn weather(at_s: i64, body: Weather, extra: Option<&str>) -> Event {
    Event {
        id: "e".into(),
        device_id: "s1".into(),
        timestamp_us: START_US + at_s * SECOND_US,
        extra: extra.map(Into::into),
        body: Body::Weather(Box::new(body)),
    }
}

#[test]
fn air_and_readings_out_of_range_are_told() {
    let mut engine = of_platform();
    let mut out = Vec::new();
    // 55.5 ug/m3 is where "unhealthy" begins: an index of 151.
    let bad = Weather {
        pm25: Some(55.5),
        temperature: Some(-30.0),
        ..Weather::default()
    };
    engine.on_reading(
        &Reading {
            event: &weather(0, bad, Some(r#"{"co2":2500}"#)),
        },
        &mut out,
    );
    assert_eq!(
        told(&out),
        [
            ("co2-range", "s1", Status::Raised),
            ("high-aqi", "s1", Status::Raised),
            ("temperature-range", "s1", Status::Raised),
        ]
    );
    assert_eq!((out[1].value, out[1].threshold), (Some(151.0), Some(100.0)));
    assert_eq!((out[2].value, out[2].threshold), (Some(-30.0), Some(-25.0)));
    out.clear();
    let good = Weather {
        pm25: Some(5.0),
        temperature: Some(20.0),
        ..Weather::default()
    };
    engine.on_reading(
        &Reading {
            event: &weather(60, good, Some(r#"{"co2":400}"#)),
        },
        &mut out,
    );
    assert_eq!(
        out.iter()
            .filter(|step| step.status == Status::Cleared)
            .count(),
        3
    );
}

#[test]
fn a_stations_own_index_counts_beside_its_pollutants() {
    let index_of = |pm25, air_quality_index| {
        let mut engine = of_platform();
        let mut out = Vec::new();
        let air = Weather {
            pm25,
            air_quality_index,
            ..Weather::default()
        };
        let event = &weather(0, air, None);
        engine.on_reading(&Reading { event }, &mut out);
        out.first().and_then(|step| step.value)
    };
    assert_eq!(index_of(Some(12.0), Some(300.0)), Some(300.0));
    assert_eq!(index_of(Some(55.5), Some(20.0)), Some(151.0));
    assert_eq!(index_of(None, Some(300.0)), Some(300.0));
    assert_eq!(index_of(Some(5.0), Some(20.0)), None);
}

#[test]
fn a_grave_incident_is_told_until_it_is_over() {
    let mut engine = of_platform();
    let mut out = Vec::new();
    for (at_s, kind, status) in [
        (0, "Theft", "Active"),
        (1, "Fire", "Active"),
        (9, "Fire", "Resolved"),
    ] {
        let event = Event {
            body: Body::Incident(Box::new(Incident {
                incident_id: kind.into(),
                incident_type: kind.into(),
                status: status.into(),
                severity: "".into(),
                ..Incident::default()
            })),
            ..gps("u1", at_s, 0.0)
        };
        engine.on_incident(&IncidentFact { event: &event }, &mut out);
    }
    assert_eq!(
        told(&out),
        [
            ("incident-severity", "Fire", Status::Raised),
            ("incident-severity", "Fire", Status::Cleared)
        ]
    );
    assert_eq!(out[0].severity, events::Severity::Critical);
}

fn pane(kind: WindowKind, key: &str, minute: i64, values: &[f64], vehicles: u64) -> Pane {
    Pane {
        kind,
        key: key.to_owned(),
        start_us: START_US + minute * PANE_US,
        aggregate: values.iter().copied().collect::<Aggregate>(),
        vehicles: Some(vehicles),
        is_final: true,
    }
}

fn panes(engine: &mut Engine, panes: &[Pane], watermark_minute: i64) -> Vec<AlertStep> {
    let mut out = Vec::new();
    for pane in panes {
        let fact = PaneFact {
            pane,
            free_flow_kmh: Some(50.0),
            location: None,
        };
        engine.on_pane(&fact, &mut out);
    }
    engine.on_time(START_US + watermark_minute * PANE_US, &mut out);
    out
}

#[test]
fn congestion_needs_vehicles_and_two_minutes() {
    let mut engine = of_platform();
    let slow = |minute, vehicles| pane(WindowKind::Segment, "w1-0", minute, &[8.0, 10.0], vehicles);
    assert!(panes(&mut engine, &[slow(0, 2)], 1).is_empty());
    assert!(panes(&mut engine, &[slow(1, 3)], 2).is_empty());
    let raised = panes(&mut engine, &[slow(2, 3)], 3);
    assert_eq!(
        told(&raised),
        [("severe-congestion", "w1-0", Status::Raised)]
    );
    assert_eq!(raised[0].started_at_us, START_US + PANE_US);
    // The same pane again says nothing new.
    assert!(panes(&mut engine, &[slow(1, 3), slow(2, 3)], 3).is_empty());
    let free = pane(WindowKind::Segment, "w1-0", 3, &[45.0], 3);
    assert_eq!(
        told(&panes(&mut engine, &[free], 4)),
        [("severe-congestion", "w1-0", Status::Cleared)]
    );
}

#[test]
fn five_minutes_are_merged_from_their_panes_each_once() {
    let mean = |size: &str| {
        rule(json!({
            "id": "city", "name": "City", "source": {"window": "city", "aggregate": "mean", "size": size},
            "comparison": "<", "threshold": 20, "severity": "Low"
        }))
    };
    let city = |minute, value: f64| pane(WindowKind::City, "speed", minute, &[value], 1);
    let mut tumbling = engine([mean("5m")]);
    let first = [city(0, 10.0), city(1, 10.0), city(0, 1000.0)];
    assert!(panes(&mut tumbling, &first, 4).is_empty());
    let raised = panes(&mut tumbling, &[city(4, 16.0)], 5);
    assert_eq!(told(&raised), [("city", "speed", Status::Raised)]);
    assert_eq!(raised[0].value, Some(12.0));
    assert_eq!(
        (raised[0].started_at_us, raised[0].at_us),
        (START_US, START_US + 5 * PANE_US)
    );
    let mut sliding = engine([mean("5m/1m")]);
    let raised = panes(&mut sliding, &[city(0, 10.0)], 1);
    // The window that ends after the first minute holds that minute alone.
    assert_eq!(raised.len(), 1);
    assert_eq!(raised[0].at_us, START_US + PANE_US);
}

#[test]
fn rules_change_while_running() {
    let mut engine = engine([speed_rule("a", 0.0), speed_rule("b", 0.0)]);
    assert_eq!(fix(&mut engine, &gps("t1", 0, 60.0), None).len(), 2);
    let mut out = Vec::new();
    let changed = rule(json!({
        "id": "a", "name": "Fast", "source": {"stream": "gps_data", "field": "speed"},
        "comparison": ">", "threshold": 55, "severity": "High"
    }));
    engine.set_rules(
        Arc::new(RuleSet::new([changed, speed_rule("b", 0.0)])),
        &mut out,
    );
    assert_eq!(told(&out), [("a", "t1", Status::Cleared)]);
    let steps = fix(&mut engine, &gps("t1", 5, 60.0), None);
    assert_eq!(told(&steps), [("a", "t1", Status::Raised)]);
    out.clear();
    engine.set_rules(Arc::new(RuleSet::new([])), &mut out);
    assert_eq!(out.len(), 2);
    assert_eq!(engine.episodes(), 0);
}

#[test]
fn what_is_no_longer_heard_of_is_given_up() {
    let mut engine = engine([speed_rule("fast", 0.0)]);
    assert_eq!(fix(&mut engine, &gps("t1", 0, 60.0), None).len(), 1);
    let mut out = Vec::new();
    engine.on_time(START_US + 601 * SECOND_US, &mut out);
    assert_eq!(told(&out), [("fast", "t1", Status::Cleared)]);
    assert_eq!(out[0].at_us, START_US + 600 * SECOND_US);
}

/// One fact of a random history.
#[derive(Clone, Debug)]
struct Step {
    device: usize,
    after_s: i64,
    speed_kmh: f64,
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        0..4_usize,
        prop_oneof![0..30_i64, 0..900_i64],
        0.0..120.0_f64,
    );
    prop::collection::vec(
        step.prop_map(|(device, after_s, speed_kmh)| Step {
            device,
            after_s,
            speed_kmh,
        }),
        0..60,
    )
}

/// What the history says, with a restart from the cells before each of `restarts`.
fn run(history: &[Step], restarts: &BTreeSet<usize>) -> Vec<AlertStep> {
    let rules = Arc::new(RuleSet::with_built_in([
        speed_rule("fast", 20.0),
        rule(json!({
            "id": "city-count", "name": "Many", "source": {"window": "city", "aggregate": "count", "size": "5m/1m"},
            "comparison": ">", "threshold": 3, "severity": "Low"
        })),
    ]));
    let mut engine = Engine::new(rules.clone());
    let mut cells: std::collections::BTreeMap<String, Bytes> = Default::default();
    let mut seen: std::collections::BTreeMap<String, (i64, Location)> = Default::default();
    let mut out = Vec::new();
    let mut now_s = 0;
    for (index, step) in history.iter().enumerate() {
        if restarts.contains(&index) {
            for (key, value) in engine.take_cells() {
                match value {
                    Some(value) => cells.insert(key, value),
                    None => cells.remove(&key),
                };
            }
            engine = Engine::new(rules.clone());
            for (key, value) in &cells {
                assert!(engine.restore_cell(key, value, &mut out));
            }
            for (device, (at_us, location)) in &seen {
                engine.remember(device, *at_us, Some(*location), Some("taxi"));
            }
        }
        now_s += step.after_s;
        let device = format!("t{}", step.device);
        let event = gps(&device, now_s, step.speed_kmh);
        engine.on_time(event.timestamp_us - 60 * SECOND_US, &mut out);
        let segment = SegmentFact {
            id: "w1-0",
            limit_kmh: 50.0,
            free_flow_kmh: 40.0,
        };
        engine.on_fix(
            &Fix {
                event: &event,
                segment: Some(segment),
            },
            &mut out,
        );
        let pane = pane(WindowKind::City, "speed", now_s / 60, &[step.speed_kmh], 1);
        let fact = PaneFact {
            pane: &pane,
            free_flow_kmh: None,
            location: None,
        };
        engine.on_pane(&fact, &mut out);
        seen.insert(
            device,
            (event.timestamp_us, event.location().unwrap_or_default()),
        );
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_restart_gives_the_same_alerts(history in history(), restarts in prop::collection::btree_set(0..60_usize, 0..6)) {
        prop_assert_eq!(run(&history, &restarts), run(&history, &BTreeSet::new()));
    }

    #[test]
    fn every_step_of_a_history_has_an_id_of_its_own_and_a_replay_has_the_same(history in history()) {
        let steps = run(&history, &BTreeSet::new());
        let ids: BTreeSet<_> = steps.iter().map(AlertStep::event_id).collect();
        prop_assert_eq!(ids.len(), steps.len());
        let again: BTreeSet<_> = run(&history, &BTreeSet::new()).iter().map(AlertStep::event_id).collect();
        prop_assert_eq!(ids, again);
    }

    #[test]
    fn each_alert_is_raised_before_it_is_updated_or_cleared_and_each_once(history in history()) {
        let mut open = BTreeSet::new();
        let mut over = BTreeSet::new();
        for step in run(&history, &BTreeSet::new()) {
            match step.status {
                Status::Raised => prop_assert!(open.insert(step.alert_id) && !over.contains(&step.alert_id)),
                Status::Updated => prop_assert!(open.contains(&step.alert_id)),
                _ => prop_assert!(open.remove(&step.alert_id) && over.insert(step.alert_id)),
            }
        }
    }
}
