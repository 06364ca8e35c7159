//! A rule from its writing to the end of its alert, and through `kill -9`.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use end_to_end::{Api, Deployment, Socket, fixtures, on_each_backend, put_in_force, until};
use reqwest::StatusCode;
use serde_json::{Value, json};

on_each_backend!(
    an_alert_is_raised_seen_and_cleared,
    alerts_are_said_once_through_kill
);

const SOON: Duration = Duration::from_secs(30);
const JSON: &str = "application/json";

/// Faster than any street allows, so that no other rule has a say.
fn rule() -> Value {
    json!({
        "id": "test-fast", "name": "Fast", "severity": "High", "comparison": ">",
        "source": {"stream": "gps_data", "field": "speed"}, "threshold": 200, "clear_threshold": 150
    })
}

/// A fix far from the city's streets, `number` seconds after a time ten minutes ago.
fn fix(device: &str, number: i64, speed: f64) -> Value {
    let time = Utc::now() - TimeDelta::seconds(600 - number);
    json!({
        "id": format!("{device}-{number}"), "device_id": device, "location": [57.2, 12.5],
        "speed": speed, "direction": 0, "timestamp": fixtures::rfc3339(time),
    })
}

async fn write_rule(api: &Api) {
    let probe = |device: &str, round| fix(device, round as i64, 300.0);
    put_in_force(api, &rule(), "gps_data", probe).await;
}

async fn next_of_subject(client: &mut Socket, subject: &str, status: &str) -> Value {
    let is_it = |message: &Value| {
        let data = message["data"].as_array().cloned().unwrap_or_default();
        data.into_iter()
            .find(|alert| alert["subject"] == subject && alert["status"] == status)
    };
    let message = client
        .next_where(SOON, |message| is_it(message).is_some())
        .await;
    is_it(&message).expect("it was found")
}

async fn an_alert_is_raised_seen_and_cleared(deployment: Deployment) {
    let platform = deployment.up(&["--no-generators"]).await;
    let api = &platform.api;
    write_rule(api).await;
    let mut client = Socket::connect(api).await;
    client
        .send(json!({"type": "subscribe", "id": "a", "channel": "alerts", "max_hz": 20}))
        .await;
    let snapshot = client.next_of("snapshot", SOON).await;
    assert!(snapshot["data"].is_array(), "{snapshot}");

    let sent = Instant::now();
    api.ingest("gps_data", &[fix("car", 1, 250.0)]).await;
    let raised = next_of_subject(&mut client, "car", "raised").await;
    println!("from the request to the subscriber: {:?}", sent.elapsed());
    assert_eq!(raised["rule"], "test-fast");
    assert_eq!(raised["value"], 250.0);
    assert_eq!(raised["latitude"], 57.2);
    let id = raised["alert_id"].as_str().expect("an id").to_owned();

    let path = format!("/api/alerts/{id}/acknowledge");
    let body = json!({"author": "Åsa", "note": "on it"}).to_string();
    let answer = api.post(&path, JSON, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let seen = next_of_subject(&mut client, "car", "acknowledged").await;
    assert_eq!(seen["acknowledged_by"], "Åsa");

    api.ingest("gps_data", &[fix("car", 2, 100.0)]).await;
    let cleared = next_of_subject(&mut client, "car", "cleared").await;
    assert_eq!(cleared["alert_id"], id.as_str());
    assert_eq!(cleared["note"], "on it");
    let steps = format!("SELECT status FROM alerts WHERE alert_id = '{id}' ORDER BY log_offset");
    let rows = api.sql(&steps).await;
    let statuses: Vec<&str> = rows
        .iter()
        .filter_map(|row| row["status"].as_str())
        .collect();
    assert_eq!(statuses, ["raised", "acknowledged", "cleared"]);
}

async fn alerts_are_said_once_through_kill(deployment: Deployment) {
    const DEVICES: u64 = 40;
    const ROUNDS: u64 = 4;
    for round in 0..ROUNDS {
        let platform = deployment.up(&["--no-generators"]).await;
        let api = &platform.api;
        if round == 0 {
            write_rule(api).await;
        }
        // Each device raises one alert a round; the next round begins with its end.
        for (number, speed) in [(2 * round, 0.0), (2 * round + 1, 250.0)] {
            let fixes: Vec<Value> = (0..DEVICES)
                .map(|device| fix(&format!("d{device}"), 10 + number as i64 * 5, speed))
                .collect();
            api.ingest("gps_data", &fixes).await;
        }
        if round % 2 == 0 {
            let wanted = (round + 1) * DEVICES;
            said(api, wanted).await;
        }
        platform.kill();
    }
    let platform = deployment.up(&["--no-generators"]).await;
    said(&platform.api, ROUNDS * DEVICES).await;
    let row = platform
        .api
        .sql_row(
            "SELECT count(*) AS n, count(DISTINCT id) AS ids FROM alerts WHERE rule = 'test-fast'",
        )
        .await;
    assert_eq!(row["n"], row["ids"], "a step was said twice");
    let cleared = platform
        .api
        .sql_row("SELECT count(DISTINCT alert_id) AS n FROM alerts WHERE status = 'cleared' AND rule = 'test-fast' AND subject LIKE 'd%'")
        .await;
    assert_eq!(cleared["n"], (ROUNDS - 1) * DEVICES);
}

/// Waits until so many alerts of the devices were raised, each once.
async fn said(api: &Api, wanted: u64) {
    let sql = "SELECT count(*) AS n FROM alerts WHERE status = 'raised' AND rule = 'test-fast' AND subject LIKE 'd%'";
    until(Duration::from_secs(60), "alerts", || async {
        let raised = api.sql_row(sql).await["n"].as_u64().unwrap_or_default();
        assert!(raised <= wanted, "{raised} of {wanted}");
        match raised == wanted {
            true => Ok(()),
            false => Err(format!("{raised} of {wanted}")),
        }
    })
    .await;
}
