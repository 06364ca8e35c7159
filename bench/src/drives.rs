//! Fixes of simulated vehicles, which know where they are.

use std::sync::Arc;

use events::Location;
use generators::city::City;
use generators::{Dirt, GeneratorConfig};
use streets::{FixForMatch, SegmentIndex, StreetNetwork};

const SECOND_US: i64 = 1_000_000;
/// Monday 2026-05-04, 06:00 UTC: 07:00 local time.
const MORNING_US: i64 = 1_777_874_400_000_000;
const M_PER_DEGREE: f64 = 111_195.08;

/// One fix and where it was made.
#[derive(Clone, Copy, Debug)]
pub struct Drive {
    /// Number of the vehicle, from 0.
    pub vehicle: usize,
    /// Where it really is.
    pub segment: SegmentIndex,
    /// What its receiver says.
    pub fix: FixForMatch,
}

/// A fix a second of every vehicle, in the order of time.
pub fn drives(streets: &Arc<StreetNetwork>, vehicles: usize, seconds: i64) -> Vec<Drive> {
    let config = GeneratorConfig {
        vehicles: vehicles as _,
        cameras: 0,
        stations: 0,
        dirt: Dirt::NONE,
        ..GeneratorConfig::default()
    };
    let mut city = City::new(Arc::clone(streets), &config, MORNING_US);
    let mut drives = Vec::with_capacity(vehicles * seconds as usize);
    for second in 1..=seconds {
        city.step(MORNING_US + second * SECOND_US);
        drives.extend(city.vehicles().enumerate().map(|(vehicle, truth)| Drive {
            vehicle,
            segment: truth.segment,
            fix: FixForMatch {
                location: truth.location,
                heading_deg: Some(truth.heading_deg),
                speed_kmh: truth.speed_kmh,
            },
        }));
    }
    drives
}

/// Moves fixes by normal noise of so many metres east and so many north, and
/// turns their headings by a degree for each metre. The same every time.
pub fn with_noise(drives: &[Drive], noise_m: f64) -> Vec<Drive> {
    let spoil = |(number, drive): (usize, &Drive)| {
        let number = number as u64 * 3;
        let place = drive.fix.location;
        let m_per_lon = M_PER_DEGREE * place.latitude.to_radians().cos();
        let turn_deg = normal(number + 2) * noise_m;
        let mut drive = *drive;
        drive.fix.location = Location {
            latitude: place.latitude + normal(number) * noise_m / M_PER_DEGREE,
            longitude: place.longitude + normal(number + 1) * noise_m / m_per_lon,
        };
        drive.fix.heading_deg = drive
            .fix
            .heading_deg
            .map(|degrees| (degrees + turn_deg).rem_euclid(360.0));
        drive
    };
    drives.iter().enumerate().map(spoil).collect()
}

/// Standard normal (Box and Muller), by number.
fn normal(number: u64) -> f64 {
    let radius = (-2.0 * (1.0 - share(number * 2)).ln()).sqrt();
    radius * (share(number * 2 + 1) * std::f64::consts::TAU).cos()
}

/// Well-spread bits from a number (splitmix64), as a share from 0 to 1.
fn share(number: u64) -> f64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}
