//! The live paths: shapes, aliases, and how wrong requests are told.

use crate::common::{Jobs, Setup, start, start_with, update, vehicle};
use hot_store::Kind;
use serde_json::{Value, json};
use serving_api::{JobProgress, ScheduledJob};

#[tokio::test]
async fn vehicles_are_a_bare_array_under_all_their_names() {
    let server = start().await;
    for (number, id) in ["a", "b", "c"].into_iter().enumerate() {
        server.vehicle(id, 11.9 + number as f64 / 100.0).await;
    }
    for path in [
        "/api/vehicles/locations",
        "/vehicles",
        "/gps",
        "/api/gps/data",
    ] {
        let (status, body) = server.get_json(path).await;
        assert_eq!(
            (status, body.as_array().map(Vec::len)),
            (200, Some(3)),
            "{path}"
        );
        assert_eq!(
            body[0],
            vehicle("c", 11.92),
            "{path}: the last heard comes first"
        );
    }
    let (_, limited) = server.get_json("/api/vehicles/locations?limit=2").await;
    assert_eq!(limited.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn vehicle_comes_with_its_trail() {
    let server = start().await;
    let point = json!({"latitude": 57.7, "longitude": 11.9, "speed": 30.0, "timestamp": "2026-03-01T08:15:00Z"});
    let trail = update(Kind::Trail, "car-1", Some(json!([point])));
    server
        .apply(vec![
            trail,
            update(Kind::Vehicle, "car-1", Some(vehicle("car-1", 11.9))),
        ])
        .await;
    let body = server
        .get_until("/api/vehicles/car-1", |status, _| status == 200)
        .await;
    assert_eq!(
        (&body["vehicle_id"], &body["trail"]),
        (&json!("car-1"), &json!([point]))
    );
    server.vehicle("new", 11.9).await;
    let (_, body) = server.get_json("/api/vehicles/new").await;
    assert_eq!(body["trail"], json!([]));
    let (status, body) = server.get_json("/api/vehicles/ghost").await;
    assert_eq!(
        (status, &body["detail"]),
        (404, &json!("No position found for vehicle ghost"))
    );
}

#[tokio::test]
async fn roads_incidents_stations_and_cameras_have_their_paths() {
    let server = start().await;
    let road = json!({"road_id": "w1-1", "average_speed": 20.0, "vehicle_count": 3, "congestion_level": "heavy", "timestamp": "2026-03-01T08:15:00Z"});
    let named = [
        (Kind::Road, "w1-1"),
        (Kind::Incident, "i1"),
        (Kind::Station, "s1"),
        (Kind::Camera, "c1"),
    ];
    let mut updates: Vec<_> = named
        .iter()
        .map(|(kind, id)| update(*kind, id, Some(json!({"id": id}))))
        .collect();
    updates[0] = update(Kind::Road, "w1-1", Some(road.clone()));
    server.apply(updates).await;
    assert_eq!(
        server
            .get_until("/api/traffic/live/w1-1", |status, _| status == 200)
            .await,
        road
    );
    let lists = [
        ("/api/traffic/conditions", "w1-1"),
        ("/traffic", "w1-1"),
        ("/api/emergencies/active", "i1"),
        ("/emergency", "i1"),
        ("/api/emergency/incidents", "i1"),
        ("/api/weather/stations", "s1"),
        ("/api/cameras", "c1"),
    ];
    for (path, id) in lists {
        let (status, body) = server.get_json(path).await;
        let found = body[0].get("id").or(body[0].get("road_id"));
        assert_eq!((status, found), (200, Some(&json!(id))), "{path}");
    }
    let (status, body) = server.get_json("/api/traffic/live/R%C3%A5d%201").await;
    assert_eq!(
        (status, &body["detail"]),
        (404, &json!("No traffic data found for road Råd 1"))
    );
}

#[tokio::test]
async fn weather_and_summary_before_and_after_the_first_value() {
    let server = start().await;
    let (status, body) = server.get_json("/api/weather/current").await;
    assert_eq!(
        (status, &body["detail"]),
        (404, &json!("No weather data yet"))
    );
    let (status, body) = server.get_json("/api/analytics/city-summary").await;
    assert_eq!(status, 200);
    for figure in ["total_vehicles", "active_emergencies", "congested_roads"] {
        assert_eq!(body[figure], 0, "{figure}");
    }
    assert_eq!(body["average_city_speed"], 0.0);
    assert!(
        body["timestamp"]
            .as_str()
            .is_some_and(|text| text.ends_with('Z'))
    );

    let summary = json!({"total_vehicles": 7, "timestamp": "2026-03-01T08:15:00Z"});
    let weather = json!({"temperature": 4.5, "timestamp": "2026-03-01T08:15:00Z"});
    server.put(Kind::CitySummary, "", summary.clone()).await;
    server.put(Kind::Weather, "", weather.clone()).await;
    for path in ["/api/weather/current", "/weather"] {
        assert_eq!(
            server.get_until(path, |status, _| status == 200).await,
            weather
        );
    }
    for path in ["/api/analytics/city-summary", "/api/analytics/summary"] {
        assert_eq!(server.get_json(path).await, (200, summary.clone()));
    }
}

#[tokio::test]
async fn stats_count_live_values() {
    let server = start().await;
    server.vehicle("a", 11.9).await;
    let body = server
        .get_until("/api/stats", |_, body| {
            body["api_status"]["redis_healthy"] == true
        })
        .await;
    assert_eq!(
        body["data_points"],
        json!({"vehicles": 1, "emergencies": 0, "traffic_conditions": 0})
    );
    assert_eq!(body["api_status"]["websocket_connections"], 0);
    assert!(body["timestamp"].is_string());
}

#[tokio::test]
async fn wrong_requests_are_problems_with_a_detail() {
    let server = start().await;
    let cases = [
        (
            "/api/vehicles/locations?limit=0",
            422,
            "query parameter \"limit\": got 0, expected a whole number from 1 to 10000",
        ),
        ("/api/vehicles/locations?limit=10001", 422, "got 10001"),
        ("/api/vehicles/locations?limit=abc", 422, "got \"abc\""),
        (
            "/api/vehicles/locations?limt=5",
            422,
            "query parameter \"limt\": got 5, expected only limit",
        ),
        ("/api/stats?x=1", 422, "query parameter \"x\""),
        ("/api/unknown", 404, "no such path: /api/unknown"),
        ("/nothing/here", 404, "no such path"),
    ];
    for (path, status, detail) in cases {
        let response = server.get(path).await;
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json",
            "{path}"
        );
        let (given, body) = crate::common::json_of(response).await;
        assert_eq!((given, &body["status"]), (status, &json!(status)), "{path}");
        assert!(
            body["detail"]
                .as_str()
                .is_some_and(|text| text.contains(detail)),
            "{path}: {body}"
        );
        assert!(
            body["type"].is_string() && body["title"].is_string(),
            "{path}: {body}"
        );
    }
}

#[tokio::test]
async fn wrong_method_is_told_with_the_right_ones() {
    let server = start().await;
    let response = server
        .http
        .delete(server.url("/api/vehicles/locations"))
        .send()
        .await
        .expect("an answer");
    assert!(
        response.headers()["allow"]
            .to_str()
            .is_ok_and(|allow| allow.contains("GET"))
    );
    let (status, body) = crate::common::json_of(response).await;
    assert_eq!(status, 405);
    assert!(
        body["detail"]
            .as_str()
            .is_some_and(|text| text.contains("DELETE")),
        "{body}"
    );
}

#[tokio::test]
async fn city_and_streets_describe_the_map() {
    let server = start().await;
    let (status, city) = server.get_json("/api/city").await;
    assert_eq!(status, 200);
    assert_eq!(city["attribution"], "(c) OpenStreetMap contributors");
    assert_eq!(
        (
            city["center"].as_array().map(Vec::len),
            city["bounds"].as_array().map(Vec::len)
        ),
        (Some(2), Some(4))
    );
    let (west, longitude) = (
        city["bounds"][0].as_f64().unwrap(),
        city["center"][0].as_f64().unwrap(),
    );
    assert!(
        west < longitude && longitude < 13.0,
        "longitude comes first: {city}"
    );

    let plain = server.get("/api/streets.geojson").await;
    let etag = plain.headers()["etag"].clone();
    assert_eq!(plain.headers()["content-type"], "application/geo+json");
    let streets: Value = plain.json().await.expect("GeoJSON");
    assert_eq!(streets["type"], "FeatureCollection");
    assert_eq!(
        streets["features"].as_array().map(Vec::len),
        city["roads"].as_u64().map(|roads| roads as usize)
    );
    let request = server.http.get(server.url("/api/streets.geojson"));
    let packed = request
        .header("accept-encoding", "gzip")
        .send()
        .await
        .expect("an answer");
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let request = server
        .http
        .get(server.url("/api/streets.geojson"))
        .header("if-none-match", etag);
    assert_eq!(request.send().await.expect("an answer").status(), 304);
}

#[tokio::test]
async fn vehicles_in_a_box() {
    let server = start().await;
    for (id, longitude) in [("west", 11.1), ("middle", 11.5), ("east", 11.9)] {
        server.vehicle(id, longitude).await;
    }
    let (status, inside) = server
        .get_json("/api/vehicles/locations?bbox=11.0,57.0,11.6,58.0")
        .await;
    let mut ids: Vec<_> = inside
        .as_array()
        .expect("vehicles")
        .iter()
        .map(|vehicle| vehicle["vehicle_id"].as_str().expect("an id"))
        .collect();
    ids.sort_unstable();
    assert_eq!((status, ids), (200, vec!["middle", "west"]));
    let (_, one) = server
        .get_json("/vehicles?bbox=11.0,57.0,11.6,58.0&limit=1")
        .await;
    assert_eq!(one.as_array().map(Vec::len), Some(1));
    let (status, problem) = server
        .get_json("/api/vehicles/locations?bbox=11,58,12,57")
        .await;
    assert_eq!(status, 422);
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("bbox") && detail.contains("south at most north")),
        "{problem}"
    );
}

#[tokio::test]
async fn scheduled_jobs_say_how_far_they_are() {
    let running = ScheduledJob {
        name: "daily".into(),
        schedule: "0 3 * * *".into(),
        timezone: "UTC".into(),
        state: "running".into(),
        last_run: None,
        next_run: Some("2026-03-03T03:00:00Z".into()),
        progress: Some(JobProgress {
            rows_read: 5_000,
            rows_written: 20,
        }),
    };
    let server = start_with(Setup {
        jobs: Jobs(vec![running]),
        ..Setup::default()
    })
    .await;
    let (status, body) = server.get_json("/api/jobs").await;
    let expected = json!([{
        "name": "daily", "schedule": "0 3 * * *", "timezone": "UTC", "state": "running",
        "last_run": null, "next_run": "2026-03-03T03:00:00Z",
        "progress": {"rows_read": 5_000, "rows_written": 20}
    }]);
    assert_eq!((status, body), (200, expected));
    let (status, body) = server.get_json("/api/jobs?limit=1").await;
    assert_eq!(status, 422, "{body}");
}
