//! The index against slow and independent answers.

use std::sync::Arc;

use events::Location;
use fences::{Fence, FenceIndex, FenceNo, Position, Shape};
use geo::{Distance, Haversine, Intersects, LineString, Point, Polygon};
use proptest::prelude::*;

/// A ring around a centre that never crosses itself, closed.
fn star(center: [f64; 2], radii: &[f64], turned: f64) -> Vec<Position> {
    let corner = |(number, radius): (usize, &f64)| {
        let angle = turned + std::f64::consts::TAU * number as f64 / radii.len() as f64;
        Position([
            center[0] + radius * angle.cos(),
            center[1] + radius * angle.sin(),
        ])
    };
    let mut ring: Vec<_> = radii.iter().enumerate().map(corner).collect();
    ring.push(ring[0]);
    ring
}

fn center() -> impl Strategy<Value = [f64; 2]> {
    (11.9..12.05f64, 57.65..57.75f64).prop_map(|(x, y)| [x, y])
}

fn area() -> impl Strategy<Value = Vec<Vec<Position>>> {
    let size = prop_oneof![Just(0.0005), Just(0.005), Just(0.05)];
    let radii = proptest::collection::vec(0.3..1.0f64, 3..40);
    (center(), size, radii, 0.0..6.3f64, any::<bool>()).prop_map(
        |(center, size, radii, turned, has_hole)| {
            let scaled: Vec<_> = radii.iter().map(|radius| radius * size).collect();
            let mut rings = vec![star(center, &scaled, turned)];
            // Within the outline's narrowest place, which has at least three sides.
            let narrow: Vec<_> = scaled.iter().map(|_| size * 0.3 * 0.4).collect();
            if has_hole && narrow.len() >= 6 {
                rings.push(star(center, &narrow, turned + 0.1));
            }
            rings
        },
    )
}

fn shape() -> impl Strategy<Value = Shape> {
    let corridor = (
        proptest::collection::vec(center(), 2..6),
        prop_oneof![5.0..60.0f64, 200.0..3_000.0f64],
    );
    let radius = prop_oneof![1.0..100.0f64, 100.0..5_000.0f64];
    prop_oneof![
        4 => area().prop_map(|coordinates| Shape::Polygon { coordinates }),
        1 => proptest::collection::vec(area(), 1..4)
            .prop_map(|coordinates| Shape::MultiPolygon { coordinates }),
        2 => (center(), radius).prop_map(|(center, radius_m)| Shape::Circle {
            center: Position(center),
            radius_m,
        }),
        2 => corridor.prop_map(|(line, width_m)| Shape::Corridor {
            line: line.into_iter().map(Position).collect(),
            width_m,
        }),
    ]
}

fn fence(number: usize, shape: Shape) -> Fence {
    let document = serde_json::json!({
        "id": format!("f{number}"), "name": "f",
        "shape": {"type": "circle", "center": [0, 0], "radius_m": 1}
    });
    let mut fence: Fence = serde_json::from_value(document).unwrap();
    fence.shape = shape;
    fence
}

fn line(ring: &[Position]) -> LineString {
    ring.iter().map(|position| position.0).collect()
}

fn polygon(rings: &[Vec<Position>]) -> Polygon {
    Polygon::new(
        line(&rings[0]),
        rings[1..].iter().map(|r| line(r)).collect(),
    )
}

fn location(point: [f64; 2]) -> Location {
    Location {
        longitude: point[0],
        latitude: point[1],
    }
}

