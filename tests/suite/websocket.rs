//! Two clients: one that says nothing, one that looks at a quarter of the city.

use std::time::Duration;

use end_to_end::{Deployment, Socket, on_each_backend, until};
use serde_json::{Value, json};

on_each_backend!(
    silent_client_gets_the_city,
    subscriber_gets_only_its_quarter,
    bad_messages_are_answered
);

const SOON: Duration = Duration::from_secs(10);

async fn silent_client_gets_the_city(deployment: Deployment) {
    let platform = deployment.up(&[]).await;
    let mut client = Socket::connect(&platform.api).await;
    let first = client.next(Duration::from_secs(2)).await;
    assert_eq!(first["type"], "city_analytics");
    assert!(first["data"]["total_vehicles"].is_u64(), "{first}");
    assert!(first["timestamp"].is_string(), "{first}");
    client
        .next_of("city_analytics", Duration::from_secs(7))
        .await;
    client.send(json!({"type": "ping"})).await;
    let pong = client.next_of("pong", SOON).await;
    assert!(pong["timestamp"].is_string(), "{pong}");
}

async fn subscriber_gets_only_its_quarter(deployment: Deployment) {
    let platform = deployment.up(&[]).await;
    let api = &platform.api;
    until(Duration::from_secs(30), "vehicles", || async {
        let vehicles = api.get_json("/api/vehicles/locations").await;
        match vehicles.as_array().map(Vec::len) {
            Some(count) if count >= 450 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let city = api.get_json("/api/city").await;
    let center = (
        city["center"][0].as_f64().expect("longitude"),
        city["center"][1].as_f64().expect("latitude"),
    );
    let west = city["bounds"][0].as_f64().expect("west");
    let south = city["bounds"][1].as_f64().expect("south");
    let inside = |item: &Value| {
        let latitude = item["latitude"].as_f64().expect("a latitude");
        let longitude = item["longitude"].as_f64().expect("a longitude");
        (west..=center.0).contains(&longitude) && (south..=center.1).contains(&latitude)
    };

    let mut client = Socket::connect(api).await;
    client
        .send(json!({
            "type": "subscribe", "id": "quarter", "channel": "vehicles",
            "bbox": [west, south, center.0, center.1], "max_hz": 5,
        }))
        .await;
    let subscribed = client.next_of("subscribed", SOON).await;
    assert_eq!(subscribed["id"], "quarter");
    let snapshot = client.next_of("snapshot", SOON).await;
    let vehicles = snapshot["data"].as_array().expect("vehicles").clone();
    assert!(
        !vehicles.is_empty() && vehicles.len() < 450,
        "{} vehicles",
        vehicles.len()
    );
    assert!(
        vehicles.iter().all(inside),
        "a vehicle outside of the quarter: {snapshot}"
    );
    assert!(snapshot["resume"].is_string(), "{snapshot}");
    for _ in 0..5 {
        let update = client.next_of("update", SOON).await;
        assert_eq!(update["id"], "quarter");
        let data = update["data"].as_array().expect("vehicles");
        assert!(
            data.iter().all(inside),
            "a vehicle outside of the quarter: {update}"
        );
    }

    client
        .send(json!({"type": "unsubscribe", "id": "quarter"}))
        .await;
    client.send(json!({"type": "ping"})).await;
    client.next_of("pong", SOON).await;
    let after = client
        .next_where(SOON, |message| message["type"] != "unsubscribed")
        .await;
    assert_ne!(after["type"], "update", "{after}");
}

async fn bad_messages_are_answered(deployment: Deployment) {
    let platform = deployment.up(&["--no-generators"]).await;
    let mut client = Socket::connect(&platform.api).await;
    for bad in [
        "no json",
        "{}",
        r#"{"type":"shout"}"#,
        r#"{"type":"subscribe","id":"a","channel":"moon"}"#,
        r#"{"type":"subscribe","id":"a","channel":"vehicles","bbox":[1,2,3]}"#,
        r#"{"type":"subscribe","id":"a","channel":"vehicles","max_hz":-1}"#,
    ] {
        client.send_text(bad).await;
        let error = client.next_of("error", SOON).await;
        assert!(
            error["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{bad}: {error}"
        );
    }
    client.send(json!({"type": "ping"})).await;
    client.next_of("pong", SOON).await;
}
