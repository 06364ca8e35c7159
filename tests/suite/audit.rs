//! What the speed layer said, audited by the batch layer, and the views beside DuckDB.

use std::time::Duration;

use end_to_end::{Deployment, Platform, on_each_backend, python, read_lake, until};
use serde_json::Value;

use crate::windows::{MINUTES, recording, send, settled};

on_each_backend!(late_and_repeated_events_audit_to_nothing_unexplained_and_heal);

/// Within so long every window is closed, written and found.
const WITHIN: Duration = Duration::from_secs(120);

fn total(report: &Value, result: &str) -> u64 {
    let kinds = report["kinds"].as_array().expect("kinds");
    kinds
        .iter()
        .map(|kind| kind[result].as_u64().expect("a number"))
        .sum()
}

fn of_kind<'a>(report: &'a Value, kind: &str) -> &'a Value {
    let mut kinds = report["kinds"].as_array().expect("kinds").iter();
    kinds.find(|of| of["kind"] == kind).expect("every kind")
}

/// The audit once every minute but those of the last words was judged.
async fn audited(platform: &Platform, late: bool) -> Value {
    until(
        WITHIN,
        "an audit that finds nothing unexplained",
        || async {
            let report = platform.api.get_json("/api/audit?hours=1").await;
            let wrong = ["duplicate", "bug", "missing", "extra"];
            let wrong: u64 = wrong.iter().map(|result| total(&report, result)).sum();
            let city = of_kind(&report, "city");
            let judged = city["equal"].as_u64().unwrap_or(0) + city["late"].as_u64().unwrap_or(0);
            let is_done = wrong == 0 && judged >= MINUTES as u64;
            match is_done && late == (total(&report, "late") > 0) {
                true => Ok(report),
                false => Err(format!("{} {}", report["kinds"], report["findings"][0])),
            }
        },
    )
    .await
}

async fn late_and_repeated_events_audit_to_nothing_unexplained_and_heal(deployment: Deployment) {
    let deployment = deployment
        .with("CITYPULSE_BATCH__FLUSH_AGE_S", 1)
        .with("CITYPULSE_VIEWS__EVERY_S", 1);
    let platform = deployment.up(&["--no-generators"]).await;
    send(&platform, &recording()).await;
    settled(&platform).await;

    let report = audited(&platform, true).await;
    assert!(total(&report, "equal") > 500, "{report}");
    assert!(
        of_kind(&report, "city")["late"].as_u64() > Some(0),
        "{report}"
    );
    let metrics = platform.api.get("/metrics").await.text;
    assert!(
        metrics.contains("citypulse_audit_windows{kind=\"city\",result=\"late\"}"),
        "{metrics}"
    );

    let address = platform.api.url("");
    let arguments = ["--window", "1", "--heal", "--to", &address];
    let healed = deployment.run("audit", &arguments).await.expect_success();
    assert!(healed.contains("windows were said anew"), "{healed}");
    let report = audited(&platform, false).await;
    assert_eq!(total(&report, "late"), 0, "{report}");

    views_are_what_duckdb_computes(&deployment).await;
    let hours = platform
        .api
        .sql("SELECT DISTINCT hour FROM cell_hourly")
        .await;
    assert_eq!(hours.len(), 1, "half an hour and the last words: {hours:?}");
}

async fn views_are_what_duckdb_computes(deployment: &Deployment) {
    let Some(python) = python() else {
        return;
    };
    until(WITHIN, "a view that DuckDB agrees with", || async {
        let tables = ["cell_hourly", "gps_data", "vehicle_data"];
        let output = read_lake(
            &python,
            deployment,
            "views.py",
            tables.map(|table| deployment.table(table)),
        )
        .await;
        let said = String::from_utf8_lossy(&output.stdout);
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr))),
        }
    })
    .await;
}
