//! Tries rules on events that have happened: the alerts they would have raised.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::{CompactString, format_compact};
use events::aggregate::Aggregate;
use events::window::{PANE_US, Pane, Tumbling, Watermark, WindowKind};
use events::{Body, Event, Location, h3};
use foldhash::{HashMap, HashSet};

use crate::cluster::{ActiveIncident, Clusters};
use crate::engine::Engine;
use crate::fact::{FenceFact, Fix, IncidentFact, PaneFact, Reading, SegmentFact};
use crate::set::RuleSet;
use crate::step::AlertStep;

/// Event time waits this long for what comes late, as the speed layer does.
const LATENESS_US: i64 = 60_000_000;

/// Folds the events of one partition after the other, in the log's order, and
/// then what follows from all of them.
///
/// The same engine as live, on what a reader of history sees: fixes without a
/// place and those that are older than the newest of their device are left out,
/// other doubts about fixes are not looked into.
pub struct Trial {
    rules: Arc<RuleSet>,
    engine: Engine,
    watermark: Watermark,
    newest: HashMap<CompactString, i64>,
    panes: BTreeMap<(i64, WindowKind, String), Gathered>,
    incidents: HashMap<CompactString, Known>,
    steps: Vec<AlertStep>,
    events: u64,
}

#[derive(Default)]
struct Gathered {
    aggregate: Aggregate,
    devices: HashSet<CompactString>,
    free_flow_kmh: Option<f64>,
    location: Option<Location>,
}

struct Known {
    incident: ActiveIncident,
    is_over: bool,
}

impl Trial {
    /// Of the enabled ones among `rules`.
    pub fn new(rules: Arc<RuleSet>) -> Self {
        Self {
            engine: Engine::new(rules.clone()),
            rules,
            watermark: Watermark::new(LATENESS_US),
            newest: HashMap::default(),
            panes: BTreeMap::new(),
            incidents: HashMap::default(),
            steps: Vec::new(),
            events: 0,
        }
    }

    /// Whether [`Trial::fold`] makes use of a fix's street.
    pub fn needs_segments(&self) -> bool {
        self.rules.needs_segments() || !self.rules.of_window(WindowKind::Segment).is_empty()
    }

    /// How many events were folded.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// From here on events are of another partition.
    pub fn begin_partition(&mut self) {
        self.engine = Engine::new(self.rules.clone());
        self.watermark = Watermark::new(LATENESS_US);
        self.newest.clear();
    }

    /// The next event of the partition. Facts about fences follow from
    /// [`Trial::fold_fence`].
    pub fn fold(&mut self, event: &Event, appended_at_us: i64, segment: Option<SegmentFact<'_>>) {
        self.events += 1;
        self.watermark.observe(event.timestamp_us, appended_at_us);
        self.engine
            .on_time(self.watermark.current_us(), &mut self.steps);
        let subject = match &event.body {
            Body::Incident(incident) => &incident.incident_id,
            _ => &event.device_id,
        };
        let is_newest = match self.newest.get_mut(subject) {
            Some(newest) if event.timestamp_us < *newest => false,
            Some(newest) => {
                *newest = event.timestamp_us;
                true
            }
            None => {
                self.newest.insert(subject.clone(), event.timestamp_us);
                true
            }
        };
        let is_nowhere = event.location().is_some_and(Location::is_null_island);
        match &event.body {
            Body::Vehicle(_) | Body::Gps(_) if is_nowhere => {}
            Body::Vehicle(_) | Body::Gps(_) => {
                self.gather_speed(event, segment.as_ref());
                if is_newest {
                    self.engine.on_fix(&Fix { event, segment }, &mut self.steps);
                }
            }
            Body::Weather(_) | Body::Camera(_) => {
                self.gather_readings(event);
                if is_newest {
                    self.engine.on_reading(&Reading { event }, &mut self.steps);
                }
            }
            Body::Incident(_) if is_newest => {
                self.note_incident(event);
                self.engine
                    .on_incident(&IncidentFact { event }, &mut self.steps);
            }
            _ => {}
        }
    }

    /// What the device of the event just folded did at a fence.
    pub fn fold_fence(&mut self, fact: &FenceFact<'_>) {
        self.engine.on_fence(fact, &mut self.steps);
    }

