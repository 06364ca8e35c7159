//! Event log: records per second appended and read, embedded, against a plain
//! file written and read in sequence with the same durability, and against Kafka
//! where `CITYPULSE_TEST_KAFKA` gives its address.
//!
//! Records are `vehicle_data` events of about 300 bytes with the device id as the
//! key, appended in batches of 300 by 8 callers to 3 partitions. What the plain
//! file does not do: keys, offsets, partitions, order per device, retention.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bench::{Measurement, RUNS_MIN, Report, median_rates};
use bytes::Bytes;
use event_log::kafka::{KafkaConfig, KafkaLog};
use event_log::local::{LocalLog, LocalLogConfig};
use event_log::{EventLog, NewRecord, Polled, TopicSpec};
use events::{Topic, TopicPartition};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const BATCH: usize = 300;
const BATCHES: usize = 800;
const CALLERS: usize = 8;
const PARTITIONS: i32 = 3;
const APPEND_TARGET: f64 = 150_000.0;
const READ_TARGET: f64 = 300_000.0;
/// How often the plain file is forced to the disk: as often as the embedded log.
const FSYNC_INTERVAL: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let runtime = Runtime::new().context("no runtime")?;
    let batches = Arc::new((0..BATCHES).map(batch).collect::<Vec<_>>());
    let folder = tempfile::tempdir()?;

    let local = LocalLog::open(LocalLogConfig::new(folder.path().join("log")))?;
    let local = LogUnderTest::new(&runtime, local, &batches)?;
    let mut file = PlainFile::create(folder.path().join("file"), &batches)?;
    let kafka = match std::env::var("CITYPULSE_TEST_KAFKA") {
        Ok(brokers) => Some(LogUnderTest::new(
            &runtime,
            KafkaLog::connect(KafkaConfig::new(brokers))?,
            &batches,
        )?),
        Err(_) => {
            println!("without Kafka: CITYPULSE_TEST_KAFKA is not set");
            None
        }
    };

    let appends = {
        let mut append_file = || file.append().expect("the file can be written");
        let mut append_local = || local.append(&runtime).expect("the log takes records");
        let mut append_kafka = || {
            kafka.as_ref().map_or(1, |kafka| {
                kafka.append(&runtime).expect("Kafka takes records")
            })
        };
        median_rates(
            RUNS_MIN,
            &mut [&mut append_local, &mut append_file, &mut append_kafka],
        )
    };
    let reads = {
        let mut read_file = || file.read().expect("the file can be read");
        let mut read_local = || local.read(&runtime).expect("the log can be read");
        let mut read_kafka = || {
            kafka
                .as_ref()
                .map_or(1, |kafka| kafka.read(&runtime).expect("Kafka can be read"))
        };
        median_rates(
            RUNS_MIN,
            &mut [&mut read_local, &mut read_file, &mut read_kafka],
        )
    };

    let mut report = Report::new("event_log");
    for (what, rates, target) in [
        ("append", appends, APPEND_TARGET),
        ("read", reads, READ_TARGET),
    ] {
        let [local, file, on_kafka] = rates[..] else {
            unreachable!("three candidates")
        };
        let measure = format!("embedded log, {what}");
        report.add(
            Measurement::rate(&measure, local, "records/s")
                .at_least(target)
                .against("plain file", file),
        );
        if kafka.is_some() {
            report.add(
                Measurement::rate(&measure, local, "records/s")
                    .against("Kafka, this client", on_kafka),
            );
        }
    }
    report.finish()
}

