//! From the log into the lake, each record once, whatever happens.

mod common;

use std::collections::HashMap;
use std::time::Duration;

use batch_layer::{BatchConfig, UpkeepConfig};
use common::{Platform, eager, lazy, vehicle_json, wait_for};
use event_log::{EventLog, Polled};
use events::health::Health;
use events::{Stream, TopicPartition};
use lake::Table;
use lake::maintain::{CompactOptions, VacuumOptions};

const VEHICLES: Table = Table::Stream(Stream::VehicleData);
const COUNTS: &str = "SELECT count(*), count(DISTINCT id) FROM vehicle_data";
const LETTERS: &str = "SELECT count(*), count(DISTINCT concat(topic, '/', partition, '/', \"offset\")) FROM dead_letters";

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_in_its_table_once() {
    let platform = Platform::new().await;
    platform
        .append(Stream::VehicleData, (0..5_000).map(vehicle_json).collect())
        .await;
    assert_eq!(
        platform.numbers(COUNTS).await,
        [5_000, 5_000],
        "from the log alone"
    );
    let batch = platform.batch(eager()).await;
    platform.wait_until_written(VEHICLES, 5_000).await;
    assert_eq!(
        platform.numbers(COUNTS).await,
        [5_000, 5_000],
        "from the lake"
    );
    assert_eq!(platform.health.all().get("batch"), Some(&Health::Ready));
    batch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_sees_every_event_once_while_batches_are_written_and_killed() {
    const EVENTS: usize = 40_000;
    const KILLS: usize = 5;
    let platform = Platform::new().await;
    let (acknowledged, mut seen_appends) = tokio::sync::watch::channel(0_usize);
    let (killed, mut seen_kills) = tokio::sync::watch::channel(0_usize);
    let (log, topics) = (platform.log.clone(), platform.topics.clone());
    let writer = tokio::spawn(async move {
        let mut sent = 0;
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while sent < EVENTS {
            // Kill n is due after n sixths: never more than one sixth ahead of it, so
            // that all fall into the writing however slow the queries are.
            let in_time = |kills: &usize| sent < EVENTS * (kills + 2) / (KILLS + 1);
            seen_kills
                .wait_for(in_time)
                .await
                .expect("the reader goes on");
            let next = (sent + 1 + (sent * 7) % 173).min(EVENTS);
            common::append(
                log.as_ref(),
                &topics,
                Stream::VehicleData,
                (sent..next).map(vehicle_json).collect(),
            )
            .await;
            sent = next;
            acknowledged.send_replace(sent);
            ticks.tick().await;
        }
    });
    let mut batch = platform.batch(eager()).await;
    let (mut highest, mut queries, mut kills) = (0, 0, 0);
    loop {
        let at_start = *seen_appends.borrow_and_update();
        let counts = platform.numbers(COUNTS).await;
        assert_eq!(counts[0], counts[1], "twice");
        assert!(
            counts[0] >= at_start as i64,
            "{at_start} were acknowledged, {} are there",
            counts[0]
        );
        assert!(
            counts[0] >= highest,
            "the count fell from {highest} to {}",
            counts[0]
        );
        highest = counts[0];
        queries += 1;
        if at_start == EVENTS {
            break;
        }
        if kills < KILLS && at_start >= EVENTS * (kills + 1) / (KILLS + 1) {
            batch.kill().await;
            batch = platform.batch(eager()).await;
            kills += 1;
            killed.send_replace(kills);
        }
    }
    writer.await.expect("the writer ends");
    assert_eq!(kills, KILLS, "{queries} queries");
    platform.wait_until_written(VEHICLES, EVENTS as u64).await;
    assert_eq!(
        platform.numbers(COUNTS).await,
        [EVENTS as i64, EVENTS as i64]
    );
    batch.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_is_a_dead_letter_once_although_it_is_appended_again_after_a_crash() {
    let platform = Platform::new().await;
    let mut values: Vec<String> = (0..200).map(vehicle_json).collect();
    values[3] = "not json".to_owned();
    values[77] = vehicle_json(77).replace("42.5", "-3");
    values[150] = vehicle_json(150).replace("57.7", "97.7");
    platform.append(Stream::VehicleData, values).await;

    // It appends the dead letters and dies before any position is saved.
    let batch = platform.batch(lazy()).await;
    wait_for("the dead letters are in the log", || async {
        dead_letters(&platform).await == 3
    })
    .await;
    batch.kill().await;
    assert_eq!(platform.numbers(LETTERS).await, [3, 3]);

    let batch = platform.batch(eager()).await;
    platform.wait_until_written(VEHICLES, 197).await;
    assert_eq!(
        dead_letters(&platform).await,
        6,
        "the replay appends them again"
    );
    platform.wait_until_written(Table::DeadLetters, 3).await;
    assert_eq!(platform.numbers(LETTERS).await, [3, 3]);
    assert_eq!(platform.numbers(COUNTS).await, [197, 197]);
    batch.stop().await;

    // A third process that begins behind all of it adds none either.
    let batch = platform.batch(eager()).await;
    platform
        .append(Stream::VehicleData, vec!["still not json".to_owned()])
        .await;
    platform.wait_until_written(Table::DeadLetters, 4).await;
    assert_eq!(platform.numbers(LETTERS).await, [4, 4]);
    batch.stop().await;
}

async fn dead_letters(platform: &Platform) -> i64 {
    let topic = platform.topics.dead_letters(Stream::VehicleData);
    let bounds = platform.log.bounds(&topic).await.expect("bounds");
    bounds.iter().map(|bounds| bounds.end - bounds.start).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_carries_the_original_bytes_and_its_cause() {
    let platform = Platform::new().await;
    let bad = vehicle_json(1).replace("42.5", "-3");
    let places = platform
        .append(Stream::VehicleData, vec![bad.clone()])
        .await;
    let batch = platform.batch(eager()).await;
    platform.wait_until_written(Table::DeadLetters, 1).await;
    batch.stop().await;

    let (partition, offset) = places[0];
    let dlq = TopicPartition::new(platform.topics.dead_letters(Stream::VehicleData), partition);
    let mut reader = platform.log.read_from(&[(dlq, 0)]).await.expect("a reader");
    let Polled::Records(batches) = reader.poll(Duration::from_secs(10)).await.expect("a poll")
    else {
        panic!("no dead letter");
    };
    let record = &batches[0].records[0];
    assert_eq!(record.value, bad.as_bytes());
    let headers: HashMap<&str, &[u8]> = record
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_ref()))
        .collect();
    assert_eq!(headers["__connect.errors.topic"], b"vehicle_data");
    assert_eq!(
        headers["__connect.errors.partition"],
        partition.to_string().as_bytes()
    );
    assert_eq!(
        headers["__connect.errors.offset"],
        offset.to_string().as_bytes()
    );
    let message = String::from_utf8_lossy(headers["__connect.errors.exception.message"]);
    assert!(
        message.contains("speed") && message.contains("-3"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_writes_what_is_held() {
    let platform = Platform::new().await;
    let mut values: Vec<String> = (0..1_000).map(vehicle_json).collect();
    // Once they are dead letters, everything before them has been read.
    values.extend((0..40).map(|_| "the end".to_owned()));
    platform.append(Stream::VehicleData, values).await;
    let batch = platform.batch(lazy()).await;
    wait_for("everything is read", || async {
        dead_letters(&platform).await == 40
    })
    .await;
    assert_eq!(
        platform
            .lake
            .refresh(VEHICLES)
            .await
            .expect("a snapshot")
            .version,
        None
    );
    batch.stop().await;
    assert_eq!(
        platform
            .lake
            .refresh(VEHICLES)
            .await
            .expect("a snapshot")
            .rows(),
        Some(1_000)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_goes_away_is_waited_for() {
    let platform = Platform::new().await;
    let (place, away) = (
        platform.folder.path().join("lake"),
        platform.folder.path().join("away"),
    );
    let batch = platform.batch(eager()).await;
    platform
        .append(Stream::VehicleData, (0..100).map(vehicle_json).collect())
        .await;
    platform.wait_until_written(VEHICLES, 100).await;

    std::fs::rename(&place, &away).expect("the lake goes away");
    std::fs::write(&place, "no folder").expect("something else is in its place");
    platform
        .append(Stream::VehicleData, (100..300).map(vehicle_json).collect())
        .await;
    wait_for("the trouble is on the health board", || async {
        matches!(
            platform.health.all().get("batch"),
            Some(Health::Degraded(_))
        )
    })
    .await;
    std::fs::remove_file(&place).expect("the other thing goes");
    std::fs::rename(&away, &place).expect("the lake is back");

    platform.wait_until_written(VEHICLES, 300).await;
    wait_for("the health board is clear", || async {
        platform.health.is_ready()
    })
    .await;
    assert_eq!(platform.numbers(COUNTS).await, [300, 300]);
    batch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_come_and_go_write_each_event_once() {
    let platform = Platform::new().await;
    let mut running = vec![platform.batch(eager()).await];
    let mut sent = 0;
    for round in 0..6 {
        let next = sent + 2_000;
        platform
            .append(
                Stream::VehicleData,
                (sent..next).map(vehicle_json).collect(),
            )
            .await;
        sent = next;
        if round % 2 == 0 {
            running.push(platform.batch(eager()).await);
        } else {
            running.remove(0).stop().await;
        }
        let counts = platform.numbers(COUNTS).await;
        assert_eq!(counts, [sent as i64, sent as i64], "round {round}");
    }
    platform.wait_until_written(VEHICLES, sent as u64).await;
    for batch in running {
        batch.stop().await;
    }
    assert_eq!(
        platform
            .lake
            .refresh(VEHICLES)
            .await
            .expect("a snapshot")
            .rows(),
        Some(sent as u64)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tables_are_kept_in_order_while_they_are_written_and_read() {
    let platform = Platform::new().await;
    let upkeep = UpkeepConfig {
        compact_every: Duration::from_millis(200),
        clean_every: Duration::from_millis(500),
        compact: CompactOptions {
            min_files: 3,
            ..CompactOptions::default()
        },
        vacuum: VacuumOptions {
            retain: Duration::ZERO,
            retain_uncommitted: Duration::from_secs(3600),
        },
        ..UpkeepConfig::default()
    };
    let config = BatchConfig {
        upkeep: Some(upkeep),
        ..eager()
    };
    // Queries are of this process, and so is the lake that is kept in order.
    let stop = tokio_util::sync::CancellationToken::new();
    let batch = tokio::spawn(batch_layer::run(
        platform.log.clone(),
        platform.lake.clone(),
        platform.topics.clone(),
        config,
        platform.health.clone(),
        stop.clone(),
    ));
    let mut sent = 0;
    for _ in 0..12 {
        let next = sent + 500;
        platform
            .append(
                Stream::VehicleData,
                (sent..next).map(vehicle_json).collect(),
            )
            .await;
        sent = next;
        platform.wait_until_written(VEHICLES, sent as u64).await;
        assert_eq!(platform.numbers(COUNTS).await, [sent as i64, sent as i64]);
    }
    wait_for("few files are left", || async {
        let snapshot = platform.lake.refresh(VEHICLES).await.expect("a snapshot");
        snapshot.files.len() < 3
    })
    .await;
    let folder = platform
        .folder
        .path()
        .join("lake/vehicle_data/date=2026-03-01");
    wait_for("the others are gone from the disk", || async {
        std::fs::read_dir(&folder).is_ok_and(|entries| entries.count() < 4)
    })
    .await;
    assert_eq!(platform.numbers(COUNTS).await, [sent as i64, sent as i64]);
    stop.cancel();
    batch.await.expect("no panic").expect("no error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_producers_add_is_kept_and_one_of_another_type_is_a_dead_letter() {
    let platform = Platform::new().await;
    let with = |number: usize, field: &str| {
        let json = vehicle_json(number);
        format!("{},{field}}}", json.trim_end_matches('}'))
    };
    platform
        .append(Stream::VehicleData, (0..10).map(vehicle_json).collect())
        .await;
    let batch = platform.batch(eager()).await;
    platform.wait_until_written(VEHICLES, 10).await;
    let mut changed: Vec<String> = (10..20)
        .map(|number| with(number, r#""battery":{"percent":81}"#))
        .collect();
    changed.push(with(20, r#""year":"soon""#));
    platform.append(Stream::VehicleData, changed).await;
    platform.wait_until_written(VEHICLES, 20).await;
    platform.wait_until_written(Table::DeadLetters, 1).await;
    batch.stop().await;

    let kept = r#"SELECT count(extra), count(*) FROM vehicle_data WHERE extra IS NULL OR extra = '{"battery":{"percent":81}}'"#;
    assert_eq!(platform.numbers(kept).await, [10, 20]);
    let letter = "SELECT count(*) FROM dead_letters WHERE message LIKE '%year%soon%'";
    assert_eq!(platform.numbers(letter).await, [1]);
    // Nothing was rewritten: the first file is as it was.
    let snapshot = platform.lake.refresh(VEHICLES).await.expect("a snapshot");
    assert!(snapshot.files.values().any(|file| file.rows == Some(10)));
}
