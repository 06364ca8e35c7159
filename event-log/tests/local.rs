//! The embedded log against the contract, a model, and its own promises.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event_log::local::{LocalLog, LocalLogConfig};
use event_log::{Error, EventLog, NewRecord, Polled, Record, TopicSpec, contract};
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

fn record(value: impl Into<Bytes>, partition: i32) -> NewRecord {
    NewRecord {
        value: value.into(),
        partition: Some(partition),
        ..NewRecord::default()
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

#[tokio::test(flavor = "multi_thread")]
async fn passes_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract::run_all(LocalLog::open(LocalLogConfig::new(folder.path())).unwrap()).await;
}

#[tokio::test]
async fn a_folder_in_use_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(LocalLogConfig::new(folder.path())).unwrap();
    let started = std::time::Instant::now();
    let refused = LocalLog::open(LocalLogConfig::new(folder.path()));
    assert!(
        matches!(refused, Err(Error::Locked(_))),
        "got {:?}",
        refused.err()
    );
    assert!(started.elapsed() < Duration::from_secs(2));
    drop(log);
    LocalLog::open(LocalLogConfig::new(folder.path())).unwrap();
}

#[tokio::test]
async fn a_disk_without_room_refuses_appends_and_still_reads() {
    let folder = tempfile::tempdir().unwrap();
    let topic = Topic::from("t");
    {
        let log = LocalLog::open(LocalLogConfig::new(folder.path())).unwrap();
        log.create_topics(&[spec("t", 1)]).await.unwrap();
        log.append(&topic, vec![record("one", 0)]).await.unwrap();
    }
    let full = LocalLogConfig {
        free_bytes_min: u64::MAX,
        ..LocalLogConfig::new(folder.path())
    };
    let log = LocalLog::open(full).unwrap();
    let refused = log
        .append(&topic, vec![record("two", 0)])
        .await
        .unwrap_err();
    assert!(
        refused.is_retryable() && refused.to_string().contains("MiB free"),
        "got {refused}"
    );
    assert!(log.ping().await.is_err());
    assert_eq!(
        read_all(&log, &TopicPartition::new("t", 0), 0).await.len(),
        1
    );
}

#[tokio::test]
async fn a_closed_log_refuses_appends() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(LocalLogConfig::new(folder.path())).unwrap();
    log.create_topics(&[spec("t", 1)]).await.unwrap();
    log.close().await.unwrap();
    log.close().await.unwrap();
    let refused = log
        .append(&"t".into(), vec![record("late", 0)])
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("closed"), "got {refused}");
}

#[tokio::test]
async fn a_folder_whose_creation_was_cut_short_opens() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lock"), "").unwrap();
    std::fs::write(folder.path().join("0.jnl"), [0; 100]).unwrap();
    std::fs::create_dir(folder.path().join("keyspaces")).unwrap();
    LocalLog::open(LocalLogConfig::new(folder.path())).unwrap();
}

#[tokio::test]
async fn a_reader_ahead_of_the_log_never_sees_an_offset_twice() {
    let folder = tempfile::tempdir().unwrap();
    let topic = Topic::from("t");
    let partition = TopicPartition::new("t", 0);
    for _ in 0..2 {
        let log = LocalLog::open(LocalLogConfig::new(folder.path())).unwrap();
        log.create_topics(&[spec("t", 1)]).await.unwrap();
        let mut consumer = log
            .subscribe("g", std::slice::from_ref(&topic))
            .await
            .unwrap();
        assert!(matches!(
            consumer.poll(Duration::from_secs(5)).await.unwrap(),
            Polled::Assigned(_)
        ));
        consumer
            .start(&[(partition.clone(), Some(100))])
            .await
            .unwrap();
        assert!(log.bounds(&topic).await.unwrap()[0].end >= 100);
    }
    let log = LocalLog::open(LocalLogConfig::new(folder.path())).unwrap();
    assert_eq!(
        log.append(&topic, vec![record("next", 0)]).await.unwrap(),
        [(0, 100)]
    );
    assert_eq!(read_all(&log, &partition, 0).await[0].offset, 100);
}

