//! Appends what the rules said to the topic of alerts, each step once.
//!
//! A step is durable before the positions that it follows from are stored, so a
//! crash between the two repeats it, with the same id. A new session reads which
//! ids were appended since the positions that the checkpoints noted, and leaves
//! those out. What follows from records is said again when these are folded again;
//! what time alone makes, like a silent device, when event time has come there once
//! more, which may be long after: until then it stays known, and what is noted does
//! not pass it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use event_log::{EventLog, NewRecord, Polled};
use events::time::parse_rfc3339_us;
use events::{Offset, Topic, TopicPartition};
use metrics::counter;
use rules::AlertStep;
use uuid::Uuid;

use crate::error::Error;
use crate::write::Ends;

/// The cell of a checkpoint that says from where to read.
pub(crate) const NOTED: &str = "alerts-noted";
/// The longest wait for a record that is known to be there.
const READ_WAIT: Duration = Duration::from_secs(5);
/// What is remembered to be there already, at most.
const KNOWN_MAX: usize = 1_000_000;
/// So many ticks after all was folded that there was at the start, all that follows from
/// it was said again, also what follows from several partitions.
const SETTLED_AFTER_TICKS: u32 = 60;

/// A step that is there.
struct Known {
    /// Event time, microseconds since the epoch.
    at_us: i64,
    partition: i32,
    offset: Offset,
}

/// The topic of alerts, as one session writes to it.
pub(crate) struct AlertOutbox {
    topic: Topic,
    /// Steps that are there and may be said again, by their ids.
    known: HashMap<Uuid, Known>,
    /// Where each partition of the topic ended when it was last looked at.
    ends: HashMap<i32, Offset>,
    /// Of the partitions that rules follow: up to where others may have folded.
    goals: HashMap<TopicPartition, Offset>,
    ticks: u32,
}

impl AlertOutbox {
    pub(crate) fn new(topic: Topic) -> Self {
        Self {
            topic,
            known: HashMap::new(),
            ends: HashMap::new(),
            goals: HashMap::new(),
            ticks: 0,
        }
    }

    /// Learns what was said since `notes`, one per partition that is taken over;
    /// without a note, everything that is retained. `goals` are the ends of those
    /// partitions.
    pub(crate) async fn read_since(
        &mut self,
        log: &dyn EventLog,
        notes: &[Option<Bytes>],
        goals: impl IntoIterator<Item = (TopicPartition, Offset)>,
    ) -> Result<(), Error> {
        self.goals.extend(goals);
        self.ticks = 0;
        let notes: Vec<HashMap<i32, Offset>> = notes
            .iter()
            .map(|note| note.as_deref().map(decode).unwrap_or_default())
            .collect();
        let mut starts: HashMap<TopicPartition, Offset> = HashMap::new();
        for bounds in log.bounds(&self.topic).await? {
            let number = bounds.partition.partition;
            let noted = notes
                .iter()
                .map(|note| note.get(&number).copied().unwrap_or(bounds.start))
                .min();
            let from = noted.unwrap_or(bounds.end).clamp(bounds.start, bounds.end);
            self.ends.insert(number, bounds.end);
            if from < bounds.end {
                starts.insert(bounds.partition, from);
            }
        }
        let from: Vec<_> = starts
            .iter()
            .map(|(id, from)| (id.clone(), *from))
            .collect();
        if from.is_empty() {
            return Ok(());
        }
        let mut consumer = log.read_from(&from).await?;
        while starts.iter().any(|(id, at)| *at < self.ends[&id.partition]) {
            match consumer.poll(READ_WAIT).await? {
                Polled::Records(all) => {
                    for records in all {
                        for record in &records.records {
                            let partition = records.partition.partition;
                            self.remember(&record.value, partition, record.offset);
                        }
                        starts.insert(records.partition, records.next);
                    }
                }
                Polled::Nothing => break,
                Polled::Assigned(_) | Polled::Revoked(_) => {}
            }
        }
        Ok(())
    }

