//! Lake and log are one table.

use std::sync::Arc;

use lake::query::QueryConfig;
use serde_json::Value;

use crate::city::{City, first, json};
use crate::common::Place;

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
async fn a_field_of_ones_own_is_asked_for_by_name() {
    let city = City::new().await;
    let engine = city.engine(QueryConfig::default());
    let sql = r#"SELECT CAST(json_get(extra, 'SO2') AS DOUBLE) + 1 AS so2, json_get(extra, 'x') AS x
        FROM (VALUES ('{"SO2":4.5}'), (NULL)) AS t(extra) ORDER BY 1"#;
    let rows = &json(&engine, sql).await["rows"];
    assert_eq!(rows[0]["so2"], 5.5);
    assert_eq!(
        (&rows[0]["x"], &rows[1]["so2"]),
        (&Value::Null, &Value::Null)
    );
}
