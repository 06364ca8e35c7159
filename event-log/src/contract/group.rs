//! Promises about groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use events::{Offset, Topic, TopicPartition};
use parking_lot::Mutex;

use super::{DEADLINE, WAIT, new_topic, numbered, read, unique};
use crate::{Consumer, EventLog, Polled};

/// Polls until partitions are assigned, some at least.
async fn assigned(consumer: &mut dyn Consumer) -> Vec<TopicPartition> {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < DEADLINE, "nothing was assigned in time");
        match consumer.poll(WAIT).await.expect("a poll works") {
            Polled::Assigned(partitions) if !partitions.is_empty() => return partitions,
            Polled::Nothing | Polled::Assigned(_) => {}
            other => panic!("expected an assignment, got {other:?}"),
        }
    }
}

async fn subscribe(log: &dyn EventLog, group: &str, topic: &Topic) -> Box<dyn Consumer> {
    log.subscribe(group, std::slice::from_ref(topic))
        .await
        .expect("subscribing works")
}

pub(super) async fn nothing_is_read_before_start(log: &dyn EventLog) {
    let topic = new_topic(log, "start", 1).await;
    log.append(&topic, numbered(0..10, 0))
        .await
        .expect("an append works");
    let mut consumer = subscribe(log, &unique("group"), &topic).await;
    let partitions = assigned(&mut *consumer).await;
    assert_eq!(partitions, [TopicPartition::new(topic, 0)]);
    let polled = consumer
        .poll(Duration::from_millis(500))
        .await
        .expect("a poll works");
    assert!(matches!(polled, Polled::Nothing), "got {polled:?}");
    consumer
        .start(&[(partitions[0].clone(), Some(4))])
        .await
        .expect("starting works");
    let seen = read(&mut *consumer, 6).await;
    assert_eq!(seen.values(0), (4..10).collect::<Vec<_>>());
    consumer.commit_advisory(&[(partitions[0].clone(), 10)]);
}

pub(super) async fn start_without_position_reads_from_the_oldest(log: &dyn EventLog) {
    let topic = new_topic(log, "oldest", 2).await;
    for partition in 0..2 {
        log.append(&topic, numbered(0..5, partition))
            .await
            .expect("an append works");
    }
    let mut consumer = subscribe(log, &unique("group"), &topic).await;
    let positions: Vec<_> = assigned(&mut *consumer)
        .await
        .into_iter()
        .map(|partition| (partition, None))
        .collect();
    assert_eq!(positions.len(), 2);
    consumer.start(&positions).await.expect("starting works");
    let seen = read(&mut *consumer, 10).await;
    assert_eq!(
        (seen.values(0), seen.values(1)),
        ((0..5).collect(), (0..5).collect())
    );
}

pub(super) async fn resuming_gives_neither_gaps_nor_repeats(log: &dyn EventLog) {
    let topic = new_topic(log, "resume", 1).await;
    let group = unique("group");
    let partition = TopicPartition::new(topic.clone(), 0);
    let mut position = 0;
    let mut values = Vec::new();
    for round in 0..3 {
        log.append(&topic, numbered(round * 30..round * 30 + 30, 0))
            .await
            .expect("an append works");
        let mut consumer = subscribe(log, &group, &topic).await;
        assigned(&mut *consumer).await;
        consumer
            .start(&[(partition.clone(), Some(position))])
            .await
            .expect("starting works");
        let seen = read(&mut *consumer, 1).await;
        // Only the first read of each round counts; the next round continues after it.
        values.extend(seen.values(0));
        position = seen.next[&0];
    }
    let mut consumer = log
        .read_from(&[(partition, position)])
        .await
        .expect("reading works");
    if values.len() < 90 {
        values.extend(read(&mut *consumer, 90 - values.len()).await.values(0));
    }
    assert_eq!(values, (0..90).collect::<Vec<_>>());
}

pub(super) async fn groups_do_not_disturb_each_other(log: &dyn EventLog) {
    let topic = new_topic(log, "groups", 1).await;
    log.append(&topic, numbered(0..5, 0))
        .await
        .expect("an append works");
    let mut consumers = Vec::new();
    for name in ["speed", "batch"] {
        let mut consumer = subscribe(log, &unique(name), &topic).await;
        let partitions = assigned(&mut *consumer).await;
        consumer
            .start(&[(partitions[0].clone(), None)])
            .await
            .expect("starting works");
        consumers.push(consumer);
    }
    for consumer in &mut consumers {
        assert_eq!(read(&mut **consumer, 5).await.values(0), [0, 1, 2, 3, 4]);
    }
}

