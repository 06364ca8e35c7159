//! Appends what the rules said to the topic of alerts, each step once.
//!
//! A step is durable before the positions that it follows from are stored, so a
//! crash between the two repeats it, with the same id. A new session reads which
//! ids were appended since the positions that the checkpoints noted, and leaves
//! those out.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use event_log::{EventLog, NewRecord, Polled};
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
/// For so many ticks after all was folded that there was at the start, something
/// that was said before may be said again.
const SETTLED_AFTER_TICKS: u32 = 60;

/// The topic of alerts, as one session writes to it.
pub(crate) struct AlertOutbox {
    topic: Topic,
    /// Ids of steps that are there and may be said again.
    known: HashSet<Uuid>,
    /// Where each partition of the topic ended when it was last looked at.
    ends: HashMap<i32, Offset>,
    /// From where the next session has to read.
    noted: HashMap<i32, Offset>,
    /// Of the partitions that rules follow: up to where others may have folded.
    goals: HashMap<TopicPartition, Offset>,
    ticks: u32,
}

impl AlertOutbox {
    pub(crate) fn new(topic: Topic) -> Self {
        Self {
            topic,
            known: HashSet::new(),
            ends: HashMap::new(),
            noted: HashMap::new(),
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
            let before = self.noted.entry(number).or_insert(from);
            *before = (*before).min(from);
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
                            self.remember(&record.value);
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

    fn remember(&mut self, value: &[u8]) {
        #[derive(serde::Deserialize)]
        struct Id {
            id: Uuid,
        }
        if self.known.len() < KNOWN_MAX
            && let Ok(Id { id }) = serde_json::from_slice(value)
        {
            self.known.insert(id);
        }
    }

    /// The records of those steps that are not there.
    pub(crate) fn records(&mut self, steps: &[AlertStep]) -> Vec<NewRecord> {
        let mut records = Vec::new();
        for step in steps {
            if self.known.remove(&step.event_id()) {
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

    /// A second has passed; `places` is up to where each partition was folded.
    pub(crate) fn tick<'p>(&mut self, places: impl Iterator<Item = (&'p TopicPartition, Offset)>) {
        if self.ticks >= SETTLED_AFTER_TICKS {
            return;
        }
        let places: HashMap<_, _> = places.collect();
        let behind = self
            .goals
            .iter()
            .any(|(id, goal)| places.get(id).is_some_and(|at| at < goal));
        match behind {
            true => self.ticks = 0,
            false => self.ticks += 1,
        }
        if self.ticks >= SETTLED_AFTER_TICKS {
            self.known.clear();
            self.goals.clear();
        }
    }

    /// What to store with a checkpoint, so that the next session knows from where
    /// to read.
    pub(crate) fn note(&mut self) -> Bytes {
        if self.ticks >= SETTLED_AFTER_TICKS {
            self.noted.clone_from(&self.ends);
        }
        let mut noted: Vec<_> = self.noted.iter().collect();
        noted.sort_unstable();
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
