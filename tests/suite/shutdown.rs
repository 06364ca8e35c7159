//! SIGTERM ends in good order.

use std::time::Duration;

use end_to_end::{Deployment, Signal, fixtures, on_each_backend, until};

on_each_backend!(terminated_platform_ends_within_5_s_and_loses_nothing);

async fn terminated_platform_ends_within_5_s_and_loses_nothing(deployment: Deployment) {
    let platform = deployment.up(&["--no-generators"]).await;
    for first in (0..2000).step_by(500) {
        platform
            .api
            .ingest("gps_data", &fixtures::gps_batch(first, 500))
            .await;
    }
    let code = platform.terminate(Duration::from_secs(5)).await;
    assert_eq!(code, 0);

    let platform = deployment.up(&["--no-generators"]).await;
    let row = platform
        .api
        .sql_row("SELECT count(*) AS n, count(DISTINCT id) AS ids FROM gps_data")
        .await;
    assert_eq!(
        (row["n"].as_u64(), row["ids"].as_u64()),
        (Some(2000), Some(2000))
    );
    until(
        Duration::from_secs(20),
        "the live map as before",
        || async {
            let vehicles = platform.api.get_json("/api/vehicles/locations").await;
            match vehicles.as_array().map(Vec::len) {
                Some(10) => Ok(()),
                other => Err(format!("{other:?} vehicles")),
            }
        },
    )
    .await;

    platform.kill();

    // Also with a city on it, and with a client that hangs on.
    let mut city = deployment.up(&[]).await;
    let mut client = end_to_end::Socket::connect(&city.api).await;
    client
        .next_of("city_analytics", Duration::from_secs(10))
        .await;
    city.process.signal(Signal::Terminate);
    let status = city.process.wait(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0));
}
