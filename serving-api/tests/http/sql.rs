//! The SQL door: formats, and whose fault is told how.

use crate::common::{Server, event, json_of, start};
use serde_json::{Value, json};

async fn with_events(count: usize) -> Server {
    let server = start().await;
    let events: Vec<Value> = (0..count).map(event).collect();
    let (status, answer) = server
        .post("/api/ingest/vehicle_data", Value::from(events).to_string())
        .await;
    assert_eq!((status, &answer["accepted"]), (202, &json!(count)));
    server
}

async fn sql(server: &Server, body: Value) -> (u16, Value) {
    server.post("/api/sql", body.to_string()).await
}

#[tokio::test]
async fn acknowledged_events_are_in_the_answer_at_once() {
    let server = with_events(120).await;
    let statement =
        "SELECT count(*) AS events, count(DISTINCT device_id) AS devices FROM vehicle_data";
    let (status, answer) = sql(&server, json!({"sql": statement})).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["rows"], json!([{"events": 120, "devices": 50}]));
    assert_eq!(
        (&answer["row_count"], &answer["columns"][0]["name"]),
        (&json!(1), &json!("events"))
    );
    assert!(answer["columns"][0]["type"].is_string() && answer["elapsed_ms"].is_number());
}

#[tokio::test]
async fn format_is_chosen_by_body_or_accept_header() {
    let server = with_events(3).await;
    let statement = "SELECT device_id FROM vehicle_data ORDER BY device_id";
    let cases = [
        ("csv", "text/csv"),
        ("ndjson", "application/x-ndjson"),
        ("arrow", "application/vnd.apache.arrow.stream"),
        ("parquet", "application/vnd.apache.parquet"),
    ];
    for (format, media) in cases {
        let by_body = server
            .http
            .post(server.url("/api/sql"))
            .body(json!({"sql": statement, "format": format}).to_string());
        let by_header = server
            .http
            .post(server.url("/api/sql"))
            .header("accept", media)
            .body(json!({"sql": statement}).to_string());
        for request in [by_body, by_header] {
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), 200, "{format}");
            assert!(
                answer.headers()["content-type"]
                    .to_str()
                    .is_ok_and(|given| given.starts_with(media)),
                "{format}"
            );
            let body = answer.bytes().await.expect("a body");
            match format {
                "csv" => assert_eq!(body, "device_id\ncar-0000\ncar-0001\ncar-0002\n"),
                "ndjson" => assert_eq!(body.iter().filter(|byte| **byte == b'\n').count(), 3),
                "parquet" => assert!(body.starts_with(b"PAR1")),
                _ => assert!(body.starts_with(&[0xff; 4])),
            }
        }
    }
}

#[tokio::test]
async fn wrong_statements_and_requests_are_told_to_their_author() {
    let server = start().await;
    let cases = [
        (json!({"sql": "SELEC 1"}).to_string(), ""),
        (
            json!({"sql": "SELECT nothing FROM vehicle_data"}).to_string(),
            "nothing",
        ),
        (json!({"sql": "DROP TABLE vehicle_data"}).to_string(), ""),
        (json!({"sql": " "}).to_string(), "field \"sql\""),
        (
            json!({"sql": "SELECT 1", "format": "xml"}).to_string(),
            "field \"format\": got \"xml\"",
        ),
        (
            json!({"sql": "SELECT 1", "freshness": "new"}).to_string(),
            "field \"freshness\": got \"new\"",
        ),
        (json!({"sql": "SELECT 1", "fmt": "csv"}).to_string(), "fmt"),
        (json!({"query": "SELECT 1"}).to_string(), "query"),
        ("SELECT 1".to_owned(), "body: "),
    ];
    for (body, detail) in cases {
        let (status, answer) = server.post("/api/sql", body.clone()).await;
        assert_eq!(status, 422, "{body}: {answer}");
        assert!(
            answer["detail"]
                .as_str()
                .is_some_and(|text| !text.is_empty() && text.contains(detail)),
            "{body}: {answer}"
        );
    }
    let answer = server.get("/api/sql").await;
    assert_eq!(json_of(answer).await.0, 405);
}
