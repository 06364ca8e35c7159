//! Rows as bytes.

use std::time::Instant;

use bytes::Bytes;
use lake::query::output::{Format, encode_all};
use lake::query::{Freshness, QueryConfig};
use serde_json::Value;

use crate::city::City;

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
