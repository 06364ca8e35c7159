//! What people write: what is taken, and what is said about the rest.

use fences::{Fence, FenceIndex, Invalid, geojson};
use serde_json::{Value, json};

fn document(shape: Value) -> Value {
    json!({"id": "harbour", "name": "Harbour", "shape": shape})
}

fn read(document: &Value) -> Result<Fence, Invalid> {
    Fence::from_json(document.to_string().as_bytes())
}

/// What is said about a document with this shape.
fn told(shape: Value) -> String {
    read(&document(shape)).expect_err("refused").to_string()
}

fn square() -> Value {
    json!([
        [11.0, 57.0],
        [11.1, 57.0],
        [11.1, 57.1],
        [11.0, 57.1],
        [11.0, 57.0]
    ])
}

#[test]
fn every_shape_survives_its_json_and_its_geojson() {
    let shapes = [
        json!({"type": "polygon", "coordinates": [square(),
            [[11.02, 57.02], [11.04, 57.02], [11.03, 57.04], [11.02, 57.02]]]}),
        json!({"type": "multi_polygon", "coordinates": [[square()], [square()]]}),
        json!({"type": "circle", "center": [11.9, 57.7], "radius_m": 250.5}),
        json!({"type": "corridor", "line": [[11.9, 57.7], [11.95, 57.7]], "width_m": 40.0}),
        json!({"type": "around", "device_id": "bus-17", "radius_m": 100.0}),
    ];
    for shape in shapes {
        let mut document = document(shape);
        let more = json!({
            "vehicle_types": ["taxi"], "dwell_s": 60, "enabled": false, "author": "eva",
            "updated_at": "2026-05-01T00:00:00Z", "properties": {"colour": "red"},
            "schedule": {"zone": "Europe/Stockholm",
                "intervals": [{"days": ["mon", "sun"], "from": "22:00", "to": "06:00"}]}
        });
        document
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let fence = read(&document).expect("taken");
        assert_eq!(
            serde_json::from_slice::<Value>(&fence.to_json()).unwrap(),
            document
        );
        assert_eq!(Fence::from_json(&fence.to_json()).unwrap(), fence);
        let collection =
            json!({"type": "FeatureCollection", "features": [geojson::export(&fence)]});
        let imported = geojson::import(collection.to_string().as_bytes()).unwrap();
        assert_eq!(imported, [Ok(fence)]);
    }
}

#[test]
fn what_is_wrong_with_a_polygon_is_named() {
    let polygon = |ring: Value| told(json!({"type": "polygon", "coordinates": [ring]}));
    assert_eq!(
        polygon(json!([
            [11.0, 57.0],
            [11.1, 57.0],
            [11.1, 57.1],
            [11.0, 57.1]
        ])),
        "shape.coordinates[0]: got a ring from [11.0, 57.0] to [11.0, 57.1], expected a closed one: the last position is the first again"
    );
    let bow_tie = polygon(json!([
        [11.0, 57.0],
        [11.1, 57.1],
        [11.1, 57.0],
        [11.0, 57.1],
        [11.0, 57.0]
    ]));
    assert!(
        bow_tie.starts_with(
            "shape.coordinates[0]: got a ring that meets itself where [11.0, 57.0] to [11.1, 57.1]"
        ),
        "{bow_tie}"
    );
    let spike = polygon(json!([
        [11.0, 57.0],
        [11.1, 57.0],
        [11.3, 57.0],
        [11.1, 57.0],
        [11.0, 57.1],
        [11.0, 57.0]
    ]));
    assert!(spike.contains("meets itself"), "{spike}");
    assert!(
        polygon(json!([[11.0, 57.0], [11.1, 57.0], [11.0, 57.0]]))
            .contains("3 positions, expected at least 4")
    );
    assert!(
        polygon(json!([
            [11.0, 57.0],
            [11.1, 57.0],
            [11.2, 57.0],
            [11.0, 57.0]
        ]))
        .contains("without an area")
    );
    assert_eq!(
        polygon(json!([
            [11.0, 57.0],
            [11.1, 97.0],
            [11.1, 57.1],
            [11.0, 57.0]
        ])),
        "shape.coordinates[0][1]: got 97, expected a latitude from -90 to 90 second"
    );
    assert!(
        polygon(json!([[11.0, 57.0], ["x", 57.0], [11.0, 57.0]])).starts_with(
            "shape.coordinates[0][1]: got [\"x\",57.0], expected [longitude, latitude]"
        )
    );
    let wide = polygon(json!([
        [0.0, 57.0],
        [30.0, 57.0],
        [30.0, 58.0],
        [0.0, 57.0]
    ]));
    assert!(
        wide.contains("got 30.000 degrees of longitude from side to side, expected at most 10"),
        "{wide}"
    );
    let many: Vec<Value> = (0..10_002)
        .map(|n| json!([11.0 + f64::from(n) * 1e-6, 57.0]))
        .collect();
    assert!(polygon(json!(many)).contains("10002 corners, expected at most 10000"));
}