pub(super) async fn one_that_gets_nothing_is_told_and_takes_over(log: &dyn EventLog) {
    let topic = new_topic(log, "idle", 1).await;
    let group = unique("group");
    let mut first = subscribe(log, &group, &topic).await;
    let partitions = assigned(&mut *first).await;
    first
        .start(&[(partitions[0].clone(), None)])
        .await
        .expect("starting works");
    let mut second = subscribe(log, &group, &topic).await;
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < DEADLINE, "nothing was said in time");
        // A group whose members do not poll does not change.
        let (polled, of_first) = tokio::join!(second.poll(WAIT), first.poll(WAIT));
        let of_first = of_first.expect("a poll works");
        assert!(matches!(of_first, Polled::Nothing), "got {of_first:?}");
        match polled.expect("a poll works") {
            Polled::Assigned(partitions) if partitions.is_empty() => break,
            Polled::Nothing => {}
            other => panic!("expected an empty assignment, got {other:?}"),
        }
    }
    drop(first);
    assert_eq!(assigned(&mut *second).await, partitions);
}

/// A layer as the real ones are: it saves positions with its data.
struct Layer {
    consumer: Box<dyn Consumer>,
    owned: BTreeSet<TopicPartition>,
    saved: Arc<Mutex<Saved>>,
}

#[derive(Default)]
struct Saved {
    positions: BTreeMap<TopicPartition, Offset>,
    values: BTreeMap<i32, Vec<i64>>,
}

impl Layer {
    async fn new(
        log: &dyn EventLog,
        group: &str,
        topic: &Topic,
        saved: &Arc<Mutex<Saved>>,
    ) -> Self {
        Self {
            consumer: subscribe(log, group, topic).await,
            owned: BTreeSet::new(),
            saved: saved.clone(),
        }
    }

    async fn step(&mut self) {
        match self
            .consumer
            .poll(Duration::from_millis(20))
            .await
            .expect("a poll works")
        {
            Polled::Assigned(partitions) => {
                let position = |partition: TopicPartition| {
                    let saved = self.saved.lock().positions.get(&partition).copied();
                    (partition, saved)
                };
                self.owned.extend(partitions.iter().cloned());
                let positions: Vec<_> = partitions.into_iter().map(position).collect();
                self.consumer
                    .start(&positions)
                    .await
                    .expect("starting works");
            }
            Polled::Revoked(partitions) => {
                self.owned
                    .retain(|partition| !partitions.contains(partition));
                self.consumer
                    .release(&partitions)
                    .await
                    .expect("releasing works");
            }
            Polled::Records(all) => {
                let mut saved = self.saved.lock();
                for read in all {
                    assert!(
                        self.owned.contains(&read.partition),
                        "{} was read without being owned",
                        read.partition
                    );
                    let position = saved
                        .positions
                        .entry(read.partition.clone())
                        .or_insert(read.from);
                    assert_eq!(
                        read.from, *position,
                        "{} continues where the last owner ended",
                        read.partition
                    );
                    *position = read.next;
                    let number = |value: &[u8]| {
                        String::from_utf8_lossy(value)
                            .parse::<i64>()
                            .expect("a number")
                    };
                    let values = read.records.iter().map(|record| number(&record.value));
                    saved
                        .values
                        .entry(read.partition.partition)
                        .or_default()
                        .extend(values);
                }
            }
            Polled::Nothing => {}
        }
    }
}

pub(super) async fn two_consumers_share_and_hand_over(log: &dyn EventLog) {
    const PARTITIONS: i32 = 4;
    let topic = new_topic(log, "share", PARTITIONS).await;
    let group = unique("group");
    let saved = Arc::new(Mutex::new(Saved::default()));
    let mut first = Layer::new(log, &group, &topic, &saved).await;
    let mut appended = 0i64;
    let started = Instant::now();
    let in_time = |what: &str| {
        assert!(
            started.elapsed() < DEADLINE,
            "{what} did not happen in time"
        )
    };

    while first.owned.len() < PARTITIONS as usize {
        in_time("the first assignment");
        first.step().await;
    }
    let mut second = Layer::new(log, &group, &topic, &saved).await;
    while first.owned.len() != 2 || second.owned.len() != 2 {
        in_time("sharing");
        append_one_each(log, &topic, PARTITIONS, &mut appended).await;
        tokio::join!(first.step(), second.step());
    }
    assert!(first.owned.is_disjoint(&second.owned));
    drop(first);
    while second.owned.len() < PARTITIONS as usize {
        in_time("taking over");
        append_one_each(log, &topic, PARTITIONS, &mut appended).await;
        second.step().await;
    }
    let expected: Vec<_> = (0..appended).collect();
    let done = |saved: &Saved| {
        (0..PARTITIONS).all(|p| {
            saved
                .values
                .get(&p)
                .is_some_and(|v| v.len() >= expected.len())
        })
    };
    while !done(&saved.lock()) {
        in_time("reading the rest");
        second.step().await;
    }
    for partition in 0..PARTITIONS {
        assert_eq!(
            saved.lock().values[&partition],
            expected,
            "partition {partition}: no gap, no repeat"
        );
    }
}

async fn append_one_each(log: &dyn EventLog, topic: &Topic, partitions: i32, appended: &mut i64) {
    let number = *appended;
    let records = (0..partitions)
        .flat_map(|partition| numbered(number..number + 1, partition))
        .collect();
    log.append(topic, records).await.expect("an append works");
    *appended += 1;
}
