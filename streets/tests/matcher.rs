//! The segment of a vehicle where distance alone would be wrong.

use std::fs;
use std::sync::Arc;

use events::Location;
use proptest::prelude::*;
use streets::{FixForMatch, Match, Matcher, Previous, SegmentIndex, StreetNetwork};

const M_PER_DEGREE: f64 = 111_195.08;

/// A place so many metres east and north of (0.1, 0.1), where a degree is as
/// long both ways.
fn at(east_m: f64, north_m: f64) -> Location {
    Location {
        latitude: 0.1 + north_m / M_PER_DEGREE,
        longitude: 0.1 + east_m / M_PER_DEGREE,
    }
}

/// Streets between numbered places in metres; segment `e<n>` is edge n. An edge
/// may be driven both ways where its opposite is listed too.
fn streets(nodes: &[(f64, f64)], edges: &[(usize, usize)]) -> Arc<StreetNetwork> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = "osmid,x,y\n".to_owned();
    for (number, (east_m, north_m)) in nodes.iter().enumerate() {
        let place = at(*east_m, *north_m);
        text += &format!("{number},{:.9},{:.9}\n", place.longitude, place.latitude);
    }
    fs::write(folder.path().join("t_nodes.csv"), text).expect("written");
    let mut text = "uniqueid,u,v,length,lanes,speed_mph\n".to_owned();
    for (number, (from, to)) in edges.iter().enumerate() {
        text += &format!("{number},{from},{to},1,2,30\n");
    }
    fs::write(folder.path().join("t_edges.csv"), text).expect("written");
    StreetNetwork::load(&folder.path().to_string_lossy()).expect("streets")
}

fn fix(location: Location, heading_deg: Option<f64>, speed_kmh: f64) -> FixForMatch {
    FixForMatch {
        location,
        heading_deg,
        speed_kmh,
    }
}

/// Matches a drive and returns the ids of its segments, `-` where none is.
fn drive(streets: &Arc<StreetNetwork>, fixes: &[FixForMatch]) -> Vec<String> {
    let matches = drive_matches(streets, fixes);
    let id = |found: &Option<Match>| {
        found.map_or("-".to_owned(), |found| {
            streets.segment(found.segment).id.clone()
        })
    };
    matches.iter().map(id).collect()
}

fn drive_matches(streets: &Arc<StreetNetwork>, fixes: &[FixForMatch]) -> Vec<Option<Match>> {
    let matcher = Matcher::new(Arc::clone(streets));
    let mut previous: Option<Previous> = None;
    let matched = fixes.iter().map(|fix| {
        let found = matcher.match_fix(fix, previous.as_ref(), 30.0);
        previous = found.map(|found| found.as_previous(fix.location));
        found
    });
    matched.collect()
}

/// Two carriageways 14 m apart, eastbound in the south, three edges each.
fn divided_road() -> Arc<StreetNetwork> {
    let south = (0..4).map(|n| (f64::from(n) * 200.0, 0.0));
    let north = (0..4).map(|n| (f64::from(n) * 200.0, 14.0));
    let nodes: Vec<_> = south.chain(north).collect();
    streets(&nodes, &[(0, 1), (1, 2), (2, 3), (7, 6), (6, 5), (5, 4)])
}

#[test]
fn the_heading_finds_the_carriageway_and_a_stop_does_not_lose_it() {
    let streets = divided_road();
    // Nearer to the other carriageway all the time; the receiver stands for a
    // while with a heading that turns.
    let mut fixes: Vec<_> = (0..20)
        .map(|n| fix(at(20.0 + f64::from(n) * 12.0, 9.0), Some(92.0), 43.0))
        .collect();
    fixes.extend((0..8).map(|n| fix(at(250.0, 9.0), Some(f64::from(n) * 45.0), 0.5)));
    let ids = drive(&streets, &fixes);
    assert!(ids[..14].iter().all(|id| id == "e0"), "{ids:?}");
    assert!(ids[16..].iter().all(|id| id == "e1"), "{ids:?}");
}

#[test]
fn one_who_turns_round_on_a_divided_road_is_on_the_other_carriageway() {
    let streets = divided_road();
    let east = (0..5).map(|n| fix(at(210.0 + f64::from(n) * 12.0, 0.0), Some(90.0), 43.0));
    let west = (0..5).map(|n| fix(at(250.0 - f64::from(n) * 12.0, 9.0), Some(270.0), 43.0));
    let fixes: Vec<_> = east.chain(west).collect();
    let ids = drive(&streets, &fixes);
    assert!(ids[..5].iter().all(|id| id == "e1"), "{ids:?}");
    assert!(ids[5..].iter().all(|id| id == "e4"), "{ids:?}");
}

