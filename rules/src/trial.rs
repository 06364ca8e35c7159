//! Tries rules on events that have happened: the alerts they would have raised.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::{CompactString, format_compact};
use events::aggregate::Aggregate;
use events::window::{PANE_US, Pane, Tumbling, Watermark, WindowKind};
use events::{Body, Event, Incident, Location, h3};
use foldhash::{HashMap, HashSet};

use crate::cluster::{ActiveIncident, Clusters};
use crate::engine::Engine;
use crate::fact::{FenceFact, Fix, IncidentFact, PaneFact, Reading, SegmentFact};
use crate::set::RuleSet;
use crate::step::AlertStep;

/// Live, incidents of all partitions are looked at together this often.
const LOOK_US: i64 = 1_000_000;

/// Folds the events of one partition after the other, in the log's order, and
/// then what follows from all of them.
///
/// The same engine as live, on the same facts: whoever reads the events has judged
/// them as the speed layer does, and hands in what is no duplicate and is believed.
pub struct Trial {
    rules: Arc<RuleSet>,
    engine: Engine,
    watermark: Watermark,
    newest: HashMap<CompactString, i64>,
    panes: BTreeMap<(i64, WindowKind, String), Gathered>,
    reports: Vec<Report>,
    steps: Vec<AlertStep>,
    events: u64,
}

/// A fix that is believed, with what it turned out to be.
#[derive(Clone, Copy, Debug)]
pub struct TrialFix<'a> {
    /// Of `vehicle_data` or `gps_data`.
    pub event: &'a Event,
    /// Whether it is the newest of its device by event time.
    pub in_order: bool,
    /// Whether its minute was closed before it came: it is in no window.
    pub late: bool,
    /// The street that it is on.
    pub segment: Option<SegmentFact<'a>>,
    /// The id of the street that its speed is measured on.
    pub driven: Option<&'a str>,
}

/// What is known of a street beside its fixes.
#[derive(Clone, Copy, Debug)]
pub struct TrialSegment {
    /// Its free-flow speed, km/h.
    pub free_flow_kmh: f64,
    /// Its middle.
    pub location: Option<Location>,
}

#[derive(Default)]
struct Gathered {
    aggregate: Aggregate,
    devices: HashSet<CompactString>,
    location: Option<Location>,
}

/// A message about an incident, the newest of its partition.
struct Report {
    appended_at_us: i64,
    at_us: i64,
    incident: Box<Incident>,
}

struct Known {
    incident: ActiveIncident,
    heard_us: i64,
    is_over: bool,
}

impl Trial {
    /// Of the enabled ones among `rules`.
    pub fn new(rules: Arc<RuleSet>) -> Self {
        Self {
            engine: Engine::new(rules.clone()),
            rules,
            watermark: Watermark::new(0),
            newest: HashMap::default(),
            panes: BTreeMap::new(),
            reports: Vec::new(),
            steps: Vec::new(),
            events: 0,
        }
    }

    /// Whether the streets of fixes are made use of.
    pub fn needs_segments(&self) -> bool {
        self.rules.needs_segments() || !self.rules.of_window(WindowKind::Segment).is_empty()
    }

