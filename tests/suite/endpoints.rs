//! Each path answers in the shape that existing clients read.

use std::time::Duration;

use chrono::DateTime;
use end_to_end::{Api, Deployment, on_each_backend, until};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

on_each_backend!(
    paths_and_aliases_keep_their_shapes,
    wrong_requests_are_explained
);

/// What a member must be.
#[derive(Clone, Copy, Debug)]
enum Is {
    Text,
    Number,
    Count,
    Truth,
    Time,
    Latitude,
    Longitude,
    Object,
    OneOf(&'static [&'static str]),
}

impl Is {
    fn fits(self, value: &Value) -> bool {
        let within = |limit: f64| value.as_f64().is_some_and(|degrees| degrees.abs() <= limit);
        match self {
            Is::Text => value.as_str().is_some_and(|text| !text.is_empty()),
            Is::Number => value.is_number(),
            Is::Count => value.is_u64(),
            Is::Truth => value.is_boolean(),
            Is::Time => value.as_str().is_some_and(|text| {
                text.ends_with('Z') && DateTime::parse_from_rfc3339(text).is_ok()
            }),
            Is::Latitude => within(90.0),
            Is::Longitude => within(180.0),
            Is::Object => value.is_object(),
            Is::OneOf(allowed) => value.as_str().is_some_and(|text| allowed.contains(&text)),
        }
    }
}

type Shape = &'static [(&'static str, Is)];

const VEHICLE: Shape = &[
    ("vehicle_id", Is::Text),
    ("latitude", Is::Latitude),
    ("longitude", Is::Longitude),
    ("speed", Is::Number),
    ("direction", Is::Number),
    ("timestamp", Is::Time),
];
const INCIDENT: Shape = &[
    ("incident_id", Is::Text),
    ("incident_type", Is::Text),
    ("latitude", Is::Latitude),
    ("longitude", Is::Longitude),
    ("severity", Is::Text),
    ("status", Is::Text),
    ("timestamp", Is::Time),
];
const ROAD: Shape = &[
    ("road_id", Is::Text),
    ("average_speed", Is::Number),
    ("vehicle_count", Is::Count),
    (
        "congestion_level",
        Is::OneOf(&["light", "moderate", "heavy", "severe"]),
    ),
    ("timestamp", Is::Time),
];
const WEATHER: Shape = &[
    ("temperature", Is::Number),
    ("humidity", Is::Number),
    ("condition", Is::Text),
    ("wind_speed", Is::Number),
    ("visibility", Is::Number),
    ("timestamp", Is::Time),
];
const SUMMARY: Shape = &[
    ("total_vehicles", Is::Count),
    ("active_emergencies", Is::Count),
    ("average_city_speed", Is::Number),
    ("congested_roads", Is::Count),
    ("timestamp", Is::Time),
];
const HEALTH: Shape = &[
    ("service", Is::Text),
    ("status", Is::OneOf(&["healthy", "degraded"])),
    ("components", Is::Object),
    ("timestamp", Is::Time),
];
const STATS: Shape = &[
    ("data_points", Is::Object),
    ("api_status", Is::Object),
    ("timestamp", Is::Time),
];
const ROOT: Shape = &[
    ("service", Is::Text),
    ("status", Is::OneOf(&["operational"])),
    ("timestamp", Is::Time),
    ("redis_healthy", Is::Truth),
];

fn assert_shape(path: &str, item: &Value, shape: Shape) {
    for (member, is) in shape {
        assert!(
            is.fits(&item[*member]),
            "{path}: {member} should be {is:?}: {item}"
        );
    }
}

async fn assert_array(api: &Api, path: &str, shape: Shape) {
    let items = until(Duration::from_secs(60), path, || async {
        match api.get_json(path).await {
            Value::Array(items) if !items.is_empty() => Ok(items),
            other => Err(other.to_string()),
        }
    })
    .await;
    for item in &items {
        assert_shape(path, item, shape);
    }
}

