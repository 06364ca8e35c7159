//! Promises about reading.

use std::time::{Duration, Instant};

use bytes::Bytes;
use events::TopicPartition;

use super::{DEADLINE, Seen, WAIT, new_topic, numbered, read};
use crate::{EventLog, MAX_RECORDS_PER_POLL, NewRecord, Polled};

pub(super) async fn any_position_can_be_read(log: &dyn EventLog) {
    let topic = new_topic(log, "positions", 1).await;
    for call in 0..4 {
        log.append(&topic, numbered(call * 25..call * 25 + 25, 0))
            .await
            .expect("an append works");
    }
    let partition = TopicPartition::new(topic, 0);
    for position in [0, 1, 24, 25, 26, 50, 73, 99] {
        let mut consumer = log
            .read_from(&[(partition.clone(), position)])
            .await
            .expect("reading works");
        let seen = read(&mut *consumer, (100 - position) as usize).await;
        assert_eq!(
            seen.values(0),
            (position..100).collect::<Vec<_>>(),
            "from {position}"
        );
        assert_eq!(seen.next[&0], 100);
    }
}

pub(super) async fn an_empty_poll_returns_in_time(log: &dyn EventLog) {
    let topic = new_topic(log, "empty", 1).await;
    let mut consumer = log
        .read_from(&[(TopicPartition::new(topic, 0), 0)])
        .await
        .expect("reading works");
    let started = Instant::now();
    let polled = consumer
        .poll(Duration::from_millis(300))
        .await
        .expect("a poll works");
    let took = started.elapsed();
    assert!(matches!(polled, Polled::Nothing), "got {polled:?}");
    assert!(
        took >= Duration::from_millis(290) && took < Duration::from_secs(3),
        "took {took:?}"
    );
}

pub(super) async fn a_cancelled_poll_loses_nothing(log: &dyn EventLog) {
    let topic = new_topic(log, "cancel", 1).await;
    let mut consumer = log
        .read_from(&[(TopicPartition::new(topic.clone(), 0), 0)])
        .await
        .expect("reading works");
    let appending = async {
        for call in 0..50 {
            log.append(&topic, numbered(call * 10..call * 10 + 10, 0))
                .await
                .expect("an append works");
        }
    };
    let reading = async {
        let mut seen = Seen::default();
        let started = Instant::now();
        for round in 0u64.. {
            if seen.count() >= 500 {
                break;
            }
            assert!(
                started.elapsed() < DEADLINE,
                "{} of 500 records came in time",
                seen.count()
            );
            let patience = Duration::from_micros(50 << (round % 10));
            if let Ok(polled) = tokio::time::timeout(patience, consumer.poll(WAIT)).await {
                seen.add(polled.expect("a poll works"));
            }
        }
        seen
    };
    let ((), seen) = tokio::join!(appending, reading);
    assert_eq!(seen.values(0), (0..500).collect::<Vec<_>>());
}

pub(super) async fn a_waiting_poll_sees_an_append(log: &dyn EventLog) {
    let topic = new_topic(log, "wake", 2).await;
    let positions = [
        (TopicPartition::new(topic.clone(), 0), 0),
        (TopicPartition::new(topic.clone(), 1), 0),
    ];
    let mut consumer = log.read_from(&positions).await.expect("reading works");
    let mut seen = Seen::default();
    for number in 0..20i64 {
        let partition = (number % 2) as i32;
        let appending = log.append(&topic, numbered(number..number + 1, partition));
        let started = Instant::now();
        let reading = async {
            while seen.count() <= number as usize {
                assert!(started.elapsed() < DEADLINE, "record {number} did not come");
                seen.add(
                    consumer
                        .poll(Duration::from_secs(30))
                        .await
                        .expect("a poll works"),
                );
            }
        };
        let (appended, ()) = tokio::join!(appending, reading);
        appended.expect("an append works");
    }
    assert_eq!(
        seen.values(1),
        (0..20).filter(|number| number % 2 == 1).collect::<Vec<_>>()
    );
}

pub(super) async fn a_poll_is_bounded(log: &dyn EventLog) {
    let topic = new_topic(log, "bounded", 2).await;
    let count = MAX_RECORDS_PER_POLL * 2;
    for partition in 0..2 {
        let record = NewRecord {
            value: Bytes::from_static(b"x"),
            partition: Some(partition),
            ..NewRecord::default()
        };
        log.append(&topic, vec![record; count])
            .await
            .expect("an append works");
    }
    let positions = [
        (TopicPartition::new(topic.clone(), 0), 0),
        (TopicPartition::new(topic, 1), 0),
    ];
    let mut consumer = log.read_from(&positions).await.expect("reading works");
    let mut seen = Seen::default();
    let started = Instant::now();
    while seen.count() < count * 2 {
        assert!(
            started.elapsed() < DEADLINE,
            "{} of {} records came in time",
            seen.count(),
            count * 2
        );
        let before = seen.count();
        seen.add(consumer.poll(WAIT).await.expect("a poll works"));
        assert!(
            seen.count() - before <= MAX_RECORDS_PER_POLL,
            "one poll brought {}",
            seen.count() - before
        );
    }
    assert_eq!(
        seen.next.values().copied().collect::<Vec<_>>(),
        [count as i64; 2]
    );
}
