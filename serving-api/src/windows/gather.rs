//! Panes from two sources, each minute of a thing once.

use std::collections::BTreeMap;

use events::window::{PANE_US, Pane};

use super::progress::Progress;

/// What was found for one answer.
#[derive(Debug)]
pub(super) struct Gathered {
    /// By key and start.
    panes: BTreeMap<(String, i64), Found>,
    /// By all panes that were seen on the way.
    pub progress: Progress,
    /// Windows that begin earlier may lack panes: their number had to be limited.
    pub whole_from_us: i64,
}

#[derive(Debug)]
struct Found {
    pane: Pane,
    /// As recorded, for a pane that has no sketch.
    quantiles: Option<[Option<f64>; 3]>,
    /// When its record was appended; of two records the later one counts.
    appended_us: i64,
}

impl Default for Gathered {
    fn default() -> Self {
        Self {
            panes: BTreeMap::new(),
            progress: Progress::default(),
            whole_from_us: i64::MIN,
        }
    }
}

impl Gathered {
    /// Takes a pane of the hot store. One that is still open does not replace the
    /// record of a closed one: it was left over by a process that ended.
    pub fn hot(&mut self, pane: Pane) {
        let place = (pane.key.clone(), pane.start_us);
        let is_known = self.panes.contains_key(&place);
        if pane.is_final || !is_known {
            let found = Found {
                pane,
                quantiles: None,
                appended_us: i64::MAX,
            };
            self.panes.insert(place, found);
        }
    }

    /// Takes a closed pane from its record. A record that was appended again, as
    /// after a crash, counts once.
    pub fn stored(&mut self, pane: Pane, quantiles: [Option<f64>; 3], appended_us: i64) {
        let place = (pane.key.clone(), pane.start_us);
        let known = self.panes.get(&place);
        if known.is_none_or(|known| known.appended_us <= appended_us) {
            let found = Found {
                pane,
                quantiles: Some(quantiles),
                appended_us,
            };
            self.panes.insert(place, found);
        }
    }

    /// The record of the pane that begins at `start_us` was appended when event time
    /// had come to its end.
    pub fn recorded(&mut self, start_us: i64, appended_us: i64, now_us: i64) {
        let end_us = start_us.saturating_add(PANE_US);
        let since_us = now_us.saturating_sub(appended_us);
        self.progress.closed(end_us, end_us, since_us);
    }

    /// The panes of each thing, by key.
    pub fn by_key(&self) -> BTreeMap<&str, Vec<&Pane>> {
        let mut by_key: BTreeMap<&str, Vec<&Pane>> = BTreeMap::new();
        for ((key, _), found) in &self.panes {
            by_key.entry(key).or_default().push(&found.pane);
        }
        by_key
    }

    /// The recorded quantiles of one pane.
    pub fn quantiles(&self, key: &str, start_us: i64) -> Option<[Option<f64>; 3]> {
        self.panes.get(&(key.to_owned(), start_us))?.quantiles
    }

    /// Every pane.
    pub fn panes(&self) -> impl Iterator<Item = &Pane> {
        self.panes.values().map(|found| &found.pane)
    }
}
