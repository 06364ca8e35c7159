//! The windows of one minute against an independent computation of them.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use end_to_end::{Deployment, Platform, fixtures, on_each_backend, python, read_lake, until};
use serde_json::{Value, json};

on_each_backend!(every_pane_is_what_duckdb_computes_from_the_fixes);

/// What the speed layer waits for late fixes, unless it is told otherwise.
const LATENESS_S: i64 = 60;

/// Enough to reach every partition of both topics.
const DEVICES: u64 = 48;

const FIX_EVERY_S: i64 = 10;
pub(crate) const MINUTES: i64 = 30;

/// Fixes sent in one request.
const AT_ONCE: usize = 400;

/// A repeatable source of chances (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn percent(&mut self, share: u64) -> bool {
        self.next() % 100 < share
    }

    fn up_to(&mut self, most: i64) -> i64 {
        (self.next() % (most.unsigned_abs() + 1)) as i64
    }
}

/// A fix and when it is sent, both in seconds of the recording.
pub(crate) struct Sent {
    sent_s: i64,
    topic: &'static str,
    event: Value,
}

pub(crate) fn start() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2024-05-01T08:00:00Z")
        .expect("a time")
        .to_utc()
}

fn topic_of(device: u64) -> &'static str {
    ["gps_data", "vehicle_data"][(device % 2) as usize]
}

/// A vehicle that drives north at its own speed, slowly enough for any vehicle.
fn fix(device: u64, second: i64, number: u64) -> Value {
    let speed_kmh = 10.0 + (device * 7 % 50) as f64 + (second / 60 % 5) as f64 * 0.7;
    let driven_m = (10.0 + (device * 7 % 50) as f64) / 3.6 * second as f64;
    let time = start() + TimeDelta::seconds(second);
    json!({
        "id": fixtures::event_id(number),
        "device_id": format!("car-{device:03}"),
        "timestamp": fixtures::rfc3339(time),
        "location": [57.60 + device as f64 * 0.002 + driven_m / 111_200.0, 11.80 + device as f64 * 0.006],
        "speed": speed_kmh,
        "direction": 0.0,
        "vehicle_type": "taxi",
    })
}

/// Half an hour of a fleet, in the order in which it is sent: most fixes at once, some
/// out of order but in time, some minutes late, some twice, some without a position.
pub(crate) fn recording() -> Vec<Sent> {
    let mut chance = Chance(7);
    let mut sent = Vec::new();
    let mut number = 0;
    for second in (0..MINUTES * 60).step_by(FIX_EVERY_S as usize) {
        for device in 0..DEVICES {
            number += 1;
            let mut event = fix(device, second, number);
            let delay_s = match () {
                () if chance.percent(2) => 130 + chance.up_to(240),
                () if chance.percent(15) => chance.up_to(55),
                () => 0,
            };
            if chance.percent(1) {
                event["location"] = json!([0, 0]);
            }
            let topic = topic_of(device);
            let sent_s = second + delay_s;
            if chance.percent(3) {
                let again_s = sent_s + chance.up_to(200);
                sent.push(Sent {
                    sent_s: again_s,
                    topic,
                    event: event.clone(),
                });
            }
            sent.push(Sent {
                sent_s,
                topic,
                event,
            });
        }
    }
    // The last word of each device, long after: every earlier window is over.
    for device in 0..DEVICES {
        number += 1;
        let second = (MINUTES + 10) * 60;
        let mut event = fix(device, MINUTES * 60, number);
        event["timestamp"] = fixtures::rfc3339(start() + TimeDelta::seconds(second)).into();
        sent.push(Sent {
            sent_s: second,
            topic: topic_of(device),
            event,
        });
    }
    // Stable: what is sent in the same second keeps its order.
    sent.sort_by_key(|sent| sent.sent_s);
    sent
}

pub(crate) async fn send(platform: &Platform, recording: &[Sent]) {
    for batch in recording.chunks(AT_ONCE) {
        for topic in ["gps_data", "vehicle_data"] {
            let events: Vec<Value> = batch
                .iter()
                .filter(|sent| sent.topic == topic)
                .map(|sent| sent.event.clone())
                .collect();
            platform.api.ingest(topic, &events).await;
        }
    }
}

/// Waits until no layer has anything more to do.
pub(crate) async fn settled(platform: &Platform) {
    until(
        Duration::from_secs(120),
        "both layers at the log's end",
        || async {
            let lag = platform.api.get_json("/api/lag").await;
            let rows = lag.as_array().expect("rows");
            let waiting: i64 = rows
                .iter()
                .filter(|row| row["topic"] != "windows")
                .map(|row| row["lag_events"].as_i64().unwrap_or(i64::MAX / 1024))
                .sum();
            let appended: i64 = rows.iter().filter_map(|row| row["end"].as_i64()).sum();
            match (waiting, appended) {
                (0, 1..) => Ok(()),
                _ => Err(lag.to_string()),
            }
        },
    )
    .await;
}

type Panes = BTreeMap<(String, String, i64), Value>;

