//! Values in Redis live as long as their kind says, counted from the newest data.

use std::process::Command;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use end_to_end::{Deployment, Platform, fixtures, on_real_servers, until};
use serde_json::{Value, json};

on_real_servers!(only_newer_data_prolongs_a_value);

const SOON: Duration = Duration::from_secs(60);
/// From an event's append to the look at its values, at most.
const WRITTEN_WITHIN_MS: i64 = 30_000;
/// Times to live are to the second.
const SECOND_MS: i64 = 1_000;

/// Kinds of which there is one, or one here, and how long they live, seconds.
const KINDS: [(&str, i64); 7] = [
    ("vehicle:location:car", 600),
    ("citypulse:vehicle:trail:car", 600),
    ("traffic:road:*", 300),
    ("emergency:incident:fire", 7_200),
    ("weather:current", 1_800),
    ("analytics:city:summary", 60),
    ("health:check", 300),
];
/// Those that follow from the newest message of one thing.
const LAST_KNOWN: [&str; 4] = [
    "vehicle:location:car",
    "citypulse:vehicle:trail:car",
    "emergency:incident:fire",
    "weather:current",
];

struct Redis(String);

impl Redis {
    fn of(deployment: &Deployment) -> Self {
        let environment = deployment.environment().into_iter();
        let mut urls = environment.filter(|(name, _)| name == "CITYPULSE_REDIS__URL");
        Self(urls.next().expect("the stack names its Redis").1)
    }

    fn ask(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-u", &self.0, "--raw"])
            .args(command)
            .output()
            .expect("redis-cli starts");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// When the first key of that pattern ends.
    fn left(&self, pattern: &str) -> Result<Left, String> {
        let keys = self.ask(&["keys", pattern]);
        let key = keys.lines().next().ok_or(format!("no {pattern}"))?;
        match self.ask(&["pttl", key]).parse() {
            Ok(left_ms) if left_ms > 0 => Ok(Left {
                left_ms,
                at: Instant::now(),
            }),
            other => Err(format!("{key} lives for {other:?}")),
        }
    }
}

/// How long a value still lived at a moment.
#[derive(Clone, Copy, Debug)]
struct Left {
    left_ms: i64,
    at: Instant,
}

impl Left {
    /// By how much it lives longer than was told before.
    fn gained_ms(self, before: Left) -> i64 {
        self.left_ms - before.left_ms + (self.at - before.at).as_millis() as i64
    }
}

struct City {
    platform: Platform,
    redis: Redis,
    began: chrono::DateTime<Utc>,
}

impl City {
    /// A message of each thing, `second` seconds after the first ones.
    async fn say(&self, second: i64) {
        let timestamp = fixtures::rfc3339(self.began + TimeDelta::seconds(second));
        let message = |device: &str, more: Value| {
            let mut message = json!({
                "id": format!("{device}-{second}"), "device_id": device, "timestamp": timestamp,
                "location": [57.69, 11.934],
            });
            let fields = message.as_object_mut().expect("an object");
            fields.extend(more.as_object().expect("an object").clone());
            message
        };
        let car = message("car", json!({"speed": 30.0, "direction": 90.0}));
        let fire = json!({"incidentId": "fire", "incident_type": "Fire", "status": "Active"});
        let rain = json!({"temperature": 8.0, "weather_condition": "Rain"});
        let api = &self.platform.api;
        api.ingest("vehicle_data", &[car]).await;
        api.ingest("emergency_incident_data", &[message("post", fire)])
            .await;
        api.ingest("weather_data", &[message("station", rain)])
            .await;
    }

    /// Everything that was appended is in Redis.
    async fn is_written(&self) {
        until(SOON, "no lag of the speed layer", || async {
            let rows = self.platform.api.get_json("/api/lag").await;
            let rows = rows.as_array().expect("a list").iter();
            let behind = rows.filter(|row| row["layer"] == "speed" && row["lag_events"] != 0);
            match behind.count() {
                0 => Ok(()),
                count => Err(format!("{count} partitions")),
            }
        })
        .await;
    }

    async fn left(&self, pattern: &str) -> Left {
        until(SOON, pattern, || async { self.redis.left(pattern) }).await
    }
}

async fn only_newer_data_prolongs_a_value(deployment: Deployment) {
    let deployment = deployment.on_simple_streets();
    let city = City {
        redis: Redis::of(&deployment),
        platform: deployment.up(&["--no-generators"]).await,
        began: Utc::now() - TimeDelta::seconds(60),
    };
    city.say(0).await;
    for (pattern, seconds) in KINDS {
        let Left { left_ms, .. } = city.left(pattern).await;
        let most_ms = seconds * SECOND_MS;
        assert!(
            (most_ms - WRITTEN_WITHIN_MS..=most_ms).contains(&left_ms),
            "{pattern} lives for {left_ms} of {most_ms} ms"
        );
    }

    // By now it would be seen if anything prolonged them.
    until(SOON, "values to be some seconds old", || async {
        let left = city.redis.left("vehicle:location:car")?;
        match left.left_ms <= 597 * SECOND_MS {
            true => Ok(()),
            false => Err(format!("{left:?}")),
        }
    })
    .await;
    let mut before = Vec::new();
    for pattern in LAST_KNOWN {
        before.push((pattern, city.left(pattern).await));
    }
    // Older, said again, and not to be believed.
    city.say(-20).await;
    city.say(0).await;
    let nowhere = json!({
        "id": "nowhere", "device_id": "car", "timestamp": fixtures::rfc3339(Utc::now()),
        "location": [0.0, 0.0], "speed": 30.0,
    });
    city.platform.api.ingest("vehicle_data", &[nowhere]).await;
    let path = "/api/vehicles/car";
    until(SOON, "the bad fix to be told", || async {
        let car = city.platform.api.get_json(path).await;
        match &car["bad_fixes"]["reason"] {
            Value::String(reason) if reason == "null_island" => Ok(()),
            _ => Err(car.to_string()),
        }
    })
    .await;
    city.is_written().await;
    for (pattern, before) in &before {
        let gained_ms = city.left(pattern).await.gained_ms(*before);
        assert!(
            gained_ms <= SECOND_MS + 200,
            "{pattern} lives {gained_ms} ms longer"
        );
    }
    city.say(20).await;
    for (pattern, before) in before {
        until(SOON, &format!("{pattern} to live longer"), || async {
            let gained_ms = city.redis.left(pattern)?.gained_ms(before);
            match gained_ms > SECOND_MS + 200 {
                true => Ok(()),
                false => Err(format!("{gained_ms} ms gained")),
            }
        })
        .await;
    }
}
