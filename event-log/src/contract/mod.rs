//! What every [`EventLog`] promises, as tests. Each implementation's tests call
//! [`run_all`]; a failure panics with the broken promise.

mod append;
mod compacted;
mod group;
mod read;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use events::{Offset, Topic};

use crate::{Consumer, EventLog, NewRecord, Polled, Record, TopicSpec};

/// Anything that takes longer than this has failed.
const DEADLINE: Duration = Duration::from_secs(60);
/// One poll's wait.
const WAIT: Duration = Duration::from_millis(200);

/// Runs every test of the suite against `log`, on topics of their own.
pub async fn run_all(log: Arc<dyn EventLog>) {
    let shared = log;
    let log = &*shared;
    append::offsets_are_dense_and_in_order(log).await;
    append::keys_decide_the_partition(log).await;
    append::an_explicit_partition_is_used(log).await;
    append::keys_values_and_headers_come_back(log).await;
    append::large_and_empty_values_come_back(log).await;
    append::append_times_never_go_back(log).await;
    append::bounds_include_every_acknowledged_append(log).await;
    append::unknown_topics_are_refused(log).await;
    append::topics_are_created_once(log).await;
    append::concurrent_appends_all_arrive_once(log).await;
    read::any_position_can_be_read(log).await;
    read::an_empty_poll_returns_in_time(log).await;
    read::a_cancelled_poll_loses_nothing(log).await;
    read::a_waiting_poll_sees_an_append(log).await;
    read::a_poll_is_bounded(log).await;
    compacted::records_without_a_key_are_refused(log).await;
    compacted::the_newest_value_of_each_key_is_read(log).await;
    compacted::a_registry_shows_what_was_written(&shared).await;
    compacted::a_registry_follows_what_others_write(&shared).await;
    compacted::a_registry_that_starts_later_holds_the_same(&shared).await;
    group::nothing_is_read_before_start(log).await;
    group::start_without_position_reads_from_the_oldest(log).await;
    group::resuming_gives_neither_gaps_nor_repeats(log).await;
    group::groups_do_not_disturb_each_other(log).await;
    group::two_consumers_share_and_hand_over(log).await;
    group::one_that_gets_nothing_is_told_and_takes_over(log).await;
}

/// A topic that no other test uses.
async fn new_topic(log: &dyn EventLog, name: &str, partitions: i32) -> Topic {
    let topic = Topic::from(unique(name));
    let spec = TopicSpec {
        name: topic.clone(),
        partitions,
        retention: None,
        retention_bytes: None,
        compacted: false,
    };
    log.create_topics(&[spec])
        .await
        .expect("the topic is created");
    topic
}

/// A compacted topic that no other test uses.
async fn new_compacted_topic(log: &dyn EventLog, name: &str, partitions: i32) -> Topic {
    let topic = Topic::from(unique(name));
    let spec = TopicSpec {
        name: topic.clone(),
        partitions,
        retention: None,
        retention_bytes: None,
        compacted: true,
    };
    log.create_topics(&[spec])
        .await
        .expect("the topic is created");
    topic
}

/// `name`, made unique over processes and calls.
fn unique(name: &str) -> String {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    format!("contract-{name}-{now:x}-{call}")
}

/// Records with the texts of `numbers` as values, for one partition.
fn numbered(numbers: std::ops::Range<i64>, partition: i32) -> Vec<NewRecord> {
    numbers
        .map(|number| NewRecord {
            value: Bytes::from(number.to_string()),
            partition: Some(partition),
            ..NewRecord::default()
        })
        .collect()
}

/// What was read of each partition: the position reached and the records.
#[derive(Debug, Default)]
struct Seen {
    next: BTreeMap<i32, Offset>,
    records: BTreeMap<i32, Vec<Record>>,
}

impl Seen {
    fn count(&self) -> usize {
        self.records.values().map(Vec::len).sum()
    }

    /// Takes in one poll's records, which must continue where the last ended.
    fn add(&mut self, polled: Polled) {
        let Polled::Records(all) = polled else { return };
        for read in all {
            let partition = read.partition.partition;
            let next = self.next.entry(partition).or_insert(read.from);
            assert_eq!(
                read.from, *next,
                "a read of {} continues where the last ended",
                read.partition
            );
            let mut position = read.from;
            for record in &read.records {
                assert!(
                    record.offset >= position,
                    "offset {} came after {position}",
                    record.offset
                );
                position = record.offset + 1;
            }
            assert!(
                read.next >= position,
                "the next position is after the last record"
            );
            *next = read.next;
            self.records
                .entry(partition)
                .or_default()
                .extend(read.records);
        }
    }

    fn values(&self, partition: i32) -> Vec<i64> {
        let records = self.records.get(&partition).map_or(&[][..], Vec::as_slice);
        let number = |record: &Record| {
            String::from_utf8_lossy(&record.value)
                .parse()
                .expect("a number")
        };
        records.iter().map(number).collect()
    }
}

/// Polls until `count` records were seen.
async fn read(consumer: &mut dyn Consumer, count: usize) -> Seen {
    let mut seen = Seen::default();
    let started = Instant::now();
    while seen.count() < count {
        assert!(
            started.elapsed() < DEADLINE,
            "{} of {count} records came in time",
            seen.count()
        );
        seen.add(consumer.poll(WAIT).await.expect("a poll works"));
    }
    seen
}
