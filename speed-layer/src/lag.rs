//! How far this process is behind in each of its partitions.

use std::collections::HashMap;

use events::time::format_rfc3339;
use events::{Offset, TopicPartition};
use hot_store::{Kind, Update};
use metrics::gauge;

use crate::session::OWNER;
use crate::values;

/// One partition's progress.
pub(crate) struct Place<'a> {
    pub(crate) partition: &'a TopicPartition,
    pub(crate) position: Offset,
    /// When the log took in what was folded last, microseconds since the epoch.
    pub(crate) appended_at_us: i64,
}

/// Publishes the lag of `places` as gauges, and returns it as hot values.
pub(crate) fn publish<'a>(
    places: impl Iterator<Item = Place<'a>>,
    ends: &HashMap<TopicPartition, Offset>,
    now_us: i64,
) -> Vec<Update> {
    let mut updates = Vec::new();
    for place in places {
        let Some(end) = ends.get(place.partition).copied() else {
            continue;
        };
        // The end was looked up a moment ago.
        let end = end.max(place.position);
        let events = end - place.position;
        let seconds = match events {
            0 => 0.0,
            _ => values::round1((now_us.saturating_sub(place.appended_at_us)).max(0) as f64 / 1e6),
        };
        let labels = [
            ("topic", place.partition.topic.to_string()),
            ("partition", place.partition.partition.to_string()),
            ("group", OWNER.to_owned()),
        ];
        gauge!("citypulse_lag_events", &labels).set(events as f64);
        gauge!("citypulse_lag_seconds", &labels).set(seconds);
        let value = values::Lag {
            topic: &place.partition.topic,
            partition: place.partition.partition,
            position: place.position,
            end,
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

/// Ends the gauges of a partition that another process reads on.
pub(crate) fn forget(partition: &TopicPartition) {
    let labels = [
        ("topic", partition.topic.to_string()),
        ("partition", partition.partition.to_string()),
        ("group", OWNER.to_owned()),
    ];
    gauge!("citypulse_lag_events", &labels).set(0.0);
    gauge!("citypulse_lag_seconds", &labels).set(0.0);
}
