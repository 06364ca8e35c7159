//! What the tests ask: a lake and a log with events of one stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use event_log::local::{LocalLog, LocalLogConfig};
use event_log::{EventLog, NewRecord, TopicSpec};
use events::{Advance, Stream, TopicNames, TopicPartition};
use lake::query::output::{Format, encode_all};
use lake::query::{Freshness, QueryConfig, QueryError, SqlEngine};
use lake::rows::{RowBuilder, SeenOrigins};
use lake::{Commit, Lake};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{NOON_US, Place, TABLE, event_json};

/// A lake, a log, and what asks both.
pub struct City {
    pub place: Place,
    pub lake: Arc<Lake>,
    log: Arc<LocalLog>,
    topics: TopicNames,
    _folder: TempDir,
}

impl City {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = LocalLog::open(LocalLogConfig::new(folder.path())).expect("the log opens");
        let topics = TopicNames::default();
        let spec = |name| TopicSpec {
            name,
            partitions: 2,
            retention: None,
            retention_bytes: None,
            compacted: false,
        };
        let specs: Vec<_> = topics
            .iter()
            .map(|(_, topic)| spec(topic.clone()))
            .collect();
        log.create_topics(&specs)
            .await
            .expect("the topics are created");
        let place = Place::local();
        let lake = place.open().await;
        Self {
            place,
            lake,
            log,
            topics,
            _folder: folder,
        }
    }

    /// Appends events a minute apart to partition 0.
    pub async fn append(&self, numbers: std::ops::Range<i64>) {
        let record = |number: i64| NewRecord {
            value: Bytes::from(event_json(
                &format!("e{number}"),
                &format!("car-{}", number % 10),
                NOON_US + number * 60_000_000,
            )),
            partition: Some(0),
            ..NewRecord::default()
        };
        self.log
            .append(
                self.topics.topic(Stream::VehicleData),
                numbers.map(record).collect(),
            )
            .await
            .expect("appended");
    }

    /// Does what the batch layer does with the offsets `from..to` of partition 0.
    pub async fn write(&self, from: i64, to: i64) {
        let partition = TopicPartition::new("vehicle_data", 0);
        let mut reader = self
            .log
            .read_from(&[(partition.clone(), from)])
            .await
            .expect("a reader");
        let mut rows = RowBuilder::new(TABLE);
        let mut next = from;
        while next < to {
            let event_log::Polled::Records(batches) =
                reader.poll(Duration::from_secs(5)).await.expect("a poll")
            else {
                continue;
            };
            for record in batches
                .into_iter()
                .flat_map(|batch| batch.records)
                .filter(|record| record.offset < to)
            {
                rows.push(&partition, &record, &mut SeenOrigins::default())
                    .expect("a valid event");
                next = record.offset + 1;
            }
        }
        let files = self
            .lake
            .write_files(TABLE, vec![rows.finish()])
            .await
            .expect("files");
        let commit = Commit {
            files,
            advances: vec![Advance {
                partition,
                from,
                to,
            }],
            ..Commit::default()
        };
        self.lake.commit(TABLE, &commit).await.expect("a commit");
    }

    pub fn engine(&self, config: QueryConfig) -> Arc<SqlEngine> {
        SqlEngine::new(
            self.lake.clone(),
            self.log.clone(),
            self.topics.clone(),
            config,
        )
        .expect("an engine")
    }
}

/// The answer as JSON.
pub async fn json(engine: &SqlEngine, sql: &str) -> Value {
    let (schema, rows) = engine
        .query(sql, Freshness::Exact)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let bytes = encode_all(Format::Json, schema, rows, Instant::now())
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    serde_json::from_slice(&bytes).expect("JSON")
}

/// The first column of the first row.
pub async fn first(engine: &SqlEngine, sql: &str) -> Value {
    json(engine, sql).await["rows"][0]
        .as_object()
        .expect("a row")
        .values()
        .next()
        .expect("a column")
        .clone()
}

/// Why there is no answer.
pub async fn refused(engine: &SqlEngine, sql: &str) -> QueryError {
    match engine.query(sql, Freshness::Exact).await {
        Err(error) => error,
        Ok((schema, rows)) => encode_all(Format::Json, schema, rows, Instant::now())
            .await
            .expect_err(sql),
    }
}
