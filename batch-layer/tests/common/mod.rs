//! What the batch layer's tests share: a small platform on temporary folders.
#![allow(dead_code)]

use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use batch_layer::BatchConfig;
use bytes::Bytes;
use event_log::local::{LocalLog, LocalLogConfig};
use event_log::{EventLog, NewRecord, TopicSpec};
use events::health::HealthBoard;
use events::{Offset, Stream, TopicNames};
use futures::StreamExt;
use lake::query::{Freshness, QueryConfig, SqlEngine};
use lake::{Lake, LakeConfig};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Anything that takes longer than this has failed.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// 2026-03-01T12:00:00Z.
pub const NOON_US: i64 = 1_772_366_400_000_000;
pub const PARTITIONS: i32 = 2;

pub struct Platform {
    pub folder: TempDir,
    pub log: Arc<LocalLog>,
    pub lake: Arc<Lake>,
    lake_config: LakeConfig,
    pub topics: TopicNames,
    pub engine: Arc<SqlEngine>,
    pub health: HealthBoard,
    stop_engine: CancellationToken,
}

/// A batch layer at work.
pub struct Batch {
    pub stop: CancellationToken,
    pub task: JoinHandle<Result<(), batch_layer::Error>>,
}

impl Batch {
    /// Ends it as a crash would: in the middle of whatever it does.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Ends it as SIGTERM would.
    pub async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(5), self.task).await;
        ended
            .expect("it stops in time")
            .expect("no panic")
            .expect("no error");
    }
}

impl Platform {
    pub async fn new() -> Self {
        Self::with(QueryConfig::default()).await
    }

    pub async fn with(config: QueryConfig) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let lake = LakeConfig {
            url: folder.path().join("lake").display().to_string(),
            ..LakeConfig::default()
        };
        Self::on(folder, lake, config).await
    }

    /// With its log in the folder and its lake anywhere.
    pub async fn on(folder: TempDir, lake_config: LakeConfig, config: QueryConfig) -> Self {
        let log =
            LocalLog::open(LocalLogConfig::new(folder.path().join("log"))).expect("the log opens");
        let topics = TopicNames::default();
        create_topics(log.as_ref(), &topics).await;
        let lake = Lake::open(lake_config.clone())
            .await
            .expect("the lake opens");
        let engine =
            SqlEngine::new(lake.clone(), log.clone(), topics.clone(), config).expect("an engine");
        let stop_engine = CancellationToken::new();
        tokio::spawn(engine.clone().run(stop_engine.clone()));
        Self {
            folder,
            log,
            lake,
            lake_config,
            topics,
            engine,
            health: HealthBoard::default(),
            stop_engine,
        }
    }

    /// A batch layer that knows nothing of others before it.
    pub async fn batch(&self, config: BatchConfig) -> Batch {
        self.batch_on(self.lake_config.clone(), config).await
    }

    /// The same that gets at the lake in another way.
    pub async fn batch_on(&self, lake: LakeConfig, config: BatchConfig) -> Batch {
        let lake = Lake::open(lake).await.expect("the lake opens");
        let stop = CancellationToken::new();
        let run = batch_layer::run(
            self.log.clone(),
            lake,
            self.topics.clone(),
            config,
            self.health.clone(),
            stop.clone(),
        );
        Batch {
            task: tokio::spawn(run),
            stop,
        }
    }

    pub async fn append(&self, stream: Stream, values: Vec<String>) -> Vec<(i32, Offset)> {
        append(self.log.as_ref(), &self.topics, stream, values).await
    }

    /// The first row's numbers.
    pub async fn numbers(&self, sql: &str) -> Vec<i64> {
        let (_, mut rows) = self
            .engine
            .query(sql, Freshness::Exact)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let mut numbers = Vec::new();
        while let Some(batch) = rows.next().await {
            let batch = batch.unwrap_or_else(|error| panic!("{sql}: {error}"));
            if batch.num_rows() > 0 && numbers.is_empty() {
                numbers.extend(
                    batch
                        .columns()
                        .iter()
                        .map(|column| column.as_primitive::<Int64Type>().value(0)),
                );
            }
        }
        numbers
    }

    pub async fn wait_until_written(&self, table: lake::Table, rows: u64) {
        wait_for("the rows are in the lake", || async {
            self.lake
                .refresh(table)
                .await
                .is_ok_and(|snapshot| snapshot.rows() == Some(rows))
        })
        .await;
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.stop_engine.cancel();
    }
}

pub async fn create_topics(log: &dyn EventLog, topics: &TopicNames) {
    let spec = |name| TopicSpec {
        name,
        partitions: PARTITIONS,
        retention: None,
        retention_bytes: None,
        compacted: false,
    };
    let mut specs = Vec::new();
    for (stream, topic) in topics.iter() {
        specs.push(spec(topic.clone()));
        specs.push(spec(topics.dead_letters(stream)));
    }
    log.create_topics(&specs)
        .await
        .expect("the topics are created");
}

pub async fn append(
    log: &dyn EventLog,
    topics: &TopicNames,
    stream: Stream,
    values: Vec<String>,
) -> Vec<(i32, Offset)> {
    let record = |(index, value): (usize, String)| NewRecord {
        key: Some(Bytes::from(format!("device-{}", index % 17))),
        value: Bytes::from(value),
        ..NewRecord::default()
    };
    let records = values.into_iter().enumerate().map(record).collect();
    log.append(topics.topic(stream), records)
        .await
        .expect("appended")
}

pub fn vehicle_json(number: usize) -> String {
    let timestamp = events::time::format_rfc3339(NOON_US + number as i64 * 1_000_000);
    format!(
        r#"{{"id":"event-{number}","device_id":"car-{}","timestamp":"{timestamp}","location":[57.7,11.97],"speed":42.5}}"#,
        number % 50
    )
}

/// Writes often.
pub fn eager() -> BatchConfig {
    BatchConfig {
        flush_age: Duration::from_millis(300),
        flush_idle: Duration::from_millis(150),
        ..BatchConfig::default()
    }
}

/// Writes nothing by itself.
pub fn lazy() -> BatchConfig {
    let long = Duration::from_secs(3600);
    BatchConfig {
        flush_age: long,
        flush_idle: long,
        ..BatchConfig::default()
    }
}

pub async fn wait_for<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        ticks.tick().await;
    }
}