/// By kind, key and start in seconds since the epoch.
fn by_place(rows: Vec<Value>) -> Panes {
    let place = |row: &Value| {
        let text = |name: &str| row[name].as_str().expect("a text").to_owned();
        (
            text("kind"),
            text("key"),
            row["start"].as_i64().expect("a start"),
        )
    };
    rows.into_iter().map(|row| (place(&row), row)).collect()
}

/// The panes that DuckDB computes from the fixes in the lake.
async fn computed(deployment: &Deployment, python: &std::ffi::OsString) -> Panes {
    let output = {
        let tables = ["gps_data", "vehicle_data"].map(|table| deployment.table(table));
        let arguments = [LATENESS_S.to_string()].into_iter().chain(tables);
        read_lake(python, deployment, "windows.py", arguments).await
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    println!("{said}");
    let lines = String::from_utf8_lossy(&output.stdout);
    let rows = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    by_place(rows.collect())
}

/// The panes that the speed layer closed, from the table that records them.
async fn closed(platform: &Platform) -> Panes {
    let rows = platform
        .api
        .sql(
            "SELECT kind, key, CAST(date_part('epoch', timestamp) AS BIGINT) AS start, \
             count, mean, min, max, p50, p90, p99, vehicles, id \
             FROM windows WHERE kind IN ('city', 'cell') ORDER BY log_partition, log_offset",
        )
        .await;
    // Of a window that was corrected the last word counts: a partition that had been
    // read to its end went on.
    let ids: HashSet<String> = rows.iter().map(|row| row["id"].to_string()).collect();
    let panes = by_place(rows);
    assert_eq!(panes.len(), ids.len(), "a window has two ids");
    panes
}

/// Exact where figures are exact; quantiles within the sketch's 1 %.
fn difference(expected: &Value, got: &Value) -> Option<String> {
    let number = |pane: &Value, name: &str| pane[name].as_f64().unwrap_or(f64::NAN);
    let tolerances = [
        ("count", 0.0),
        ("vehicles", 0.0),
        ("min", 0.0),
        ("max", 0.0),
        ("mean", 1e-9),
        ("p50", 0.0101),
        ("p90", 0.0101),
        ("p99", 0.0101),
    ];
    tolerances.into_iter().find_map(|(name, tolerance)| {
        let (expected, got) = (number(expected, name), number(got, name));
        let is_same = (expected - got).abs() <= tolerance * expected.abs();
        (!is_same).then(|| format!("{name} is {got} instead of {expected}"))
    })
}

async fn every_pane_is_what_duckdb_computes_from_the_fixes(deployment: Deployment) {
    let Some(python) = python() else {
        return;
    };
    let deployment = deployment.with("CITYPULSE_BATCH__FLUSH_AGE_S", 1);
    let platform = deployment.up(&["--no-generators"]).await;
    let recording = recording();
    send(&platform, &recording).await;
    settled(&platform).await;

    let expected = computed(&deployment, &python).await;
    // The windows of the last words are still open.
    let last_start_s = (start() + TimeDelta::minutes(MINUTES + 10)).timestamp();
    let expected: Panes = expected
        .into_iter()
        .filter(|((.., start_s), _)| *start_s < last_start_s)
        .collect();
    let cells = expected.keys().filter(|(kind, ..)| kind == "cell").count();
    assert!(
        expected.len() - cells >= MINUTES as usize && cells > 500,
        "{cells} cells"
    );

    until(
        Duration::from_secs(60),
        "every window closed as computed",
        || async {
            let got = closed(&platform).await;
            for (place, pane) in &expected {
                let Some(found) = got.get(place) else {
                    return Err(format!(
                        "{} of {} closed, {place:?} is not",
                        got.len(),
                        expected.len()
                    ));
                };
                if let Some(difference) = difference(pane, found) {
                    return Err(format!("{place:?}: {difference}"));
                }
            }
            match got.keys().find(|place| !expected.contains_key(*place)) {
                Some(place) => Err(format!("{place:?} has no fixes")),
                None => Ok(()),
            }
        },
    )
    .await;
    larger_windows_follow(&platform, &expected).await;
}

/// The door serves the same panes, and windows of five minutes that are made of them.
async fn larger_windows_follow(platform: &Platform, expected: &Panes) {
    let span = format!(
        "from={}&to={}",
        fixtures::rfc3339(start()),
        fixtures::rfc3339(start() + TimeDelta::minutes(MINUTES))
    );
    for (size, minutes) in [("1m", 1), ("5m", 5), ("15m", 15)] {
        let path = format!("/api/windows/city?key=speed&size={size}&{span}");
        let answer = platform.api.get_json(&path).await;
        let windows = answer["windows"].as_array().expect("windows");
        assert_eq!(windows.len() as i64, MINUTES / minutes, "{answer}");
        for (index, window) in (0_i64..).zip(windows) {
            let first_s = start().timestamp() + index * minutes * 60;
            let city = expected.iter().filter(|((kind, _, start_s), _)| {
                kind == "city" && (first_s..first_s + minutes * 60).contains(start_s)
            });
            let count: u64 = city.filter_map(|(_, pane)| pane["count"].as_u64()).sum();
            assert_eq!(window["count"], count, "{size}: {window}");
            assert_eq!(window["final"], true, "{size}: {window}");
        }
    }
}
