//! Incidents close to each other, told as one.
//!
//! What is merged follows from the incidents that are active now and from nothing
//! else, neither from the order in which they came nor from what was merged
//! before: two partitions may be read in any order. Only the dates of the steps
//! that tell it follow from the steps before.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use compact_str::CompactString;
use events::{Location, Severity};
use serde::{Deserialize, Serialize};

use crate::rule::{Measure, Rule, passes};
use crate::set::RuleSet;
use crate::step::{AlertStep, Status, alert_id};

/// Metres of a degree of latitude, a little less than anywhere.
const LATITUDE_DEGREE_M: f64 = 110_500.0;

/// An incident that goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveIncident {
    /// The incident.
    pub incident_id: CompactString,
    /// Accident, Fire, ...
    pub incident_type: CompactString,
    /// Where it is.
    pub location: Location,
    /// How bad it is.
    pub severity: Severity,
    /// When it began, microseconds since the epoch.
    pub started_at_us: i64,
}

/// What is merged now, per rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clusters {
    /// Those included that are over while their first incident goes on: should
    /// others join it again, that is told as a later step of the same alert.
    open: Vec<Cluster>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cluster {
    rule: CompactString,
    /// The incident that began first.
    primary: CompactString,
    started_at_us: i64,
    /// The time of the last step that was told of it; no later step is dated
    /// earlier, or whoever folds the steps would leave it out.
    #[serde(alias = "at_us")]
    told_us: i64,
    /// That step said that it is over.
    #[serde(default)]
    is_cleared: bool,
    /// All of them, the primary first, then by id.
    sources: Vec<CompactString>,
    latitude: f64,
    longitude: f64,
    severity: u8,
}

impl Clusters {
    /// Compares what is merged with what `incidents`, all that are active, say.
    /// `heard_us` is when any incident, over or not, was last heard of.
    ///
    /// A step is dated by the incident that made it, the last that joined or
    /// ended, and not by what else has happened meanwhile: a replay may look at
    /// other moments and must date it the same.
    pub fn update(
        &mut self,
        rules: &RuleSet,
        incidents: &[ActiveIncident],
        heard_us: impl Fn(&str) -> Option<i64>,
        out: &mut Vec<AlertStep>,
    ) {
        let active: BTreeMap<&str, i64> = incidents
            .iter()
            .map(|incident| (incident.incident_id.as_str(), incident.started_at_us))
            .collect();
        let ended_us = |cluster: &Cluster| {
            let sources = cluster.sources.iter().map(CompactString::as_str);
            let ended = sources.filter(|id| !active.contains_key(id));
            let last_us = ended.filter_map(&heard_us).max();
            last_us.unwrap_or(i64::MIN).max(cluster.told_us)
        };
        let mut known: BTreeMap<(CompactString, CompactString), Cluster> = self
            .open
            .drain(..)
            .map(|cluster| ((cluster.rule.clone(), cluster.primary.clone()), cluster))
            .collect();
        let mut steps = Vec::new();
        for number in &rules.merging {
            let rule = &rules.rules[*number as usize];
            for mut cluster in merged(rule, incidents) {
                let key = (cluster.rule.clone(), cluster.primary.clone());
                let before = match known.entry(key) {
                    // Where its first incident has begun anew it is another alert.
                    Entry::Occupied(entry)
                        if entry.get().started_at_us == cluster.started_at_us =>
                    {
                        Some(entry.remove())
                    }
                    _ => None,
                };
                let status = match before {
                    None => Some(Status::Raised),
                    Some(before) if before.is_cleared => {
                        // Of the same instant the end would have the last word.
                        cluster.told_us = cluster.told_us.max(before.told_us + 1);
                        Some(Status::Raised)
                    }
                    Some(before) if before.sources == cluster.sources => {
                        cluster.told_us = before.told_us;
                        None
                    }
                    Some(before) => {
                        cluster.told_us = cluster.told_us.max(ended_us(&before));
                        Some(Status::Updated)
                    }
                };
                steps.extend(status.map(|status| cluster.step(rules, status)));
                self.open.push(cluster);
            }
        }
        for mut cluster in known.into_values() {
            // What is over is told first: its incidents may be part of another now.
            if !cluster.is_cleared {
                cluster.told_us = ended_us(&cluster);
                cluster.is_cleared = true;
                out.push(cluster.step(rules, Status::Cleared));
            }
            if active.get(cluster.primary.as_str()) == Some(&cluster.started_at_us) {
                self.open.push(cluster);
            }
        }
        out.extend(steps);
    }

