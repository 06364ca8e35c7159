//! A file of history, straight into the lake.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bench::{Measurement, RUNS_MIN, Report, median, recording};

const TAXIS: &str = "gps/cabspotting_2008-05-20_21.csv.gz";
const TARGET: f64 = 1e6;

pub fn measure(report: &mut Report, binary: &Path) -> Result<()> {
    let Some(taxis) = recording(TAXIS) else {
        return Ok(());
    };
    let rates: Result<Vec<f64>> = (0..RUNS_MIN).map(|_| once(binary, &taxis)).collect();
    let rate = Measurement::rate(
        "import of the taxis, gzip CSV",
        median(rates?),
        "rows/s, wall clock",
    );
    report.add(rate.at_least(TARGET));
    Ok(())
}

/// Into a lake of its own; rows a second, as the command says them.
fn once(binary: &Path, file: &Path) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let output = Command::new(binary)
        .args(["import", "--format", "cabspotting", "--data-dir"])
        .arg(folder.path())
        .arg(file)
        .output()
        .with_context(|| format!("{} does not start", binary.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let rate = said
        .split('(')
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    rate.and_then(|text| text.parse().ok())
        .with_context(|| format!("no rate in: {said}"))
}
