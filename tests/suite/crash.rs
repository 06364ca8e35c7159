//! `kill -9` in the middle of taking events in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use end_to_end::{Api, Deployment, fixtures, on_each_backend, until};
use reqwest::StatusCode;

on_each_backend!(acknowledged_events_survive_kill_exactly_once);

const ROUNDS: u64 = 3;
const EVENTS_PER_REQUEST: u64 = 100;
/// How many requests are acknowledged before each kill.
const REQUESTS_PER_ROUND: u64 = 15;

/// Sends batches numbered from `next` until the platform is gone; returns the numbers
/// of the first events of those batches that were acknowledged.
async fn send_until_gone(api: Api, next: u64, acknowledged: &AtomicU64) -> Vec<u64> {
    let mut first = next;
    let mut kept = Vec::new();
    loop {
        let events = fixtures::gps_batch(first, EVENTS_PER_REQUEST);
        let Ok(answer) = api.try_ingest("gps_data", &events).await else {
            return kept;
        };
        if answer.status == StatusCode::ACCEPTED {
            kept.push(first);
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        first += EVENTS_PER_REQUEST;
    }
}

async fn acknowledged_events_survive_kill_exactly_once(deployment: Deployment) {
    let mut kept = Vec::new();
    for round in 0..ROUNDS {
        let platform = deployment.up(&["--no-generators"]).await;
        let acknowledged = AtomicU64::new(0);
        let sending = send_until_gone(platform.api.clone(), round * 1_000_000, &acknowledged);
        let killing = async {
            until(Duration::from_secs(60), "acknowledged requests", || async {
                let count = acknowledged.load(Ordering::Relaxed);
                if count >= REQUESTS_PER_ROUND {
                    Ok(())
                } else {
                    Err(format!("{count}"))
                }
            })
            .await;
            platform.kill();
        };
        let (sent, ()) = tokio::join!(sending, killing);
        kept.extend(sent);
    }

    let platform = deployment.up(&["--no-generators"]).await;
    let rows = platform
        .api
        .sql("SELECT id, count(*) AS n FROM gps_data GROUP BY id")
        .await;
    let present: std::collections::HashSet<&str> = rows
        .iter()
        .map(|row| {
            assert_eq!(row["n"], 1, "an event is there more than once: {row}");
            row["id"].as_str().expect("an id")
        })
        .collect();
    assert!(kept.len() as u64 >= ROUNDS * REQUESTS_PER_ROUND);
    for number in kept
        .into_iter()
        .flat_map(|first| first..first + EVENTS_PER_REQUEST)
    {
        assert!(
            present.contains(fixtures::event_id(number).as_str()),
            "event {number} was acknowledged and is lost"
        );
    }
}
