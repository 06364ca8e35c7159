//! The streets that come with the program, and the nearest one to a fix.

use std::collections::HashSet;
use std::time::Instant;

use events::Location;
use proptest::prelude::*;
use streets::{RoadClass, SegmentIndex, StreetNetwork};

#[test]
fn gothenburg_is_whole() {
    let streets = StreetNetwork::gothenburg();
    assert_eq!(streets.name(), "Gothenburg");
    assert!(
        streets.segments().len() > 10_000,
        "{}",
        streets.segments().len()
    );
    let km: f64 = streets
        .segments()
        .iter()
        .map(|segment| segment.length_m)
        .sum::<f64>()
        / 1000.0;
    assert!((900.0..1_400.0).contains(&km), "{km} km");
    let ids: HashSet<&str> = streets
        .segments()
        .iter()
        .map(|segment| segment.id.as_str())
        .collect();
    assert_eq!(ids.len(), streets.segments().len(), "ids are unique");
    let motorways = streets
        .segments()
        .iter()
        .filter(|segment| segment.class == RoadClass::Motorway);
    assert!(motorways.clone().count() > 100 && motorways.clone().all(|segment| segment.one_way));
    assert_eq!(streets.attribution(), "(c) OpenStreetMap contributors");
}

#[test]
fn one_can_drive_between_most_junctions() {
    let streets = StreetNetwork::gothenburg();
    let connected = (0..streets.node_count())
        .filter(|node| streets.is_connected(*node))
        .count();
    assert!(
        connected * 10 > streets.node_count() as usize * 8,
        "{connected} of {}",
        streets.node_count()
    );
    for node in (0..streets.node_count()).filter(|node| streets.is_connected(*node)) {
        assert!(
            streets
                .exits(node)
                .iter()
                .any(|exit| streets.is_connected(exit.to)),
            "node {node} is a trap"
        );
    }
}

#[test]
fn exits_respect_one_way_streets_and_meet_at_their_junction() {
    let streets = StreetNetwork::gothenburg();
    for node in 0..streets.node_count() {
        for exit in streets.exits(node) {
            let segment = streets.segment(exit.segment);
            assert!(exit.forward || !segment.one_way);
            let (from, to) = if exit.forward {
                (segment.from_node, segment.to_node)
            } else {
                (segment.to_node, segment.from_node)
            };
            assert_eq!((from, to), (node, exit.to));
        }
    }
}

#[test]
fn segments_are_found_by_their_id() {
    let streets = StreetNetwork::gothenburg();
    for index in (0..streets.segments().len() as u32)
        .step_by(97)
        .map(SegmentIndex)
    {
        assert_eq!(streets.by_id(&streets.segment(index).id), Some(index));
    }
    assert_eq!(streets.by_id("w0-0"), None);
}

#[test]
fn geojson_has_one_line_a_segment() {
    let streets = StreetNetwork::gothenburg();
    let json: serde_json::Value = serde_json::from_slice(&streets.geojson()).expect("it is JSON");
    let features = json["features"].as_array().expect("features");
    assert_eq!(features.len(), streets.segments().len());
    let properties = &features[0]["properties"];
    assert_eq!(properties["id"], streets.segments()[0].id.as_str());
    assert!(properties["limit_kmh"].is_number() && properties["class"].is_string());
    assert!(properties["free_flow_kmh"].is_number());
    assert_eq!(features[0]["geometry"]["type"], "LineString");
}

#[test]
fn a_heading_chooses_the_carriageway() {
    let streets = StreetNetwork::gothenburg();
    let (mut tried, mut agreed) = (0, 0);
    for segment in streets
        .segments()
        .iter()
        .filter(|segment| segment.class == RoadClass::Motorway)
    {
        let (from, to) = (segment.line[0], segment.line[1]);
        if from.distance_m(to) < 40.0 {
            continue;
        }
        let middle = Location {
            latitude: (from.latitude + to.latitude) / 2.0,
            longitude: (from.longitude + to.longitude) / 2.0,
        };
        let back_deg = to.bearing_deg(from);
        let Some(found) = streets.nearest(middle, Some(back_deg), 60.0) else {
            continue;
        };
        let found = streets.segment(found.segment);
        // Against the line, another carriageway is preferred where one is near.
        if found.id != segment.id && found.class == RoadClass::Motorway {
            tried += 1;
            let agrees = found.line.windows(2).any(|pair| {
                let turn =
                    (pair[0].bearing_deg(pair[1]) - back_deg + 180.0).rem_euclid(360.0) - 180.0;
                turn.abs() < 90.0
            });
            agreed += usize::from(agrees);
        }
    }
    // The rest are crossings, where neither carriageway fits.
    assert!(
        tried > 10 && agreed * 10 >= tried * 9,
        "{agreed} of {tried}"
    );
}