    /// Whether what devices do at fences is made use of.
    pub fn needs_fences(&self) -> bool {
        self.rules.needs_fences()
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// From here on events are of another partition, whose windows wait for
    /// `lateness_us`.
    pub fn begin_partition(&mut self, lateness_us: i64) {
        self.engine = Engine::new(self.rules.clone());
        self.watermark = Watermark::new(lateness_us);
        self.newest.clear();
    }

    /// The partition's next event is there, before anything is made of it. Returns
    /// the watermark.
    pub fn pass(&mut self, event: &Event, appended_at_us: i64) -> i64 {
        self.events += 1;
        self.watermark.observe(event.timestamp_us, appended_at_us);
        let watermark_us = self.watermark.current_us();
        self.engine.on_time(watermark_us, &mut self.steps);
        watermark_us
    }

    /// The event is a fix that is believed. Facts about fences follow from
    /// [`Trial::fold_fence`].
    pub fn fold_fix(&mut self, fix: &TrialFix<'_>) {
        if !fix.late {
            self.gather_speed(fix);
        }
        if fix.in_order {
            let fix = Fix {
                event: fix.event,
                segment: fix.segment,
            };
            self.engine.on_fix(&fix, &mut self.steps);
        }
    }

    /// What the device of the fix just folded did at a fence.
    pub fn fold_fence(&mut self, fact: &FenceFact<'_>) {
        self.engine.on_fence(fact, &mut self.steps);
    }

    /// The event is a message of a station, of a camera or about an incident, and
    /// no duplicate.
    pub fn fold_message(&mut self, event: &Event, appended_at_us: i64) {
        self.gather_readings(event);
        let subject = match &event.body {
            Body::Incident(incident) => &incident.incident_id,
            Body::Camera(camera) => &camera.camera_id,
            _ => &event.device_id,
        };
        match self.newest.get_mut(subject) {
            Some(newest) if event.timestamp_us < *newest => return,
            Some(newest) => *newest = event.timestamp_us,
            None => {
                self.newest.insert(subject.clone(), event.timestamp_us);
            }
        }
        match &event.body {
            Body::Weather(_) | Body::Camera(_) => {
                self.engine.on_reading(&Reading { event }, &mut self.steps);
            }
            Body::Incident(incident) => {
                if !self.rules.merging.is_empty() {
                    self.reports.push(Report {
                        appended_at_us,
                        at_us: event.timestamp_us,
                        incident: incident.clone(),
                    });
                }
                self.engine
                    .on_incident(&IncidentFact { event }, &mut self.steps);
            }
            _ => {}
        }
    }

    /// The steps, by time: those of the partitions, and what follows from the
    /// incidents of all and from their windows that have ended at `until_us`.
    /// `segment` says what is known of a street.
    pub fn finish(
        mut self,
        until_us: i64,
        segment: impl Fn(&str) -> Option<TrialSegment>,
    ) -> Vec<AlertStep> {
        let mut city = Engine::new(self.rules.clone());
        let panes = std::mem::take(&mut self.panes);
        let mut closed_us = i64::MIN;
        let ended = |(start_us, _, _): &(i64, WindowKind, String)| start_us + PANE_US <= until_us;
        for ((start_us, kind, key), gathered) in panes.into_iter().filter(|(key, _)| ended(key)) {
            if start_us > closed_us {
                city.on_time(start_us, &mut self.steps);
                closed_us = start_us;
            }
            let street = match kind {
                WindowKind::Segment => segment(&key),
                _ => None,
            };
            let pane = Pane {
                kind,
                key,
                start_us,
                aggregate: gathered.aggregate,
                vehicles: (kind != WindowKind::Station).then_some(gathered.devices.len() as u64),
                is_final: true,
            };
            let fact = PaneFact {
                pane: &pane,
                free_flow_kmh: street.map(|street| street.free_flow_kmh),
                location: street
                    .and_then(|street| street.location)
                    .or(gathered.location),
            };
            city.on_pane(&fact, &mut self.steps);
        }
        if closed_us > i64::MIN {
            city.on_time(closed_us + PANE_US, &mut self.steps);
        }
        city.end_windows(until_us, &mut self.steps);
        self.merge_incidents();
        // Of one time, in the order in which they were said.
        self.steps
            .sort_by(|a, b| (a.at_us, &a.rule, &a.subject).cmp(&(b.at_us, &b.rule, &b.subject)));
        self.steps
    }

    /// The messages about incidents once more, of all partitions together.
    fn merge_incidents(&mut self) {
        let mut reports = std::mem::take(&mut self.reports);
        reports.sort_by_key(|report| report.appended_at_us);
        let mut known: BTreeMap<CompactString, Known> = BTreeMap::new();
        let mut clusters = Clusters::default();
        let look_of = |report: &Report| report.appended_at_us.div_euclid(LOOK_US);
        for together in reports.chunk_by(|a, b| look_of(a) == look_of(b)) {
            for report in together {
                note(&mut known, report);
            }
            let active: Vec<ActiveIncident> = known
                .values()
                .filter(|known| !known.is_over)
                .map(|known| known.incident.clone())
                .collect();
            let heard_us = |id: &str| known.get(id).map(|known| known.heard_us);
            clusters.update(&self.rules, &active, heard_us, &mut self.steps);
        }
    }

    fn gather_speed(&mut self, fix: &TrialFix<'_>) {
        let event = fix.event;
        let (location, speed_kmh) = match &event.body {
            Body::Gps(gps) => (gps.location, gps.speed_kmh),
            Body::Vehicle(vehicle) => (vehicle.location, vehicle.speed_kmh),
            _ => return,
        };
        if self.is_watched(WindowKind::City) {
            let key = WindowKind::CITY_SPEED.to_owned();
            self.gather(WindowKind::City, key, event, speed_kmh);
        }
        if self.is_watched(WindowKind::Cell) {
            let cell = h3::cell_of(location);
            let gathered = self.gather(WindowKind::Cell, h3::cell_name(cell), event, speed_kmh);
            gathered.location = h3::cell_center(cell);
        }
        if let Some(segment) = fix.driven
            && self.is_watched(WindowKind::Segment)
        {
            self.gather(WindowKind::Segment, segment.to_owned(), event, speed_kmh);
        }
    }

    fn gather_readings(&mut self, event: &Event) {
        let minute = Tumbling { size_us: PANE_US }.window_of(event.timestamp_us);
        let is_late = minute.end_us <= self.watermark.current_us();
        if is_late || !self.is_watched(WindowKind::Station) {
            return;
        }
        for (reading, value) in event.readings() {
            let key = format_compact!("{}:{reading}", event.device_id).into_string();
            self.gather(WindowKind::Station, key, event, value);
        }
    }

    fn is_watched(&self, kind: WindowKind) -> bool {
        !self.rules.of_window(kind).is_empty()
    }

    fn gather(
        &mut self,
        kind: WindowKind,
        key: String,
        event: &Event,
        value: f64,
    ) -> &mut Gathered {
        let minute = Tumbling { size_us: PANE_US };
        let start_us = minute.window_of(event.timestamp_us).start_us;
        let gathered = self.panes.entry((start_us, kind, key)).or_default();
        gathered.aggregate.add(value);
        if !gathered.devices.contains(&event.device_id) {
            gathered.devices.insert(event.device_id.clone());
        }
        gathered
    }
}

/// The newest message about an incident counts, of whatever partition; it began
/// with the first. One that flares up after its end begins anew.
fn note(known: &mut BTreeMap<CompactString, Known>, report: &Report) {
    let incident = &report.incident;
    let mut started_at_us = report.at_us;
    if let Some(known) = known.get_mut(&incident.incident_id) {
        if !known.is_over {
            started_at_us = started_at_us.min(known.incident.started_at_us);
        }
        if report.at_us < known.heard_us {
            known.incident.started_at_us = started_at_us.min(known.incident.started_at_us);
            return;
        }
    }
    let newest = Known {
        incident: ActiveIncident {
            incident_id: incident.incident_id.clone(),
            incident_type: incident.incident_type.clone(),
            location: incident.location,
            severity: incident.severity(),
            started_at_us,
        },
        heard_us: report.at_us,
        is_over: incident.status().is_over(),
    };
    known.insert(incident.incident_id.clone(), newest);
}

#[cfg(test)]
mod tests {
    use events::Gps;
    use serde_json::{Value, json};

