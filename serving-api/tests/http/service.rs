//! The service itself: health, metrics, documentation, headers, its end.

use std::io::Read;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::{Setup, start, start_with, vehicle};
use events::health::Health;
use hot_store::{HotBatch, HotStore, Kind};
use serde_json::json;
use serving_api::HttpConfig;

use crate::failing::FailingStore;

/// Browsers ask for packed answers, and the packer asks a stream once more after its end.
#[tokio::test(flavor = "multi_thread")]
async fn streamed_answers_can_be_packed() {
    let server = start().await;
    let fence = json!({"id": "a", "name": "a", "shape":
        {"type": "circle", "center": [11.97, 57.7], "radius_m": 50.0}});
    assert_eq!(server.post("/api/fences", fence.to_string()).await.0, 201);
    let sql = json!({"sql": "SELECT * FROM generate_series(1, 2000)"}).to_string();
    let requests = [
        server
            .http
            .get(server.url("/api/fences.geojson?outline=true")),
        server.http.post(server.url("/api/sql")).body(sql),
    ];
    for request in requests {
        let answer = request.header("accept-encoding", "gzip").send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-encoding"], "gzip");
        let packed = answer.bytes().await.expect("all of it");
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed.as_ref())
            .read_to_string(&mut text)
            .expect("packed text");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert!(json.is_object());
    }
}

#[tokio::test]
async fn hot_store_that_is_away_at_start_is_told_and_taken_up_when_it_is_back() {
    let hot = FailingStore::new(true);
    hot.inner
        .apply(
            "speed",
            &HotBatch {
                updates: vec![crate::common::update(
                    Kind::Vehicle,
                    "a",
                    Some(vehicle("a", 11.9)),
                )],
                ..HotBatch::default()
            },
        )
        .await
        .expect("applied");
    let server = start_with(Setup {
        hot: Some(hot.clone()),
        ..Setup::default()
    })
    .await;
    let problem = server
        .get_until("/readyz", |status, body| {
            status == 503 && body["detail"].to_string().contains("redis.example")
        })
        .await;
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("hot store") && detail.contains("live view")),
        "{problem}"
    );
    let (status, health) = server.get_json("/api/health").await;
    assert_eq!((status, &health["status"]), (200, &json!("degraded")));
    assert_eq!(
        health["components"]["redis"],
        json!({"connected": false, "responsive": false})
    );
    assert_eq!(
        server.get_json("/api/vehicles/locations").await,
        (200, json!([]))
    );
    assert_eq!(server.get_json("/livez").await.0, 200);

    hot.is_away.store(false, Ordering::Relaxed);
    server.get_until("/readyz", |status, _| status == 200).await;
    server
        .get_until("/api/vehicles/locations", |_, body| {
            body[0]["vehicle_id"] == "a"
        })
        .await;
    // Away again: what is known stays.
    hot.is_away.store(true, Ordering::Relaxed);
    server.get_until("/readyz", |status, _| status == 503).await;
    assert_eq!(
        server.get_json("/api/vehicles/locations").await.1[0]["vehicle_id"],
        "a"
    );
}

