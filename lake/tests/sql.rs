//! SQL over lake and log: what it answers, and what it refuses.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{NOON_US, Place, TABLE, event_json};
use event_log::local::{LocalLog, LocalLogConfig};
use event_log::{EventLog, NewRecord, TopicSpec};
use events::{Advance, Stream, TopicNames, TopicPartition};
use lake::query::output::{Format, encode_all};
use lake::query::{Freshness, QueryConfig, QueryError, SqlEngine};
use lake::rows::{RowBuilder, SeenOrigins};
use lake::{Commit, Lake};
use serde_json::Value;
use tempfile::TempDir;

struct City {
    place: Place,
    lake: Arc<Lake>,
    log: Arc<LocalLog>,
    topics: TopicNames,
    _folder: TempDir,
}

impl City {
    async fn new() -> Self {
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
    async fn append(&self, numbers: std::ops::Range<i64>) {
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
    async fn write(&self, from: i64, to: i64) {
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

    fn engine(&self, config: QueryConfig) -> Arc<SqlEngine> {
        SqlEngine::new(
            self.lake.clone(),
            self.log.clone(),
            self.topics.clone(),
            config,
        )
        .expect("an engine")
    }
}

async fn json(engine: &SqlEngine, sql: &str) -> Value {
    let (schema, rows) = engine
        .query(sql, Freshness::Exact)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let bytes = encode_all(Format::Json, schema, rows, Instant::now())
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    serde_json::from_slice(&bytes).expect("JSON")
}

async fn first(engine: &SqlEngine, sql: &str) -> Value {
    json(engine, sql).await["rows"][0]
        .as_object()
        .expect("a row")
        .values()
        .next()
        .expect("a column")
        .clone()
}

async fn refused(engine: &SqlEngine, sql: &str) -> QueryError {
    match engine.query(sql, Freshness::Exact).await {
        Err(error) => error,
        Ok((schema, rows)) => encode_all(Format::Json, schema, rows, Instant::now())
            .await
            .expect_err(sql),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lake_and_log_are_one_table() {
    let city = City::new().await;
    city.append(0..100).await;
    city.write(0, 60).await;
    let engine = city.engine(QueryConfig::default());
    assert_eq!(
        first(&engine, "SELECT count(*) FROM vehicle_data").await,
        100
    );
    assert_eq!(
        first(&engine, "SELECT count(DISTINCT id) FROM vehicle_data").await,
        100
    );
    assert_eq!(
        first(&engine, "SELECT sum(log_offset) FROM vehicle_data").await,
        4_950
    );
    let row = &json(&engine, "SELECT * FROM vehicle_data WHERE id = 'e70'").await["rows"][0];
    let same = &json(&engine, "SELECT * FROM vehicle_data WHERE id = 'e10'").await["rows"][0];
    assert_eq!(row["timestamp"], "2026-03-01T13:10:00Z");
    assert_eq!(
        (&row["date"], &row["make"], &row["speed"]),
        (&"2026-03-01".into(), &"Volvo".into(), &42.5.into())
    );
    assert_eq!(row["log_offset"], 70);
    assert_eq!(
        row.as_object().expect("a row").keys().collect::<Vec<_>>(),
        same.as_object().expect("a row").keys().collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_does_not_fit_into_memory_is_read_from_the_log() {
    let city = City::new().await;
    city.append(0..30_000).await;
    city.write(0, 1_000).await;
    let engine = city.engine(QueryConfig {
        tail_bytes: 1_000,
        ..QueryConfig::default()
    });
    let stop = tokio_util::sync::CancellationToken::new();
    let following = tokio::spawn(engine.clone().run(stop.clone()));
    for _ in 0..20 {
        let row = json(
            &engine,
            "SELECT count(*) AS n, count(DISTINCT id) AS ids FROM vehicle_data",
        )
        .await;
        assert_eq!(
            (&row["rows"][0]["n"], &row["rows"][0]["ids"]),
            (&30_000.into(), &30_000.into())
        );
    }
    stop.cancel();
    following.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_opens_no_file_and_a_time_range_opens_only_its_own() {
    let city = City::new().await;
    // Three days and a bit in four files.
    city.append(0..4_400).await;
    city.write(0, 4_400).await;
    let engine = city.engine(QueryConfig::default());
    let plan = async |sql: &str| json(&engine, &format!("EXPLAIN {sql}")).await["rows"].to_string();
    let count = plan("SELECT count(*) FROM vehicle_data").await;
    assert!(
        count.contains("PlaceholderRowExec") && !count.contains(".parquet"),
        "{count}"
    );
    let all = plan("SELECT avg(speed) FROM vehicle_data").await;
    assert_eq!(all.matches(".parquet").count(), 4, "{all}");
    for sql in [
        "SELECT avg(speed) FROM vehicle_data WHERE timestamp >= '2026-03-03T00:00:00Z' AND timestamp < '2026-03-04T00:00:00Z'",
        "SELECT avg(speed) FROM vehicle_data WHERE date = '2026-03-02'",
        "SELECT avg(speed) FROM vehicle_data WHERE timestamp < TIMESTAMP '2026-03-01 20:00:00'",
    ] {
        let plan = plan(sql).await;
        assert_eq!(plan.matches(".parquet").count(), 1, "{sql}: {plan}");
    }
    let day = "SELECT count(*) FROM vehicle_data WHERE timestamp >= '2026-03-03' AND timestamp < '2026-03-04'";
    assert_eq!(first(&engine, day).await, 1_440);
    assert_eq!(
        first(
            &engine,
            "SELECT count(*) FROM vehicle_data WHERE timestamp > now() - interval '1 minute'"
        )
        .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_added_later_are_null_in_old_files() {
    let city = City::new().await;
    city.append(0..10).await;
    old_table(&city.place).await;
    let engine = city.engine(QueryConfig::default());
    let row = &json(
        &engine,
        "SELECT device_id, speed, make FROM vehicle_data WHERE device_id = 'old'",
    )
    .await["rows"][0];
    assert_eq!(
        (&row["device_id"], &row["make"]),
        (&"old".into(), &Value::Null)
    );
    city.write(0, 5).await;
    assert_eq!(
        first(&engine, "SELECT count(*) FROM vehicle_data").await,
        11
    );
    let row = &json(
        &engine,
        "SELECT count(speed) AS speeds, count(make) AS makes FROM vehicle_data",
    )
    .await["rows"][0];
    assert_eq!((&row["speeds"], &row["makes"]), (&10.into(), &10.into()));
}

/// A table as an earlier version may have written it: fewer columns, one row.
async fn old_table(place: &Place) {
    use arrow::array::{RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
    use deltalake_core::kernel::transaction::CommitBuilder;
    use deltalake_core::kernel::{Add, StructType};
    use deltalake_core::protocol::{DeltaOperation, SaveMode};

    let folder = std::path::Path::new(&place.config.url).join("vehicle_data");
    std::fs::create_dir_all(folder.join("date=2026-02-01")).expect("a folder");
    let fields = vec![
        Field::new("device_id", DataType::Utf8, true),
        Field::new("date", DataType::Date32, true),
    ];
    let schema: StructType = (&Schema::new(fields.clone()))
        .try_into_kernel()
        .expect("a Delta schema");
    let url = url::Url::from_directory_path(&folder).expect("a URL");
    let table = deltalake_core::DeltaTable::try_from_url(url)
        .await
        .expect("a table");
    let table = table
        .create()
        .with_columns(schema.fields().cloned())
        .with_partition_columns(["date"])
        .await;
    let table = table.expect("the table is created");

    let in_file = Arc::new(Schema::new(vec![fields[0].clone()]));
    let rows = RecordBatch::try_new(
        in_file.clone(),
        vec![Arc::new(StringArray::from(vec!["old"]))],
    )
    .expect("a row");
    let path = "date=2026-02-01/old.parquet";
    let file = std::fs::File::create(folder.join(path)).expect("a file");
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, in_file, None).expect("a writer");
    writer.write(&rows).expect("written");
    writer.close().expect("closed");
    let add = Add {
        path: path.to_owned(),
        partition_values: [("date".to_owned(), Some("2026-02-01".to_owned()))].into(),
        size: std::fs::metadata(folder.join(path))
            .expect("its size")
            .len() as i64,
        data_change: true,
        stats: Some(r#"{"numRecords":1}"#.to_owned()),
        ..Add::default()
    };
    let operation = DeltaOperation::Write {
        mode: SaveMode::Append,
        partition_by: None,
        predicate: None,
    };
    let snapshot = table.snapshot().expect("a snapshot");
    CommitBuilder::default()
        .with_actions(vec![add.into()])
        .build(Some(snapshot), table.log_store(), operation)
        .await
        .expect("a commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_queries_are_allowed() {
    let city = City::new().await;
    city.append(0..5).await;
    let engine = city.engine(QueryConfig::default());
    for sql in [
        "CREATE TABLE t AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE VIEW v AS SELECT * FROM vehicle_data",
        "INSERT INTO vehicle_data SELECT * FROM vehicle_data",
        "DELETE FROM vehicle_data",
        "UPDATE vehicle_data SET speed = 0",
        "DROP TABLE vehicle_data",
        "COPY vehicle_data TO '/tmp/stolen.csv'",
        "SET datafusion.execution.batch_size = 1",
        "PREPARE p AS SELECT 1",
        "SELECT 1; SELECT 2",
        "SELECT * FROM '/etc/passwd'",
        "EXPLAIN COPY vehicle_data TO '/tmp/stolen.csv'",
        "",
    ] {
        let error = refused(&engine, sql).await;
        assert!(error.is_user(), "{sql}: {error:?}");
    }
    for sql in [
        "SELECT 1",
        "WITH fast AS (SELECT * FROM vehicle_data WHERE speed > 10) SELECT count(*) FROM fast",
        "EXPLAIN SELECT * FROM vehicle_data",
        "EXPLAIN ANALYZE SELECT count(*) FROM vehicle_data WHERE speed > 1",
        "SHOW TABLES",
        "DESCRIBE vehicle_data",
        "SHOW COLUMNS FROM weather_data",
        "SELECT a.id FROM vehicle_data a JOIN public.vehicle_data b ON a.id = b.id",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
    ] {
        let answer = json(&engine, sql).await;
        assert!(
            answer["row_count"].as_u64().expect("a count") > 0,
            "{sql}: {answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_query_says_what_is_wrong() {
    let city = City::new().await;
    let engine = city.engine(QueryConfig::default());
    for (sql, expected) in [
        ("SELECT * FROM vehicle", "did you mean vehicle_data?"),
        ("SELECT sped FROM vehicle_data", "speed"),
        ("SELEC 1", "SQL"),
        ("SELECT nonsense(1)", "nonsense"),
        ("SELECT 1 / 0", "zero"),
        ("SELECT CAST('x' AS INT)", "x"),
    ] {
        let error = refused(&engine, sql).await;
        assert!(
            error.is_user() && error.to_string().contains(expected),
            "{sql}: {error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_end_a_query_with_a_clear_error() {
    let city = City::new().await;
    let long = "SELECT count(*) FROM generate_series(1, 1000000000000) WHERE value % 7 = 3";
    let engine = city.engine(QueryConfig {
        timeout: Duration::from_millis(300),
        max_rows: 10,
        ..QueryConfig::default()
    });
    let started = Instant::now();
    assert!(matches!(
        refused(&engine, long).await,
        QueryError::Timeout { .. }
    ));
    assert!(started.elapsed() < Duration::from_secs(20));
    let rows = refused(&engine, "SELECT * FROM generate_series(1, 100)").await;
    assert!(
        rows.is_user() && rows.to_string().contains("LIMIT"),
        "{rows}"
    );

    let engine = city.engine(QueryConfig {
        max_concurrent: 1,
        ..QueryConfig::default()
    });
    let running = engine
        .query(long, Freshness::Exact)
        .await
        .expect("it starts");
    assert_eq!(
        refused(&engine, "SELECT 1").await,
        QueryError::Busy { limit: 1 }
    );
    drop(running);
    assert_eq!(
        first(&engine, "SELECT 1").await,
        1,
        "its place is free again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sorting_more_than_memory_spills_to_disk() {
    let city = City::new().await;
    let spill_dir = tempfile::tempdir().expect("a temporary folder");
    let config = QueryConfig {
        memory_bytes: 48 << 20,
        spill_dir: Some(spill_dir.path().to_owned()),
        max_rows: 10_000_000,
        ..QueryConfig::default()
    };
    let engine = city.engine(config);
    let sql = "SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY md5(cast(value AS text))) AS r FROM generate_series(1, 500000))";
    assert_eq!(first(&engine, sql).await, 500_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_carries_the_rows() {
    let city = City::new().await;
    city.append(0..3).await;
    let engine = city.engine(QueryConfig::default());
    let sql = "SELECT id, timestamp, speed, direction FROM vehicle_data ORDER BY id";
    let render = async |format| {
        let (schema, rows) = engine.query(sql, Freshness::Exact).await.expect("it runs");
        encode_all(format, schema, rows, Instant::now())
            .await
            .expect("it renders")
    };
    let text = async |format| String::from_utf8(render(format).await).expect("text");
    let answer: Value = serde_json::from_str(&text(Format::Json).await).expect("JSON");
    assert_eq!(
        answer["columns"][1],
        serde_json::json!({"name": "timestamp", "type": "timestamptz"})
    );
    assert_eq!(answer["row_count"], 3);
    assert!(answer["elapsed_ms"].is_u64());
    assert_eq!(answer["rows"][2]["id"], "e2");
    assert_eq!(
        answer["rows"][2]["direction"],
        Value::Null,
        "nulls are there"
    );
    assert_eq!(
        text(Format::Csv).await.lines().collect::<Vec<_>>()[..2],
        [
            "id,timestamp,speed,direction",
            "e0,2026-03-01T12:00:00Z,42.5,"
        ]
    );
    assert_eq!(text(Format::Ndjson).await.lines().count(), 3);
    assert!(text(Format::Table).await.contains("| e1 "));
    let arrow = arrow::ipc::reader::StreamReader::try_new(
        std::io::Cursor::new(render(Format::Arrow).await),
        None,
    );
    assert_eq!(
        arrow
            .expect("an Arrow stream")
            .map(|batch| batch.expect("rows").num_rows())
            .sum::<usize>(),
        3
    );
    let parquet = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(
        Bytes::from(render(Format::Parquet).await),
        1024,
    );
    assert_eq!(
        parquet
            .expect("a Parquet file")
            .map(|batch| batch.expect("rows").num_rows())
            .sum::<usize>(),
        3
    );
    let (schema, rows) = engine
        .query("SELECT id FROM vehicle_data WHERE false", Freshness::Exact)
        .await
        .expect("it runs");
    let empty: Value = serde_json::from_slice(
        &encode_all(Format::Json, schema, rows, Instant::now())
            .await
            .expect("it renders"),
    )
    .expect("JSON");
    assert_eq!(
        (&empty["rows"], &empty["row_count"]),
        (&Value::Array(Vec::new()), &0.into())
    );
}
