//! `/ws/realtime`: the default push, subscriptions and their differences,
//! resuming, slow readers, bad messages.

use std::time::Duration;

use crate::common::{Server, Setup, Socket, start, start_with, update, vehicle, vehicle_ids};
use hot_store::Kind;
use serde_json::{Value, json};
use serving_api::HttpConfig;

fn vehicles(id: &str) -> Value {
    json!({"type": "subscribe", "id": id, "channel": "vehicles", "max_hz": 20})
}

fn vehicles_between(west: f64, east: f64) -> Value {
    json!({"type": "subscribe", "id": "a", "channel": "vehicles", "max_hz": 20, "bbox": [west, 57.0, east, 58.0]})
}

/// Vehicles `v0`, `v1`, ... a tenth of a degree apart from 11.0 on.
async fn with_vehicles(count: usize) -> Server {
    let server = start().await;
    for number in 0..count {
        server
            .vehicle(&format!("v{number}"), 11.0 + number as f64 / 10.0)
            .await;
    }
    server
}

#[tokio::test]
async fn silent_client_gets_the_figures_at_once_and_every_five_seconds() {
    let server = start().await;
    server
        .put(Kind::CitySummary, "", json!({"total_vehicles": 3}))
        .await;
    server
        .get_until("/api/analytics/city-summary", |_, body| {
            body["total_vehicles"] == 3
        })
        .await;
    let mut socket = server.socket().await;
    let opened = tokio::time::Instant::now();
    let first = socket.any().await;
    assert_eq!(
        (&first["type"], &first["data"]["total_vehicles"]),
        (&json!("city_analytics"), &json!(3))
    );
    assert!(first["timestamp"].is_string());
    assert!(opened.elapsed() < Duration::from_secs(2));
    socket.send(json!({"type": "ping"})).await;
    let pong = socket.any().await;
    assert!(
        pong["type"] == "pong" && pong["timestamp"].is_string(),
        "{pong}"
    );
    assert_eq!(socket.any().await["type"], "city_analytics");
    let elapsed = opened.elapsed().as_secs_f64();
    assert!(
        (4.5..7.0).contains(&elapsed),
        "the second came after {elapsed} s"
    );
}

#[tokio::test]
async fn subscription_begins_with_a_snapshot_and_goes_on_with_the_newest_values() {
    let server = with_vehicles(2).await;
    let mut socket = server.socket().await;
    let (subscribed, snapshot) = socket.subscribe(vehicles("a")).await;
    assert_eq!(
        (&subscribed["id"], &subscribed["channel"]),
        (&json!("a"), &json!("vehicles"))
    );
    assert_eq!(
        (&snapshot["type"], &snapshot["id"]),
        (&json!("snapshot"), &json!("a"))
    );
    assert_eq!(vehicle_ids(&snapshot), ["v0", "v1"]);
    assert!(snapshot["resume"].is_string());
    server.put(Kind::Vehicle, "v1", vehicle("v1", 12.5)).await;
    let changed = socket.next("update").await;
    assert_eq!(
        (&changed["id"], &changed["data"], &changed["removed"]),
        (&json!("a"), &json!([vehicle("v1", 12.5)]), &json!([]))
    );
    server.remove(Kind::Vehicle, "v0").await;
    let removed = socket.next("update").await;
    assert_eq!(
        (&removed["data"], &removed["removed"]),
        (&json!([]), &json!(["v0"]))
    );
}

#[tokio::test]
async fn box_and_ids_limit_what_comes_and_leaving_is_told() {
    let server = with_vehicles(10).await;
    let mut socket = server.socket().await;
    let (_, snapshot) = socket.subscribe(vehicles_between(11.15, 11.45)).await;
    assert_eq!(vehicle_ids(&snapshot), ["v2", "v3", "v4"]);
    server.put(Kind::Vehicle, "v9", vehicle("v9", 11.95)).await;
    server.put(Kind::Vehicle, "v3", vehicle("v3", 11.65)).await;
    let left = socket.next("update").await;
    assert_eq!(
        (&left["data"], &left["removed"]),
        (&json!([]), &json!(["v3"])),
        "what was never inside is not told"
    );
    server.put(Kind::Vehicle, "v9", vehicle("v9", 11.2)).await;
    assert_eq!(vehicle_ids(&socket.next("update").await), ["v9"]);

    let mut request = vehicles("b");
    request["ids"] = json!(["v1", "v7", "ghost"]);
    let (_, snapshot) = socket.subscribe(request).await;
    assert_eq!(vehicle_ids(&snapshot), ["v1", "v7"]);
}