#[tokio::test]
async fn health_and_readiness_name_every_component() {
    let server = start().await;
    server
        .get_until("/readyz", |status, body| {
            status == 200 && body["status"] == "ready"
        })
        .await;
    for path in ["/api/health", "/health"] {
        let (status, health) = server.get_json(path).await;
        assert_eq!((status, &health["status"]), (200, &json!("healthy")));
        assert_eq!(
            health["components"]["redis"],
            json!({"connected": true, "responsive": true})
        );
        assert_eq!(
            health["components"]["websockets"],
            json!({"active_connections": 0})
        );
        assert!(health["service"].is_string() && health["timestamp"].is_string());
    }
    server.health.report(
        "batch layer",
        Health::Degraded("the disk is full; free some".to_owned()),
    );
    let (status, body) = server.get_json("/readyz").await;
    assert_eq!(status, 503);
    assert!(
        body["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("batch layer: the disk is full")),
        "{body}"
    );
    assert_eq!(
        server.get_json("/api/health").await.1["components"]["batch_layer"]["status"],
        "degraded"
    );
}

#[tokio::test]
async fn root_is_a_page_for_browsers_and_json_for_programs() {
    let server = start().await;
    let service = server
        .get_until("/", |_, body| body["redis_healthy"] == true)
        .await;
    assert_eq!(service["status"], "operational");
    assert!(service["service"].is_string() && service["timestamp"].is_string());
    let request = server
        .http
        .get(server.url("/"))
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let page = request.send().await.expect("an answer");
    assert!(
        page.headers()["content-type"]
            .to_str()
            .is_ok_and(|kind| kind.starts_with("text/html"))
    );
    assert!(page.text().await.expect("a page").contains("<html"));
}

#[tokio::test]
async fn answers_carry_security_headers_and_no_cross_origin_permission() {
    let server = start().await;
    for path in ["/", "/api/stats", "/nothing", "/docs"] {
        let answer = server
            .http
            .get(server.url(path))
            .header("origin", "https://other.example")
            .send()
            .await
            .expect("an answer");
        let headers = answer.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        let policy = headers["content-security-policy"].to_str().expect("text");
        assert!(
            policy.contains("default-src 'self'") && policy.contains("worker-src 'self' blob:"),
            "{path}: {policy}"
        );
        assert!(
            !headers.contains_key("access-control-allow-origin"),
            "{path}"
        );
    }
    let config = HttpConfig {
        allowed_origins: vec!["https://wall.example".to_owned()],
        ..HttpConfig::default()
    };
    let server = start_with(Setup {
        config,
        ..Setup::default()
    })
    .await;
    let answer = server
        .http
        .get(server.url("/api/stats"))
        .header("origin", "https://wall.example")
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        answer.headers()["access-control-allow-origin"],
        "https://wall.example"
    );
}

#[tokio::test]
async fn description_covers_every_path_and_the_documentation_works_offline() {
    let server = start().await;
    let (status, api) = server.get_json("/openapi.json").await;
    assert_eq!(status, 200);
    assert!(
        api["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1")),
        "{}",
        api["openapi"]
    );
    let paths = [
        "/",
        "/api/health",
        "/health",
        "/api/vehicles/locations",
        "/vehicles",
        "/gps",
        "/api/gps/data",
        "/api/vehicles/{vehicle_id}",
        "/api/emergencies/active",
        "/emergency",
        "/api/emergency/incidents",
        "/api/traffic/live/{road_id}",
        "/api/traffic/conditions",
        "/traffic",
        "/api/weather/current",
        "/weather",
        "/api/weather/stations",
        "/api/cameras",
        "/api/analytics/city-summary",
        "/api/analytics/summary",
        "/api/stats",
        "/api/city",
        "/api/streets.geojson",
        "/api/lag",
        "/api/windows/{kind}",
        "/livez",
        "/readyz",
        "/metrics",
        "/ws/realtime",
    ];
    for path in paths {
        assert!(
            api["paths"][path]["get"]["responses"].is_object(),
            "{path} is not described"
        );
    }
    for path in ["/api/sql", "/api/ingest/{topic}"] {
        assert!(
            api["paths"][path]["post"]["requestBody"].is_object(),
            "{path} is not described"
        );
    }
    let schema = &api["components"]["schemas"]["VehicleLocation"];
    assert!(
        schema["properties"]["latitude"].is_object() && schema["example"].is_object(),
        "{schema}"
    );

    let page = server.get("/docs").await.text().await.expect("a page");
    let linked: Vec<&str> = page
        .split('"')
        .filter(|part| part.starts_with("/docs/"))
        .collect();
    assert_eq!(linked.len(), 4, "{page}");
    for path in linked {
        let file = server.get(path).await;
        assert_eq!(file.status(), 200, "{path}");
        assert!(!file.bytes().await.expect("a body").is_empty());
    }
    let start = server
        .get("/docs/swagger-initializer.js")
        .await
        .text()
        .await
        .expect("a script");
    assert!(start.contains("/openapi.json"), "{start}");
}

#[tokio::test]
async fn metrics_count_requests_by_route() {
    let server = start().await;
    server.get("/api/traffic/live/somewhere").await;
    let text = server.get("/metrics").await.text().await.expect("text");
    let counted = text.lines().any(|line| {
        line.starts_with("citypulse_http_requests_total")
            && line.contains("/api/traffic/live/{road_id}")
            && line.contains("404")
    });
    assert!(counted, "{text}");
    let request = server
        .http
        .get(server.url("/metrics"))
        .header("accept", "application/openmetrics-text; version=1.0.0");
    let answer = request.send().await.expect("an answer");
    assert!(
        answer.headers()["content-type"]
            .to_str()
            .is_ok_and(|kind| kind.starts_with("application/openmetrics-text"))
    );
    let text = answer.text().await.expect("text");
    assert!(
        text.ends_with("# EOF\n") && text.contains("# TYPE citypulse_http_requests counter"),
        "{text}"
    );
}

