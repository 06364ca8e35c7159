//! A fence from its drawing to its removal, on every speed layer and through `kill -9`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use end_to_end::{Api, Deployment, Process, Roles, fixtures, on_real_servers, until};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

on_real_servers!(a_fence_is_watched_by_every_speed_layer);

/// Enough that every partition has some.
const DEVICES: u64 = 64;
/// The log gives a killed one's partitions away when its session has timed out (10 s).
const SOON: Duration = Duration::from_secs(60);
const JSON: &str = "application/json";

/// Vehicles that are driven in and out of the fence, a second further with each fix.
struct Drive {
    api: Api,
    began: DateTime<Utc>,
    second: AtomicI64,
}

impl Drive {
    /// A fix of each device, inside or half a kilometre away.
    async fn all(&self, inside: bool) {
        let second = self.second.fetch_add(1, Ordering::Relaxed);
        let time = self.began + TimeDelta::seconds(second);
        let latitude = if inside { 57.2 } else { 57.205 };
        let fixes: Vec<Value> = (0..DEVICES)
            .map(|device| {
                json!({
                    "id": format!("{device}-{second}"), "device_id": format!("van-{device}"),
                    "timestamp": fixtures::rfc3339(time), "location": [latitude, 12.5],
                    "speed": 30.0, "vehicle_type": "van",
                })
            })
            .collect();
        self.api.ingest("gps_data", &fixes).await;
    }

    /// The last word about each device. It enters and leaves in turn: nothing is there
    /// twice, nothing is left out.
    async fn last_words(&self) -> BTreeMap<String, String> {
        let steps = self
            .api
            .sql(
                "SELECT subject, rule, timestamp FROM alerts \
                 WHERE rule IN ('geofence-enter', 'geofence-exit') AND status = 'raised' \
                 ORDER BY subject, timestamp, log_offset",
            )
            .await;
        let mut last = BTreeMap::new();
        for step in &steps {
            let text = |name: &str| step[name].as_str().expect("a text").to_owned();
            let before = last.insert(text("subject"), text("rule"));
            let before = before.as_deref().unwrap_or("geofence-exit");
            assert_ne!(before, text("rule"), "{step} in {steps:?}");
        }
        last
    }

    /// Waits until the last word about each device is this rule's. With `driving` they
    /// stay inside meanwhile, and say so.
    async fn all_say(&self, rule: &str, driving: bool) {
        until(SOON, &format!("{rule} of every device"), || async {
            if driving {
                self.all(true).await;
            }
            let last = self.last_words().await;
            match last.values().filter(|last| *last == rule).count() as u64 {
                DEVICES => Ok(()),
                devices => Err(format!("{devices} of {DEVICES}")),
            }
        })
        .await;
    }
}

async fn a_fence_is_watched_by_every_speed_layer(deployment: Deployment) {
    let mut roles = Roles::start(&deployment, 2).await;
    let api = roles.api();
    until(SOON, "both speed layers to have partitions", || async {
        let has = |layer| {
            let process: Option<&Process> = roles.speed(layer);
            process.is_some_and(|process| process.output().contains("took over partitions"))
        };
        (has(0) && has(1)).then_some(()).ok_or("not yet")
    })
    .await;
    let fence = json!({
        "id": "yard", "name": "Yard", "vehicle_types": ["van"],
        "shape": {"type": "circle", "center": [12.5, 57.2], "radius_m": 200},
    });
    let answer = api.post("/api/fences", JSON, fence.to_string()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);

    let drive = Drive {
        api: api.clone(),
        began: Utc::now() - TimeDelta::minutes(10),
        second: AtomicI64::new(0),
    };
    let drawn = Instant::now();
    drive.all_say("geofence-enter", true).await;
    println!("watched by every speed layer after {:.1?}", drawn.elapsed());
    // The other one knows who was inside.
    roles.kill(0);
    drive.all(false).await;
    drive.all_say("geofence-exit", false).await;
    drive.all(true).await;
    drive.all_say("geofence-enter", false).await;

    let removed = api
        .request(Method::DELETE, "/api/fences/yard", &[], "")
        .await
        .expect("an answer");
    assert!(removed.status.is_success(), "{}", removed.text);
    // Nobody says anything more: what went on there is over all the same.
    until(SOON, "no alert of the removed fence", || async {
        let active = api.get_json("/api/alerts?status=active&limit=1000").await;
        let alerts = active.as_array().expect("a list").iter();
        let fenced = alerts.filter(|alert| {
            alert["rule"]
                .as_str()
                .is_some_and(|rule| rule.starts_with("geofence"))
        });
        match fenced.count() {
            0 => Ok(()),
            left => Err(format!("{left} left")),
        }
    })
    .await;
    drive.all(true).await;
    let cleared = api
        .sql(
            "SELECT count(*) AS n, count(DISTINCT id) AS steps, count(DISTINCT alert_id) AS alerts \
             FROM alerts WHERE rule = 'geofence-enter' AND status = 'cleared' AND message LIKE 'no longer%'",
        )
        .await;
    let devices = json!({"n": DEVICES, "steps": DEVICES, "alerts": DEVICES});
    assert_eq!(
        cleared,
        [devices],
        "each once, and nobody entered or left again"
    );
    assert_eq!(drive.last_words().await.len() as u64, DEVICES);
}
