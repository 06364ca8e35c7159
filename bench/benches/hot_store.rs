//! Hot store: updates per second of `apply` in batches of 1000, embedded and on Redis, against what
//! `redis-benchmark` writes with MSET of 10 keys on the same server.
//!
//! The peer writes strings only. `apply` also gives each value its time to live,
//! checks and moves positions, and publishes the batch to watchers. The peer has 50
//! clients, so that the server never waits; one writer makes it wait while it encodes,
//! so two at once, as two speed processes are, show what the server takes.

use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bench::{Measurement, RUNS_MIN, Report, median_rates};
use bytes::Bytes;
use events::{Advance, TopicPartition};
use hot_store::testing::RedisServer;
use hot_store::{Cell, HotBatch, HotStore, Kind, MemoryStore, RedisConfig, RedisStore, Update};
use tokio::runtime::Runtime;

const BATCH: usize = 1000;
const BATCHES: usize = 400;
const VEHICLES: usize = 20_000;
/// Of `redis-benchmark` MSET with 10 keys and its own tiny values.
const SHARE_OF_MSET: f64 = 0.9;

fn main() -> Result<()> {
    let runtime = Runtime::new().context("no runtime")?;
    let server = RedisServer::start();
    let redis = RedisStore::connect(RedisConfig::new(server.url()))?;
    let watched = RedisServer::start();
    let watched_redis = RedisStore::connect(RedisConfig::new(watched.url()))?;
    let mut watch = runtime.block_on(watched_redis.watch())?;
    runtime.spawn(async move {
        loop {
            watch.next().await;
        }
    });
    let memory = MemoryStore::new();
    let value_bytes = value(0, 0).len();

    let mut into_redis = Writer::new(redis.clone(), "one");
    let mut both = ["left", "right"].map(|owner| Writer::new(redis.clone(), owner));
    let mut into_watched = Writer::new(watched_redis, "one");
    let mut into_memory = Writer::new(memory, "one");
    let tiny = Peer {
        port: server.port(),
        value_bytes: 3,
    };
    let same = Peer {
        port: server.port(),
        value_bytes,
    };
    tiny.run()?;
    let rates = median_rates(
        RUNS_MIN,
        &mut [
            &mut || runtime.block_on(into_redis.run()),
            &mut || {
                std::thread::scope(|scope| {
                    let [left, right] = &mut both;
                    let right = scope.spawn(|| runtime.block_on(right.run()));
                    runtime.block_on(left.run()) + right.join().expect("writes")
                })
            },
            &mut || tiny.run().unwrap_or(0),
            &mut || runtime.block_on(into_watched.run()),
            &mut || same.run().unwrap_or(0),
            &mut || runtime.block_on(into_memory.run()),
        ],
    );
    let [redis, both, tiny, watched, same, memory] = rates[..] else {
        unreachable!("six candidates")
    };
    ensure!(tiny > 0.0 && same > 0.0, "redis-benchmark failed");

    let mut report = Report::new("hot_store");
    for (measure, rate) in [
        ("redis apply, two writers at once", both),
        ("redis apply, one writer", redis),
    ] {
        report.add(
            Measurement::rate(measure, rate, "updates/s")
                .at_least(SHARE_OF_MSET * tiny)
                .against("MSET of 3-byte values", tiny),
        );
        report.add(
            Measurement::rate(measure, rate, "updates/s").against("MSET of equal values", same),
        );
    }
    report.add(
        Measurement::rate(
            "redis apply, one writer and a watcher",
            watched,
            "updates/s",
        )
        .against("MSET of equal values", same),
    );
    report.add(Measurement::rate("memory apply", memory, "updates/s"));
    report.finish()
}

/// Writes batches as a speed layer does: values, a little state, a position.
struct Writer<S> {
    store: Arc<S>,
    owner: &'static str,
    position: i64,
    batches: Vec<HotBatch>,
}

impl<S: HotStore> Writer<S> {
    fn new(store: Arc<S>, owner: &'static str) -> Self {
        let batches = (0..VEHICLES / BATCH)
            .map(|number| batch(number * BATCH))
            .collect();
        Self {
            store,
            owner,
            position: 0,
            batches,
        }
    }

    async fn run(&mut self) -> u64 {
        for number in 0..BATCHES {
            let index = number % self.batches.len();
            let batch = &mut self.batches[index];
            let to = self.position + BATCH as i64;
            batch.advances = vec![Advance {
                partition: partition(),
                from: self.position,
                to,
            }];
            let applied = self.store.apply(self.owner, batch).await;
            applied.expect("apply");
            self.position = to;
        }
        (BATCHES * BATCH) as u64
    }
}

fn partition() -> TopicPartition {
    TopicPartition::new("gps_data", 0)
}

fn batch(first: usize) -> HotBatch {
    let updates = (first..first + BATCH).map(|number| {
        // Neighbours in a batch are no neighbours in the city.
        let id = format!("car-{:06}", number * 7919 % VEHICLES);
        Update::new(Kind::Vehicle, id, Some(value(number, first)))
    });
    let cells = (0..10).map(|number| Cell {
        partition: partition(),
        key: format!("window-{number}"),
        value: Some(Bytes::from(vec![number; 64])),
    });
    HotBatch {
        updates: updates.collect(),
        cells: cells.collect(),
        advances: Vec::new(),
    }
}

fn value(number: usize, salt: usize) -> Bytes {
    let part = (number * 48_271 + salt) % 1_000_000;
    Bytes::from(format!(
        "{{\"vehicle_id\":\"car-{number:06}\",\"latitude\":57.{part:06},\"longitude\":11.{:06},\
         \"speed\":{}.5,\"direction\":{},\"timestamp\":\"2026-01-05T12:00:{:02}.{part:06}Z\",\
         \"vehicle_type\":\"car\",\"road_id\":\"w{part}-3\"}}",
        999_999 - part,
        part % 80,
        part % 360,
        part % 60,
    ))
}

/// `redis-benchmark -t mset` (10 keys a command, 50 clients).
struct Peer {
    port: u16,
    value_bytes: usize,
}

impl Peer {
    fn run(&self) -> Result<u64> {
        const COMMANDS: u64 = 60_000;
        let status = Command::new("redis-benchmark")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-t",
                "mset",
                "-q",
            ])
            .args(["-n", &COMMANDS.to_string(), "-r", &VEHICLES.to_string()])
            .args(["-d", &self.value_bytes.to_string()])
            .stdout(Stdio::null())
            .status()
            .context("redis-benchmark is missing (Debian: apt-get install redis-tools)")?;
        ensure!(status.success(), "redis-benchmark: {status}");
        Ok(10 * COMMANDS)
    }
}
