//! What cannot be read is refused with its cause, and nothing else suffers from it.

use std::time::Duration;

use chrono::{Duration as Span, Utc};
use end_to_end::{Deployment, fixtures, on_each_backend, until};
use reqwest::StatusCode;
use serde_json::{Value, json};

on_each_backend!(
    bad_events_are_refused_one_by_one,
    malformed_records_become_dead_letters
);

/// A valid event with one member replaced, or removed by `null`.
fn spoiled(number: u64, member: &str, value: Value) -> Value {
    let mut event = fixtures::gps(number, "taxi-1", Utc::now());
    let members = event.as_object_mut().expect("an object");
    match value {
        Value::Null => members.remove(member),
        value => members.insert(member.to_owned(), value),
    };
    event
}

async fn bad_events_are_refused_one_by_one(deployment: Deployment) {
    let platform = deployment.up(&["--no-generators"]).await;
    let api = &platform.api;
    let ahead = fixtures::rfc3339(Utc::now() + Span::hours(25));
    let bad: Vec<(&str, Value)> = vec![
        ("device_id", Value::Null),
        ("device_id", json!("x".repeat(129))),
        ("timestamp", Value::Null),
        ("timestamp", json!("yesterday")),
        ("timestamp", json!("1989-12-31T23:59:59Z")),
        ("timestamp", json!(ahead)),
        ("location", Value::Null),
        ("location", json!([90.5, 11.9])),
        ("location", json!([57.7, 180.5])),
        ("speed", Value::Null),
        ("speed", json!(-3)),
        ("speed", json!("NaN")),
    ];
    for (number, (member, value)) in bad.iter().enumerate() {
        let number = number as u64 * 10;
        let events = [
            fixtures::gps(number, "taxi-1", Utc::now()),
            spoiled(number + 1, member, value.clone()),
            fixtures::gps(number + 2, "taxi-2", Utc::now()),
        ];
        let answer = api
            .try_ingest("gps_data", &events)
            .await
            .expect("an answer");
        assert_eq!(
            answer.status,
            StatusCode::ACCEPTED,
            "{member}={value}: {}",
            answer.text
        );
        let body = answer.json();
        assert_eq!(body["accepted"], 2, "{member}={value}: {body}");
        assert_eq!(body["rejected"], 1, "{member}={value}: {body}");
        let detail = body["errors"][0]["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(member), "{member}={value}: {body}");
        assert_eq!(body["errors"][0]["line"], 2, "{body}");
    }
    assert_eq!(api.count("gps_data").await, 2 * bad.len() as u64);
    let garbage = api
        .post("/api/ingest/gps_data", "application/json", "{not json")
        .await;
    assert_eq!(
        garbage.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        garbage.text
    );
    assert!(!garbage.detail().is_empty());
}

async fn malformed_records_become_dead_letters(deployment: Deployment) {
    let platform = deployment.up(&["--dirt", "20"]).await;
    let api = &platform.api;
    let sql =
        "SELECT topic, partition, \"offset\", stage, message, value FROM dead_letters LIMIT 5";
    let rows = until(Duration::from_secs(60), "dead letters", || async {
        let rows = api.sql(sql).await;
        if rows.is_empty() {
            Err("none yet")
        } else {
            Ok(rows)
        }
    })
    .await;
    for row in rows {
        assert!(
            row["topic"]
                .as_str()
                .is_some_and(|topic| topic.ends_with("_data")),
            "{row}"
        );
        assert!(row["offset"].is_u64() && row["partition"].is_u64(), "{row}");
        assert!(
            row["message"]
                .as_str()
                .is_some_and(|cause| !cause.is_empty()),
            "{row}"
        );
        assert!(
            row["value"].as_str().is_some_and(|value| !value.is_empty()),
            "{row}"
        );
    }
    let twice = api
        .sql("SELECT topic, partition, \"offset\" FROM dead_letters GROUP BY 1, 2, 3 HAVING count(*) > 1")
        .await;
    assert!(twice.is_empty(), "{twice:?}");
}