    /// The steps, by time: those of the partitions, and what follows from the
    /// windows and incidents of all.
    pub fn finish(mut self) -> Vec<AlertStep> {
        let mut city = Engine::new(self.rules.clone());
        let panes = std::mem::take(&mut self.panes);
        let mut closed_us = i64::MIN;
        for ((start_us, kind, key), gathered) in panes {
            if start_us > closed_us {
                city.on_time(start_us, &mut self.steps);
                closed_us = start_us;
            }
            let pane = Pane {
                kind,
                key,
                start_us,
                aggregate: gathered.aggregate,
                vehicles: Some(gathered.devices.len() as u64),
                is_final: true,
            };
            let fact = PaneFact {
                pane: &pane,
                free_flow_kmh: gathered.free_flow_kmh,
                location: gathered.location,
            };
            city.on_pane(&fact, &mut self.steps);
        }
        if closed_us > i64::MIN {
            city.on_time(closed_us + PANE_US, &mut self.steps);
        }
        self.merge_incidents();
        self.steps
            .sort_by(|a, b| (a.at_us, &a.rule, &a.subject).cmp(&(b.at_us, &b.rule, &b.subject)));
        self.steps
    }

    fn merge_incidents(&mut self) {
        let going_on = self.incidents.values().filter(|known| !known.is_over);
        let active: Vec<ActiveIncident> = going_on.map(|known| known.incident.clone()).collect();
        Clusters::default().update(&self.rules, &active, |_| None, &mut self.steps);
    }

    fn note_incident(&mut self, event: &Event) {
        let Body::Incident(incident) = &event.body else {
            return;
        };
        let started_at_us = self
            .incidents
            .get(&incident.incident_id)
            .map_or(event.timestamp_us, |known| known.incident.started_at_us);
        let known = Known {
            incident: ActiveIncident {
                incident_id: incident.incident_id.clone(),
                incident_type: incident.incident_type.clone(),
                location: incident.location,
                severity: incident.severity(),
                started_at_us,
            },
            is_over: incident.status().is_over(),
        };
        self.incidents.insert(incident.incident_id.clone(), known);
    }

    fn gather_speed(&mut self, event: &Event, segment: Option<&SegmentFact<'_>>) {
        let (location, speed_kmh) = match &event.body {
            Body::Gps(gps) => (gps.location, gps.speed_kmh),
            Body::Vehicle(vehicle) => (vehicle.location, vehicle.speed_kmh),
            _ => return,
        };
        if !self.rules.of_window(WindowKind::City).is_empty() {
            let key = WindowKind::CITY_SPEED.to_owned();
            self.gather(WindowKind::City, key, event, speed_kmh);
        }
        if !self.rules.of_window(WindowKind::Cell).is_empty() {
            let cell = h3::cell_of(location);
            let gathered = self.gather(WindowKind::Cell, h3::cell_name(cell), event, speed_kmh);
            gathered.location = h3::cell_center(cell);
        }
        if let Some(segment) = segment
            && !self.rules.of_window(WindowKind::Segment).is_empty()
        {
            let key = segment.id.to_owned();
            let gathered = self.gather(WindowKind::Segment, key, event, speed_kmh);
            gathered.free_flow_kmh = Some(segment.free_flow_kmh);
            gathered.location = Some(location);
        }
    }

    fn gather_readings(&mut self, event: &Event) {
        let Body::Weather(weather) = &event.body else {
            return;
        };
        if self.rules.of_window(WindowKind::Station).is_empty() {
            return;
        }
        let readings = [
            ("temperature", weather.temperature),
            ("humidity", weather.humidity),
            ("wind_speed", weather.wind_speed),
            ("precipitation", weather.precipitation),
            ("visibility", weather.visibility),
            ("air_quality_index", weather.air_quality_index),
            ("pm25", weather.pm25),
            ("pm10", weather.pm10),
            ("no2", weather.no2),
            ("o3", weather.o3),
            ("so2", weather.so2),
            ("co", weather.co),
            ("noise_db", weather.noise_db),
        ];
        for (reading, value) in readings {
            if let Some(value) = value {
                let key = format_compact!("{}:{reading}", event.device_id).into_string();
                let gathered = self.gather(WindowKind::Station, key, event, value);
                gathered.location = Some(weather.location);
            }
        }
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
            trial.begin_partition();
            for event in *partition {
                trial.fold(event, event.timestamp_us, None);
            }
        }
        let steps = trial.finish();
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
}
