//! Sends a fleet's events, and compares what became of them with what should have.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::fixtures::rfc3339;
use crate::fleet::{FAST_KMH, FAST_NO_MORE_KMH};
use crate::{Api, Deployment, Fleet, Roles, put_in_force, python, read_lake, until};

/// Events of one request.
const BATCH: u64 = 1000;
/// Requests between two readings of the stations.
const WEATHER_EVERY: u64 = 20;
const STATIONS: u64 = 5;
/// Devices that close what is open: enough that every partition has one.
const CLOSING: u64 = 64;
/// How long the windows may take to be closed, written and committed.
const AGREES_WITHIN: Duration = Duration::from_secs(180);
const NDJSON: [(&str, &str); 1] = [("content-type", "application/x-ndjson")];

/// A fleet under way.
#[derive(Debug)]
pub struct Load {
    sent: Arc<AtomicU64>,
    sender: JoinHandle<()>,
    began: Instant,
}

impl Load {
    /// Puts the fleet's rule in force, then begins to send `total` events at no more
    /// than `per_second`. A request that is not acknowledged is sent again, so some
    /// events are in the log twice.
    pub async fn start(
        fleet: Fleet,
        total: u64,
        per_second: u64,
        door: watch::Receiver<Api>,
    ) -> Load {
        let api = door.borrow().clone();
        let probe = |device: &str, round| fleet.rule_breaker(device, round);
        put_in_force(&api, &Fleet::rule(), "gps_data", probe).await;
        let sent = Arc::new(AtomicU64::new(0));
        let sender = tokio::spawn(send(fleet, total, per_second, door, sent.clone()));
        Load {
            sent,
            sender,
            began: Instant::now(),
        }
    }

    /// Waits until that many events are acknowledged.
    pub async fn reached(&self, events: u64) {
        until(
            Duration::from_secs(600),
            &format!("{events} acknowledged events"),
            || async {
                assert!(
                    !self.sender.is_finished() || self.sent() >= events,
                    "the load ended early"
                );
                match self.sent() {
                    sent if sent >= events => Ok(()),
                    sent => Err(sent),
                }
            },
        )
        .await;
    }

    /// How many events are acknowledged.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until all are; how many there were a second.
    pub async fn finished(self) -> f64 {
        self.sender.await.expect("the load is sent");
        self.sent.load(Ordering::Relaxed) as f64 / self.began.elapsed().as_secs_f64()
    }
}

async fn send(
    fleet: Fleet,
    total: u64,
    per_second: u64,
    mut door: watch::Receiver<Api>,
    sent: Arc<AtomicU64>,
) {
    let mut pace = tokio::time::interval(Duration::from_secs_f64(BATCH as f64 / per_second as f64));
    for number in 0..total / BATCH {
        pace.tick().await;
        if number.is_multiple_of(WEATHER_EVERY) {
            let body = fleet.weather(number * BATCH, STATIONS);
            deliver(&mut door, "weather_data", body).await;
        }
        deliver(&mut door, "gps_data", fleet.gps(number * BATCH, BATCH)).await;
        sent.fetch_add(BATCH, Ordering::Relaxed);
    }
}

/// Sends a body until it is acknowledged.
async fn deliver(door: &mut watch::Receiver<Api>, topic: &str, body: String) {
    let path = format!("/api/ingest/{topic}");
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    loop {
        pause.tick().await;
        let api = door.borrow_and_update().clone();
        let answer = api
            .request(Method::POST, &path, &NDJSON, body.clone())
            .await;
        match answer {
            Ok(answer) if answer.status == StatusCode::ACCEPTED => {
                assert_eq!(answer.json()["rejected"], 0, "{}", answer.text);
                return;
            }
            Ok(answer) => assert!(
                answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS,
                "{} {}",
                answer.status,
                answer.text
            ),
            // Killed, or not up yet.
            Err(_) => {}
        }
    }
}

/// Closes the fleet's windows, waits for both layers, and compares windows, positions
/// and alerts with what DuckDB makes of the events in the lake.
pub async fn agrees_with_duckdb(deployment: &Deployment, roles: &Roles, fleet: &Fleet) {
    let Some(python) = python() else {
        return;
    };
    let check = Check {
        python,
        deployment,
        roles,
        fleet,
    };
    let round = AtomicU64::new(0);
    let said = until(AGREES_WITHIN, "DuckDB's word for it", || async {
        for stream in ["gps_data", "weather_data"] {
            let body = fleet.closing(stream, CLOSING, round.fetch_add(1, Ordering::Relaxed));
            deliver(&mut roles.address(), stream, body).await;
        }
        check.run().await
    })
    .await;
    println!("{said}");
}

struct Check<'a> {
    python: OsString,
    deployment: &'a Deployment,
    roles: &'a Roles,
    fleet: &'a Fleet,
}

impl Check<'_> {
    async fn run(&self) -> Result<String, String> {
        for layer in ["batch", "speed"] {
            self.roles.caught_up(layer).await;
        }
        let live = json!({
            "vehicles": self.roles.api().get_json("/api/vehicles/locations?limit=10000").await,
            "windows": self.windows().await,
        });
        let file = self.deployment.scratch().join("live.json");
        std::fs::write(&file, live.to_string()).expect("a file of our own");
        let table = self.deployment.table("windows");
        let lake = table.strip_suffix("/windows").expect("a table of the lake");
        let arguments = [
            lake.to_owned(),
            file.display().to_string(),
            "60".to_owned(),
            FAST_KMH.to_string(),
            FAST_NO_MORE_KMH.to_string(),
        ];
        let output = read_lake(&self.python, self.deployment, "speed_layer.py", arguments).await;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match output.status.success() {
            true => Ok(said),
            false => Err(format!(
                "{said}\n{}",
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    }

    /// What the door says of the windows of each kind, in every size.
    async fn windows(&self) -> Value {
        let api = self.roles.api();
        // Some events are minutes older than the fleet.
        let from = rfc3339(self.fleet.began - TimeDelta::hours(1));
        let mut kinds = json!({});
        for kind in ["city", "cell", "segment", "station"] {
            for size in ["1m", "5m", "15m", "5m/1m"] {
                let path = format!("/api/windows/{kind}?size={size}&from={from}&limit=10000");
                kinds[kind][size] = api.get_json(&path).await;
            }
        }
        kinds
    }
}