    /// For a checkpoint: JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`Clusters::to_bytes`] wrote; `None` where it is anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

impl Cluster {
    fn step(&self, rules: &RuleSet, status: Status) -> AlertStep {
        let count = self.sources.len() as f64;
        let rule = rules.rules().find(|rule| rule.id() == self.rule);
        let message = match rule {
            Some(rule) => rule.message(Some(count), Some(2.0), &self.primary),
            None => format!("no longer watched: {}", self.primary).into(),
        };
        AlertStep {
            alert_id: alert_id(&self.rule, &self.primary, self.started_at_us),
            rule: self.rule.clone(),
            subject: self.primary.clone(),
            severity: severity_of(self.severity),
            status,
            value: Some(count),
            threshold: Some(2.0),
            location: Some(Location {
                latitude: self.latitude,
                longitude: self.longitude,
            }),
            started_at_us: self.started_at_us,
            at_us: self.told_us,
            message,
            sources: self.sources.clone(),
        }
    }
}

fn severity_of(rank: u8) -> Severity {
    match rank {
        0 => Severity::Low,
        1 => Severity::Medium,
        2 => Severity::High,
        _ => Severity::Critical,
    }
}

/// The groups of at least two incidents that are linked, directly or through
/// others: of one type, near in place and time.
fn merged(rule: &Rule, incidents: &[ActiveIncident]) -> Vec<Cluster> {
    let Measure::MergedIncidents {
        radius_m,
        within_us,
    } = rule.measure
    else {
        return Vec::new();
    };
    let mut sorted: Vec<&ActiveIncident> = incidents
        .iter()
        .filter(|incident| passes(&rule.filters.incident_type, Some(&incident.incident_type)))
        .collect();
    sorted.sort_by(|a, b| a.location.latitude.total_cmp(&b.location.latitude));
    let mut groups = Groups::new(sorted.len());
    for (i, a) in sorted.iter().enumerate() {
        let north = a.location.latitude + radius_m / LATITUDE_DEGREE_M;
        let near = sorted.iter().enumerate().skip(i + 1);
        for (j, b) in near.take_while(|(_, b)| b.location.latitude <= north) {
            let is_linked = a.incident_type.eq_ignore_ascii_case(&b.incident_type)
                && a.started_at_us.abs_diff(b.started_at_us) <= within_us.unsigned_abs()
                && a.location.distance_m(b.location) <= radius_m;
            if is_linked {
                groups.join(i, j);
            }
        }
    }
    let mut members: BTreeMap<usize, Vec<&ActiveIncident>> = BTreeMap::new();
    for (index, incident) in sorted.iter().enumerate() {
        members
            .entry(groups.root(index))
            .or_default()
            .push(incident);
    }
    let mut clusters: Vec<Cluster> = members
        .into_values()
        .filter(|members| members.len() > 1)
        .map(|members| cluster(rule, members))
        .collect();
    clusters.sort_by(|a, b| a.primary.cmp(&b.primary));
    clusters
}

fn cluster(rule: &Rule, mut members: Vec<&ActiveIncident>) -> Cluster {
    members
        .sort_by(|a, b| (a.started_at_us, &a.incident_id).cmp(&(b.started_at_us, &b.incident_id)));
    let primary = members[0];
    let mut sources: Vec<CompactString> = members[1..]
        .iter()
        .map(|incident| incident.incident_id.clone())
        .collect();
    sources.sort_unstable();
    sources.insert(0, primary.incident_id.clone());
    let worst = members.iter().map(|incident| incident.severity).max();
    Cluster {
        rule: rule.id().into(),
        primary: primary.incident_id.clone(),
        started_at_us: primary.started_at_us,
        // The member that came last made it what it is.
        told_us: members
            .iter()
            .map(|m| m.started_at_us)
            .max()
            .unwrap_or_default(),
        is_cleared: false,
        sources,
        latitude: primary.location.latitude,
        longitude: primary.location.longitude,
        severity: worst.unwrap_or(rule.severity).max(rule.severity) as u8,
    }
}

/// Disjoint sets.
struct Groups(Vec<usize>);

impl Groups {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&mut self, mut index: usize) -> usize {
        while self.0[index] != index {
            self.0[index] = self.0[self.0[index]];
            index = self.0[index];
        }
        index
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::life::AlertState;

