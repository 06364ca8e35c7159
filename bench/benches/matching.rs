//! How fast and how well fixes are matched to streets.
//!
//! Simulated vehicles on Gothenburg know their segment. Taxis of San Francisco
//! do not: there, what is reported is how many fixes are on a street at all, how
//! far from its line, and how often one can have driven from one fix's segment
//! to the next one's in about the distance between them. The peer is the nearest
//! segment by distance and heading, without the fix before.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::hint::black_box;
use std::sync::Arc;

use anyhow::Result;
use bench::{Drive, Measurement, Report, drives, median, median_core_rates, recording, replayed};
use events::{Body, Event, Location};
use streets::{FixForMatch, Match, Matcher, NodeIndex, Previous, StreetNetwork};

const VEHICLES: usize = 300;
const SECONDS: i64 = 600;
const ROUNDS: usize = 9;
const MAX_DISTANCE_M: f64 = 30.0;
/// Slower vehicles stand: where they are is where they were.
const MOVING_KMH: f64 = 5.0;
const RATE_TARGET: f64 = 1e6;
const NEAREST: &str = "nearest";

fn main() -> Result<()> {
    let mut report = Report::new("matching");
    let streets = StreetNetwork::gothenburg();
    let clean = drives(&streets, VEHICLES, SECONDS);
    for noise_m in [0.0, 5.0, 10.0] {
        let drives = bench::with_noise(&clean, noise_m);
        measure_rate(&mut report, &streets, &drives, noise_m);
        measure_right(&mut report, &streets, &drives, noise_m);
    }
    let graph = recording("roads/bayarea_osm_nodes.csv");
    let taxis = recording("gps/cabspotting_2008-05-20_21.csv.gz");
    if let (Some(graph), Some(taxis)) = (graph, taxis) {
        let prefix = graph.to_string_lossy().replace("_nodes.csv", "");
        let streets = StreetNetwork::load(&prefix)?;
        measure_taxis(&mut report, &streets, &replayed(taxis)?);
    }
    report.finish()
}

fn measure_rate(report: &mut Report, streets: &Arc<StreetNetwork>, drives: &[Drive], noise_m: f64) {
    let matcher = Matcher::new(Arc::clone(streets));
    let ours = &mut || {
        let mut before: Vec<Option<Previous>> = vec![None; VEHICLES];
        for Drive { vehicle, fix, .. } in drives {
            // As the layers ask.
            let found = matcher.segment_of(fix, before[*vehicle].as_ref(), MAX_DISTANCE_M);
            before[*vehicle] = found.map(|segment| Previous {
                segment,
                location: fix.location,
            });
        }
        black_box(&before);
        drives.len() as u64
    };
    let nearest = &mut || {
        for Drive { fix, .. } in drives {
            black_box(streets.nearest(fix.location, fix.heading_deg, MAX_DISTANCE_M));
        }
        drives.len() as u64
    };
    let rates = median_core_rates(ROUNDS, &mut [ours, nearest]);
    let mut measurement = Measurement::rate(
        &format!("match on one core, noise {noise_m} m"),
        rates[0],
        "fixes/s",
    );
    if noise_m <= 5.0 {
        measurement = measurement.at_least(RATE_TARGET);
    }
    report.add(measurement.against(NEAREST, rates[1]));
}

fn measure_right(
    report: &mut Report,
    streets: &Arc<StreetNetwork>,
    drives: &[Drive],
    noise_m: f64,
) {
    let matcher = Matcher::new(Arc::clone(streets));
    let mut before: Vec<Option<Previous>> = vec![None; VEHICLES];
    let (mut all, mut right, mut right_nearest) = (0, 0, 0);
    for Drive {
        vehicle,
        segment,
        fix,
    } in drives
    {
        let found = matcher.match_fix(fix, before[*vehicle].as_ref(), MAX_DISTANCE_M);
        before[*vehicle] = found.map(|found| found.as_previous(fix.location));
        if fix.speed_kmh < MOVING_KMH {
            continue;
        }
        let is_right = |found: Match| found.segment == *segment;
        let nearest = streets.nearest(fix.location, fix.heading_deg, MAX_DISTANCE_M);
        all += 1;
        right += usize::from(found.is_some_and(is_right));
        right_nearest += usize::from(nearest.is_some_and(is_right));
    }
    report.add(
        Measurement::rate(
            &format!("on the right segment, noise {noise_m} m"),
            percent(right, all),
            "%",
        )
        .against(NEAREST, percent(right_nearest, all)),
    );
}

