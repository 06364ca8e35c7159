//! Map matching against the truth: simulated vehicles know their segment.

use std::sync::Arc;

use events::Location;
use generators::city::City;
use generators::{Dirt, GeneratorConfig};
use streets::{FixForMatch, Match, Matcher, Previous, SegmentIndex, StreetNetwork};

const SECOND_US: i64 = 1_000_000;
/// Monday 2026-05-04, 06:00 UTC: 07:00 local time.
const MORNING_US: i64 = 1_777_874_400_000_000;
const VEHICLES: usize = 300;
const MAX_DISTANCE_M: f64 = 30.0;
const MOVING_KMH: f64 = 5.0;

/// A fix and where it was really made.
struct Sample {
    vehicle: usize,
    segment: SegmentIndex,
    forward: bool,
    fix: FixForMatch,
}

/// A fix a second of every vehicle, in the order of time.
fn drive(streets: &Arc<StreetNetwork>, seconds: i64) -> Vec<Sample> {
    let config = GeneratorConfig {
        vehicles: VEHICLES as _,
        cameras: 0,
        stations: 0,
        dirt: Dirt::NONE,
        ..GeneratorConfig::default()
    };
    let mut city = City::new(Arc::clone(streets), &config, MORNING_US);
    let mut samples = Vec::new();
    for second in 1..=seconds {
        city.step(MORNING_US + second * SECOND_US);
        samples.extend(city.vehicles().enumerate().map(|(vehicle, truth)| Sample {
            vehicle,
            segment: truth.segment,
            forward: truth.forward,
            fix: FixForMatch {
                location: truth.location,
                heading_deg: Some(truth.heading_deg),
                speed_kmh: truth.speed_kmh,
            },
        }));
    }
    samples
}

/// Well-spread bits from a number (splitmix64), as a share from 0 to 1.
fn share(number: u64) -> f64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Moves fixes by normal noise of so many metres east and north, and turns
/// their headings by a degree for each metre.
fn with_noise(samples: &[Sample], noise_m: f64) -> Vec<Sample> {
    let normal = |number: u64| {
        let radius = (-2.0 * (1.0 - share(number * 2)).ln()).sqrt();
        radius * (share(number * 2 + 1) * std::f64::consts::TAU).cos()
    };
    let spoil = |(number, sample): (usize, &Sample)| {
        let number = number as u64 * 3;
        let place = sample.fix.location;
        let m_per_lon = 111_195.08 * place.latitude.to_radians().cos();
        Sample {
            fix: FixForMatch {
                location: Location {
                    latitude: place.latitude + normal(number) * noise_m / 111_195.08,
                    longitude: place.longitude + normal(number + 1) * noise_m / m_per_lon,
                },
                heading_deg: sample
                    .fix
                    .heading_deg
                    .map(|degrees| (degrees + normal(number + 2) * noise_m).rem_euclid(360.0)),
                speed_kmh: sample.fix.speed_kmh,
            },
            ..*sample
        }
    };
    samples.iter().enumerate().map(spoil).collect()
}

/// Shares of the moving vehicles' fixes.
#[derive(Debug)]
struct Shares {
    right: f64,
    /// On the right segment in the right direction.
    right_way: f64,
    /// What the nearest segment by distance and heading alone comes to.
    right_by_distance: f64,
    continues: f64,
}

fn measure(streets: &Arc<StreetNetwork>, samples: &[Sample]) -> Shares {
    let matcher = Matcher::new(Arc::clone(streets));
    let mut before: Vec<Option<Previous>> = vec![None; VEHICLES];
    let (mut all, mut right, mut right_way, mut by_distance, mut continues) = (0, 0, 0, 0, 0);
    for sample in samples {
        let Sample { segment, fix, .. } = sample;
        let previous = &mut before[sample.vehicle];
        let found = matcher.match_fix(fix, previous.as_ref(), MAX_DISTANCE_M);
        *previous = found.map(|found| found.as_previous(fix.location));
        if fix.speed_kmh < MOVING_KMH {
            continue;
        }
        let is_right = |found: Match| found.segment == *segment;
        let nearest = streets.nearest(fix.location, fix.heading_deg, MAX_DISTANCE_M);
        all += 1;
        right += usize::from(found.is_some_and(is_right));
        right_way += usize::from(
            found.is_some_and(|found| is_right(found) && found.forward == Some(sample.forward)),
        );
        by_distance += usize::from(nearest.is_some_and(is_right));
        continues += usize::from(found.is_some_and(|found| found.continues));
    }
    assert!(all > 100_000, "{all} fixes of moving vehicles");
    let share = |count: usize| count as f64 / f64::from(all);
    Shares {
        right: share(right),
        right_way: share(right_way),
        right_by_distance: share(by_distance),
        continues: share(continues),
    }
}

#[test]
fn vehicles_are_found_on_their_streets_also_through_noise() {
    let streets = StreetNetwork::gothenburg();
    let clean = drive(&streets, 600);
    // Fixes near a junction may be on either side of it: with noise, some of
    // them cannot be told.
    for (noise_m, right_min) in [(0.0, 0.965), (5.0, 0.90), (10.0, 0.81)] {
        let shares = measure(&streets, &with_noise(&clean, noise_m));
        println!("noise {noise_m} m: {shares:.3?}");
        assert!(shares.right >= right_min, "noise {noise_m}: {shares:?}");
        assert!(shares.right > shares.right_by_distance, "{shares:?}");
        assert!(shares.right_way > shares.right - 0.01, "{shares:?}");
        assert!(shares.continues > 0.95, "{shares:?}");
    }
}
