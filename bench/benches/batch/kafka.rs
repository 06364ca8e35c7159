//! From Kafka into Delta: our batch layer in this process, reading alone, and Spark
//! Structured Streaming, which writes Parquet with a checkpoint to the same place.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bench::{Measurement, PeerProcess, RUNS_MIN, Report, create_topics, median, memory_mib};
use bytes::Bytes;
use event_log::kafka::{KafkaConfig, KafkaLog};
use event_log::{EventLog, NewRecord, Polled};
use events::health::HealthBoard;
use events::{Event, Stream, TopicNames, TopicPartition};
use lake::{Lake, LakeConfig, S3Options};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{PARTITIONS, TABLE};

/// So many that beginning and end are a small part of the measure.
const EVENTS: usize = 8_000_000;
const SHARE_OF_RAW: f64 = 0.6;
const TIMES_SPARK: f64 = 3.0;
/// The last rows wait no longer than this.
const FLUSH_AGE: Duration = Duration::from_secs(1);
const RUN_LIMIT: Duration = Duration::from_secs(300);

/// All runs alternately, so that what disturbs the machine meets all alike; the first of
/// each warms it up and is not counted.
pub async fn measure(report: &mut Report, sample: &[Event]) -> Result<()> {
    let Ok(brokers) = std::env::var("CITYPULSE_TEST_KAFKA") else {
        println!("without Kafka: CITYPULSE_TEST_KAFKA is not set");
        return Ok(());
    };
    let log = KafkaLog::connect(KafkaConfig::new(brokers.clone()))?;
    let mut topics = TopicNames::default();
    let run = Uuid::new_v4().simple().to_string();
    for stream in Stream::ALL {
        topics.rename(stream, format!("bench-{}-{run}", stream.name()).as_str());
    }
    append(log.as_ref(), &topics, sample).await?;
    let folder = tempfile::tempdir()?;
    let place = Place::from_environment(folder.path(), &run);
    let mut spark = spark(&brokers, topics.topic(TABLE_STREAM), &place);
    let (mut ours, mut raw, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=RUNS_MIN {
        let rate = into_delta(&log, &topics, place.lake(&format!("ours-{round}"))).await?;
        let plain = consume(log.as_ref(), &topics).await?;
        println!("run {round}: rows/s into Delta {rate:.0}; read raw {plain:.0}");
        let other = run_spark(&mut spark);
        if round > 0 {
            ours.push(rate);
            raw.push(plain);
            theirs.extend(other);
        }
    }
    let (ours, raw) = (median(ours), median(raw));
    let measure = format!("Kafka to Delta on {}", place.name());
    let line = || Measurement::rate(&measure, ours, "rows/s, wall clock");
    report.add(
        line()
            .at_least(SHARE_OF_RAW * raw)
            .against("reading alone", raw),
    );
    report.add(match spark {
        Ok(spark) => {
            let rate = median(theirs);
            let name = format!("{}, Parquet with checkpoint", spark.name);
            line().at_least(TIMES_SPARK * rate).against(&name, rate)
        }
        Err(error) => line().without("Spark", &format!("{error:#}")),
    });
    let memory = memory_mib(std::process::id(), "VmHWM:")?;
    report.add(Measurement::rate("  most memory", memory, "MiB"));
    Ok(())
}

const TABLE_STREAM: Stream = Stream::VehicleData;

/// Where both write: S3 where the environment names a server, else a folder.
pub(crate) struct Place {
    folder: PathBuf,
    /// Bucket and prefix.
    bucket: Option<String>,
}

impl Place {
    pub(crate) fn from_environment(folder: &Path, run: &str) -> Self {
        let bucket = || s3("BUCKET").unwrap_or_else(|| "citypulse".into());
        Self {
            folder: folder.to_owned(),
            bucket: s3("ENDPOINT").map(|_| format!("{}/bench-{run}", bucket())),
        }
    }

    fn name(&self) -> &str {
        match self.bucket {
            Some(_) => "S3",
            None => "a folder",
        }
    }

    pub(crate) fn lake(&self, name: &str) -> LakeConfig {
        match &self.bucket {
            Some(bucket) => LakeConfig {
                url: format!("s3://{bucket}/{name}"),
                s3: S3Options {
                    allow_http: true,
                    endpoint: s3("ENDPOINT"),
                    access_key_id: s3("KEY"),
                    secret_access_key: s3("SECRET"),
                    ..S3Options::default()
                },
            },
            None => LakeConfig {
                url: self.folder.join(name).display().to_string(),
                ..LakeConfig::default()
            },
        }
    }

    /// As Spark names it.
    fn for_spark(&self) -> String {
        match &self.bucket {
            Some(bucket) => format!("s3a://{bucket}/spark"),
            None => self.folder.join("spark").display().to_string(),
        }
    }
}

fn s3(name: &str) -> Option<String> {
    std::env::var(format!("CITYPULSE_TEST_S3_{name}")).ok()
}

/// Reads the same topic and writes as many columns, in a JVM that goes on.
fn spark(brokers: &str, topic: &str, place: &Place) -> Result<PeerProcess> {
    let folder = std::env::var_os("CITYPULSE_PEERS").map(PathBuf::from);
    let folder = folder.context("CITYPULSE_PEERS is not set (make bench-peers)")?;
    let jars = folder.join("spark-jars").display().to_string();
    let python = folder.join("spark/bin/python");
    let arguments = [brokers, topic, &place.for_spark(), &jars];
    PeerProcess::start(&python, "spark_parquet.py", &arguments)
}

/// Rows a second; none once it has failed.
fn run_spark(spark: &mut Result<PeerProcess>) -> Option<f64> {
    let run = spark.as_mut().ok()?.run().and_then(|run| {
        let all = run.items == EVENTS as u64;
        ensure!(all, "it wrote {} of {EVENTS} rows", run.items);
        Ok(run)
    });
    match run {
        Ok(run) => {
            println!("Spark: {:.0} rows/s, {} files", run.rate(), run.found);
            Some(run.rate())
        }
        Err(error) => {
            println!("Spark does not run: {error:#}");
            *spark = Err(error);
            None
        }
    }
}

/// From the start of the reading until the last row is committed, in a lake of its own.
async fn into_delta(log: &Arc<KafkaLog>, topics: &TopicNames, config: LakeConfig) -> Result<f64> {
    let lake = Lake::open(config).await?;
    let stop = CancellationToken::new();
    let began = Instant::now();
    let batch = tokio::spawn(batch_layer::run(
        log.clone(),
        lake.clone(),
        topics.clone(),
        batch_layer::BatchConfig {
            flush_age: FLUSH_AGE,
            flush_idle: FLUSH_AGE / 10,
            ..batch_layer::BatchConfig::default()
        },
        HealthBoard::default(),
        stop.clone(),
    ));
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    // What the writer knows: asking the storage would take time from it.
    while lake.snapshot(TABLE).await?.rows() != Some(EVENTS as u64) {
        if began.elapsed() > RUN_LIMIT {
            bail!("not all rows are in the lake after {RUN_LIMIT:?}");
        }
        ticks.tick().await;
    }
    let rate = EVENTS as f64 / began.elapsed().as_secs_f64();
    stop.cancel();
    batch.await??;
    Ok(rate)
}

async fn append(log: &dyn EventLog, topics: &TopicNames, sample: &[Event]) -> Result<()> {
    let all = topics
        .iter()
        .flat_map(|(stream, topic)| [topic.clone(), topics.dead_letters(stream)]);
    create_topics(log, PARTITIONS, all).await?;
    let events: Vec<&Event> = sample.iter().cycle().take(EVENTS).collect();
    for chunk in events.chunks(10_000) {
        let records = chunk.iter().map(|event| NewRecord {
            key: Some(Bytes::copy_from_slice(event.device_id.as_bytes())),
            value: event.to_json().into(),
            ..NewRecord::default()
        });
        log.append(topics.topic(TABLE_STREAM), records.collect())
            .await?;
    }
    Ok(())
}

/// Records a second, doing nothing with them.
async fn consume(log: &dyn EventLog, topics: &TopicNames) -> Result<f64> {
    let topic = topics.topic(TABLE_STREAM);
    let from: Vec<_> = (0..PARTITIONS)
        .map(|partition| (TopicPartition::new(topic.clone(), partition), 0))
        .collect();
    let mut reader = log.read_from(&from).await?;
    let (began, mut records) = (Instant::now(), 0);
    while records < EVENTS {
        if let Polled::Records(batches) = reader.poll(Duration::from_secs(1)).await? {
            records += batches
                .iter()
                .map(|batch| batch.records.len())
                .sum::<usize>();
        }
    }
    Ok(records as f64 / began.elapsed().as_secs_f64())
}