/// By `geo`; `None` where a distance is so near the limit that the two ways to
/// compute it may differ.
fn contains(shape: &Shape, at: [f64; 2]) -> Option<bool> {
    let point = Point::new(at[0], at[1]);
    match shape {
        Shape::Polygon { coordinates } => Some(polygon(coordinates).intersects(&point)),
        Shape::MultiPolygon { coordinates } => Some(
            coordinates
                .iter()
                .any(|rings| polygon(rings).intersects(&point)),
        ),
        Shape::Circle { center, radius_m } => {
            let distance_m = location(center.0).distance_m(location(at));
            let sure = (distance_m - radius_m).abs() > 1e-5;
            sure.then_some(distance_m <= *radius_m)
        }
        Shape::Corridor { line, width_m } => {
            // A thousand points of each side by haversine are near the nearest one.
            let distance_m = line
                .windows(2)
                .flat_map(|pair| (0..=1000).map(move |step| (pair, f64::from(step) / 1000.0)))
                .map(|(pair, along)| {
                    let [x1, y1] = pair[0].0;
                    let [x2, y2] = pair[1].0;
                    let on = Point::new(x1 + (x2 - x1) * along, y1 + (y2 - y1) * along);
                    Haversine.distance(on, point)
                })
                .fold(f64::INFINITY, f64::min);
            let sure = (distance_m - width_m / 2.0).abs() > 0.005 * distance_m + 15.0;
            sure.then_some(distance_m <= width_m / 2.0)
        }
        Shape::Around { .. } => Some(false),
    }
}

/// Points anywhere, and at and beside corners, where mistakes would be.
fn points(shapes: &[Shape], anywhere: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut points = anywhere.to_vec();
    for shape in shapes {
        let rings: Vec<&Vec<Position>> = match shape {
            Shape::Polygon { coordinates } => coordinates.iter().collect(),
            Shape::MultiPolygon { coordinates } => coordinates.iter().flatten().collect(),
            _ => continue,
        };
        for pair in rings.into_iter().flat_map(|ring| ring.windows(2)) {
            let ([x1, y1], [x2, y2]) = (pair[0].0, pair[1].0);
            points.push([x1, y1]);
            for by in [1e-7, -1e-7] {
                points.push([(x1 + x2) / 2.0 + by, (y1 + y2) / 2.0]);
                points.push([x1 + by, y1]);
                // The same latitude as a corner.
                points.push([x2 + by * 1e4, y1]);
            }
        }
    }
    points
}

fn found(index: &FenceIndex, at: [f64; 2]) -> Vec<String> {
    let mut numbers: Vec<FenceNo> = Vec::new();
    index.containing(location(at), &mut numbers);
    let mut ids: Vec<_> = numbers
        .iter()
        .map(|number| index.get(*number).unwrap().id().to_string())
        .collect();
    ids.sort();
    ids
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_index_answers_as_geo_does(
        shapes in proptest::collection::vec(shape(), 1..40),
        anywhere in proptest::collection::vec(center(), 200),
    ) {
        let all = shapes.iter().cloned().enumerate();
        let index = FenceIndex::build(all.map(|(number, shape)| fence(number, shape))).unwrap();
        let all = points(&shapes, &anywhere);
        let step = all.len().div_ceil(400);
        for at in all.into_iter().step_by(step) {
            let ids = found(&index, at);
            for (number, shape) in shapes.iter().enumerate() {
                let is_found = ids.contains(&format!("f{number}"));
                if let Some(expected) = contains(shape, at) {
                    prop_assert_eq!(is_found, expected, "{:?} and {:?}", at, shape);
                }
            }
        }
    }

    #[test]
    fn changing_fences_is_the_same_as_building_anew(
        shapes in proptest::collection::vec(shape(), 1..30),
        changes in proptest::collection::vec((0usize..30, proptest::option::of(shape())), 1..40),
        anywhere in proptest::collection::vec(center(), 300),
    ) {
        let mut now: Vec<Option<Shape>> = shapes.iter().cloned().map(Some).collect();
        now.resize(30, None);
        let first = shapes.into_iter().enumerate();
        let mut index = FenceIndex::build(first.map(|(number, shape)| fence(number, shape))).unwrap();
        for (number, change) in changes {
            match &change {
                Some(shape) => {
                    index.put(Arc::new(fence(number, shape.clone())), i64::MIN).unwrap();
                }
                None => {
                    let removed = index.remove(&format!("f{number}"));
                    prop_assert_eq!(removed, now[number].is_some());
                }
            }
            now[number] = change;
        }
        let left = now.iter().cloned().enumerate();
        let left: Vec<_> = left.filter_map(|(number, shape)| Some(fence(number, shape?))).collect();
        let shapes: Vec<_> = left.iter().map(|fence| fence.shape.clone()).collect();
        let anew = FenceIndex::build(left).unwrap();
        prop_assert_eq!(index.len(), anew.len());
        for at in points(&shapes, &anywhere) {
            prop_assert_eq!(found(&index, at), found(&anew, at));
        }
    }
}

