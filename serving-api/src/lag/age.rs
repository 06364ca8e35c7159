//! How old the oldest event is that a layer has still to do.
//!
//! Looking at the log's end from time to time is enough: an event at `position`
//! was appended after the last look at which the log ended there or before. Only
//! where no look reaches back that far, as after a start with a backlog, the
//! event itself is read.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use event_log::{EventLog, Polled};
use events::{Offset, TopicPartition};

/// Looks remembered per partition: an hour of changes at one look in five seconds.
const LOOKS_MAX: usize = 720;

/// Events are read at most this often: each time costs a reader of the log.
const READ_EVERY: Duration = Duration::from_secs(10);

/// What cannot be read in this time stays unknown for now.
const READ_MAX: Duration = Duration::from_secs(1);

/// When each partition had grown how far.
#[derive(Default)]
pub(super) struct Ages {
    looks: HashMap<TopicPartition, VecDeque<Look>>,
    last_read: Option<Instant>,
}

/// At that time the log ended there.
struct Look {
    end: Offset,
    at_us: i64,
}

impl Ages {
    /// Remembers where a partition ends now.
    pub fn observe(&mut self, partition: &TopicPartition, end: Offset, now_us: i64) {
        if !self.looks.contains_key(partition) {
            self.looks.insert(partition.clone(), VecDeque::new());
        }
        let Some(looks) = self.looks.get_mut(partition) else {
            return;
        };
        match looks.back_mut() {
            Some(last) if last.end == end => last.at_us = now_us,
            // A log that was made anew begins again.
            Some(last) if last.end > end => {
                looks.clear();
                looks.push_back(Look { end, at_us: now_us });
            }
            _ => looks.push_back(Look { end, at_us: now_us }),
        }
        if looks.len() > LOOKS_MAX {
            looks.pop_front();
        }
    }

    /// How long the event at `position` has been there at most, seconds; `None`
    /// where no look reaches back so far.
    pub fn seconds(
        &self,
        partition: &TopicPartition,
        position: Offset,
        now_us: i64,
    ) -> Option<f64> {
        let looks = self.looks.get(partition)?;
        let known = looks.partition_point(|look| look.end <= position);
        let look = looks.get(known.checked_sub(1)?)?;
        Some((now_us.saturating_sub(look.at_us)).max(0) as f64 / 1e6)
    }

    /// Reads when the events at `positions` were appended, unless that was done a
    /// moment ago.
    pub async fn read(&mut self, log: &dyn EventLog, positions: Vec<(TopicPartition, Offset)>) {
        let is_due = self.last_read.is_none_or(|at| at.elapsed() >= READ_EVERY);
        if positions.is_empty() || !is_due {
            return;
        }
        self.last_read = Some(Instant::now());
        let mut found = HashMap::new();
        let reading = first_records(log, &positions, &mut found);
        if let Ok(Err(error)) = tokio::time::timeout(READ_MAX, reading).await {
            tracing::debug!(%error, "the age of waiting events is not known");
        }
        for (partition, (offset, appended_us)) in found {
            let looks = self.looks.entry(partition).or_default();
            // Earlier than all others, or it would not have been asked for.
            if looks.front().is_none_or(|first| first.end > offset) {
                looks.push_front(Look {
                    end: offset,
                    at_us: appended_us,
                });
            }
        }
    }
}

/// The offset asked for and the append time of the first record from there on.
async fn first_records(
    log: &dyn EventLog,
    positions: &[(TopicPartition, Offset)],
    found: &mut HashMap<TopicPartition, (Offset, i64)>,
) -> event_log::Result<()> {
    let mut consumer = log.read_from(positions).await?;
    while found.len() < positions.len() {
        let Polled::Records(batches) = consumer.poll(READ_MAX).await? else {
            continue;
        };
        for batch in batches {
            let asked = positions
                .iter()
                .find(|(partition, _)| *partition == batch.partition);
            if let (Some((partition, offset)), Some(record)) = (asked, batch.records.first()) {
                found
                    .entry(partition.clone())
                    .or_insert((*offset, record.appended_at_us));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: i64 = 1_000_000;

    #[test]
    fn an_event_is_as_old_as_the_last_look_without_it() {
        let partition = TopicPartition::new("gps_data", 0);
        let mut ages = Ages::default();
        for (end, second) in [(10, 0), (10, 1), (30, 2), (50, 3)] {
            ages.observe(&partition, end, second * SECOND_US);
        }
        let seconds = |position| ages.seconds(&partition, position, 4 * SECOND_US);
        assert_eq!(seconds(9), None);
        assert_eq!(seconds(10), Some(3.0));
        assert_eq!(seconds(29), Some(3.0));
        assert_eq!(seconds(30), Some(2.0));
        assert_eq!(seconds(50), Some(1.0));
        assert_eq!(
            ages.seconds(&TopicPartition::new("gps_data", 1), 0, 0),
            None
        );
    }

    #[test]
    fn looks_are_bounded_and_end_with_their_log() {
        let partition = TopicPartition::new("gps_data", 0);
        let mut ages = Ages::default();
        for look in 0..2_000 {
            ages.observe(&partition, look, look * SECOND_US);
        }
        assert_eq!(ages.looks[&partition].len(), LOOKS_MAX);
        ages.observe(&partition, 5, 2_000 * SECOND_US);
        assert_eq!(ages.seconds(&partition, 5, 2_001 * SECOND_US), Some(1.0));
        assert_eq!(ages.seconds(&partition, 4, 2_001 * SECOND_US), None);
    }
}