#[test]
fn one_who_turns_round_on_a_two_way_street_stays_on_it_the_other_way() {
    let streets = streets(&[(0.0, 0.0), (300.0, 0.0)], &[(0, 1), (1, 0)]);
    let there = (0..5).map(|n| fix(at(100.0 + f64::from(n) * 12.0, -2.0), Some(90.0), 43.0));
    let back = (0..5).map(|n| fix(at(140.0 - f64::from(n) * 12.0, 2.0), Some(270.0), 43.0));
    let fixes: Vec<_> = there.chain(back).collect();
    let ways: Vec<_> = drive_matches(&streets, &fixes)
        .iter()
        .map(|found| found.and_then(|found| found.forward))
        .collect();
    assert!(ways[..5].iter().all(|way| *way == Some(true)), "{ways:?}");
    assert!(ways[5..].iter().all(|way| *way == Some(false)), "{ways:?}");
}

/// A street to the east and a bridge over it to the north, without a junction.
fn bridge() -> Arc<StreetNetwork> {
    let nodes = [(0.0, 0.0), (400.0, 0.0), (200.0, -200.0), (200.0, 200.0)];
    streets(&nodes, &[(0, 1), (1, 0), (2, 3), (3, 2)])
}

#[test]
fn crossing_a_bridge_does_not_change_the_street() {
    let streets = bridge();
    // Without a heading, and off the line where the bridge is.
    let fixes: Vec<_> = (0..40)
        .map(|n| fix(at(10.0 + f64::from(n) * 9.7, 6.0), None, 35.0))
        .collect();
    let ids = drive(&streets, &fixes);
    assert!(ids.iter().all(|id| id == "e0"), "{ids:?}");
}

/// Blocks of 100 m by 100 m, all two-way.
fn blocks() -> Arc<StreetNetwork> {
    let nodes: Vec<_> = (0..36)
        .map(|n| (f64::from(n % 6) * 100.0, f64::from(n / 6) * 100.0))
        .collect();
    let mut edges = Vec::new();
    for node in 0..36 {
        if node % 6 < 5 {
            edges.extend([(node, node + 1), (node + 1, node)]);
        }
        if node < 30 {
            edges.extend([(node, node + 6), (node + 6, node)]);
        }
    }
    streets(&nodes, &edges)
}

/// East along the second street, north at its fourth corner.
fn round_the_corner(metre: f64) -> (Location, f64) {
    if metre < 300.0 {
        (at(metre, 100.0), 90.0)
    } else {
        (at(300.0, 100.0 + metre - 300.0), 0.0)
    }
}