    use super::*;
    use crate::{Rule, RuleDocument, Status};

    const START_US: i64 = 1_767_225_600_000_000;

    fn gps(device: &str, second: i64, speed_kmh: f64) -> Event {
        Event {
            id: "e".into(),
            device_id: device.into(),
            timestamp_us: START_US + second * 1_000_000,
            extra: None,
            body: Body::Gps(Gps {
                speed_kmh,
                location: Location {
                    latitude: 57.7,
                    longitude: 11.97,
                },
                ..Gps::default()
            }),
        }
    }

    fn tried(document: Value, events: &[&[Event]]) -> Vec<(String, Status)> {
        let document = RuleDocument::from_value(&document).expect("a document");
        let rule = Arc::new(Rule::new(document).expect("valid"));
        let mut trial = Trial::new(Arc::new(RuleSet::new([rule])));
        for partition in events {
            trial.begin_partition(60_000_000);
            let minute = Tumbling { size_us: PANE_US };
            let mut newest_us = i64::MIN;
            for event in *partition {
                let watermark_us = trial.pass(event, event.timestamp_us);
                if matches!(event.body, Body::Incident(_)) {
                    trial.fold_message(event, event.timestamp_us);
                    continue;
                }
                trial.fold_fix(&TrialFix {
                    event,
                    in_order: event.timestamp_us >= newest_us,
                    late: minute.window_of(event.timestamp_us).end_us <= watermark_us,
                    segment: None,
                    driven: None,
                });
                newest_us = newest_us.max(event.timestamp_us);
            }
        }
        let steps = trial.finish(START_US + 120_000_000, |_| None);
        steps
            .into_iter()
            .map(|step| (step.subject.to_string(), step.status))
            .collect()
    }