#[test]
fn holes_lie_inside_and_do_not_cross() {
    let with = |hole: Value| json!({"type": "polygon", "coordinates": [square(), hole]});
    let outside = told(with(json!([
        [12.0, 57.0],
        [12.1, 57.0],
        [12.1, 57.1],
        [12.0, 57.0]
    ])));
    assert!(
        outside.starts_with("shape.coordinates[1]: got a ring outside"),
        "{outside}"
    );
    let crossing = told(with(json!([
        [11.05, 57.05],
        [11.2, 57.05],
        [11.05, 57.06],
        [11.05, 57.05]
    ])));
    assert!(crossing.contains("crosses another"), "{crossing}");
    // Touching the outline in a corner is how holes at the edge are drawn.
    let touching = with(json!([
        [11.0, 57.05],
        [11.05, 57.02],
        [11.05, 57.08],
        [11.0, 57.05]
    ]));
    read(&document(touching)).expect("taken");
    let hole = json!([
        [11.02, 57.02],
        [11.08, 57.02],
        [11.08, 57.08],
        [11.02, 57.02]
    ]);
    let inner = json!([
        [11.05, 57.03],
        [11.06, 57.03],
        [11.06, 57.04],
        [11.05, 57.03]
    ]);
    let nested = told(json!({"type": "polygon", "coordinates": [square(), hole, inner]}));
    assert!(nested.contains("a hole inside the hole"), "{nested}");
}

