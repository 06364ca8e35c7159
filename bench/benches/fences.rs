//! How many points a second are checked against all fences, on one core, and how
//! many Shapely and PostGIS check in the same run: the same fences, the same
//! points, the same answers.
//!
//! `CITYPULSE_PEERS_PYTHON` is the interpreter of the peers; without it only this
//! project's own figures are measured, which is said.

use std::fs;
use std::hint::black_box;
use std::path::Path;

use anyhow::{Result, ensure};
use bench::{CoreClock, Measurement, PeerProcess, Report, median};
use events::Location;
use fences::{Fence, FenceIndex, FenceNo};
use serde_json::json;

const CORNERS: usize = 32;
/// Of a fence's farthest corner; the nearest is half as far.
const RADIUS_M: f64 = 300.0;
const POINTS: u64 = 1_000_000;
/// The peers are given fewer, so that a run takes seconds.
const PEER_POINTS: usize = 50_000;
const ROUNDS: usize = 7;
/// Fences, the least rate in points a second, and how it is to compare with each peer.
const CASES: [(usize, f64); 2] = [(1_000, 8e6), (10_000, 1e6)];
const PEERS: [&str; 2] = ["fences_shapely.py", "fences_postgis.py"];

fn main() -> Result<()> {
    let mut report = Report::new("fences");
    let python = std::env::var_os("CITYPULSE_PEERS_PYTHON");
    if python.is_none() {
        println!("no peers: CITYPULSE_PEERS_PYTHON is not set; `make bench-fences` sets it");
    }
    println!("no Tile38: its module is not to be had from the Go module proxy");
    for (count, target) in CASES {
        let rings: Vec<_> = (0..count as u64).map(ring).collect();
        let index = index_of(&rings)?;
        let points: Vec<_> = (0..POINTS).map(point).collect();
        let peer_points = &points[..PEER_POINTS];
        let folder = tempfile::tempdir()?;
        write_inputs(folder.path(), &rings, peer_points)?;
        let mut peers = Vec::new();
        for script in PEERS {
            let Some(python) = &python else { continue };
            peers.extend(Peer::start(Path::new(python), script, folder.path()));
        }
        let expected = hits(&index, peer_points);
        let clock = CoreClock::start();
        let mut own = Vec::new();
        for round in 0..=ROUNDS {
            let start = clock.seconds();
            black_box(hits(&index, &points));
            let rate = POINTS as f64 / (clock.seconds() - start);
            for peer in &mut peers {
                let found = peer.run()?;
                // Rounding may differ where a point is on a side; more may not.
                let apart = found.abs_diff(expected);
                ensure!(
                    apart <= 2,
                    "{}: {found} hits, not {expected}",
                    peer.process.name
                );
            }
            // The first round warms caches up.
            if round > 0 {
                own.push(rate);
            } else {
                peers.iter_mut().for_each(|peer| peer.rates.clear());
            }
        }
        let rate = median(own);
        let measure = format!("points against {count} fences of {CORNERS} corners");
        report.add(Measurement::rate(&measure, rate, "points/s").at_least(target));
        for peer in peers {
            let other = median(peer.rates.clone());
            let mut compared = Measurement::rate("  the same", rate, "points/s");
            compared = compared.against(&peer.process.name, other);
            // At least five times the rate of the peer.
            report.add(compared.at_least(5.0 * other));
        }
        report.add(Measurement::rate(
            "  memory of the index",
            index.memory_bytes() as f64 / 1e6,
            "MB",
        ));
        measure_changes(&mut report, index, &rings)?;
    }
    report.finish()
}

/// How long it takes to move a fence somewhere else.
fn measure_changes(report: &mut Report, mut index: FenceIndex, rings: &[Ring]) -> Result<()> {
    let changes = rings.len().min(1_000);
    let moved: Vec<_> = (0..changes)
        .map(|number| fence(number, &rings[(number + 1) % rings.len()]))
        .collect::<Result<_>>()?;
    let clock = CoreClock::start();
    let start = clock.seconds();
    for fence in moved {
        index.put(fence.into(), 0)?;
    }
    let rate = changes as f64 / (clock.seconds() - start);
    report.add(Measurement::rate("  fences changed", rate, "changes/s"));
    Ok(())
}

fn hits(index: &FenceIndex, points: &[[f64; 2]]) -> u64 {
    let mut found: Vec<FenceNo> = Vec::new();
    let mut hits = 0;
    for [longitude, latitude] in points {
        let location = Location {
            latitude: *latitude,
            longitude: *longitude,
        };
        index.containing(black_box(location), &mut found);
        hits += found.len() as u64;
    }
    hits
}

type Ring = Vec<[f64; 2]>;

/// A ring of [`CORNERS`] uneven corners somewhere in the city.
fn ring(number: u64) -> Ring {
    let seed = number * 1_000;
    let [x, y] = point(seed);
    let corner = |corner: usize| {
        let angle = std::f64::consts::TAU * corner as f64 / CORNERS as f64;
        let metres = RADIUS_M * (0.5 + 0.5 * unit(seed + 2 + corner as u64));
        let degrees = metres / 111_195.0;
        let shrunk = y.to_radians().cos();
        [
            x + degrees * angle.cos() / shrunk,
            y + degrees * angle.sin(),
        ]
    };
    let mut ring: Ring = (0..CORNERS).map(corner).collect();
    ring.push(ring[0]);
    ring
}

/// Somewhere in a city of 24 by 22 kilometres.
fn point(number: u64) -> [f64; 2] {
    let (east, north) = (unit(number * 2 + 1), unit(number * 2 + 2));
    [11.8 + 0.4 * east, 57.6 + 0.2 * north]
}

fn index_of(rings: &[Ring]) -> Result<FenceIndex> {
    let fences = rings.iter().enumerate();
    let fences = fences.map(|(number, ring)| fence(number, ring));
    Ok(FenceIndex::build(fences.collect::<Result<Vec<_>>>()?)?)
}

fn fence(number: usize, ring: &Ring) -> Result<Fence> {
    let document = json!({
        "id": format!("fence-{number}"), "name": "fence",
        "shape": {"type": "polygon", "coordinates": [ring]}
    });
    Ok(Fence::from_json(document.to_string().as_bytes())?)
}

fn write_inputs(folder: &Path, rings: &[Ring], points: &[[f64; 2]]) -> Result<()> {
    fs::write(folder.join("fences.json"), serde_json::to_vec(rings)?)?;
    fs::write(folder.join("points.json"), serde_json::to_vec(points)?)?;
    Ok(())
}

/// Another program for the same.
struct Peer {
    process: PeerProcess,
    rates: Vec<f64>,
}

impl Peer {
    /// Starts it; none where it cannot run, which is said.
    fn start(python: &Path, script: &str, folder: &Path) -> Option<Self> {
        let folder = folder.display().to_string();
        match PeerProcess::start(python, script, &[&folder]) {
            Ok(process) => Some(Self {
                process,
                rates: Vec::new(),
            }),
            Err(error) => {
                println!("not compared: {script}: {error:#}");
                None
            }
        }
    }

    /// One pass over the points; how many hits.
    fn run(&mut self) -> Result<u64> {
        let run = self.process.run()?;
        self.rates.push(run.rate());
        Ok(run.found)
    }
}

/// 0 up to 1, well spread.
fn unit(number: u64) -> f64 {
    (spread(number) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Well-spread bits from a number (splitmix64).
fn spread(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
