//! A server goes away and comes back: the platform says so, waits, and loses nothing.

use std::time::Duration;

use end_to_end::{Deployment, Platform, Server, Signal, fixtures, on_real_servers, until};
use reqwest::StatusCode;

on_real_servers!(
    stopped_redis_is_waited_for,
    stopped_kafka_is_waited_for,
    stopped_object_store_is_waited_for,
    frozen_redis_is_waited_for,
    servers_that_start_after_the_platform_are_waited_for,
);

/// How long the platform may take to notice either change.
const NOTICED_WITHIN: Duration = Duration::from_secs(45);

async fn becomes_unready(platform: &Platform) {
    until(NOTICED_WITHIN, "readiness to be false", || async {
        match platform.api.readiness().await {
            Ok(()) => Err("still ready"),
            Err(_) => Ok(()),
        }
    })
    .await;
    assert_eq!(
        platform.api.get("/livez").await.status,
        StatusCode::OK,
        "alive all the same"
    );
}

async fn becomes_ready(platform: &Platform) {
    until(NOTICED_WITHIN, "readiness to be true", || {
        platform.api.readiness()
    })
    .await;
}

/// Sends a batch until it is acknowledged. A batch that got no answer may have been
/// taken in all the same, so each attempt has ids of its own.
async fn ingest_stubbornly(platform: &Platform, next: &mut u64, count: u64) -> u64 {
    let api = &platform.api;
    let first = std::cell::Cell::new(*next);
    let acknowledged = until(NOTICED_WITHIN, "an acknowledged batch", || async {
        let events = fixtures::gps_batch(first.get(), count);
        let mine = first.replace(first.get() + count);
        match api.try_ingest("gps_data", &events).await {
            Ok(answer) if answer.status == StatusCode::ACCEPTED => Ok(mine),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    *next = first.get();
    acknowledged
}

/// Every event of the acknowledged batches is there, and none twice.
async fn assert_all_there_once(platform: &Platform, batches: &[u64], count: u64) {
    let rows = platform
        .api
        .sql("SELECT id, count(*) AS n FROM gps_data GROUP BY id")
        .await;
    let ids: std::collections::HashMap<&str, u64> = rows
        .iter()
        .map(|row| {
            (
                row["id"].as_str().expect("an id"),
                row["n"].as_u64().expect("a count"),
            )
        })
        .collect();
    for number in batches.iter().flat_map(|first| *first..first + count) {
        let id = fixtures::event_id(number);
        assert_eq!(ids.get(id.as_str()), Some(&1), "event {number}");
    }
}

async fn live_vehicles(platform: &Platform, count: usize) {
    until(NOTICED_WITHIN, "vehicles on the live map", || async {
        let vehicles = platform.api.get_json("/api/vehicles/locations").await;
        match vehicles.as_array().map(Vec::len) {
            Some(seen) if seen == count => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// What waits is counted, also where nothing can be stored.
async fn speed_layer_falls_behind(platform: &Platform) {
    until(NOTICED_WITHIN, "lag of the speed layer", || async {
        let metrics = platform.api.get("/metrics").await.text;
        let lags = metrics.lines().filter(|line| {
            line.starts_with("citypulse_lag_events{") && line.contains("topic=\"gps_data\"")
        });
        let lags: Vec<f64> = lags
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        match lags.iter().sum::<f64>() >= 100.0 {
            true => Ok(()),
            false => Err(format!("{lags:?}")),
        }
    })
    .await;
}

/// Before, during and after; `takes_events` says whether ingest goes on meanwhile.
async fn outage(deployment: Deployment, server: Server, takes_events: bool) {
    let platform = deployment.up(&["--no-generators"]).await;
    let servers = deployment.servers().expect("real servers");
    let mut next = 0;
    let mut batches = vec![ingest_stubbornly(&platform, &mut next, 100).await];
    live_vehicles(&platform, 10).await;

    servers.stop(server);
    becomes_unready(&platform).await;
    if takes_events {
        batches.push(ingest_stubbornly(&platform, &mut next, 100).await);
    }
    if matches!(server, Server::Redis) {
        speed_layer_falls_behind(&platform).await;
    }
    servers.start_again(server);
    becomes_ready(&platform).await;

    batches.push(ingest_stubbornly(&platform, &mut next, 100).await);
    live_vehicles(&platform, 10).await;
    assert_all_there_once(&platform, &batches, 100).await;
    let log = platform.process.output();
    assert!(!log.contains("panicked"), "{log}");
}

async fn stopped_redis_is_waited_for(deployment: Deployment) {
    outage(deployment, Server::Redis, true).await;
}

async fn stopped_kafka_is_waited_for(deployment: Deployment) {
    outage(deployment, Server::Kafka, false).await;
}

async fn stopped_object_store_is_waited_for(deployment: Deployment) {
    outage(deployment, Server::Minio, true).await;
}

async fn frozen_redis_is_waited_for(deployment: Deployment) {
    let platform = deployment.up(&["--no-generators"]).await;
    let servers = deployment.servers().expect("real servers");
    let mut next = 0;
    let mut batches = vec![ingest_stubbornly(&platform, &mut next, 100).await];
    servers.signal(Server::Redis, Signal::Stop);
    becomes_unready(&platform).await;
    batches.push(ingest_stubbornly(&platform, &mut next, 100).await);
    servers.signal(Server::Redis, Signal::Continue);
    becomes_ready(&platform).await;
    live_vehicles(&platform, 10).await;
    assert_all_there_once(&platform, &batches, 100).await;
}

async fn servers_that_start_after_the_platform_are_waited_for(deployment: Deployment) {
    let servers = deployment.servers().expect("real servers");
    for server in [Server::Kafka, Server::Redis, Server::Minio] {
        servers.stop(server);
    }
    let platform = deployment.up_unready("up", &["--no-generators"]);
    until(NOTICED_WITHIN, "an open door", || async {
        match platform.api.readiness().await {
            Err(said) if said.starts_with("503") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    until(
        NOTICED_WITHIN,
        "a log line that says what is missing",
        || async {
            let log = platform.process.output();
            match log.contains("is Kafka running there?") && log.contains("start Redis there") {
                true => Ok(()),
                false => Err(log),
            }
        },
    )
    .await;
    for server in [Server::Kafka, Server::Redis, Server::Minio] {
        servers.start_again(server);
    }
    let platform = platform.ready().await;
    platform
        .api
        .ingest("gps_data", &fixtures::gps_batch(0, 100))
        .await;
    assert_eq!(platform.api.count("gps_data").await, 100);
}