/// Metres from a place to a segment's line: planar around the place.
fn distance_m(streets: &StreetNetwork, index: SegmentIndex, here: Location) -> f64 {
    let (ky, kx) = (111_195.08, 111_195.08 * here.latitude.to_radians().cos());
    let plane = |point: &Location| {
        (
            (point.longitude - here.longitude) * kx,
            (point.latitude - here.latitude) * ky,
        )
    };
    let line = &streets.segment(index).line;
    let pieces = line.windows(2).map(|pair| {
        let ((x1, y1), (x2, y2)) = (plane(&pair[0]), plane(&pair[1]));
        let (dx, dy) = (x2 - x1, y2 - y1);
        let length2 = dx * dx + dy * dy;
        let t = if length2 > 0.0 {
            (-(x1 * dx + y1 * dy) / length2).clamp(0.0, 1.0)
        } else {
            0.0
        };
        (x1 + dx * t).hypot(y1 + dy * t)
    });
    pieces.fold(f64::INFINITY, f64::min)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nearest_is_what_brute_force_finds(x in -0.1..1.1_f64, y in -0.1..1.1_f64, max_m in 5.0..3_000.0_f64) {
        let streets = StreetNetwork::gothenburg();
        let [west, south, east, north] = streets.bounds();
        let here = Location { latitude: south + (north - south) * y, longitude: west + (east - west) * x };
        let brute_m = (0..streets.segments().len() as u32)
            .map(|index| distance_m(&streets, SegmentIndex(index), here))
            .fold(f64::INFINITY, f64::min);
        match streets.nearest(here, None, max_m) {
            Some(found) => {
                // Single precision keeps about 5 cm here.
                prop_assert!((found.distance_m - brute_m).abs() < 0.3, "{} {}", found.distance_m, brute_m);
                prop_assert!((distance_m(&streets, found.segment, here) - brute_m).abs() < 0.3);
                prop_assert!(found.offset_m <= streets.segment(found.segment).length_m + 1.0);
            }
            None => prop_assert!(brute_m > max_m - 0.3, "missed one at {}", brute_m),
        }
    }

    #[test]
    fn a_heading_never_costs_more_than_its_penalty(x in 0.0..1.0_f64, y in 0.0..1.0_f64, heading in 0.0..360.0_f64) {
        let streets = StreetNetwork::gothenburg();
        let [west, south, east, north] = streets.bounds();
        let here = Location { latitude: south + (north - south) * y, longitude: west + (east - west) * x };
        let plain = streets.nearest(here, None, 500.0).map(|found| found.distance_m);
        let headed = streets.nearest(here, Some(heading), 500.0).map(|found| found.distance_m);
        prop_assert_eq!(plain.is_some(), headed.is_some());
        if let (Some(plain), Some(headed)) = (plain, headed) {
            prop_assert!(headed >= plain - 0.01 && headed <= plain + 30.1, "{} {}", plain, headed);
        }
    }
}

#[test]
fn wild_places_find_nothing_and_do_no_harm() {
    let streets = StreetNetwork::gothenburg();
    for (latitude, longitude) in [
        (0.0, 0.0),
        (90.0, 180.0),
        (-90.0, -180.0),
        (f64::NAN, 12.0),
        (57.7, f64::INFINITY),
    ] {
        assert_eq!(
            streets.nearest(
                Location {
                    latitude,
                    longitude
                },
                Some(10.0),
                100.0
            ),
            None
        );
    }
    assert_eq!(streets.nearest(streets.center(), Some(f64::NAN), 0.0), None);
}

/// Time that this thread has computed, so that a busy machine does not count;
/// the wall clock where the system does not tell.
fn busy_s(began: Instant) -> f64 {
    let on_cpu_ns = std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| {
            let first = text.split_ascii_whitespace().next()?;
            first.parse::<f64>().ok()
        });
    on_cpu_ns.map_or_else(|| began.elapsed().as_secs_f64(), |ns| ns / 1e9)
}

#[test]
fn lookups_are_fast() {
    let streets = StreetNetwork::gothenburg();
    let middle = |segment: &streets::Segment| segment.line[segment.line.len() / 2];
    let places: Vec<Location> = streets.segments().iter().map(middle).collect();
    let began = Instant::now();
    let (before_s, mut found) = (busy_s(began), 0);
    const ROUNDS: usize = 10;
    for _ in 0..ROUNDS {
        for place in &places {
            let beside = Location {
                latitude: place.latitude + 2e-5,
                longitude: place.longitude + 2e-5,
            };
            found += usize::from(streets.nearest(beside, Some(45.0), 40.0).is_some());
        }
    }
    let per_s = found as f64 / (busy_s(began) - before_s);
    println!("{per_s:.0} lookups a second");
    assert_eq!(found, places.len() * ROUNDS);
    // Half of what a slow machine does; a search that grew a loop is ten times slower.
    assert!(per_s > 200_000.0, "{per_s}");
}