async fn paths_and_aliases_keep_their_shapes(deployment: Deployment) {
    let platform = deployment.up(&[]).await;
    let api = &platform.api;
    for path in [
        "/api/vehicles/locations",
        "/vehicles",
        "/gps",
        "/api/gps/data",
    ] {
        assert_array(api, path, VEHICLE).await;
    }
    for path in [
        "/api/emergencies/active",
        "/emergency",
        "/api/emergency/incidents",
    ] {
        assert_array(api, path, INCIDENT).await;
    }
    for path in ["/api/traffic/conditions", "/traffic"] {
        assert_array(api, path, ROAD).await;
    }
    for (paths, shape) in [
        (&["/api/weather/current", "/weather"][..], WEATHER),
        (
            &["/api/analytics/city-summary", "/api/analytics/summary"],
            SUMMARY,
        ),
        (&["/api/health", "/health"], HEALTH),
        (&["/api/stats"], STATS),
        (&["/"], ROOT),
    ] {
        for path in paths {
            assert_shape(path, &api.get_json(path).await, shape);
        }
    }
    let health = api.get_json("/api/health").await;
    assert!(
        health["components"]["redis"]["connected"].is_boolean(),
        "{health}"
    );
    assert!(
        health["components"]["redis"]["responsive"].is_boolean(),
        "{health}"
    );
    assert!(
        health["components"]["websockets"]["active_connections"].is_u64(),
        "{health}"
    );
    let stats = api.get_json("/api/stats").await;
    for member in ["vehicles", "emergencies", "traffic_conditions"] {
        assert!(stats["data_points"][member].is_u64(), "{member}: {stats}");
    }
    assert!(
        stats["api_status"]["websocket_connections"].is_u64(),
        "{stats}"
    );
    assert!(stats["api_status"]["redis_healthy"].is_boolean(), "{stats}");

    let road = api.get_json("/api/traffic/conditions").await[0]["road_id"].clone();
    let path = format!("/api/traffic/live/{}", road.as_str().expect("a road id"));
    assert_shape(&path, &api.get_json(&path).await, ROAD);
    let few = api.get_json("/api/vehicles/locations?limit=3").await;
    assert_eq!(few.as_array().map(Vec::len), Some(3));

    assert_documents(api).await;
}

/// What is not JSON of the city: the dashboard, the documentation, the probes.
async fn assert_documents(api: &Api) {
    let html = [("accept", "text/html")];
    for path in ["/", "/docs"] {
        let page = api
            .request(Method::GET, path, &html, "")
            .await
            .expect("an answer");
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(
            page.content_type.starts_with("text/html"),
            "{path}: {}",
            page.content_type
        );
    }
    let openapi = api.get_json("/openapi.json").await;
    assert!(
        openapi["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1"))
    );
    for path in ["/api/vehicles/locations", "/api/sql", "/api/ingest/{topic}"] {
        assert!(
            openapi["paths"][path].is_object(),
            "{path} is not documented"
        );
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(api.get(path).await.status, StatusCode::OK, "{path}");
    }
    let metrics = api.get("/metrics").await;
    assert!(metrics.text.contains("# TYPE"), "{}", metrics.text);
}

async fn wrong_requests_are_explained(deployment: Deployment) {
    let platform = deployment.up(&["--no-generators"]).await;
    let api = &platform.api;
    let road = api.get("/api/traffic/live/nowhere").await;
    assert_eq!(road.status, StatusCode::NOT_FOUND);
    assert_eq!(road.detail(), "No traffic data found for road nowhere");
    let nothing = api.get("/api/no-such-path").await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
    assert!(!nothing.detail().is_empty());
    for limit in ["0", "10001", "-1", "many"] {
        let answer = api
            .get(&format!("/api/vehicles/locations?limit={limit}"))
            .await;
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "limit={limit}"
        );
        let detail = answer.detail();
        assert!(
            detail.contains("limit") && detail.contains(limit),
            "{detail}"
        );
    }
    for sql in [
        "SELECT nothing FROM gps_data",
        "SELEKT 1",
        "DROP TABLE gps_data",
        "",
    ] {
        let answer = api.try_sql(sql).await.expect("an answer");
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{sql}: {}",
            answer.text
        );
        assert!(!answer.detail().is_empty());
    }
    let unknown = api
        .try_ingest("no_such_topic", &[json!({})])
        .await
        .expect("an answer");
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{}", unknown.text);
    let garbage = api.post("/api/sql", "application/json", "{").await;
    assert_eq!(
        garbage.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        garbage.text
    );
}