#[tokio::test]
async fn retention_by_age_keeps_the_next_offset() {
    let folder = tempfile::tempdir().unwrap();
    let topic = Topic::from("t");
    let partition = TopicPartition::new("t", 0);
    {
        let log = LocalLog::open(LocalLogConfig::new(folder.path())).unwrap();
        let kept = TopicSpec {
            retention: Some(Duration::from_millis(1)),
            ..spec("t", 1)
        };
        log.create_topics(&[kept]).await.unwrap();
        log.append(&topic, (0..10).map(|n| record(n.to_string(), 0)).collect())
            .await
            .unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while log.bounds(&topic).await.unwrap()[0].start < 10 {
            assert!(std::time::Instant::now() < deadline, "nothing expired");
            log.apply_retention().await.unwrap();
        }
        assert!(read_all(&log, &partition, 0).await.is_empty());
    }
    let log = LocalLog::open(LocalLogConfig::new(folder.path())).unwrap();
    let bounds = &log.bounds(&topic).await.unwrap()[0];
    assert_eq!((bounds.start, bounds.end), (10, 10));
    assert_eq!(
        log.append(&topic, vec![record("next", 0)]).await.unwrap(),
        [(0, 10)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_by_size_frees_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let config = LocalLogConfig {
        write_buffer_bytes: 1 << 20,
        ..LocalLogConfig::new(folder.path())
    };
    let log = LocalLog::open(config).unwrap();
    let topic = Topic::from("t");
    log.create_topics(&[TopicSpec {
        retention_bytes: Some(4 << 20),
        ..spec("t", 1)
    }])
    .await
    .unwrap();
    let mut state = 1u64;
    let mut noise = move || -> Bytes {
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        std::iter::repeat_with(next).take(1_000).collect()
    };
    for _ in 0..200 {
        let records = (0..200).map(|_| record(noise(), 0)).collect();
        log.append(&topic, records).await.unwrap();
    }
    log.apply_retention().await.unwrap();
    let bounds = log.bounds(&topic).await.unwrap().remove(0);
    let kept_bytes = (bounds.end - bounds.start) * 1_000;
    assert!(
        (4 << 20..8 << 20).contains(&kept_bytes),
        "{kept_bytes} bytes kept"
    );
    let records = read_all(&log, &bounds.partition, 0).await;
    assert_eq!(records.first().map(|r| r.offset), Some(bounds.start));
    assert_eq!(records.len() as i64, bounds.end - bounds.start);
    // 40 MB were appended; the tables of what is gone are dropped, now or once
    // they have been written.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while table_bytes(&folder.path().join("keyspaces")) > 16 << 20 {
        assert!(
            std::time::Instant::now() < deadline,
            "the disk is not freed"
        );
        log.apply_retention().await.unwrap();
        tokio::task::yield_now().await;
    }
}

fn table_bytes(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => table_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[derive(Clone, Debug)]
enum Step {
    Append { partition: i32, sizes: Vec<usize> },
    ReadFrom { partition: i32, share: f64 },
    Retain,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let sizes = prop::collection::vec(prop_oneof![0usize..300, Just(40_000)], 1..30);
    prop_oneof![
        6 => (0..3i32, sizes).prop_map(|(partition, sizes)| Step::Append { partition, sizes }),
        4 => (0..3i32, 0f64..1.2).prop_map(|(partition, share)| Step::ReadFrom { partition, share }),
        1 => Just(Step::Retain),
        1 => Just(Step::Reopen),
    ]
}

fn open(path: &std::path::Path) -> Arc<LocalLog> {
    let small = LocalLogConfig {
        segment_bytes: 500,
        write_buffer_bytes: 8_000,
        ..LocalLogConfig::new(path)
    };
    LocalLog::open(small).unwrap()
}

async fn agrees_with_the_model(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let topic = Topic::from("t");
    let mut log = open(folder.path());
    log.create_topics(&[TopicSpec {
        retention_bytes: Some(1_500),
        ..spec("t", 3)
    }])
    .await
    .unwrap();
    let mut model: BTreeMap<i32, Vec<Bytes>> =
        (0..3).map(|partition| (partition, Vec::new())).collect();
    let mut starts = [0i64; 3];
    for step in steps {
        match step {
            Step::Append { partition, sizes } => {
                let values = model.get_mut(&partition).unwrap();
                let first = values.len();
                values.extend(
                    sizes
                        .iter()
                        .enumerate()
                        .map(|(i, size)| Bytes::from(vec![(first + i) as u8; *size])),
                );
                let new = values[first..]
                    .iter()
                    .map(|value| record(value.clone(), partition))
                    .collect();
                let placed = log.append(&topic, new).await.unwrap();
                let expected: Vec<_> = (first..values.len())
                    .map(|offset| (partition, offset as i64))
                    .collect();
                assert_eq!(placed, expected);
            }
            Step::ReadFrom { partition, share } => {
                let values = &model[&partition];
                let from = (values.len() as f64 * share) as i64;
                let read = read_all(&log, &TopicPartition::new("t", partition), from).await;
                let first = from
                    .max(starts[partition as usize])
                    .min(values.len() as i64);
                let expected = (first..).zip(&values[first as usize..]);
                assert!(
                    read.iter().map(|r| (r.offset, &r.value)).eq(expected),
                    "partition {partition} from {from}"
                );
            }
            Step::Retain => log.apply_retention().await.unwrap(),
            Step::Reopen => {
                drop(log);
                log = open(folder.path());
            }
        }
        for bounds in log.bounds(&topic).await.unwrap() {
            let start = &mut starts[bounds.partition.partition as usize];
            assert!(bounds.start >= *start, "the start never goes back");
            *start = bounds.start;
            assert_eq!(bounds.end, model[&bounds.partition.partition].len() as i64);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn behaves_like_a_list_per_partition(steps in prop::collection::vec(step(), 1..40)) {
        tokio::runtime::Runtime::new().unwrap().block_on(agrees_with_the_model(steps));
    }
}