fn percent(count: usize, of: usize) -> f64 {
    100.0 * count as f64 / of.max(1) as f64
}

/// What matching the taxis came to.
#[derive(Default)]
struct Taxis {
    fixes: usize,
    distances_m: Vec<f64>,
    /// Fixes of one taxi, both matched, that are not at the same place.
    pairs: usize,
    connected: usize,
}

fn measure_taxis(report: &mut Report, streets: &Arc<StreetNetwork>, events: &[Event]) {
    let matcher = Matcher::new(Arc::clone(streets));
    let ours = match_taxis(streets, events, |fix, previous| {
        matcher.match_fix(fix, previous, MAX_DISTANCE_M)
    });
    let nearest = match_taxis(streets, events, |fix, _| {
        streets.nearest(fix.location, fix.heading_deg, MAX_DISTANCE_M)
    });
    let mut add = |measure: &str, unit: &str, of: &dyn Fn(&Taxis) -> f64| {
        report.add(
            Measurement::rate(&format!("San Francisco taxis: {measure}"), of(&ours), unit)
                .against(NEAREST, of(&nearest)),
        );
    };
    add("matched within 30 m", "%", &|taxis| {
        percent(taxis.distances_m.len(), taxis.fixes)
    });
    add("median distance", "m", &|taxis| {
        median(taxis.distances_m.clone())
    });
    add("90th percentile of distances", "m", &|taxis| {
        percentile(&taxis.distances_m, 0.9)
    });
    add("next match connected", "%", &|taxis| {
        percent(taxis.connected, taxis.pairs)
    });
}

fn percentile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 - 1.0) * share) as usize;
    values.get(at).copied().unwrap_or_default()
}

fn match_taxis(
    streets: &StreetNetwork,
    events: &[Event],
    find: impl Fn(&FixForMatch, Option<&Previous>) -> Option<Match>,
) -> Taxis {
    let mut taxis = Taxis::default();
    let mut before: HashMap<&str, (Match, Location)> = HashMap::new();
    for event in events {
        let Body::Gps(gps) = &event.body else {
            continue;
        };
        let fix = FixForMatch {
            location: gps.location,
            heading_deg: gps.direction_deg,
            speed_kmh: gps.speed_kmh,
        };
        let last = before.remove(event.device_id.as_str());
        let previous = last.map(|(found, location)| found.as_previous(location));
        let found = find(&fix, previous.as_ref());
        taxis.fixes += 1;
        let Some(found) = found else { continue };
        taxis.distances_m.push(found.distance_m);
        if let Some((last, location)) = last
            && location != gps.location
        {
            taxis.pairs += 1;
            let moved_m = location.distance_m(gps.location);
            taxis.connected += usize::from(is_connected(streets, &last, &found, moved_m));
        }
        before.insert(event.device_id.as_str(), (found, gps.location));
    }
    taxis
}

/// Whether one can drive from one match to the next in not much more than the
/// straight distance: half as much again and 100 m. Independent of the matcher.
fn is_connected(streets: &StreetNetwork, from: &Match, to: &Match, moved_m: f64) -> bool {
    if from.segment == to.segment {
        return true;
    }
    let budget_m = moved_m * 1.5 + 100.0;
    let (start, end) = (streets.segment(from.segment), streets.segment(to.segment));
    let mut open = BinaryHeap::from([(
        Reverse(millimetres(start.length_m - from.offset_m)),
        start.to_node,
    )]);
    if !start.one_way {
        open.push((Reverse(millimetres(from.offset_m)), start.from_node));
    }
    let mut settled: HashSet<NodeIndex> = HashSet::new();
    while let Some((Reverse(way_mm), node)) = open.pop() {
        if way_mm > millimetres(budget_m) {
            return false;
        }
        if !settled.insert(node) {
            continue;
        }
        let way_m = way_mm as f64 / 1e3;
        let enters_along = node == end.from_node && way_m + to.offset_m <= budget_m;
        let enters_against =
            !end.one_way && node == end.to_node && way_m + end.length_m - to.offset_m <= budget_m;
        if enters_along || enters_against {
            return true;
        }
        for exit in streets.exits(node) {
            let length_m = streets.segment(exit.segment).length_m;
            open.push((Reverse(way_mm + millimetres(length_m)), exit.to));
        }
    }
    false
}

/// A whole number, to be ordered.
fn millimetres(metres: f64) -> u64 {
    (metres.max(0.0) * 1e3) as u64
}