#[tokio::test]
async fn lag_is_what_the_layers_have_still_to_do() {
    let server = start().await;
    let (status, _) = server
        .post(
            "/api/ingest/vehicle_data",
            crate::common::event(0).to_string(),
        )
        .await;
    assert_eq!(status, 202);
    // The answer may be a second old.
    let is_behind = |_, rows: &serde_json::Value| {
        let rows = rows.as_array().into_iter().flatten();
        rows.filter(|row| row["lag_events"] == 1).count() == 2
    };
    let rows = server.get_until("/api/lag", is_behind).await;
    let rows = rows.as_array().expect("rows");
    for layer in ["speed", "batch"] {
        let of_layer = rows
            .iter()
            .filter(|row| row["layer"] == layer && row["topic"] == "vehicle_data");
        let lag: i64 = of_layer
            .map(|row| row["lag_events"].as_i64().expect("a number"))
            .sum();
        assert_eq!(lag, 1, "{layer}: {rows:?}");
        let of_layer = rows
            .iter()
            .filter(|row| row["layer"] == layer && row["topic"] == "vehicle_data");
        for row in of_layer {
            // The event that waits was appended a moment ago.
            let seconds = row["lag_seconds"].as_f64().expect("known");
            let is_behind = row["lag_events"] == 1;
            assert!(
                (0.0..20.0).contains(&seconds) && (is_behind || seconds == 0.0),
                "{row}"
            );
        }
    }
    let metrics = server.get("/metrics").await.text().await.expect("text");
    assert!(
        metrics.contains("citypulse_layer_lag_seconds{"),
        "{metrics}"
    );
    assert!(
        rows[0]["position"].is_i64() && rows[0]["end"].is_i64() && rows[0]["partition"].is_i64()
    );
}

#[tokio::test]
async fn lag_grows_while_the_hot_store_is_away() {
    let hot = FailingStore::new(false);
    let server = start_with(Setup {
        hot: Some(hot.clone()),
        ..Setup::default()
    })
    .await;
    let of_speed = |rows: &serde_json::Value| -> Vec<serde_json::Value> {
        let rows = rows.as_array().into_iter().flatten();
        rows.filter(|row| row["layer"] == "speed" && row["topic"] == "vehicle_data")
            .cloned()
            .collect()
    };
    let behind = |rows: &serde_json::Value| -> i64 {
        let rows = of_speed(rows);
        rows.iter()
            .filter_map(|row| row["lag_events"].as_i64())
            .sum()
    };
    let ingest = async |number: usize| {
        let event = crate::common::event(number).to_string();
        assert_eq!(server.post("/api/ingest/vehicle_data", event).await.0, 202);
    };
    ingest(0).await;
    let rows = server
        .get_until("/api/lag", |_, rows| behind(rows) == 1)
        .await;
    assert!(
        of_speed(&rows)
            .iter()
            .all(|row| row["position_age_s"] == 0.0)
    );

    hot.is_away.store(true, Ordering::Relaxed);
    ingest(50).await;
    let rows = server
        .get_until("/api/lag", |_, rows| behind(rows) == 2)
        .await;
    for row in of_speed(&rows) {
        assert!(row["position_age_s"].as_f64() > Some(0.0), "{row}");
        assert!(
            row["lag_events"] == 0 || row["lag_seconds"].is_f64(),
            "{row}"
        );
    }
    hot.is_away.store(false, Ordering::Relaxed);
    let is_back = |_, rows: &serde_json::Value| {
        let mut rows = of_speed(rows).into_iter();
        rows.all(|row| row["position_age_s"] == 0.0)
    };
    server.get_until("/api/lag", is_back).await;
}

#[tokio::test]
async fn end_is_orderly_and_quick_also_with_open_websockets() {
    let server = start().await;
    let mut socket = server.socket().await;
    socket.next("city_analytics").await;
    let begun = Instant::now();
    let closing = tokio::spawn(async move { socket.close_frame().await });
    server.stop().await;
    let frame = closing.await.expect("no panic").expect("a closing message");
    assert_eq!(u16::from(frame.code), 1001);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}