#[test]
fn an_index_that_was_emptied_finds_nothing_and_holds_nothing() {
    let shape = Shape::Circle {
        center: Position([12.0, 57.7]),
        radius_m: 300.0,
    };
    let mut index = FenceIndex::default();
    let mut largest = 0;
    for round in 0..12 {
        for number in 0..20 {
            index
                .put(Arc::new(fence(number, shape.clone())), 0)
                .unwrap();
        }
        for number in 0..20 {
            assert!(index.remove(&format!("f{number}")));
        }
        if round == 0 {
            largest = index.memory_bytes();
        }
    }
    assert!(found(&index, [12.0, 57.7]).is_empty());
    assert!(
        index.memory_bytes() <= largest,
        "memory grows with every change"
    );
}

#[test]
fn a_point_on_the_outline_is_inside() {
    let ring = [
        [11.0, 57.0],
        [12.0, 57.0],
        [12.0, 58.0],
        [11.0, 58.0],
        [11.0, 57.0],
    ];
    let square = Shape::Polygon {
        coordinates: vec![ring.into_iter().map(Position).collect()],
    };
    let index = FenceIndex::build([fence(0, square)]).unwrap();
    for at in [
        [11.0, 57.0],
        [11.5, 57.0],
        [12.0, 57.3],
        [11.25, 58.0],
        [12.0, 58.0],
        [11.5, 57.5],
    ] {
        assert_eq!(found(&index, at), ["f0"], "{at:?}");
    }
    for at in [[10.999_999, 57.5], [11.5, 58.000_001], [12.000_001, 57.0]] {
        assert!(found(&index, at).is_empty(), "{at:?}");
    }
}

#[test]
fn polygons_of_one_fence_may_lie_anywhere() {
    let square = |west: f64, south: f64, east: f64| {
        let corners = [
            [west, south],
            [east, south],
            [east, south + 1.0],
            [west, south + 1.0],
            [west, south],
        ];
        vec![corners.into_iter().map(Position).collect::<Vec<_>>()]
    };
    // Cut at the 180th meridian, as RFC 7946 wants it; and two depots far apart.
    let over = vec![square(179.0, -17.0, 180.0), square(-180.0, -17.0, -179.0)];
    let depots = vec![square(11.0, 57.0, 12.0), square(59.0, 30.0, 60.0)];
    let shape = |coordinates| Shape::MultiPolygon { coordinates };
    let fences = [fence(0, shape(over)), fence(1, shape(depots))];
    let mut index = FenceIndex::build(fences).unwrap();
    for at in [
        [179.5, -16.5],
        [-179.5, -16.5],
        [180.0, -16.5],
        [-180.0, -16.5],
    ] {
        assert_eq!(found(&index, at), ["f0"], "{at:?}");
    }
    for at in [[11.5, 57.5], [59.5, 30.5]] {
        assert_eq!(found(&index, at), ["f1"], "{at:?}");
    }
    for at in [[0.0, -16.5], [178.9, -16.5], [35.0, 45.0]] {
        assert!(found(&index, at).is_empty(), "{at:?}");
    }
    assert!(index.remove("f0") && index.remove("f1"));
    for at in [[179.5, -16.5], [-179.5, -16.5], [11.5, 57.5], [59.5, 30.5]] {
        assert!(found(&index, at).is_empty(), "{at:?}");
    }
}

#[test]
fn circles_go_over_the_180th_meridian_and_the_poles() {
    let circle = |center, radius_m| Shape::Circle {
        center: Position(center),
        radius_m,
    };
    let index = FenceIndex::build([
        fence(0, circle([179.999, 10.0], 1_000.0)),
        fence(1, circle([30.0, 89.9], 50_000.0)),
    ])
    .unwrap();
    assert_eq!(found(&index, [-179.999, 10.0]), ["f0"]);
    assert_eq!(found(&index, [179.995, 10.0]), ["f0"]);
    assert!(found(&index, [-179.98, 10.0]).is_empty());
    assert_eq!(found(&index, [-150.0, 89.9]), ["f1"]);
    assert!(found(&index, [-150.0, 89.0]).is_empty());
}
