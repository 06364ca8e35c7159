//! How far this process is behind in each of its partitions: as hot values, and as
//! gauges that go on while the hot store is away and nothing is folded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_log::EventLog;
use events::time::format_rfc3339;
use events::{Offset, Topic, TopicPartition};
use hot_store::{Kind, Update};
use metrics::gauge;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use crate::session::{OWNER, now_us};
use crate::values;

/// How often the gauges are set.
const EVERY: Duration = Duration::from_secs(1);

/// One partition's progress.
pub(crate) struct Place<'a> {
    pub(crate) partition: &'a TopicPartition,
    pub(crate) position: Offset,
    /// When the log took in what was folded last, microseconds since the epoch.
    pub(crate) appended_at_us: i64,
}

impl Place<'_> {
    /// Events and seconds behind `end`.
    fn lag(&self, end: Offset, now_us: i64) -> (i64, f64) {
        let events = (end - self.position).max(0);
        let seconds = match (events, self.appended_at_us) {
            // Nothing is left, or nothing is known: nothing was folded yet.
            (0, _) | (_, 0) => 0.0,
            _ => values::round1((now_us.saturating_sub(self.appended_at_us)).max(0) as f64 / 1e6),
        };
        (events, seconds)
    }
}

/// The lag of `places` as hot values.
pub(crate) fn values<'a>(
    places: impl Iterator<Item = Place<'a>>,
    ends: &HashMap<TopicPartition, Offset>,
    now_us: i64,
) -> Vec<Update> {
    let mut updates = Vec::new();
    for place in places {
        let Some(end) = ends.get(place.partition).copied() else {
            continue;
        };
        let (events, seconds) = place.lag(end, now_us);
        let value = values::Lag {
            topic: &place.partition.topic,
            partition: place.partition.partition,
            position: place.position,
            // The end was looked up a moment ago.
            end: end.max(place.position),
            events,
            seconds,
            timestamp: format_rfc3339(now_us),
        };
        updates.push(values::update(
            Kind::Lag,
            &place.partition.to_string(),
            &value,
        ));
    }
    updates
}

/// Up to where this process has folded, as it was known last, whatever became of the
/// session that knew it.
#[derive(Clone, Default)]
pub(crate) struct Reached(Arc<Mutex<HashMap<TopicPartition, (Offset, i64)>>>);

impl Reached {
    fn lock(&self) -> MutexGuard<'_, HashMap<TopicPartition, (Offset, i64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are the partitions of this process, and how far they are. Gauges of others
    /// end: another process reads on.
    pub(crate) fn set<'a>(&self, places: impl Iterator<Item = Place<'a>>) {
        let now = places.map(|place| {
            let reached = (place.position, place.appended_at_us);
            (place.partition.clone(), reached)
        });
        let before = std::mem::replace(&mut *self.lock(), now.collect());
        let known = self.lock();
        for partition in before.keys().filter(|id| !known.contains_key(id)) {
            set_gauges(partition, 0, 0.0);
        }
    }

    /// Sets the gauges again and again, until the handle is dropped.
    pub(crate) fn watch(
        &self,
        log: Arc<dyn EventLog>,
        topics: Vec<Topic>,
    ) -> AbortOnDropHandle<()> {
        let reached = self.clone();
        let task = tokio::spawn(async move {
            let mut turns = tokio::time::interval(EVERY);
            turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                turns.tick().await;
                for topic in &topics {
                    match log.bounds(topic).await {
                        Ok(bounds) => {
                            let ends = bounds.into_iter().map(|of| (of.partition, of.end));
                            reached.publish(ends, now_us());
                        }
                        // The session meets the same failure and says so.
                        Err(error) => debug!(%error, %topic, "cannot look for the end of a topic"),
                    }
                }
            }
        });
        AbortOnDropHandle::new(task)
    }

    fn publish(&self, ends: impl Iterator<Item = (TopicPartition, Offset)>, now_us: i64) {
        let known = self.lock();
        for (partition, end) in ends {
            if let Some((position, appended_at_us)) = known.get(&partition).copied() {
                let place = Place {
                    partition: &partition,
                    position,
                    appended_at_us,
                };
                let (events, seconds) = place.lag(end, now_us);
                set_gauges(&partition, events, seconds);
            }
        }
    }
}

fn set_gauges(partition: &TopicPartition, events: i64, seconds: f64) {
    let labels = [
        ("topic", partition.topic.to_string()),
        ("partition", partition.partition.to_string()),
        ("group", OWNER.to_owned()),
    ];
    gauge!("citypulse_lag_events", &labels).set(events as f64);
    gauge!("citypulse_lag_seconds", &labels).set(seconds);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_was_appended_since_and_how_long_ago() {
        let partition = TopicPartition::new("gps_data", 0);
        let at = |position, appended_at_us| Place {
            partition: &partition,
            position,
            appended_at_us,
        };
        let now_us = 1_700_000_000_000_000;
        assert_eq!(at(10, now_us - 2_500_000).lag(14, now_us), (4, 2.5));
        assert_eq!(at(10, now_us - 2_500_000).lag(10, now_us), (0, 0.0));
        assert_eq!(at(10, now_us).lag(9, now_us), (0, 0.0), "an older look");
        assert_eq!(at(10, 0).lag(14, now_us), (4, 0.0), "nothing folded yet");
    }
}
