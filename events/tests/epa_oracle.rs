//! The index agrees with EPA's own, as published beside daily measurements.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use events::aqi::{Pollutant, index_of};
use flate2::read::GzDecoder;

/// A file of EPA's AirData, from `$CITYPULSE_REALDATA/air` or
/// `../shared/data/air` beside the repository.
fn daily_file(name: &str) -> Option<Box<dyn Read>> {
    let beside = PathBuf::from("../../shared/data");
    let folder = std::env::var_os("CITYPULSE_REALDATA").map_or(beside, PathBuf::from);
    let path = folder.join("air").join(name);
    let Ok(file) = File::open(&path) else {
        eprintln!(
            "SKIPPED: {} is missing; set CITYPULSE_REALDATA to the recordings' folder",
            path.display()
        );
        return None;
    };
    Some(match name.ends_with(".gz") {
        true => Box::new(GzDecoder::new(file)),
        false => Box::new(file),
    })
}

/// Compares every day up to `concentration_max`; returns how many there were.
fn compare(name: &str, pollutant: Pollutant, concentration_max: f64) -> Option<usize> {
    let mut rows = csv::Reader::from_reader(daily_file(name)?);
    let header = rows.headers().expect("a header").clone();
    let column = |part: &str| {
        let mut names = header.iter();
        names
            .position(|name| name.to_lowercase().replace('_', " ").contains(part))
            .unwrap_or_else(|| panic!("{name} has no column {part:?}: {header:?}"))
    };
    let (concentration, index) = (column("concentration"), column("aqi value"));
    let mut days = 0;
    for row in rows.records() {
        let row = row.expect("a row");
        let measured: f64 = row[concentration].parse().expect("a concentration");
        if measured > concentration_max {
            continue;
        }
        let expected: u32 = row[index].parse().expect("an index");
        let got = index_of(pollutant, measured);
        assert_eq!(got, Some(expected), "{name}: {row:?}");
        days += 1;
    }
    Some(days)
}

#[test]
fn fine_particles_of_new_york_2022_with_the_new_breakpoints() {
    if let Some(days) = compare("epa_pm25_2022_newBP.csv", Pollutant::Pm25, f64::MAX) {
        assert!(days > 13_000, "{days}");
    }
}

/// Published with the breakpoints of before 2024, which are the same up to 424
/// ug/m3.
#[test]
fn particles_of_california_2019() {
    if let Some(days) = compare("epa_pm10_california_2019.csv.gz", Pollutant::Pm10, 424.0) {
        assert!(days > 10_000, "{days}");
    }
}

#[test]
fn ozone_of_the_bronx_2018() {
    if let Some(days) = compare("epa_o3_2018.csv", Pollutant::Ozone8h, f64::MAX) {
        assert!(days > 350, "{days}");
    }
}
