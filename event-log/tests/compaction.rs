//! Compaction of the embedded log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event_log::local::{LocalLog, LocalLogConfig};
use event_log::{EventLog, NewRecord, Polled, Record, TopicSpec};
use events::{Offset, Topic, TopicPartition};
use proptest::prelude::*;

fn spec(name: &str, partitions: i32) -> TopicSpec {
    TopicSpec {
        name: name.into(),
        partitions,
        retention: None,
        retention_bytes: None,
        compacted: false,
    }
}

async fn read_all(log: &LocalLog, partition: &TopicPartition, from: Offset) -> Vec<Record> {
    let mut consumer = log.read_from(&[(partition.clone(), from)]).await.unwrap();
    let mut records = Vec::new();
    while let Polled::Records(all) = consumer.poll(Duration::from_millis(1)).await.unwrap() {
        records.extend(all.into_iter().flat_map(|read| read.records));
    }
    records
}

fn compacted(name: &str) -> TopicSpec {
    TopicSpec {
        compacted: true,
        ..spec(name, 1)
    }
}

fn keyed(key: u8, value: &str) -> NewRecord {
    NewRecord {
        key: Some(Bytes::from(format!("k{key}"))),
        value: Bytes::copy_from_slice(value.as_bytes()),
        headers: vec![("h".to_owned(), Bytes::from_static(b"1"))],
        partition: None,
    }
}

/// A log whose compaction runs whenever it is told to.
fn compacting(folder: &std::path::Path) -> Arc<LocalLog> {
    LocalLog::open(LocalLogConfig {
        compaction_records_min: 1,
        tombstone_retention: Duration::ZERO,
        retention_interval: Duration::from_secs(3600),
        ..LocalLogConfig::new(folder)
    })
    .unwrap()
}

#[tokio::test]
async fn compaction_removes_what_is_superseded_and_takes_its_room_back() {
    let folder = tempfile::tempdir().unwrap();
    let (topic, partition) = (Topic::from("c"), TopicPartition::new("c", 0));
    let log = compacting(folder.path());
    log.create_topics(&[compacted("c")]).await.unwrap();
    for round in 0..40 {
        for key in 0..10 {
            let value = format!("{round} {}", "x".repeat(500));
            log.append(&topic, vec![keyed(key, &value)]).await.unwrap();
        }
    }
    assert_eq!(read_all(&log, &partition, 0).await.len(), 400);
    log.apply_retention().await.unwrap();
    let left = read_all(&log, &partition, 0).await;
    assert!(left.len() <= 11, "{} records are left", left.len());
    for record in &left[left.len() - 10..] {
        assert!(record.value.starts_with(b"39 "), "got {record:?}");
    }
    // Offsets are what they were, and go on where they were.
    assert_eq!(left[left.len() - 1].offset, 399);
    let next = log.append(&topic, vec![keyed(3, "new")]).await.unwrap();
    assert_eq!(next, [(0, 400)]);
}

#[tokio::test]
async fn topics_that_are_not_compacted_keep_every_record() {
    let folder = tempfile::tempdir().unwrap();
    let log = compacting(folder.path());
    log.create_topics(&[spec("t", 1)]).await.unwrap();
    for _ in 0..50 {
        log.append(&"t".into(), vec![keyed(1, "x")]).await.unwrap();
    }
    log.apply_retention().await.unwrap();
    let partition = TopicPartition::new("t", 0);
    assert_eq!(read_all(&log, &partition, 0).await.len(), 50);
}

/// A step of the model test below.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(u8, Option<u8>)>),
    Compact,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let append = proptest::collection::vec((0u8..8, proptest::option::of(any::<u8>())), 1..12);
    prop_oneof![
        4 => append.prop_map(Step::Append),
        2 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is appended, compacted and reopened in whatever order: reading
    /// from any position gives what is newest, in order, at its own offset.
    #[test]
    fn compaction_never_changes_what_is_newest(
        steps in proptest::collection::vec(step(), 1..24),
        from in any::<proptest::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (topic, partition) = (Topic::from("c"), TopicPartition::new("c", 0));
            let mut log = compacting(folder.path());
            log.create_topics(&[compacted("c")]).await.unwrap();
            let mut all: Vec<(Bytes, Bytes)> = Vec::new();
            for step in steps {
                match step {
                    Step::Append(records) => {
                        let records: Vec<_> = records
                            .iter()
                            .map(|(key, value)| keyed(*key, &value.map_or(String::new(), |v| v.to_string())))
                            .collect();
                        all.extend(records.iter().map(|r| (r.key.clone().unwrap(), r.value.clone())));
                        log.append(&topic, records).await.unwrap();
                    }
                    Step::Compact => log.apply_retention().await.unwrap(),
                    Step::Reopen => {
                        drop(log);
                        log = compacting(folder.path());
                    }
                }
            }
            let from = from.index(all.len() + 1) as Offset;
            let read = read_all(&log, &partition, from).await;
            let mut after = from;
            let mut newest = BTreeMap::new();
            for record in read {
                assert!(record.offset >= after, "offsets grow");
                after = record.offset + 1;
                let (key, value) = &all[record.offset as usize];
                assert_eq!((record.key.as_ref(), &record.value), (Some(key), value));
                assert_eq!(record.headers.len(), 1);
                newest.insert(key.clone(), record.offset);
            }
            for (offset, (key, value)) in all.iter().enumerate().skip(from as usize) {
                let is_newest = all[offset + 1..].iter().all(|(other, _)| other != key);
                if is_newest && !value.is_empty() {
                    assert_eq!(newest.get(key), Some(&(offset as Offset)), "key {key:?}");
                }
            }
            assert_eq!(log.bounds(&topic).await.unwrap()[0].end, all.len() as Offset);
        });
    }
}
