//! Promises about appending.

use bytes::Bytes;
use events::{Topic, TopicPartition};

use super::{new_topic, numbered, read, unique};
use crate::partitioner::partition_of;
use crate::{Error, EventLog, NewRecord, TopicSpec};

pub(super) async fn offsets_are_dense_and_in_order(log: &dyn EventLog) {
    let topic = new_topic(log, "dense", 2).await;
    let mut placed = Vec::new();
    for call in 0..20 {
        placed.extend(
            log.append(&topic, numbered(call * 10..call * 10 + 10, 1))
                .await
                .expect("an append works"),
        );
    }
    let expected: Vec<_> = (0..200).map(|offset| (1, offset)).collect();
    assert_eq!(placed, expected);
    let mut consumer = log
        .read_from(&[(TopicPartition::new(topic, 1), 0)])
        .await
        .expect("reading works");
    let seen = read(&mut *consumer, 200).await;
    assert_eq!(seen.values(1), (0..200).collect::<Vec<_>>());
    let offsets: Vec<_> = seen.records[&1]
        .iter()
        .map(|record| record.offset)
        .collect();
    assert_eq!(offsets, (0..200).collect::<Vec<_>>());
}

pub(super) async fn keys_decide_the_partition(log: &dyn EventLog) {
    let topic = new_topic(log, "keys", 3).await;
    let keys: Vec<_> = (0..100)
        .map(|number| Bytes::from(format!("car-{:04}", number % 50)))
        .collect();
    let records = keys
        .iter()
        .map(|key| NewRecord {
            key: Some(key.clone()),
            ..NewRecord::default()
        })
        .collect();
    let placed = log.append(&topic, records).await.expect("an append works");
    let expected: Vec<_> = keys.iter().map(|key| partition_of(key, 3)).collect();
    let got: Vec<_> = placed.iter().map(|(partition, _)| *partition).collect();
    assert_eq!(
        got, expected,
        "the partition of a key is the one of Kafka's Java producer"
    );
}

pub(super) async fn an_explicit_partition_is_used(log: &dyn EventLog) {
    let topic = new_topic(log, "explicit", 3).await;
    let key = Some(Bytes::from_static(b"car-0001"));
    let records = (0..3)
        .map(|partition| NewRecord {
            key: key.clone(),
            partition: Some(partition),
            ..NewRecord::default()
        })
        .collect();
    let placed = log.append(&topic, records).await.expect("an append works");
    assert_eq!(placed, [(0, 0), (1, 0), (2, 0)]);
    for partition in [3, -1] {
        let refused = log.append(&topic, numbered(0..1, partition)).await;
        assert!(
            matches!(refused, Err(Error::Invalid(_))),
            "partition {partition}: got {refused:?}"
        );
    }
}

pub(super) async fn keys_values_and_headers_come_back(log: &dyn EventLog) {
    let topic = new_topic(log, "headers", 1).await;
    let header = |name: &str, value: &'static [u8]| (name.to_owned(), Bytes::from_static(value));
    let records = vec![
        NewRecord {
            key: Some(Bytes::from_static(b"car-0001")),
            value: Bytes::from_static(b"{\"speed\":50}"),
            headers: vec![
                header("__connect.errors.topic", b"gps_data"),
                header("empty", b""),
                header("twice", b"1"),
            ],
            partition: Some(0),
        },
        NewRecord {
            key: Some(Bytes::new()),
            value: Bytes::from_static(b"\xff\x00"),
            ..NewRecord::default()
        },
        NewRecord {
            value: Bytes::from_static(b"no key"),
            ..NewRecord::default()
        },
    ];
    log.append(&topic, records.clone())
        .await
        .expect("an append works");
    let mut consumer = log
        .read_from(&[(TopicPartition::new(topic, 0), 0)])
        .await
        .expect("reading works");
    let seen = read(&mut *consumer, 3).await;
    for (got, expected) in seen.records[&0].iter().zip(&records) {
        assert_eq!(
            (&got.key, &got.value, &got.headers),
            (&expected.key, &expected.value, &expected.headers)
        );
    }
}

