//! Rules, from their writing until every speed layer goes by them.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::{Api, until};

const JSON: &str = "application/json";
const SOON: Duration = Duration::from_secs(60);
/// Devices that try the rule: enough that every partition has one.
const PROBES: u64 = 64;

/// Writes a rule about devices and waits until it is in force in every partition:
/// `probe` makes the event of a device that raises its alert, another at each call.
pub async fn put_in_force(
    api: &Api,
    rule: &Value,
    stream: &str,
    probe: impl Fn(&str, u64) -> Value,
) {
    // The rules are read once the topics exist, which may be after readiness.
    until(SOON, "the rule", || async {
        let answer = api
            .post("/api/rules?author=test", JSON, rule.to_string())
            .await;
        match answer.status {
            StatusCode::CREATED | StatusCode::CONFLICT => Ok(()),
            other => Err(format!("{other} {}", answer.text)),
        }
    })
    .await;
    let mut round = 0;
    until(SOON, "the rule to be in force", || {
        round += 1;
        let events: Vec<Value> = (0..PROBES)
            .map(|number| probe(&format!("probe-{number}"), round))
            .collect();
        async move {
            api.ingest(stream, &events).await;
            let alerts = api.get_json("/api/alerts?limit=1000").await;
            let alerts = alerts.as_array().expect("a list of alerts");
            let of_probes = alerts.iter().filter(|alert| {
                alert["rule"] == rule["id"]
                    && alert["subject"]
                        .as_str()
                        .is_some_and(|subject| subject.starts_with("probe-"))
            });
            match of_probes.count() as u64 {
                PROBES => Ok(()),
                raised => Err(format!("{raised} of {PROBES} probes")),
            }
        }
    })
    .await;
}
