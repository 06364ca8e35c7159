//! The alerts that one partition of the topic of alerts tells of: what is shown
//! of them follows from the log, whoever wrote there.

use bytes::Bytes;
use compact_str::CompactString;
use events::{Body, Event};
use foldhash::HashMap;
use hot_store::{Kind, Update};
use rules::AlertState;

use super::{age, is_live};

/// Alerts that are over which are kept, of one partition; the oldest go first.
const OVER_MAX: usize = 10_000;
/// What the key of such a cell begins with.
const PREFIX: &str = "alert:";

struct Known {
    state: AlertState,
    /// Of the last record about it.
    appended_at_us: i64,
}

/// The alerts of one partition.
#[derive(Default)]
pub(crate) struct Alerts {
    /// Boxed, so that the room that the table has for more takes little memory.
    by_id: HashMap<CompactString, Box<Known>>,
    unshown: Vec<CompactString>,
    unsaved: Vec<CompactString>,
    /// No longer kept, and still in the hot store.
    dropped: Vec<CompactString>,
    /// How many were dropped before their time.
    pub(crate) dropped_total: u64,
}

impl Alerts {
    /// Takes a step of an alert in.
    pub(crate) fn fold(&mut self, event: &Event, appended_at_us: i64) {
        let Body::Alert(alert) = &event.body else {
            return;
        };
        let id = &alert.alert_id;
        match self.by_id.get_mut(id) {
            Some(known) => {
                if !known.state.fold(event) {
                    return;
                }
                known.appended_at_us = appended_at_us;
            }
            None => {
                let Some(state) = AlertState::begin(event) else {
                    return;
                };
                let known = Known {
                    state,
                    appended_at_us,
                };
                self.by_id.insert(id.clone(), Box::new(known));
            }
        }
        self.unshown.push(id.clone());
        self.unsaved.push(id.clone());
    }

    /// Alerts that are not over.
    pub(crate) fn active(&self) -> usize {
        let known = self.by_id.values();
        known.filter(|known| known.state.is_active()).count()
    }

    /// What changed since the last call, newest values only.
    pub(crate) fn take_unshown(&mut self, now_us: i64) -> Vec<Update> {
        let mut unshown = std::mem::take(&mut self.unshown);
        unshown.sort_unstable();
        unshown.dedup();
        let dropped = std::mem::take(&mut self.dropped).into_iter();
        let dropped = dropped.filter(|id| !self.by_id.contains_key(id));
        let mut updates: Vec<_> = dropped
            .map(|id| Update::new(Kind::Alert, id, None))
            .collect();
        let shown = unshown.into_iter().filter_map(|id| {
            let known = self.by_id.get(&id)?;
            is_live(Kind::Alert, known.appended_at_us, now_us).then(|| {
                let value = known.state.to_json().into();
                Update::new(Kind::Alert, id, Some(value)).aged(age(known.appended_at_us, now_us))
            })
        });
        updates.extend(shown);
        updates
    }

    /// The values show all that was folded.
    pub(crate) fn clear_unshown(&mut self) {
        self.unshown.clear();
    }

    /// Forgets what is not shown any more, by the log's clock.
    pub(crate) fn forget(&mut self, appended_at_us: i64) {
        let unsaved = &mut self.unsaved;
        self.by_id.retain(|id, known| {
            let keep = is_live(Kind::Alert, known.appended_at_us, appended_at_us);
            if !keep {
                unsaved.push(id.clone());
            }
            keep
        });
        self.drop_oldest();
    }

    /// Keeps the number of alerts that are over bounded.
    fn drop_oldest(&mut self) {
        let over = self
            .by_id
            .iter()
            .filter(|(_, known)| !known.state.is_active());
        let mut over: Vec<_> = over
            .map(|(id, known)| (known.appended_at_us, id.clone()))
            .collect();
        let excess = over.len().saturating_sub(OVER_MAX);
        if excess == 0 {
            return;
        }
        over.sort_unstable();
        for (_, id) in over.drain(..excess) {
            self.by_id.remove(&id);
            self.unsaved.push(id.clone());
            self.dropped.push(id);
        }
        self.dropped_total += excess as u64;
    }

    /// What changed since the last call, for a checkpoint.
    pub(crate) fn drain_cells(&mut self, cells: &mut Vec<(String, Option<Bytes>)>) {
        self.unsaved.sort_unstable();
        self.unsaved.dedup();
        for id in self.unsaved.drain(..) {
            let value = self.by_id.get(&id).map(|known| {
                let mut bytes = known.appended_at_us.to_le_bytes().to_vec();
                bytes.extend_from_slice(&known.state.to_json());
                Bytes::from(bytes)
            });
            cells.push((format!("{PREFIX}{id}"), value));
        }
    }

    /// Takes a stored cell up; false where it is none of these.
    pub(crate) fn restore(&mut self, key: &str, value: &[u8]) -> bool {
        let Some(id) = key.strip_prefix(PREFIX) else {
            return false;
        };
        if let Some((appended, json)) = value.split_first_chunk()
            && let Some(state) = AlertState::from_json(json)
        {
            let known = Known {
                state,
                appended_at_us: i64::from_le_bytes(*appended),
            };
            self.by_id.insert(id.into(), Box::new(known));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use events::Severity;
    use rules::{AlertStep, Status};

    use super::*;

    /// An alert of that number, raised and over.
    fn over(number: usize) -> [Event; 2] {
        let at_us = 1_700_000_000_000_000 + number as i64;
        let raised = AlertStep {
            alert_id: uuid::Uuid::from_u128(number as u128),
            rule: "fast".into(),
            subject: format!("t{number}").into(),
            severity: Severity::Low,
            status: Status::Raised,
            value: Some(70.0),
            threshold: Some(60.0),
            location: None,
            started_at_us: at_us,
            at_us,
            message: "fast".into(),
            sources: Vec::new(),
        };
        let cleared = AlertStep {
            status: Status::Cleared,
            at_us: at_us + 1,
            ..raised.clone()
        };
        [raised.to_event(), cleared.to_event()]
    }

    #[test]
    fn of_alerts_that_are_over_the_newest_are_kept() {
        let mut alerts = Alerts::default();
        let mut first = None;
        for number in 0..OVER_MAX + 3 {
            for event in over(number) {
                alerts.fold(&event, event.timestamp_us);
                if let Body::Alert(alert) = &event.body {
                    first.get_or_insert_with(|| alert.alert_id.clone());
                }
            }
        }
        let now_us = 1_700_000_000_000_000;
        alerts.take_unshown(now_us);
        alerts.forget(now_us);
        assert_eq!((alerts.by_id.len(), alerts.dropped_total), (OVER_MAX, 3));
        let told = alerts.take_unshown(now_us);
        assert_eq!(told.len(), 3, "the store drops them too");
        assert!(told.iter().all(|update| update.value.is_none()));
        assert!(
            told.iter()
                .any(|update| Some(&*update.id) == first.as_deref())
        );
        assert!(alerts.take_unshown(now_us).is_empty());
    }
}