    #[test]
    fn a_rule_over_events_is_tried() {
        let fast = json!({
            "id": "fast", "name": "Fast", "source": {"stream": "gps_data", "field": "speed"},
            "comparison": ">", "threshold": 50, "severity": "Low"
        });
        let steps = tried(
            fast,
            &[
                &[gps("a", 0, 60.0), gps("a", 9, 70.0), gps("a", 5, 10.0)],
                &[gps("b", 1, 60.0), gps("b", 20, 10.0)],
            ],
        );
        let expected = [
            ("a", Status::Raised),
            ("b", Status::Raised),
            ("b", Status::Cleared),
        ];
        assert_eq!(
            steps,
            expected.map(|(subject, status)| (subject.to_owned(), status))
        );
    }

    #[test]
    fn a_rule_over_windows_sees_all_partitions_together() {
        let many = json!({
            "id": "many", "name": "Many", "source": {"window": "city", "aggregate": "vehicles", "size": "1m"},
            "comparison": ">=", "threshold": 3, "severity": "Low"
        });
        let steps = tried(
            many,
            &[
                &[gps("a", 0, 60.0), gps("b", 9, 70.0), gps("a", 61, 10.0)],
                &[gps("c", 30, 60.0)],
            ],
        );
        let expected = [("speed", Status::Raised), ("speed", Status::Cleared)];
        assert_eq!(
            steps,
            expected.map(|(subject, status)| (subject.to_owned(), status))
        );
    }

    #[test]
    fn a_window_that_goes_on_says_nothing_yet() {
        let many = json!({
            "id": "many", "name": "Many", "source": {"window": "city", "aggregate": "vehicles", "size": "1m"},
            "comparison": ">=", "threshold": 1, "severity": "Low"
        });
        assert_eq!(tried(many.clone(), &[&[gps("a", 130, 60.0)]]), []);
        assert_eq!(tried(many, &[&[gps("a", 110, 60.0)]]).len(), 1);
    }

    #[test]
    fn what_came_after_its_minute_was_closed_is_in_no_window() {
        let many = json!({
            "id": "many", "name": "Many", "source": {"window": "city", "aggregate": "count", "size": "1m"},
            "comparison": ">=", "threshold": 2, "severity": "Low"
        });
        let late = [gps("a", 0, 60.0), gps("a", 121, 60.0), gps("a", 5, 60.0)];
        assert_eq!(tried(many, &[&late]), []);
    }

    #[test]
    fn incidents_that_were_one_for_a_while_are_told_with_their_end() {
        let document = crate::built_in("merged-incidents").expect("built in");
        let document = serde_json::to_value(document.document()).expect("JSON");
        let report = |id: &str, second: i64, status: &str| Event {
            device_id: id.into(),
            body: Body::Incident(Box::new(Incident {
                incident_id: id.into(),
                incident_type: "Accident".into(),
                status: status.into(),
                location: Location {
                    latitude: 57.7,
                    longitude: 11.97,
                },
                ..Incident::default()
            })),
            ..gps(id, second, 0.0)
        };
        let steps = tried(
            document,
            &[
                &[report("a", 0, "Active"), report("a", 40, "Resolved")],
                &[report("b", 10, "Active"), report("b", 20, "Resolved")],
            ],
        );
        let expected = [("a", Status::Raised), ("a", Status::Cleared)];
        assert_eq!(
            steps,
            expected.map(|(subject, status)| (subject.to_owned(), status))
        );
    }
}
