//! The SQL door: formats, and whose fault is told how.

use std::future::poll_fn;
use std::pin::Pin;

use crate::common::{Server, Setup, event, json_of, start, start_with};
use http_body::Body as _;
use serde_json::{Value, json};
use serving_api::HttpConfig;

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

/// A result of which nobody knows before how long it is.
const LONG: &str =
    "SELECT value, repeat('row ', 10) AS text FROM generate_series(1, 1000000) WHERE value % 2 = 0";

fn few_rows(max_rows: usize) -> Setup {
    Setup {
        query: lake::query::QueryConfig {
            max_rows,
            ..Default::default()
        },
        config: HttpConfig {
            sql_held_back_bytes: 10_000,
            ..HttpConfig::default()
        },
        ..Setup::default()
    }
}

#[tokio::test]
async fn an_answer_as_json_or_parquet_is_whole_or_a_problem() {
    let server = start_with(few_rows(200_000)).await;
    for format in ["json", "parquet"] {
        let (status, answer) = sql(&server, json!({"sql": LONG, "format": format})).await;
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(
            status == 422 && detail.contains("more than 200,000 rows; add a LIMIT"),
            "{format}: {status} {answer}"
        );
    }
    let statement = format!("{LONG} LIMIT 150000");
    let (status, answer) = sql(&server, json!({"sql": statement})).await;
    assert_eq!((status, &answer["row_count"]), (200, &json!(150_000)));
    assert_eq!(answer["rows"].as_array().map(Vec::len), Some(150_000));
}

#[tokio::test]
async fn an_answer_beyond_the_size_limit_names_what_to_do() {
    let mut setup = few_rows(1_000_000);
    setup.config.sql_whole_bytes_max = 1 << 20;
    let server = start_with(setup).await;
    let (status, answer) = sql(&server, json!({"sql": LONG})).await;
    assert_eq!(status, 422, "{answer}");
    let detail = answer["detail"].as_str().expect("a detail");
    assert!(
        detail.contains("longer than 1 MiB") && detail.contains("csv"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_streamed_answer_that_fails_is_cut_off_or_says_why() {
    let server = start_with(few_rows(200_000)).await;
    for format in ["csv", "ndjson", "arrow"] {
        let request = || {
            let body = json!({"sql": LONG, "format": format}).to_string();
            server.http.post(server.url("/api/sql")).body(body)
        };
        let cut = request().send().await.expect("an answer");
        assert_eq!(cut.status(), 200, "{format}");
        assert!(cut.bytes().await.is_err(), "{format}: a part looks whole");

        let told = request().header("te", "trailers").send().await;
        let mut body = reqwest::Body::from(told.expect("an answer"));
        let mut problem = None;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let frame = frame.expect("it ends in good order");
            if let Some(trailers) = frame.trailers_ref() {
                problem = trailers.get("citypulse-problem").cloned();
            }
        }
        let problem = problem.unwrap_or_else(|| panic!("{format}: no trailer"));
        assert!(
            problem
                .to_str()
                .is_ok_and(|text| text.contains("more than 200,000 rows")),
            "{format}: {problem:?}"
        );
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