/// One batch of records, all different.
fn batch(number: usize) -> Vec<NewRecord> {
    let record = |index: usize| {
        let sequence = number * BATCH + index;
        let device = format!("car-{:04}", sequence % 500);
        let (a, b) = (sequence as f64 * 0.618 % 1.0, sequence as f64 * 0.414 % 1.0);
        let value = format!(
            "{{\"device_id\":\"{device}\",\"timestamp\":\"2026-01-01T{:02}:{:02}:{:02}.{:06}Z\",\"latitude\":{:.6},\
             \"longitude\":{:.6},\"speed\":{:.1},\"direction\":{:.1},\"make\":\"Volvo\",\"model\":\"EX30\",\"year\":2025,\
             \"fuel_type\":\"electric\",\"vehicle_type\":\"car\",\"odometer_km\":{:.1},\"event_id\":\"{:016x}{:016x}\"}}",
            sequence / 3_600 % 24,
            sequence / 60 % 60,
            sequence % 60,
            sequence % 1_000_000,
            57.7 + a / 10.0,
            11.9 + b / 10.0,
            a * 90.0,
            b * 360.0,
            a * 1e5,
            (sequence as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            (sequence as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9),
        );
        NewRecord {
            key: Some(device.into()),
            value: value.into(),
            ..NewRecord::default()
        }
    };
    (0..BATCH).map(record).collect()
}

/// A log with a topic of its own.
struct LogUnderTest<L> {
    log: Arc<L>,
    topic: Topic,
    batches: Arc<Vec<Vec<NewRecord>>>,
    /// Where each partition ended before the last append.
    starts: Vec<AtomicI64>,
}

impl<L: EventLog> LogUnderTest<L> {
    fn new(runtime: &Runtime, log: Arc<L>, batches: &Arc<Vec<Vec<NewRecord>>>) -> Result<Self> {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)?
            .as_nanos();
        let topic = Topic::from(format!("bench-{now:x}"));
        let retention_bytes = Some(256 << 20);
        let spec = TopicSpec {
            name: topic.clone(),
            partitions: PARTITIONS,
            retention: None,
            retention_bytes,
            compacted: false,
        };
        runtime.block_on(log.create_topics(&[spec]))?;
        let starts = (0..PARTITIONS).map(|_| AtomicI64::new(0)).collect();
        Ok(Self {
            log,
            topic,
            batches: batches.clone(),
            starts,
        })
    }

    fn append(&self, runtime: &Runtime) -> Result<u64> {
        runtime.block_on(async {
            for bounds in self.log.bounds(&self.topic).await? {
                self.starts[bounds.partition.partition as usize]
                    .store(bounds.end, Ordering::Relaxed);
            }
            let mut callers = JoinSet::new();
            for caller in 0..CALLERS {
                let (log, topic, batches) =
                    (self.log.clone(), self.topic.clone(), self.batches.clone());
                callers.spawn(async move {
                    for batch in batches.iter().skip(caller).step_by(CALLERS) {
                        log.append(&topic, batch.clone()).await?;
                    }
                    event_log::Result::Ok(())
                });
            }
            while let Some(done) = callers.join_next().await {
                done??;
            }
            Ok((BATCH * BATCHES) as u64)
        })
    }

    /// Reads what the last round appended.
    fn read(&self, runtime: &Runtime) -> Result<u64> {
        runtime.block_on(async {
            let start = |partition: i32| self.starts[partition as usize].load(Ordering::Relaxed);
            let positions: Vec<_> = (0..PARTITIONS)
                .map(|p| (TopicPartition::new(self.topic.clone(), p), start(p)))
                .collect();
            let mut consumer = self.log.read_from(&positions).await?;
            let (mut count, mut bytes) = (0, 0);
            while count < BATCH * BATCHES {
                if let Polled::Records(all) = consumer.poll(Duration::from_secs(10)).await? {
                    for record in all.iter().flat_map(|read| &read.records) {
                        count += 1;
                        bytes += record.value.len();
                    }
                }
            }
            anyhow::ensure!(bytes > count, "values are not empty");
            Ok(count as u64)
        })
    }
}

/// The least that a durable log could do: one file, one write per batch.
struct PlainFile {
    path: PathBuf,
    batches: Vec<Vec<u8>>,
}

impl PlainFile {
    fn create(path: PathBuf, batches: &[Vec<NewRecord>]) -> Result<Self> {
        let join = |batch: &Vec<NewRecord>| {
            let mut lines = Vec::new();
            for record in batch {
                lines.extend_from_slice(&record.value);
                lines.push(b'\n');
            }
            lines
        };
        Ok(Self {
            path,
            batches: batches.iter().map(join).collect(),
        })
    }

    fn append(&mut self) -> Result<u64> {
        let mut file = File::create(&self.path)?;
        let mut synced_at = Instant::now();
        for batch in &self.batches {
            file.write_all(batch)?;
            if synced_at.elapsed() >= FSYNC_INTERVAL {
                file.sync_data()?;
                synced_at = Instant::now();
            }
        }
        Ok((BATCH * BATCHES) as u64)
    }

    fn read(&self) -> Result<u64> {
        let mut lines = BufReader::with_capacity(1 << 20, File::open(&self.path)?);
        let (mut line, mut count) = (Vec::new(), 0);
        let mut values = Vec::with_capacity(BATCH * BATCHES);
        while lines.read_until(b'\n', &mut line)? > 0 {
            values.push(Bytes::copy_from_slice(&line));
            line.clear();
            count += 1;
        }
        Ok(count)
    }
}