fn segment_of(streets: &StreetNetwork, place: Location) -> SegmentIndex {
    let found = streets.nearest(place, None, 1.0);
    found.expect("the place is on a street").segment
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_of_ten_metres_rarely_leaves_the_street(
        noise in prop::collection::vec((-10.0..10.0_f64, -10.0..10.0_f64, -25.0..25.0_f64), 45),
    ) {
        let streets = blocks();
        let mut wrong = 0;
        let mut fixes = Vec::new();
        let mut truth = Vec::new();
        for (number, (east_m, north_m, turn_deg)) in noise.iter().enumerate() {
            let (place, heading_deg) = round_the_corner(4.0 + number as f64 * 11.0);
            truth.push(segment_of(&streets, place));
            let seen = Location {
                latitude: place.latitude + north_m / M_PER_DEGREE,
                longitude: place.longitude + east_m / M_PER_DEGREE,
            };
            fixes.push(fix(seen, Some((heading_deg + turn_deg + 360.0) % 360.0), 40.0));
        }
        for (found, segment) in drive_matches(&streets, &fixes).iter().zip(truth) {
            wrong += usize::from(found.is_none_or(|found| found.segment != segment));
        }
        // Four corners are passed, where the segment ends 10 m sooner or later.
        prop_assert!(wrong <= 9, "{wrong} of 45 wrong");
    }

    #[test]
    fn anything_is_matched_within_the_distance_or_not_at_all(
        east_m in -100.0..700.0_f64, north_m in -100.0..700.0_f64,
        heading in prop::option::of(any::<f64>()), speed in any::<f64>(),
        segment in any::<u32>(),
        latitude in any::<f64>(), near in any::<bool>(),
    ) {
        let streets = blocks();
        let matcher = Matcher::new(Arc::clone(&streets));
        let here = at(east_m, north_m);
        let fix = fix(here, heading, speed);
        let previous = Previous {
            segment: SegmentIndex(if near { segment % 60 } else { segment }),
            location: if near { at(east_m + 20.0, north_m) } else { Location { latitude, longitude: 0.1 } },
        };
        let found = matcher.match_fix(&fix, Some(&previous), 25.0);
        let nearest = streets.nearest(here, None, 25.0);
        prop_assert_eq!(found.is_some(), nearest.is_some());
        if let (Some(found), Some(nearest)) = (found, nearest) {
            prop_assert!(found.distance_m <= 25.0 + 1e-3);
            prop_assert!(found.distance_m >= nearest.distance_m - 1e-3);
            prop_assert!(found.segment.as_usize() < streets.segments().len());
        }
    }

    #[test]
    fn the_segment_alone_is_that_of_the_whole_match(
        segment in any::<prop::sample::Index>(), along in 0.0..1.0_f64,
        before_m in prop::option::of((-60.0..60.0_f64, -60.0..60.0_f64)),
        drive in prop::collection::vec(
            (-40.0..40.0_f64, -40.0..40.0_f64, prop::option::of(0.0..360.0_f64), 0.0..60.0_f64),
            1..30,
        ),
        share in 0.0..1.0_f64,
    ) {
        // Real streets: bends, parallel carriageways, junctions close together.
        let streets = StreetNetwork::gothenburg();
        let matcher = Matcher::new(Arc::clone(&streets));
        let number = segment.index(streets.segments().len());
        let line = &streets.segment(SegmentIndex(number as u32)).line;
        let beside = |along: f64, (east_m, north_m): (f64, f64)| {
            let at = along * (line.len() - 1) as f64;
            let (from, to) = (line[at as usize], line[(at as usize + 1).min(line.len() - 1)]);
            Location {
                latitude: from.latitude + (to.latitude - from.latitude) * at.fract()
                    + north_m / M_PER_DEGREE,
                longitude: from.longitude + (to.longitude - from.longitude) * at.fract()
                    + east_m / M_PER_DEGREE / from.latitude.to_radians().cos(),
            }
        };
        let mut previous = before_m.map(|before_m| Previous {
            segment: SegmentIndex(number as u32),
            location: beside(along, before_m),
        });
        for (step, (east_m, north_m, heading_deg, speed_kmh)) in drive.iter().enumerate() {
            // Some of them near the line, where most vehicles are.
            let noise = if step % 3 == 0 { 1.0 } else { 0.1 };
            let location = beside((along + share * step as f64 / 30.0).fract(), (east_m * noise, north_m * noise));
            let fix = fix(location, *heading_deg, *speed_kmh);
            let whole = matcher.match_fix(&fix, previous.as_ref(), 30.0);
            let alone = matcher.segment_of(&fix, previous.as_ref(), 30.0);
            prop_assert_eq!(alone, whole.map(|found| found.segment));
            previous = whole.map(|found| found.as_previous(location));
        }
    }

    #[test]
    fn without_a_previous_fix_and_a_heading_the_nearest_is_found(
        east_m in -20.0..520.0_f64, north_m in -20.0..520.0_f64,
    ) {
        let streets = blocks();
        let matcher = Matcher::new(Arc::clone(&streets));
        let found = matcher.match_fix(&fix(at(east_m, north_m), None, 30.0), None, 80.0);
        let nearest = streets.nearest(at(east_m, north_m), None, 80.0);
        let distance_m = |found: Option<Match>| found.map(|found| found.distance_m);
        prop_assert_eq!(distance_m(found), distance_m(nearest));
    }
}

#[test]
fn a_turn_is_followed_and_known_as_driven() {
    let streets = blocks();
    let fixes: Vec<_> = (0..50)
        .map(|n| {
            let (place, heading_deg) = round_the_corner(4.0 + f64::from(n) * 11.0);
            fix(place, Some(heading_deg), 40.0)
        })
        .collect();
    let matches = drive_matches(&streets, &fixes);
    let continuing = matches.iter().flatten().filter(|found| found.continues);
    assert_eq!(continuing.count(), 49);
}

#[test]
fn fixes_a_minute_apart_are_on_streets_that_lead_to_each_other() {
    // A side street beside a main one, 16 m away, that only meets it far off:
    // a fix between them belongs to the street the vehicle was on.
    let nodes = [(0.0, 0.0), (900.0, 0.0), (0.0, 16.0), (900.0, 16.0)];
    let streets = streets(&nodes, &[(0, 1), (1, 0), (2, 3), (3, 2)]);
    let fixes = [
        fix(at(50.0, 1.0), Some(90.0), 40.0),
        fix(at(450.0, 9.5), Some(90.0), 40.0),
        fix(at(850.0, 9.5), Some(90.0), 40.0),
    ];
    assert_eq!(drive(&streets, &fixes), ["e0", "e0", "e0"]);
    // Where it clearly is on the other, it is believed.
    let fixes = [
        fixes[0],
        fix(at(450.0, 18.0), Some(90.0), 40.0),
        fix(at(460.0, 20.0), Some(90.0), 40.0),
    ];
    assert_eq!(drive(&streets, &fixes)[2], "e2");
}