    fn remember(&mut self, value: &[u8], partition: i32, offset: Offset) {
        #[derive(serde::Deserialize)]
        struct Step<'a> {
            id: Uuid,
            timestamp: &'a str,
        }
        if self.known.len() < KNOWN_MAX
            && let Ok(Step { id, timestamp }) = serde_json::from_slice(value)
            && let Some(at_us) = parse_rfc3339_us(timestamp)
        {
            let known = Known {
                at_us,
                partition,
                offset,
            };
            self.known.insert(id, known);
        }
    }

    /// The records of those steps that are not there.
    pub(crate) fn records(&mut self, steps: &[AlertStep]) -> Vec<NewRecord> {
        let mut records = Vec::new();
        for step in steps {
            if self.known.remove(&step.event_id()).is_some() {
                continue;
            }
            counter!("citypulse_alerts_total", "rule" => step.rule.to_string(), "status" => step.status.name())
                .increment(1);
            let event = step.to_event();
            records.push(NewRecord {
                key: Some(Bytes::copy_from_slice(event.device_id.as_bytes())),
                value: event.to_json().into(),
                ..NewRecord::default()
            });
        }
        records
    }

    /// Records were appended up to these ends.
    pub(crate) fn appended(&mut self, ends: Ends) {
        for (partition, end) in ends {
            let known = self.ends.entry(partition).or_default();
            *known = (*known).max(end);
        }
    }

    /// A second has passed. `places` is up to where each partition was folded; what time
    /// alone makes was said of event time until `said_until_us`.
    pub(crate) fn tick<'p>(
        &mut self,
        places: impl Iterator<Item = (&'p TopicPartition, Offset)>,
        said_until_us: i64,
    ) {
        if self.ticks < SETTLED_AFTER_TICKS {
            let places: HashMap<_, _> = places.collect();
            let behind = self
                .goals
                .iter()
                .any(|(id, goal)| places.get(id).is_some_and(|at| at < goal));
            self.ticks = if behind { 0 } else { self.ticks + 1 };
        }
        if self.ticks >= SETTLED_AFTER_TICKS {
            self.goals.clear();
            self.known.retain(|_, known| known.at_us > said_until_us);
        }
    }

    /// What to store with a checkpoint, so that the next session knows from where
    /// to read: what is still to be said again, and what follows.
    pub(crate) fn note(&self) -> Bytes {
        let mut noted: BTreeMap<i32, Offset> = self.ends.iter().map(|(k, v)| (*k, *v)).collect();
        for known in self.known.values() {
            let from = noted.entry(known.partition).or_insert(known.offset);
            *from = (*from).min(known.offset);
        }
        let lines = noted.iter().map(|(number, end)| format!("{number}={end}"));
        lines.collect::<Vec<_>>().join("\n").into()
    }
}

fn decode(note: &[u8]) -> HashMap<i32, Offset> {
    let text = std::str::from_utf8(note).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines
        .filter_map(|(number, end)| Some((number.parse().ok()?, end.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use events::Severity;
    use rules::Status;

    use super::*;

    const SECOND_US: i64 = 1_000_000;

    /// Of a device that fell silent then.
    fn silent(device: u128, at_s: i64) -> AlertStep {
        AlertStep {
            alert_id: Uuid::from_u128(device),
            rule: "device-silent".into(),
            subject: "t".into(),
            severity: Severity::Low,
            status: Status::Raised,
            value: None,
            threshold: None,
            location: None,
            started_at_us: 0,
            at_us: at_s * SECOND_US,
            message: "silent".into(),
            sources: Vec::new(),
        }
    }

    /// One that has read those from a topic with one partition, from offset 0 on.
    fn knows(steps: &[AlertStep]) -> AlertOutbox {
        let mut outbox = AlertOutbox::new("alerts".into());
        for (offset, step) in (0..).zip(steps) {
            outbox.remember(&step.to_event().to_json(), 0, offset);
        }
        outbox.ends.insert(0, steps.len() as i64);
        outbox
    }

    fn ticks(outbox: &mut AlertOutbox, count: u32, said_until_s: i64) {
        for _ in 0..count {
            outbox.tick(std::iter::empty(), said_until_s * SECOND_US);
        }
    }

    #[test]
    fn what_time_alone_makes_is_known_until_time_has_come_there_again() {
        let steps = [silent(1, 10), silent(2, 600), silent(3, 86_400)];
        let mut outbox = knows(&steps);
        assert_eq!(outbox.note(), "0=0");
        ticks(&mut outbox, 10 * SETTLED_AFTER_TICKS, 590);
        assert_eq!(outbox.note(), "0=1", "what follows from records was said");
        assert!(outbox.records(&steps[1..2]).is_empty());
        assert_eq!(outbox.note(), "0=2");
        ticks(&mut outbox, 1, 86_399);
        assert_eq!(outbox.note(), "0=2");
        ticks(&mut outbox, 1, 86_400);
        assert!(outbox.known.is_empty());
        assert_eq!(outbox.note(), "0=3");
        assert_eq!(outbox.records(&[silent(4, 86_401)]).len(), 1);
    }

    #[test]
    fn while_the_log_is_behind_all_is_known() {
        let steps = [silent(1, 10)];
        let mut outbox = knows(&steps);
        let partition = TopicPartition::new("gps_data", 0);
        outbox.goals.insert(partition.clone(), 5);
        for _ in 0..2 * SETTLED_AFTER_TICKS {
            outbox.tick([(&partition, 4)].into_iter(), i64::MAX);
        }
        assert_eq!(outbox.note(), "0=0");
        assert!(outbox.records(&steps).is_empty());
    }
}
