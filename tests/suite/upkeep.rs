//! Upkeep of the lake by hand, beside an instance that reads and writes it.

use std::time::Duration;

use chrono::Utc;
use end_to_end::{Deployment, Platform, fixtures, on_each_backend};
use serde_json::json;

use crate::exactly_once::{assert_each_once, lake_is_complete, places};

on_each_backend!(
    small_files_are_merged_beside_a_running_instance,
    old_dates_are_removed_by_retention_only,
);

/// Ingests some batches, each of them a commit.
async fn batches(platform: &Platform, count: u64) {
    for batch in 0..count {
        platform
            .api
            .ingest("gps_data", &fixtures::gps_batch(batch * 100, 100))
            .await;
        lake_is_complete(&platform.api).await;
    }
}

fn quick(deployment: Deployment) -> Deployment {
    deployment
        .with("CITYPULSE_BATCH__FLUSH_AGE_S", 0.2)
        .with("CITYPULSE_BATCH__FLUSH_IDLE_S", 0.1)
}

async fn small_files_are_merged_beside_a_running_instance(deployment: Deployment) {
    let deployment = quick(deployment);
    let platform = deployment.up(&["--no-generators"]).await;
    batches(&platform, 4).await;

    let dry = deployment
        .run("compact", &["--dry-run", "--table", "gps_data"])
        .await
        .expect_success();
    assert!(
        dry.starts_with("gps_data ") && dry.contains("files of"),
        "{dry}"
    );
    let merged = deployment.run("compact", &[]).await.expect_success();
    assert!(
        merged.contains("gps_data") && merged.contains("400 rows"),
        "{merged}"
    );
    let again = deployment.run("compact", &[]).await.expect_success();
    assert_eq!(again, "nothing to merge\n");

    assert_eq!(platform.api.count("gps_data").await, 400);
    platform
        .api
        .ingest("gps_data", &fixtures::gps_batch(400, 100))
        .await;
    assert_eq!(platform.api.count("gps_data").await, 500);
    lake_is_complete(&platform.api).await;
    if let Some(places) = places(&deployment, "gps_data").await {
        assert_each_once(&places);
        assert_eq!(places["rows"], 500);
    }

    let vacuum = deployment.run("vacuum", &["--retain-hours", "1"]).await;
    assert_eq!(vacuum.code(), 2, "a job may be reading: {vacuum:?}");
    assert!(vacuum.stderr.contains("--force"), "{vacuum:?}");
    let vacuum = deployment
        .run("vacuum", &["--retain-hours", "1", "--force"])
        .await;
    assert!(vacuum.stderr.contains("other processes"), "{vacuum:?}");
    let vacuum = vacuum.expect_success();
    assert!(
        vacuum.contains("gps_data: 0 files"),
        "they are not old enough: {vacuum}"
    );
    assert_eq!(platform.api.count("gps_data").await, 500);
}

async fn old_dates_are_removed_by_retention_only(deployment: Deployment) {
    let deployment = quick(deployment);
    let platform = deployment.up(&["--no-generators"]).await;
    let camera = |number: u64, days_ago: u64| {
        json!({
            "id": fixtures::event_id(number),
            "device_id": "cam-1",
            "camera_id": "cam-1",
            "timestamp": fixtures::rfc3339(Utc::now() - Duration::from_secs(days_ago * 86_400)),
            "location": [57.7, 11.97],
        })
    };
    let events = [camera(1, 100), camera(2, 89), camera(3, 0)];
    platform.api.ingest("traffic_camera_data", &events).await;
    lake_is_complete(&platform.api).await;

    let just_loaded = deployment.run("retention", &[]).await;
    assert!(just_loaded.stderr.contains("1 rows"), "{just_loaded:?}");
    let just_loaded = just_loaded.expect_success();
    assert_eq!(just_loaded, "no date is older than its retention\n");

    let dry = deployment
        .run("retention", &["--no-grace", "--dry-run"])
        .await
        .expect_success();
    assert!(
        dry.contains("traffic_camera_data: 1 dates") && dry.contains("1 rows"),
        "{dry}"
    );
    assert_eq!(platform.api.count("traffic_camera_data").await, 3);
    let removed = deployment
        .run("retention", &["--no-grace"])
        .await
        .expect_success();
    assert_eq!(removed, dry.replace("would be removed", "removed"));
    let again = deployment.run("retention", &[]).await.expect_success();
    assert_eq!(again, "no date is older than its retention\n");
    end_to_end::until(Duration::from_secs(20), "the instance sees it", || async {
        match platform.api.count("traffic_camera_data").await {
            2 => Ok(()),
            rows => Err(format!("{rows} rows")),
        }
    })
    .await;

    let rules = deployment.run("retention", &["--lifecycle"]).await;
    match deployment.servers() {
        Some(_) => {
            let rules: serde_json::Value =
                serde_json::from_str(&rules.expect_success()).expect("JSON");
            assert_eq!(
                rules["Rules"][0]["Filter"]["Prefix"],
                "lake/vehicle_data/date="
            );
        }
        None => {
            assert_eq!(rules.code(), 1);
            assert!(rules.stderr.contains("is a folder"), "{rules:?}");
        }
    }
}
