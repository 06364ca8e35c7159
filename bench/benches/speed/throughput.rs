//! How many events a second come from Kafka into Redis.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bench::{Measurement, RUNS_MIN, Report, median};
use event_log::{EventLog, Polled};
use events::TopicPartition;
use hot_store::testing::RedisServer;
use tokio::runtime::Runtime;

use super::city::{City, PARTITIONS};
use super::peers;
use super::process::{Stand, done, store};

const EVENTS: u64 = 2_000_000;
/// Of event time, over which they are spread.
const MINUTES: i64 = 10;
const SHARE_OF_RAW: f64 = 0.55;
const RUN_LIMIT: Duration = Duration::from_secs(300);

/// The job of the target and of the peers: state, and windows over cells.
const CELLS: &[(&str, &str)] = &[("CITYPULSE_SPEED__MATCH_DISTANCE_M", "0")];
/// What a city runs: roads and their windows besides.
const CELLS_AND_ROADS: &[(&str, &str)] = &[];

pub fn measure(runtime: &Runtime, stand: &Stand, report: &mut Report) -> Result<()> {
    let topic = stand.topic("throughput");
    runtime.block_on(City::CELLS_2000.fill(&stand.log, &topic, EVENTS, MINUTES))?;
    let mut peers = peers::all(stand, &topic);
    let (mut ours, mut with_roads, mut raw) = (Vec::new(), Vec::new(), Vec::new());
    // Alternately, so that what disturbs the machine meets all alike.
    for run in 0..=RUNS_MIN {
        let cells = runtime.block_on(through_the_speed_layer(stand, &topic, CELLS))?;
        let plain = runtime.block_on(read_and_dropped(stand, &topic))?;
        let roads = runtime.block_on(through_the_speed_layer(stand, &topic, CELLS_AND_ROADS))?;
        println!(
            "run {run}: events/s into Redis {cells:.0}, with roads {roads:.0}; read raw {plain:.0}"
        );
        if run > 0 {
            ours.push(cells);
            with_roads.push(roads);
            raw.push(plain);
        }
        for peer in &mut peers {
            peer.run(EVENTS, run > 0);
        }
    }
    let (ours, raw) = (median(ours), median(raw));
    let measure = "Kafka to Redis: state, windows over 2,000 cells";
    report.add(
        Measurement::rate(measure, ours, "events/s")
            .at_least(SHARE_OF_RAW * raw)
            .against("the same client, read raw", raw),
    );
    report.add(
        Measurement::rate(
            "  with map matching and roads",
            median(with_roads),
            "events/s",
        )
        .against("the same client, read raw", raw),
    );
    for peer in peers {
        peer.report(measure, ours, report);
    }
    Ok(())
}

/// A new speed layer on an empty Redis, from its first stored position to the last.
async fn through_the_speed_layer(
    stand: &Stand,
    topic: &str,
    settings: &[(&str, &str)],
) -> Result<f64> {
    let redis = RedisServer::start();
    let store = store(&redis)?;
    let role = stand.start_with("speed", &redis, topic, settings)?;
    let started = Instant::now();
    let mut first = None;
    let (before, began) = loop {
        let now = done(&store, topic).await?;
        match first {
            None if now > 0 => first = Some((now, Instant::now())),
            Some(first) if now >= EVENTS => break first,
            _ => {}
        }
        if started.elapsed() > RUN_LIMIT {
            bail!(
                "{now} of {EVENTS} events in {RUN_LIMIT:?}: {}",
                role.output()
            );
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let rate = (EVENTS - before) as f64 / began.elapsed().as_secs_f64();
    role.stop()?;
    Ok(rate)
}

/// The same client on the same records, which it only counts.
async fn read_and_dropped(stand: &Stand, topic: &str) -> Result<f64> {
    let positions: Vec<_> = (0..PARTITIONS)
        .map(|partition| (TopicPartition::new(topic, partition), 0))
        .collect();
    let mut consumer = stand.log.read_from(&positions).await?;
    let mut first = None;
    let mut count = 0;
    while count < EVENTS {
        match consumer.poll(Duration::from_secs(10)).await? {
            Polled::Records(all) => {
                let records = all.iter().flat_map(|read| &read.records);
                count += records.filter(|record| !record.value.is_empty()).count() as u64;
            }
            other => bail!("{other:?} after {count} of {EVENTS} events"),
        }
        first.get_or_insert((count, Instant::now()));
    }
    let (before, began) = first.context("nothing was read")?;
    Ok((EVENTS - before) as f64 / began.elapsed().as_secs_f64())
}