#[tokio::test]
async fn same_id_again_sends_only_the_difference() {
    let server = with_vehicles(10).await;
    let mut socket = server.socket().await;
    socket.subscribe(vehicles_between(11.15, 11.45)).await;
    let (_, moved) = socket.subscribe(vehicles_between(11.35, 11.65)).await;
    assert_eq!(moved["type"], "update");
    assert_eq!(vehicle_ids(&moved), ["v5", "v6"]);
    let mut removed: Vec<_> = moved["removed"]
        .as_array()
        .expect("ids")
        .iter()
        .map(|id| id.as_str())
        .collect();
    removed.sort();
    assert_eq!(removed, [Some("v2"), Some("v3")]);
    let (_, widened) = socket.subscribe(vehicles("a")).await;
    assert_eq!(
        (vehicle_ids(&widened).len(), &widened["removed"]),
        (7, &json!([]))
    );
}

#[tokio::test]
async fn token_resumes_where_the_last_connection_was() {
    let server = with_vehicles(5).await;
    let mut socket = server.socket().await;
    let (_, snapshot) = socket.subscribe(vehicles("a")).await;
    drop(socket);
    server.vehicle("v3", 12.5).await;
    server.remove(Kind::Vehicle, "v0").await;
    server
        .get_until("/api/vehicles/v0", |status, _| status == 404)
        .await;

    let mut resumed = vehicles("other-name");
    resumed["resume"] = snapshot["resume"].clone();
    let mut socket = server.socket().await;
    let (subscribed, since) = socket.subscribe(resumed).await;
    assert_eq!(
        (&subscribed["resumed"], &since["type"]),
        (&json!(true), &json!("update"))
    );
    assert_eq!(
        (vehicle_ids(&since), &since["removed"]),
        (vec!["v3".to_owned()], &json!(["v0"]))
    );

    let mut elsewhere = vehicles_between(11.0, 11.2);
    elsewhere["resume"] = snapshot["resume"].clone();
    let (subscribed, first) = server.socket().await.subscribe(elsewhere).await;
    assert_eq!(
        (&subscribed["resumed"], &first["type"]),
        (&json!(false), &json!("snapshot")),
        "another filter"
    );
    for stale in ["1-1-1", "not a token", ""] {
        let mut request = vehicles("a");
        request["resume"] = json!(stale);
        let (_, first) = server.socket().await.subscribe(request).await;
        assert_eq!(first["type"], "snapshot", "{stale:?}");
    }
}

#[tokio::test]
async fn every_channel_can_be_watched() {
    let server = start().await;
    let kinds = [
        ("emergencies", Kind::Incident, "i1"),
        ("traffic", Kind::Road, "r1"),
        ("weather", Kind::Station, "s1"),
        ("city", Kind::CitySummary, ""),
    ];
    server
        .apply(
            kinds
                .iter()
                .map(|(_, kind, id)| update(*kind, id, Some(json!({"is": id}))))
                .collect(),
        )
        .await;
    server
        .get_until("/api/weather/stations", |_, body| body[0]["is"] == "s1")
        .await;
    let mut socket = server.socket().await;
    for (channel, _, id) in kinds {
        let (_, snapshot) = socket
            .subscribe(json!({"type": "subscribe", "id": channel, "channel": channel}))
            .await;
        assert_eq!(
            (&snapshot["type"], &snapshot["data"]),
            (&json!("snapshot"), &json!([{"is": id}])),
            "{channel}"
        );
    }
    let (_, alerts) = socket
        .subscribe(json!({"type": "subscribe", "id": "alerts", "channel": "alerts"}))
        .await;
    assert_eq!(alerts["data"], json!([]));
}

#[tokio::test]
async fn ended_subscription_is_silent_and_the_figures_come_again() {
    let server = with_vehicles(1).await;
    let mut socket = server.socket().await;
    socket.subscribe(vehicles("a")).await;
    socket.send(json!({"type": "unsubscribe", "id": "a"})).await;
    assert_eq!(socket.next("unsubscribed").await["id"], "a");
    server.vehicle("v0", 12.0).await;
    assert_eq!(socket.any().await["type"], "city_analytics");
}

