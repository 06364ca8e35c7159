//! Two days of a real taxi fleet.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use end_to_end::{Deployment, on_each_backend, python, read_lake, recording, until};
use flate2::read::GzDecoder;

on_each_backend!(every_fix_of_the_taxis_arrives_once_and_other_readers_agree);

/// Newest fix per cab: time (unix s), latitude, longitude. Of two with the same time
/// the later row counts.
fn newest_fixes(file: &Path) -> HashMap<String, (i64, f64, f64)> {
    let input = GzDecoder::new(std::fs::File::open(file).expect("the recording opens"));
    let mut newest: HashMap<String, (i64, f64, f64)> = HashMap::new();
    for row in csv::Reader::from_reader(input).records() {
        let row = row.expect("a row");
        let number = |column: usize| row[column].parse::<f64>().expect("a number");
        let fix = (number(1) as i64, number(2), number(3));
        let known = newest.entry(row[0].to_owned()).or_insert(fix);
        if fix.0 >= known.0 {
            *known = fix;
        }
    }
    newest
}

async fn every_fix_of_the_taxis_arrives_once_and_other_readers_agree(deployment: Deployment) {
    let Some(file) = recording("gps/cabspotting_2008-05-20_21.csv.gz") else {
        return;
    };
    let platform = deployment.up(&["--no-generators"]).await;
    let api = &platform.api;
    let path = file.display().to_string();
    let door = api.url("");
    let replayed = deployment
        .run(
            "replay",
            &[
                "--format",
                "cabspotting",
                &path,
                "--speed",
                "max",
                "--to",
                &door,
            ],
        )
        .await;
    replayed.expect_success();
    let row = api
        .sql_row("SELECT count(*) AS n, count(DISTINCT device_id) AS cabs FROM gps_data")
        .await;
    assert_eq!(
        (row["n"].as_u64(), row["cabs"].as_u64()),
        (Some(890_071), Some(503))
    );

    let expected = newest_fixes(&file);
    until(
        Duration::from_secs(120),
        "the newest fix of every cab on the live map",
        || async {
            let items = api.get_json("/api/vehicles/locations?limit=10000").await;
            let items = items.as_array().expect("a bare array");
            let mut wrong = expected.len();
            let mut example = String::new();
            for item in items {
                let cab = item["vehicle_id"].as_str().expect("an id");
                let (_, latitude, longitude) = expected[cab];
                let near = |member: &str, value: f64| {
                    (item[member].as_f64().unwrap_or(f64::MAX) - value).abs() < 1e-9
                };
                if near("latitude", latitude) && near("longitude", longitude) {
                    wrong -= 1;
                } else {
                    example = format!("{item} instead of {:?}", expected[cab]);
                }
            }
            if wrong == 0 {
                Ok(())
            } else {
                Err(format!("{wrong} cabs wrong or missing: {example}"))
            }
        },
    )
    .await;
    lake_counts_agree(&deployment, 890_071).await;
}

/// DuckDB with its delta extension and the deltalake package, once the batch layer has
/// written all.
async fn lake_counts_agree(deployment: &Deployment, expected: u64) {
    let Some(python) = python() else {
        return;
    };
    until(
        Duration::from_secs(120),
        "the same count by other readers",
        || async {
            let output = read_lake(
                &python,
                deployment,
                "count_rows.py",
                [deployment.table("gps_data")],
            )
            .await;
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            if said
                .lines()
                .all(|line| line.ends_with(&format!(" {expected}")))
                && said.lines().count() == 2
            {
                return Ok(());
            }
            Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr)))
        },
    )
    .await;
}