    const MINUTE_US: i64 = 60_000_000;

    fn incident(id: &str, kind: &str, east_m: f64, minute: i64) -> ActiveIncident {
        ActiveIncident {
            incident_id: id.into(),
            incident_type: kind.into(),
            location: Location {
                latitude: 57.7,
                longitude: 11.97 + east_m / 59_500.0,
            },
            severity: Severity::Medium,
            started_at_us: minute * MINUTE_US,
        }
    }

    fn steps(
        clusters: &mut Clusters,
        incidents: &[ActiveIncident],
        ended: &[(&str, i64)],
    ) -> Vec<AlertStep> {
        let mut steps = Vec::new();
        let rules = RuleSet::with_built_in([]);
        let heard_us = |id: &str| {
            let ended = ended.iter().find(|(ended, _)| *ended == id);
            ended.map(|(_, minute)| minute * MINUTE_US)
        };
        clusters.update(&rules, incidents, heard_us, &mut steps);
        steps
    }

    fn update(clusters: &mut Clusters, incidents: &[ActiveIncident]) -> Vec<(Status, String)> {
        steps(clusters, incidents, &[])
            .into_iter()
            .map(|step| (step.status, step.sources.join(" ")))
            .collect()
    }

    #[test]
    fn near_reports_of_one_kind_are_one_incident_with_several_sources() {
        let mut clusters = Clusters::default();
        let a = incident("a", "Accident", 0.0, 1);
        let b = incident("b", "ACCIDENT", 100.0, 3);
        let far = incident("far", "Accident", 900.0, 3);
        let fire = incident("fire", "Fire", 10.0, 3);
        let later = incident("later", "Accident", 10.0, 30);
        let all = [a.clone(), b.clone(), far, fire, later];
        assert_eq!(
            update(&mut clusters, &all),
            [(Status::Raised, "a b".to_owned())]
        );
        assert_eq!(update(&mut clusters, &all), []);
        let c = incident("c", "Accident", 200.0, 2);
        let three = [a.clone(), b, c];
        assert_eq!(
            update(&mut clusters, &three),
            [(Status::Updated, "a b c".to_owned())]
        );
        let restored = Clusters::from_bytes(&clusters.to_bytes()).expect("reads back");
        assert_eq!(restored, clusters);
        assert_eq!(
            update(&mut clusters, &[a]),
            [(Status::Cleared, "a b c".to_owned())]
        );
    }

    /// What is shown of the alert after each look at the incidents, as whoever
    /// reads the topic folds it; with a restart between any two looks.
    struct Shown {
        stored: Vec<u8>,
        alert: Option<AlertState>,
        ids: BTreeSet<Uuid>,
    }

    impl Shown {
        fn look(
            &mut self,
            incidents: &[&ActiveIncident],
            ended: &[(&str, i64)],
        ) -> (Status, String, i64) {
            let mut clusters = Clusters::from_bytes(&self.stored).unwrap_or_default();
            let incidents: Vec<ActiveIncident> = incidents.iter().copied().cloned().collect();
            for step in steps(&mut clusters, &incidents, ended) {
                assert!(self.ids.insert(step.event_id()), "said before: {step:?}");
                let event = step.to_event();
                match &mut self.alert {
                    Some(alert) => assert!(alert.fold(&event), "left out: {step:?}"),
                    None => self.alert = AlertState::begin(&event),
                }
            }
            self.stored = clusters.to_bytes();
            let alert = self.alert.as_ref().expect("raised");
            let minute = alert.timestamp_us / MINUTE_US;
            (alert.status, alert.sources.join(" "), minute)
        }
    }