#[tokio::test]
async fn bad_messages_are_answered_and_the_connection_stays() {
    let server = start().await;
    let mut socket = server.socket().await;
    let bad = [
        "not json",
        "[]",
        "{}",
        r#"{"type":"dance"}"#,
        r#"{"type":"subscribe","id":"a","channel":"cars"}"#,
        r#"{"type":"subscribe","id":"a","channel":"vehicles","format":"binary"}"#,
        r#"{"type":"subscribe","id":"a","channel":"vehicles","bbox":[1,2,3,"x"]}"#,
        r#"{"type":"unsubscribe","id":"never"}"#,
    ];
    for text in bad {
        socket.send_text(text).await;
        let error = socket.next("error").await;
        assert!(
            error["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{text}: {error}"
        );
    }
    socket.send_binary().await;
    socket.next("error").await;
    socket.send(json!({"type": "ping"})).await;
    socket.next("pong").await;
}

#[tokio::test]
async fn a_message_that_is_too_long_is_answered_and_the_connection_stays() {
    let server = start().await;
    let mut socket = server.socket().await;
    let ids = vec!["x".repeat(100); 900];
    let long = json!({"type": "subscribe", "id": "a", "channel": "vehicles", "ids": ids});
    assert!(long.to_string().len() > 64 * 1024);
    socket.send(long).await;
    let error = socket.next("error").await;
    let detail = error["detail"].as_str().expect("a detail");
    assert!(detail.contains("expected at most 65536"), "{error}");
    socket.send(json!({"type": "ping"})).await;
    socket.next("pong").await;
}

#[tokio::test]
async fn subscriptions_and_connections_have_limits() {
    let config = HttpConfig {
        subscriptions_max: 2,
        websockets_max: 1,
        ..HttpConfig::default()
    };
    let server = start_with(Setup {
        config,
        ..Setup::default()
    })
    .await;
    let mut socket = server.socket().await;
    for id in ["a", "b", "a"] {
        socket.subscribe(vehicles(id)).await;
    }
    socket.send(vehicles("c")).await;
    assert_eq!(socket.next("error").await["id"], "c");
    let request = server
        .http
        .get(server.url("/ws/realtime"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    let request = request
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(request.send().await.expect("an answer").status(), 503);
    drop(socket);
    server
        .get_until("/api/stats", |_, body| {
            body["api_status"]["websocket_connections"] == 0
        })
        .await;
    server.socket().await.next("city_analytics").await;
}

#[tokio::test]
async fn pages_of_other_sites_may_not_watch() {
    let server = start().await;
    let request = server
        .http
        .get(server.url("/ws/realtime"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    let request = request
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(
        request
            .header("origin", "https://evil.example")
            .send()
            .await
            .expect("an answer")
            .status(),
        403
    );
    assert_eq!(server.get("/ws/realtime").await.status(), 426);
}

#[tokio::test]
async fn silent_connection_is_given_up() {
    let config = HttpConfig {
        websocket_idle_s: 1,
        ..HttpConfig::default()
    };
    let server = start_with(Setup {
        config,
        ..Setup::default()
    })
    .await;
    let mut socket = server.socket().await;
    let frame = socket.close_frame().await.expect("a closing message");
    assert!(frame.reason.contains("heard"), "{frame:?}");
}

/// Large values and a client that does not read: the connection is full after a
/// few frames. What it reads afterwards must be few frames, ending with the newest.
#[tokio::test]
async fn slow_reader_gets_the_newest_values_and_no_backlog() {
    const ROUNDS: usize = 120;
    let server = start().await;
    let mut socket = Socket::connect_narrow(server.address).await;
    socket.subscribe(vehicles("a")).await;
    let padding = "x".repeat(20_000);
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    for round in 1..=ROUNDS {
        pace.tick().await;
        let value =
            |id: usize| json!({"vehicle_id": format!("v{id}"), "round": round, "padding": padding});
        server
            .apply(
                (0..50)
                    .map(|id| update(Kind::Vehicle, &format!("v{id}"), Some(value(id))))
                    .collect(),
            )
            .await;
    }
    let mut frames = 0;
    let mut newest = std::collections::BTreeMap::new();
    while newest.len() < 50 || newest.values().any(|round| *round != ROUNDS as u64) {
        let update = socket.next("update").await;
        frames += 1;
        for item in update["data"].as_array().expect("data") {
            newest.insert(
                item["vehicle_id"].to_string(),
                item["round"].as_u64().expect("a round"),
            );
        }
    }
    assert!(
        frames < ROUNDS / 2,
        "{frames} frames were waiting for {ROUNDS} rounds"
    );
}