pub(super) async fn large_and_empty_values_come_back(log: &dyn EventLog) {
    let topic = new_topic(log, "sizes", 1).await;
    // Of a kind that does not compress.
    let mut state = 1u32;
    let large: Bytes = (0..1_000_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    for value in [
        Bytes::new(),
        large.clone(),
        Bytes::new(),
        Bytes::from_static(b"small"),
    ] {
        log.append(
            &topic,
            vec![NewRecord {
                value,
                ..NewRecord::default()
            }],
        )
        .await
        .expect("an append works");
    }
    let mut consumer = log
        .read_from(&[(TopicPartition::new(topic, 0), 0)])
        .await
        .expect("reading works");
    let seen = read(&mut *consumer, 4).await;
    let values: Vec<_> = seen.records[&0]
        .iter()
        .map(|record| record.value.clone())
        .collect();
    assert!(
        values
            == [
                Bytes::new(),
                large,
                Bytes::new(),
                Bytes::from_static(b"small")
            ],
        "sizes differ"
    );
}

pub(super) async fn append_times_never_go_back(log: &dyn EventLog) {
    let topic = new_topic(log, "times", 1).await;
    for call in 0..5 {
        log.append(&topic, numbered(call..call + 1, 0))
            .await
            .expect("an append works");
    }
    let mut consumer = log
        .read_from(&[(TopicPartition::new(topic, 0), 0)])
        .await
        .expect("reading works");
    let seen = read(&mut *consumer, 5).await;
    let times: Vec<_> = seen.records[&0]
        .iter()
        .map(|record| record.appended_at_us)
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(
        times[0] > 1_500_000_000_000_000,
        "microseconds since the epoch, got {}",
        times[0]
    );
}

pub(super) async fn bounds_include_every_acknowledged_append(log: &dyn EventLog) {
    let topic = new_topic(log, "bounds", 2).await;
    for call in 0..20 {
        log.append(&topic, numbered(call..call + 1, 1))
            .await
            .expect("an append works");
        let bounds = log.bounds(&topic).await.expect("bounds are known");
        let got: Vec<_> = bounds
            .iter()
            .map(|b| (b.partition.partition, b.start, b.end))
            .collect();
        assert_eq!(got, [(0, 0, 0), (1, 0, call + 1)]);
    }
}

pub(super) async fn unknown_topics_are_refused(log: &dyn EventLog) {
    let topic = Topic::from(unique("unknown"));
    let unknown = |error: Option<Error>| {
        assert!(
            matches!(error, Some(Error::UnknownTopic(_))),
            "got {error:?}"
        )
    };
    unknown(log.append(&topic, numbered(0..1, 0)).await.err());
    unknown(log.bounds(&topic).await.err());
    unknown(
        log.subscribe("contract", std::slice::from_ref(&topic))
            .await
            .err(),
    );
    unknown(
        log.read_from(&[(TopicPartition::new(topic, 0), 0)])
            .await
            .err(),
    );
}

pub(super) async fn topics_are_created_once(log: &dyn EventLog) {
    let topic = new_topic(log, "twice", 2).await;
    log.append(&topic, numbered(0..3, 0))
        .await
        .expect("an append works");
    let spec = TopicSpec {
        name: topic.clone(),
        partitions: 5,
        retention: None,
        retention_bytes: None,
        compacted: false,
    };
    log.create_topics(&[spec])
        .await
        .expect("creating again is no error");
    let bounds = log.bounds(&topic).await.expect("bounds are known");
    assert_eq!(
        bounds.iter().map(|b| b.end).collect::<Vec<_>>(),
        [3, 0],
        "the topic stays as it was"
    );
    log.ping().await.expect("the log can be reached");
}

pub(super) async fn concurrent_appends_all_arrive_once(log: &dyn EventLog) {
    let topic = new_topic(log, "concurrent", 1).await;
    let calls = (0..50).map(|call| log.append(&topic, numbered(call * 20..call * 20 + 20, 0)));
    for placed in futures::future::join_all(calls).await {
        let placed = placed.expect("an append works");
        let first = placed[0].1;
        let expected: Vec<_> = (first..first + 20).map(|offset| (0, offset)).collect();
        assert!(
            placed.is_sorted() && placed.len() == expected.len(),
            "a call keeps its order"
        );
    }
    let mut consumer = log
        .read_from(&[(TopicPartition::new(topic, 0), 0)])
        .await
        .expect("reading works");
    let mut values = read(&mut *consumer, 1_000).await.values(0);
    values.sort_unstable();
    assert_eq!(values, (0..1_000).collect::<Vec<_>>());
}