    #[test]
    fn what_is_shown_grows_shrinks_clears_and_comes_back() {
        let mut shown = Shown {
            stored: Vec::new(),
            alert: None,
            ids: BTreeSet::new(),
        };
        let [a, b, c] = [("a", 1), ("b", 2), ("c", 5)]
            .map(|(id, minute)| incident(id, "Accident", 10.0, minute));
        let of = |status, sources: &str, minute| (status, sources.to_owned(), minute);
        assert_eq!(shown.look(&[&a, &b], &[]), of(Status::Raised, "a b", 2));
        let all = shown.look(&[&a, &b, &c], &[]);
        assert_eq!(all, of(Status::Updated, "a b c", 5));
        let fewer = shown.look(&[&a, &b], &[("c", 7)]);
        assert_eq!(fewer, of(Status::Updated, "a b", 7));
        // The same incidents as before are told of again: another step.
        let again = incident("c", "Accident", 10.0, 8);
        let all = shown.look(&[&a, &b, &again], &[]);
        assert_eq!(all, of(Status::Updated, "a b c", 8));
        let fewer = shown.look(&[&a, &b], &[("c", 9)]);
        assert_eq!(fewer, of(Status::Updated, "a b", 9));
        let over = shown.look(&[&a], &[("b", 10), ("c", 9)]);
        assert_eq!(over, of(Status::Cleared, "a b", 10));
        // Began before the others ended and is heard of after that.
        let late = incident("late", "Accident", 10.0, 6);
        let back = shown.look(&[&a, &late], &[]);
        assert_eq!(back, of(Status::Raised, "a late", 10));
        let over = shown.look(&[], &[("a", 11), ("late", 12)]);
        assert_eq!(over, of(Status::Cleared, "a late", 12));
        let nothing_left = Clusters::from_bytes(&shown.stored);
        assert_eq!(nothing_left, Some(Clusters::default()));
    }

    #[test]
    fn a_replay_that_sees_fewer_moments_says_the_same() {
        let [a, b, c] = [("a", 1), ("b", 2), ("c", 5)]
            .map(|(id, minute)| incident(id, "Accident", 10.0, minute));
        let mut before = Clusters::default();
        steps(&mut before, &[a.clone(), b.clone(), c], &[]);
        let ended = [("b", 8), ("c", 7)];
        let mut often = before.clone();
        let mut said = steps(&mut often, &[a.clone(), b], &ended[1..]);
        said.extend(steps(&mut often, std::slice::from_ref(&a), &ended));
        let mut once = before;
        let last = steps(&mut once, &[a], &ended);
        let id = |step: &AlertStep| (step.event_id(), step.at_us);
        assert_eq!(last.last().map(id), said.last().map(id));
    }

    #[test]
    fn clusters_of_an_earlier_version_read_back() {
        let stored = r#"{"open":[{"rule":"merged-incidents","primary":"a","started_at_us":1,"at_us":7,
            "sources":["a","b"],"latitude":57.7,"longitude":11.9,"severity":1}]}"#;
        let clusters = Clusters::from_bytes(stored.as_bytes()).expect("reads back");
        assert_eq!(clusters.open[0].told_us, 7);
    }

    proptest! {
        #[test]
        fn what_is_merged_does_not_depend_on_order_or_history(
            places in prop::collection::vec((0.0..1_000.0_f64, 0..20_i64), 0..12),
            before in prop::collection::vec((0.0..1_000.0_f64, 0..20_i64), 0..6),
        ) {
            let of = |places: &[(f64, i64)]| -> Vec<ActiveIncident> {
                places
                    .iter()
                    .enumerate()
                    .map(|(index, (east_m, minute))| incident(&format!("i{index}"), "Fire", *east_m, *minute))
                    .collect()
            };
            let merged = |clusters: Clusters| {
                let mut open = clusters.open;
                open.retain(|cluster| !cluster.is_cleared);
                for cluster in &mut open {
                    cluster.told_us = 0;
                }
                open
            };
            let incidents = of(&places);
            let mut reversed = incidents.clone();
            reversed.reverse();
            let mut one = Clusters::default();
            update(&mut one, &incidents);
            let mut other = Clusters::default();
            update(&mut other, &of(&before));
            update(&mut other, &reversed);
            prop_assert_eq!(merged(one), merged(other));
        }
    }
}
