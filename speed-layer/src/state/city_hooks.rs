//! Rules over what follows from all partitions: closed windows, and incidents
//! that are probably one.

use std::sync::Arc;

use bytes::Bytes;
use events::Body;
use rules::{ActiveIncident, AlertStep, Clusters, Engine, PaneFact, RuleSet};

use super::latest::Latest;
use super::shared::Group;

/// Cells of the engines; what follows is the group's number.
const PREFIX: &str = "city-rules:";
const MERGED: &str = "city-rules:merged";

/// State of what follows from all partitions.
pub(crate) struct CityHooks {
    rules: Arc<RuleSet>,
    /// One per group of streams, as each has its own watermark.
    engines: [Engine; 2],
    clusters: Clusters,
    stored_clusters: Vec<u8>,
    /// How far time has come in each group; where nothing more comes, by the clock.
    clock_us: [i64; 2],
    steps: Vec<AlertStep>,
}

impl Default for CityHooks {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl CityHooks {
    pub(crate) fn new(rules: Arc<RuleSet>) -> Self {
        Self {
            engines: Group::ALL.map(|_| Engine::new(rules.clone())),
            rules,
            clusters: Clusters::default(),
            stored_clusters: Vec::new(),
            clock_us: [i64::MIN; 2],
            steps: Vec::new(),
        }
    }

    /// Goes on with other rules.
    pub(crate) fn set_rules(&mut self, rules: Arc<RuleSet>) {
        for engine in &mut self.engines {
            engine.set_rules(rules.clone(), &mut self.steps);
        }
        self.rules = rules;
    }

    /// A window was closed, or closed again with a correction, which rules leave
    /// out. Windows come in the order of their starts.
    pub(crate) fn on_closed_pane(&mut self, group: Group, fact: &PaneFact<'_>) {
        let engine = &mut self.engines[group as usize];
        // All windows that end here have been handed in: what follows does not
        // depend on how many are closed at once.
        engine.on_time(fact.pane.start_us, &mut self.steps);
        engine.on_pane(fact, &mut self.steps);
    }

    /// The watermark of the group has come this far; windows that end before it
    /// were handed in. Longer ones end by the clock where nothing more comes: those of a
    /// recording that ends are judged, and one that goes on finds time where it was.
    pub(crate) fn on_time(&mut self, group: Group, watermark_us: i64, clock_us: i64) {
        let engine = &mut self.engines[group as usize];
        engine.on_time(watermark_us, &mut self.steps);
        engine.end_windows(clock_us, &mut self.steps);
        self.clock_us[group as usize] = clock_us;
    }

    /// Event time up to which these have said all that time alone makes them say: of each
    /// group that has a time.
    pub(crate) fn said_until_us(&self) -> impl Iterator<Item = i64> {
        self.clock_us.into_iter().filter(|us| *us > i64::MIN)
    }

    /// All incidents that go on, each once; `heard_us` is when any, over or not,
    /// was last heard of.
    pub(crate) fn on_incidents<'a>(
        &mut self,
        incidents: impl Iterator<Item = (&'a Latest, i64)>,
        heard_us: impl Fn(&str) -> Option<i64>,
    ) {
        let active: Vec<ActiveIncident> = incidents
            .filter_map(|(latest, started_at_us)| {
                let Body::Incident(incident) = &latest.event.body else {
                    return None;
                };
                Some(ActiveIncident {
                    incident_id: incident.incident_id.clone(),
                    incident_type: incident.incident_type.clone(),
                    location: incident.location,
                    severity: incident.severity(),
                    started_at_us,
                })
            })
            .collect();
        self.clusters
            .update(&self.rules, &active, heard_us, &mut self.steps);
    }

    /// What the rules said since the last call.
    pub(crate) fn take_steps(&mut self) -> Vec<AlertStep> {
        std::mem::take(&mut self.steps)
    }

    /// What changed since the last call.
    pub(crate) fn drain_cells(&mut self) -> Vec<(String, Option<Bytes>)> {
        let mut cells = Vec::new();
        for (number, engine) in self.engines.iter_mut().enumerate() {
            let changed = engine.take_cells().into_iter();
            cells.extend(changed.map(|(key, value)| (format!("{PREFIX}{number}:{key}"), value)));
        }
        let clusters = self.clusters.to_bytes();
        if clusters != self.stored_clusters {
            self.stored_clusters.clone_from(&clusters);
            cells.push((MERGED.to_owned(), Some(clusters.into())));
        }
        cells
    }

    /// Cells of all that was stored follow: what is known from before is void.
    pub(crate) fn begin_restore(&mut self) {
        *self = Self::new(self.rules.clone());
    }

    /// Takes a stored cell up; false where it is none of these.
    pub(crate) fn restore(&mut self, key: &str, value: &[u8]) -> bool {
        if key == MERGED {
            if let Some(clusters) = Clusters::from_bytes(value) {
                self.stored_clusters = value.to_vec();
                self.clusters = clusters;
            }
            return true;
        }
        let Some((number, key)) = key
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once(':'))
        else {
            return false;
        };
        let number: usize = number.parse().unwrap_or(usize::MAX);
        match self.engines.get_mut(number) {
            Some(engine) => engine.restore_cell(key, value, &mut self.steps),
            None => false,
        }
    }
}
