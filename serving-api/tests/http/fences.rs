//! Fences over HTTP.

use serde_json::{Value, json};

use crate::common::{Server, json_of, start};

fn circle(id: &str) -> Value {
    json!({
        "id": id, "name": "Harbour", "author": "eva",
        "shape": {"type": "circle", "center": [11.97, 57.7], "radius_m": 250}
    })
}

async fn send(server: &Server, method: reqwest::Method, path: &str, body: &Value) -> (u16, Value) {
    let request = server.http.request(method, server.url(path));
    json_of(
        request
            .body(body.to_string())
            .send()
            .await
            .expect("an answer"),
    )
    .await
}

async fn delete(server: &Server, path: &str) -> u16 {
    let request = server.http.delete(server.url(path));
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_is_in_the_next_answer_and_gone_from_the_next_after_its_removal() {
    let server = start().await;
    let (status, made) = server.post("/api/fences", circle("a").to_string()).await;
    assert_eq!((status, &made["author"]), (201, &json!("eva")));
    assert!(
        made["updated_at"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z'))
    );
    let (status, got) = server.get_json("/api/fences/a").await;
    assert_eq!((status, &got), (200, &made));

    let mut changed = circle("a");
    changed["name"] = json!("Quay");
    let (status, put) = send(&server, reqwest::Method::PUT, "/api/fences/a", &changed).await;
    assert_eq!((status, &put["name"]), (200, &json!("Quay")));
    let (status, made) = send(&server, reqwest::Method::PUT, "/api/fences/b", &circle("")).await;
    assert_eq!((status, &made["id"]), (201, &json!("b")));
    let (_, list) = server.get_json("/api/fences").await;
    assert_eq!(list["total"], 2);
    assert_eq!(list["fences"][0]["name"], "Quay");

    assert_eq!(delete(&server, "/api/fences/a").await, 204);
    assert_eq!(server.get_json("/api/fences/a").await.0, 404);
    assert_eq!(delete(&server, "/api/fences/a").await, 404);
    let (_, list) = server.get_json("/api/fences").await;
    assert_eq!(
        (list["total"].as_u64(), &list["fences"][0]["id"]),
        (Some(1), &json!("b"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_with_value_and_expectation() {
    let server = start().await;
    let refused = async |body: Value| {
        let (status, problem) = server.post("/api/fences", body.to_string()).await;
        (
            status,
            problem["detail"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let mut bow_tie = circle("x");
    bow_tie["shape"] = json!({"type": "polygon", "coordinates":
        [[[11.0, 57.0], [11.1, 57.1], [11.1, 57.0], [11.0, 57.1], [11.0, 57.0]]]});
    let (status, detail) = refused(bow_tie).await;
    assert_eq!(status, 422);
    assert!(
        detail.starts_with("shape.coordinates[0]: got a ring that meets itself"),
        "{detail}"
    );
    let mut unknown = circle("x");
    unknown["colour"] = json!("red");
    let (status, detail) = refused(unknown).await;
    assert_eq!(status, 422);
    assert!(
        detail.starts_with("colour: got \"red\", expected only the fields `id`"),
        "{detail}"
    );
    let mut radius = circle("x");
    radius["shape"]["radius_m"] = json!(-1);
    let (status, detail) = refused(radius).await;
    assert_eq!(
        (status, detail.as_str()),
        (422, "shape.radius_m: got -1, expected 1 to 100000 metres")
    );

    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(10 << 20));
    let (status, problem) = server.post("/api/fences", large).await;
    assert_eq!(status, 413);
    let detail = "the request's body is longer than 1048576 bytes, the most that this path takes";
    assert_eq!(problem["detail"], detail);
    let (status, problem) = send(
        &server,
        reqwest::Method::PUT,
        "/api/fences/other",
        &circle("a"),
    )
    .await;
    assert_eq!(status, 422);
    assert_eq!(
        problem["detail"],
        "id: got \"a\", expected \"other\", as in the path, or none"
    );
    assert_eq!(
        server.post("/api/fences", circle("a").to_string()).await.0,
        201
    );
    let (status, detail) = refused(circle("a")).await;
    assert_eq!(status, 409);
    assert!(detail.contains("PUT /api/fences/a"), "{detail}");
    assert_eq!(server.get_json("/api/fences?limit=0").await.0, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_every_fence_once() {
    let server = start().await;
    for number in 0..7 {
        let fence = circle(&format!("f{number}"));
        assert_eq!(server.post("/api/fences", fence.to_string()).await.0, 201);
    }
    let mut ids = Vec::new();
    let mut path = "/api/fences?limit=3".to_owned();
    loop {
        let (_, page) = server.get_json(&path).await;
        let fences = page["fences"].as_array().expect("fences");
        ids.extend(
            fences
                .iter()
                .map(|fence| fence["id"].as_str().expect("an id").to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("/api/fences?limit=3&after={next}"),
            None => break,
        }
    }
    assert_eq!(ids, ["f0", "f1", "f2", "f3", "f4", "f5", "f6"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_imported_elsewhere_and_all_or_nothing() {
    let (server, other) = (start().await, start().await);
    let collection = json!({"type": "FeatureCollection", "features": [
        {"type": "Feature", "id": "zone", "properties": {"name": "Zone", "dwell_s": 60, "colour": "red"},
         "geometry": {"type": "Polygon", "coordinates":
            [[[11.9, 57.6], [12.0, 57.6], [12.0, 57.7], [11.9, 57.7], [11.9, 57.6]]]}},
        {"type": "Feature", "properties": {"radius_m": 100},
         "geometry": {"type": "Point", "coordinates": [11.97, 57.7]}},
    ]});
    let (status, imported) = server
        .post("/api/fences/import", collection.to_string())
        .await;
    assert_eq!((status, &imported["imported"]), (201, &json!(2)));
    let (_, zone) = server.get_json("/api/fences/zone").await;
    assert_eq!(
        (&zone["dwell_s"], &zone["properties"]["colour"]),
        (&json!(60), &json!("red"))
    );

    let (_, exported) = server.get_json("/api/fences.geojson").await;
    assert_eq!(exported["features"].as_array().map(Vec::len), Some(2));
    let (status, _) = other.post("/api/fences/import", exported.to_string()).await;
    assert_eq!(status, 201);
    let (_, again) = other.get_json("/api/fences.geojson").await;
    for (one, two) in exported["features"]
        .as_array()
        .expect("features")
        .iter()
        .zip(again["features"].as_array().expect("features"))
    {
        assert_eq!(
            (&one["id"], &one["geometry"]),
            (&two["id"], &two["geometry"])
        );
    }
    let (_, outlines) = other.get_json("/api/fences.geojson?outline=true").await;
    for feature in outlines["features"].as_array().expect("features") {
        assert_eq!(feature["geometry"]["type"], "Polygon");
    }

    let mut wrong = collection.clone();
    wrong["features"][0]["id"] = json!("new");
    wrong["features"][1]["properties"] = json!({});
    let (status, problem) = server.post("/api/fences/import", wrong.to_string()).await;
    assert_eq!(status, 422);
    assert_eq!(
        problem["errors"],
        json!([{"feature": 1, "detail": "properties.radius_m: got null, expected a number"}])
    );
    assert_eq!(server.get_json("/api/fences/new").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_more_than_an_ingest_is_imported() {
    let server = start().await;
    // Corners with every digit, as exports of other tools have them.
    let corner = |number: u32| {
        let angle = f64::from(number % 2_000) / 2_000.0 * std::f64::consts::TAU;
        json!([11.9 + angle.cos() / 3e2, 57.6 + angle.sin() / 3e2])
    };
    let ring: Vec<Value> = (0..=2_000).map(corner).collect();
    let feature = |number: u32| {
        json!({"type": "Feature", "id": format!("way/{number}"), "properties": {},
               "geometry": {"type": "Polygon", "coordinates": [ring]}})
    };
    let features: Vec<Value> = (0..250).map(feature).collect();
    let collection = json!({"type": "FeatureCollection", "features": features}).to_string();
    assert!(collection.len() > 17 << 20, "{}", collection.len());
    let (status, imported) = server.post("/api/fences/import", collection).await;
    assert_eq!(
        (status, &imported["imported"]),
        (201, &json!(250)),
        "{imported}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_for_cars_watches_connected_vehicles() {
    let server = start().await;
    server.vehicle("in", 11.97).await;
    for (id, kind) in [("a", "car"), ("b", "taxi")] {
        let mut fence = circle(id);
        fence["vehicle_types"] = json!([kind]);
        assert_eq!(server.post("/api/fences", fence.to_string()).await.0, 201);
        let (_, inside) = server.get_json(&format!("/api/fences/{id}/inside")).await;
        let count = inside["vehicles"].as_array().expect("vehicles").len();
        assert_eq!(count, usize::from(kind == "car"), "{inside}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vehicles_inside_are_told() {
    let server = start().await;
    server.vehicle("in", 11.97).await;
    server.vehicle("out", 11.99).await;
    assert_eq!(
        server.post("/api/fences", circle("a").to_string()).await.0,
        201
    );
    let around = json!({"id": "b", "name": "b", "shape": {"type": "around", "device_id": "out", "radius_m": 3000}});
    assert_eq!(server.post("/api/fences", around.to_string()).await.0, 201);
    for fence in ["a", "b"] {
        let (status, inside) = server
            .get_json(&format!("/api/fences/{fence}/inside"))
            .await;
        assert_eq!(status, 200);
        let vehicles = inside["vehicles"].as_array().expect("vehicles");
        assert_eq!(vehicles.len(), 1, "{inside}");
        assert_eq!(vehicles[0]["vehicle_id"], "in");
    }
    assert_eq!(server.get_json("/api/fences/none/inside").await.0, 404);
}
