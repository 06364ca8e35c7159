//! Incidents close to each other, told as one.
//!
//! What is merged follows from the incidents that are active now and from nothing
//! else, neither from the order in which they came nor from what was merged
//! before: two partitions may be read in any order.

use std::collections::BTreeMap;

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
    /// The newest message about it, microseconds since the epoch.
    pub updated_at_us: i64,
}

/// What is merged now, per rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clusters {
    open: Vec<Cluster>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cluster {
    rule: CompactString,
    /// The incident that began first.
    primary: CompactString,
    started_at_us: i64,
    at_us: i64,
    /// All of them, the primary first, then by id.
    sources: Vec<CompactString>,
    latitude: f64,
    longitude: f64,
    severity: u8,
}

impl Clusters {
    /// Compares what is merged with what `incidents`, all that are active, say.
    /// `now_us` is the newest event time of any incident.
    pub fn update(
        &mut self,
        rules: &RuleSet,
        incidents: &[ActiveIncident],
        now_us: i64,
        out: &mut Vec<AlertStep>,
    ) {
        let mut known: BTreeMap<(CompactString, CompactString), Cluster> = self
            .open
            .drain(..)
            .map(|cluster| ((cluster.rule.clone(), cluster.primary.clone()), cluster))
            .collect();
        let mut steps = Vec::new();
        for number in &rules.merging {
            let rule = &rules.rules[*number as usize];
            for cluster in merged(rule, incidents) {
                let key = (cluster.rule.clone(), cluster.primary.clone());
                let before = known.remove(&key);
                let status = match &before {
                    Some(before) if before.started_at_us != cluster.started_at_us => {
                        steps.push(before.step(rules, Status::Cleared, now_us));
                        Some(Status::Raised)
                    }
                    Some(before) if before.sources == cluster.sources => None,
                    Some(_) => Some(Status::Updated),
                    None => Some(Status::Raised),
                };
                if let Some(status) = status {
                    steps.push(cluster.step(rules, status, cluster.at_us));
                }
                self.open.push(cluster);
            }
        }
        // What is over is told first: its incidents may be part of another now.
        out.extend(
            known
                .values()
                .map(|cluster| cluster.step(rules, Status::Cleared, now_us.max(cluster.at_us))),
        );
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
    fn step(&self, rules: &RuleSet, status: Status, at_us: i64) -> AlertStep {
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
            at_us,
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
        at_us: members
            .iter()
            .map(|m| m.started_at_us)
            .max()
            .unwrap_or_default(),
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
    use proptest::prelude::*;

    use super::*;

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
            updated_at_us: minute * MINUTE_US,
        }
    }

    fn update(clusters: &mut Clusters, incidents: &[ActiveIncident]) -> Vec<(Status, String)> {
        let mut steps = Vec::new();
        let rules = RuleSet::with_built_in([]);
        clusters.update(&rules, incidents, 100 * MINUTE_US, &mut steps);
        steps
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
            let incidents = of(&places);
            let mut reversed = incidents.clone();
            reversed.reverse();
            let mut one = Clusters::default();
            update(&mut one, &incidents);
            let mut other = Clusters::default();
            update(&mut other, &of(&before));
            update(&mut other, &reversed);
            prop_assert_eq!(one, other);
        }
    }
}