#[test]
fn what_is_wrong_with_other_fields_is_named() {
    let circle =
        |radius: Value| told(json!({"type": "circle", "center": [11, 57], "radius_m": radius}));
    assert_eq!(
        circle(json!(0)),
        "shape.radius_m: got 0, expected 1 to 100000 metres"
    );
    assert_eq!(
        circle(json!("5")),
        "shape.radius_m: got \"5\", expected a number"
    );
    assert!(
        told(json!({"type": "corridor", "line": [[11, 57]], "width_m": 5}))
            .starts_with("shape.line: got 1 positions")
    );
    assert!(
        told(json!({"type": "hexagon"}))
            .starts_with("shape.type: got \"hexagon\", expected \"polygon\"")
    );
    assert!(
        told(json!({"type": "circle", "center": [11, 57]}))
            .starts_with("shape.radius_m: got nothing")
    );
    assert_eq!(
        told(json!({"type": "circle", "center": [11, 57], "radius_m": 5, "colour": 1})),
        "shape.colour: got 1, expected no such field in a circle"
    );
    let circle = json!({"type": "circle", "center": [11, 57], "radius_m": 5});
    let with = |field: &str, value: Value| {
        let mut document = document(circle.clone());
        document[field] = value;
        read(&document).expect_err("refused").to_string()
    };
    let unknown = with("nmae", json!("x"));
    assert!(
        unknown.starts_with("nmae: got \"x\", expected only the fields `id`, `name`"),
        "{unknown}"
    );
    assert_eq!(with("name", json!(5)), "name: got 5, expected a string");
    for name in ["a\nb", "a\0b"] {
        assert_eq!(
            with("name", json!(name)),
            format!(
                "name: got {name:?}, expected 1 to 200 characters, none of them a control character"
            )
        );
    }
    assert_eq!(
        with("dwell_s", json!(-1)),
        "dwell_s: got -1, expected a whole number, at least 0"
    );
    let refused = |text: &str| Fence::from_json(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        refused(r#"{"name":"x"}"#),
        "shape: got nothing, expected it to be given"
    );
    assert_eq!(refused("[1]"), "body: got [1], expected one JSON object");
    assert_eq!(
        refused(r#"{"name":"x","shape":{"type":"circle","center":[NaN,57],"radius_m":5}}"#),
        "shape.center[0]: got NaN, expected a number from -1.7e308 to 1.7e308"
    );
    assert!(with("name", json!(" ")).starts_with("name: got \" \", expected 1 to 200 characters"));
    assert!(with("id", json!("a b")).starts_with("id: got \"a b\""));
    assert!(with("dwell_s", json!(0)).starts_with("dwell_s: got 0"));
    assert!(with("vehicle_types", json!(["taxi", ""])).starts_with("vehicle_types[1]: got \"\""));
    assert!(
        with("schedule", json!({"intervals": []})).starts_with("schedule.intervals: got 0 of them")
    );
    let infinite = br#"{"name":"x","shape":{"type":"circle","center":[11,57],"radius_m":1e999}}"#;
    assert!(
        Fence::from_json(infinite)
            .unwrap_err()
            .to_string()
            .ends_with("expected a number from -1.7e308 to 1.7e308")
    );
}

#[test]
fn numbers_that_are_none_are_refused() {
    use fences::{Position, Shape};
    let mut fence = read(&document(
        json!({"type": "circle", "center": [11, 57], "radius_m": 5}),
    ))
    .unwrap();
    for center in [[f64::NAN, 57.0], [11.0, f64::NAN], [f64::INFINITY, 57.0]] {
        fence.shape = Shape::Circle {
            center: Position(center),
            radius_m: 5.0,
        };
        assert!(fence.check().is_err(), "{center:?}");
    }
    fence.shape = Shape::Circle {
        center: Position([11.0, 57.0]),
        radius_m: f64::NAN,
    };
    assert!(FenceIndex::build([fence]).is_err());
}

#[test]
fn each_feature_of_an_import_is_told_by_itself() {
    let feature = |id: &str, geometry: Value, properties: Value| json!({"type": "Feature", "id": id, "geometry": geometry, "properties": properties});
    let collection = json!({"type": "FeatureCollection", "features": [
        feature("a", json!({"type": "Polygon", "coordinates": [square()]}), json!({"highway": "x"})),
        feature("b", json!({"type": "Point", "coordinates": [11, 57, 12.5]}), json!({"radius_m": 5, "name": "B"})),
        feature("c", json!({"type": "Point", "coordinates": [11, 57]}), json!({})),
        feature("d", json!({"type": "GeometryCollection", "geometries": []}), json!({})),
        feature("e", json!({"type": "Polygon", "coordinates": [square()]}), json!({"dwell_s": "x"})),
    ]});
    let imported = geojson::import(collection.to_string().as_bytes()).unwrap();
    let first = imported[0].as_ref().unwrap();
    assert_eq!(
        (first.name.as_str(), &first.properties["highway"]),
        ("a", &json!("x"))
    );
    assert_eq!(imported[1].as_ref().unwrap().name, "B");
    let told: Vec<_> = imported[2..]
        .iter()
        .map(|result| result.as_ref().unwrap_err().to_string())
        .collect();
    assert_eq!(told[0], "properties.radius_m: got null, expected a number");
    assert!(
        told[1].starts_with("geometry.type: got \"GeometryCollection\""),
        "{told:?}"
    );
    assert!(
        told[2].starts_with("properties.dwell_s: got \"x\", expected a whole number, at least 0"),
        "{told:?}"
    );
    let refused = geojson::import(br#"{"type":"Topology"}"#)
        .unwrap_err()
        .to_string();
    assert_eq!(
        refused,
        "type: got \"Topology\", expected \"FeatureCollection\""
    );
}

#[test]
fn an_id_that_cannot_name_a_fence_is_kept_beside_one_that_can() {
    let import = |id: &str| {
        let collection = json!({"type": "FeatureCollection", "features": [{
            "type": "Feature", "id": id, "properties": {"building": "yes"},
            "geometry": {"type": "Polygon", "coordinates": [square()]}
        }]});
        let imported = geojson::import(collection.to_string().as_bytes()).unwrap();
        imported.into_iter().next().unwrap().unwrap()
    };
    let fence = import("way/123");
    assert_eq!(fence.name, "way/123");
    assert_eq!(fence.properties["id"], "way/123");
    fence.check().expect("a fence");
    assert_eq!(import("way/123").id, fence.id, "the same again");
    assert_ne!(import("way/124").id, fence.id);
    assert_eq!(import("way-123").id, "way-123");
    let collection = json!({"type": "FeatureCollection", "features": [geojson::export(&fence)]});
    let imported = geojson::import(collection.to_string().as_bytes()).unwrap();
    assert_eq!(imported, [Ok(fence)]);
}

#[test]
fn a_collection_that_cannot_be_read_is_told_as_one() {
    let refused = |text: &str| geojson::import(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        refused("[1]"),
        "body: got [1], expected a GeoJSON FeatureCollection"
    );
    assert_eq!(
        refused(r#"{"type":"FeatureCollection","features":7}"#),
        "features: got 7, expected a list of features"
    );
    assert_eq!(
        refused(r#"{"type":"FeatureCollection"}"#),
        "features: got nothing, expected a list of features"
    );
    let broken = refused(r#"{"type":"FeatureCollection","features":[{"type":NaN}]}"#);
    assert!(
        broken.starts_with("body: got NaN, expected a number from -1.7e308"),
        "{broken}"
    );
}

#[test]
fn outlines_are_areas_of_the_size_of_the_fence() {
    use geo::{Contains, Point, Polygon};
    let fence = read(&document(
        json!({"type": "circle", "center": [12.0, 57.7], "radius_m": 1000}),
    ))
    .unwrap();
    let outline = geojson::outline(&fence, None);
    let ring: Vec<[f64; 2]> =
        serde_json::from_value(outline["geometry"]["coordinates"][0].clone()).unwrap();
    let polygon = Polygon::new(ring.into_iter().collect(), vec![]);
    assert!(polygon.contains(&Point::new(12.0 + 0.99 * 0.016_83, 57.7)));
    assert!(!polygon.contains(&Point::new(12.0 + 1.01 * 0.016_83, 57.7)));
    assert!(polygon.contains(&Point::new(12.0, 57.7 + 0.99 * 0.008_99)));
}
