//! `/api/rules` and `/api/alerts`: written, switched, tried out, acknowledged.

use std::time::Duration;

use crate::common::{DEADLINE, Server, json_of, start};
use event_log::NewRecord;
use events::{Body, Stream, TopicPartition};
use hot_store::Kind;
use serde_json::{Value, json};

fn fast(id: &str) -> Value {
    json!({
        "id": id, "name": "Fast", "source": {"stream": "gps_data", "field": "speed"},
        "comparison": ">", "threshold": 50, "severity": "High"
    })
}

async fn ready() -> Server {
    let server = start().await;
    server
        .get_until("/api/rules", |status, _| status == 200)
        .await;
    server
}

impl Server {
    async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let mut request = self.http.request(method, self.url(path));
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let response = request.send().await.expect("an answer");
        if response.status() == 204 {
            return (204, Value::Null);
        }
        json_of(response).await
    }
}

#[tokio::test]
async fn a_rule_is_written_read_switched_and_removed() {
    let server = ready().await;
    let (_, all) = server.get_json("/api/rules").await;
    let built_in = all.as_array().expect("a list").len();
    assert!(all[0]["built_in"] == true && all[0]["author"].is_null());

    let (status, created) = server
        .post("/api/rules?author=%C3%85sa", fast("mine").to_string())
        .await;
    assert_eq!(
        (status, &created["author"], &created["threshold"]),
        (201, &json!("Åsa"), &json!(50.0))
    );
    // Read your writes: no waiting.
    let (_, read) = server.get_json("/api/rules/mine").await;
    assert_eq!(read, created);
    assert_eq!(
        server.post("/api/rules", fast("mine").to_string()).await.0,
        409
    );
    let (_, all) = server.get_json("/api/rules").await;
    assert_eq!(all.as_array().map(Vec::len), Some(built_in + 1));

    let (status, off) = server.post("/api/rules/mine/disable", "").await;
    assert_eq!((status, &off["enabled"]), (200, &json!(false)));
    let (_, on) = server.post("/api/rules/mine/enable", "").await;
    assert_eq!(on["enabled"], true);

    let mut other = fast("mine");
    other["threshold"] = json!(70);
    let (status, _) = server
        .send(reqwest::Method::PUT, "/api/rules/mine", Some(&other))
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        server.get_json("/api/rules/mine").await.1["threshold"],
        70.0
    );
    assert_eq!(
        server
            .send(reqwest::Method::DELETE, "/api/rules/mine", None)
            .await
            .0,
        204
    );
    assert_eq!(server.get_json("/api/rules/mine").await.0, 404);
    assert_eq!(
        server
            .send(reqwest::Method::DELETE, "/api/rules/mine", None)
            .await
            .0,
        404
    );

    let mut anonymous = fast("x");
    anonymous.as_object_mut().expect("an object").remove("id");
    let (status, named) = server.post("/api/rules", anonymous.to_string()).await;
    assert!(
        status == 201
            && named["id"]
                .as_str()
                .is_some_and(|id| id.starts_with("rule-"))
    );
}

#[tokio::test]
async fn a_built_in_rule_can_be_changed_switched_off_and_is_as_it_came_again() {
    let server = ready().await;
    let (_, came) = server.get_json("/api/rules/overspeed").await;
    let (status, problem) = server
        .send(reqwest::Method::DELETE, "/api/rules/overspeed", None)
        .await;
    assert_eq!(status, 409, "{problem}");
    server
        .post("/api/rules/overspeed/disable?author=me", "")
        .await;
    let (_, off) = server.get_json("/api/rules/overspeed").await;
    assert_eq!(
        (&off["enabled"], &off["built_in"], &off["author"]),
        (&json!(false), &json!(true), &json!("me"))
    );
    assert_eq!(
        server
            .send(reqwest::Method::DELETE, "/api/rules/overspeed", None)
            .await
            .0,
        204
    );
    assert_eq!(server.get_json("/api/rules/overspeed").await.1, came);
}

#[tokio::test]
async fn bad_rules_are_refused_with_field_value_and_expectation() {
    let server = ready().await;
    let with = |field: &str, value: Value| {
        let mut rule = fast("bad");
        rule[field] = value;
        rule.to_string()
    };
    for (body, expected) in [
        (
            with("threshold", json!("high")),
            "field \"threshold\": got \"high\", expected a number",
        ),
        (
            with("filters", json!({"fence": ["a"]})),
            "field \"filters.fence\": got [\"a\"], expected only vehicle_type, device for this source",
        ),
        (
            with("threshold", json!(50)).replace(":50", ":NaN"),
            "field \"threshold\": got NaN, expected a number from -1.7e308 to 1.7e308",
        ),
        (
            with("threshold", json!("high")).replace("\"bad\"", "\"overspeed\""),
            "field \"threshold\": got \"high\", expected a number",
        ),
        (
            with("severity", json!("Huge")).replace("\"bad\"", "\"overspeed\""),
            "field \"severity\": got \"Huge\", expected Critical, High, Medium or Low",
        ),
        (
            with("colour", json!("red")),
            "field \"colour\": got \"red\", expected only the fields",
        ),
        (
            with(
                "source",
                json!({"stream": "gps_data", "field": "speed / 0"}),
            ),
            "field \"source.field\": got \"speed / 0\", expected no division by zero",
        ),
        (
            with("hold_s", json!(-1)),
            "field \"hold_s\": got -1, expected a number from 0 to 86400",
        ),
        (
            "{\"threshold\": NaN}".to_owned(),
            "field \"threshold\": got NaN, expected a number",
        ),
        (
            "[]".to_owned(),
            "field \"rule\": got [], expected one JSON object",
        ),
    ] {
        let (status, problem) = server.post("/api/rules", body).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(
            status == 422 && detail.starts_with(expected),
            "{status} {detail}"
        );
    }
    let (status, _) = server.post("/api/rules", "x".repeat(10 << 20)).await;
    assert_eq!(status, 413);
    let (status, problem) = server
        .send(
            reqwest::Method::PUT,
            "/api/rules/other",
            Some(&fast("mine")),
        )
        .await;
    assert!(
        status == 422
            && problem["detail"]
                .as_str()
                .is_some_and(|d| d.contains("\"other\""))
    );
}

/// Events of one minute ago and later.
async fn ingest(server: &Server, speeds: &[(i64, f64)]) {
    let now_us = chrono::Utc::now().timestamp_micros();
    let lines: Vec<String> = speeds
        .iter()
        .map(|(second, speed)| {
            let at = events::time::format_rfc3339(now_us - 60_000_000 + second * 1_000_000);
            json!({"id": format!("e{second}"), "device_id": "t1", "timestamp": at, "location": [57.7, 11.97],
                   "speed": speed, "direction": 0, "vehicle_type": "taxi", "co2": 3})
            .to_string()
        })
        .collect();
    let (status, report) = server.post("/api/ingest/gps_data", lines.join("\n")).await;
    assert_eq!((status, &report["rejected"]), (202, &json!(0)), "{report}");
}

#[tokio::test]
async fn a_rule_is_tried_on_the_last_hour_and_raises_nothing() {
    let server = ready().await;
    ingest(&server, &[(0, 30.0), (5, 60.0), (10, 65.0), (20, 40.0)]).await;
    let (status, report) = server
        .post("/api/rules/test", fast("trial").to_string())
        .await;
    assert_eq!(
        (status, &report["events"], &report["whole_hour"]),
        (200, &json!(4), &json!(true)),
        "{report}"
    );
    assert_eq!(report["alert_count"], 1);
    let alert = &report["alerts"][0];
    assert_eq!(
        (&alert["subject"], &alert["value"]),
        (&json!("t1"), &json!(60.0))
    );
    assert!(alert["cleared_at"].is_string());

    let own = json!({
        "id": "own", "name": "Own", "enabled": false, "source": {"stream": "gps_data", "field": "extra.co2 * 10"},
        "comparison": ">=", "threshold": 30, "severity": "Low"
    });
    assert_eq!(server.post("/api/rules", own.to_string()).await.0, 201);
    let (_, report) = server.post("/api/rules/own/test", "").await;
    assert_eq!(report["alert_count"], 1, "{report}");
    let (_, windows) = server
        .post(
            "/api/rules/test",
            json!({
                "name": "Slow city", "source": {"window": "city", "aggregate": "min", "size": "1m"},
                "comparison": "<", "threshold": 35, "severity": "Low"
            })
            .to_string(),
        )
        .await;
    assert!(windows["alert_count"].as_u64() >= Some(1), "{windows}");
    assert_eq!(server.post("/api/rules/nobody/test", "").await.0, 404);
    assert_eq!(server.get_json("/api/alerts").await.1, json!([]));
}

#[tokio::test]
async fn a_trial_of_more_than_it_looks_at_leaves_no_partition_out() {
    let server = ready().await;
    let topic = TopicPartition::new("gps_data", 0).topic;
    let at_us = chrono::Utc::now().timestamp_micros() - 30_000_000;
    let append = async |partition: i32, numbers: std::ops::Range<i32>, speed: f64| {
        let records = numbers.map(|number| {
            let device = format!("{partition}-{}", number % 1_000);
            let fix = fix(&number.to_string(), &device, at_us, [57.7, 11.97], speed);
            NewRecord {
                value: fix.to_string().into(),
                partition: Some(partition),
                ..NewRecord::default()
            }
        });
        let appended = server.log.append(&topic, records.collect()).await;
        appended.expect("appended");
    };
    // A burst in the first partition, and little, which came later, in each.
    for part in 0..41 {
        append(0, part * 10_000..(part + 1) * 10_000, 30.0).await;
    }
    for partition in [3, 0, 1, 2] {
        append(partition, 500_000..500_100, 60.0).await;
    }
    let (alerts, report) = tried(&server, "/api/rules/test", &fast("t").to_string()).await;
    let of = |partition: &str| {
        let raised = alerts.iter().filter(|(id, _)| id.starts_with(partition));
        raised.count()
    };
    assert_eq!([of("1-"), of("2-"), of("3-")], [100; 3], "{report}");
    let events = report["events"].as_u64().expect("a number");
    assert_eq!(report["whole_hour"], events == 410_400, "{report}");
}

/// Microseconds since the epoch at which a minute began that has ended.
fn ended_minute_us(minutes_ago: i64) -> i64 {
    const MINUTE_US: i64 = 60_000_000;
    let now_us = chrono::Utc::now().timestamp_micros();
    now_us - now_us.rem_euclid(MINUTE_US) - minutes_ago * MINUTE_US
}

fn fix(id: &str, device: &str, at_us: i64, place: [f64; 2], speed: f64) -> Value {
    let at = events::time::format_rfc3339(at_us);
    json!({"id": id, "device_id": device, "timestamp": at, "location": place, "speed": speed,
           "vehicle_type": "taxi"})
}

async fn ingest_fixes(server: &Server, fixes: &[Value]) {
    let lines: Vec<String> = fixes.iter().map(Value::to_string).collect();
    let (status, report) = server.post("/api/ingest/gps_data", lines.join("\n")).await;
    assert_eq!((status, &report["rejected"]), (202, &json!(0)), "{report}");
}

/// The subjects and values of the alerts of a trial.
async fn tried(server: &Server, path: &str, rule: &str) -> (Vec<(String, Value)>, Value) {
    let (status, report) = server.post(path, rule.to_owned()).await;
    assert_eq!(status, 200, "{report}");
    let alerts = report["alerts"].as_array().expect("a list").iter();
    let alerts = alerts.map(|alert| {
        let subject = alert["subject"].as_str().unwrap_or_default();
        (subject.to_owned(), alert["value"].clone())
    });
    (alerts.collect(), report.clone())
}

#[tokio::test]
async fn what_is_not_believed_live_is_not_in_a_trial() {
    let server = ready().await;
    let start_us = ended_minute_us(1);
    let at = |second: i64| start_us + second * 1_000_000;
    let here = [57.7, 11.97];
    let mut inaccurate = fix("i2", "inaccurate", at(2), here, 150.0);
    inaccurate["accuracy_m"] = json!(5000);
    let mut fixes = vec![
        fix("t1", "jumps", at(0), here, 30.0),
        fix("t2", "jumps", at(1), [58.7, 11.97], 150.0),
        fix("i1", "inaccurate", at(1), here, 30.0),
        inaccurate,
        fix("n1", "nowhere", at(3), [0.0, 0.0], 150.0),
    ];
    ingest_fixes(&server, &fixes).await;
    let fast = json!({
        "name": "Fast", "source": {"stream": "gps_data", "field": "speed"},
        "comparison": ">", "threshold": 140, "severity": "High"
    });
    let (alerts, report) = tried(&server, "/api/rules/test", &fast.to_string()).await;
    assert_eq!((alerts, &report["events"]), (vec![], &json!(5)));

    fixes = vec![fix("f1", "fast", at(4), here, 150.0)];
    ingest_fixes(&server, &fixes).await;
    let (alerts, _) = tried(&server, "/api/rules/test", &fast.to_string()).await;
    assert_eq!(alerts, [("fast".to_owned(), json!(150.0))]);
}

#[tokio::test]
async fn what_is_sent_twice_counts_once_in_a_trial() {
    let server = ready().await;
    let start_us = ended_minute_us(1);
    let fixes: Vec<Value> = (0..5)
        .map(|number| {
            let at_us = start_us + number * 1_000_000;
            fix(&format!("e{number}"), "d", at_us, [57.7, 11.97], 30.0)
        })
        .collect();
    ingest_fixes(&server, &fixes).await;
    ingest_fixes(&server, &fixes).await;
    let many = json!({
        "name": "Many", "source": {"window": "city", "aggregate": "count", "size": "1m"},
        "comparison": ">=", "threshold": 1, "severity": "Low"
    });
    let (alerts, report) = tried(&server, "/api/rules/test", &many.to_string()).await;
    assert_eq!(alerts, [("speed".to_owned(), json!(5.0))]);
    assert_eq!(report["events"], 10);
}

#[tokio::test]
async fn parked_vehicles_are_no_congestion_in_a_trial() {
    let streets = streets::StreetNetwork::gothenburg();
    let line = &streets.segment(streets::SegmentIndex(0)).line;
    let place = line[line.len() / 2];
    let place = [place.latitude, place.longitude];
    // Those that crawl are.
    for (speed, congested) in [(0.0, 0), (4.0, 1)] {
        let server = ready().await;
        let minutes = (1..=6).rev().map(ended_minute_us);
        let fixes: Vec<Value> = minutes
            .flat_map(|start_us| (0..5).map(move |number| (start_us + 1_000_000, number)))
            .map(|(at_us, number)| {
                let device = format!("v{number}");
                fix(&at_us.to_string(), &device, at_us, place, speed)
            })
            .collect();
        ingest_fixes(&server, &fixes).await;
        let path = "/api/rules/severe-congestion/test";
        let (alerts, report) = tried(&server, path, "").await;
        assert_eq!(
            (alerts.len(), &report["events"]),
            (congested, &json!(30)),
            "{report}"
        );
    }
}

#[tokio::test]
async fn a_rule_over_fences_is_tried_on_the_fences_of_now() {
    let server = ready().await;
    let start_us = ended_minute_us(2);
    let fixes: Vec<Value> = [(0, 57.71), (30, 57.7), (60, 57.71)]
        .into_iter()
        .map(|(second, latitude)| {
            let at_us = start_us + second * 1_000_000;
            fix(&format!("e{second}"), "t1", at_us, [latitude, 11.97], 30.0)
        })
        .collect();
    ingest_fixes(&server, &fixes).await;
    let path = "/api/rules/geofence-enter/test";
    assert_eq!(tried(&server, path, "").await.0, []);
    let fence = json!({
        "id": "quay", "name": "Quay", "shape": {"type": "circle", "center": [11.97, 57.7], "radius_m": 250}
    });
    assert_eq!(server.post("/api/fences", fence.to_string()).await.0, 201);
    let (alerts, report) = tried(&server, path, "").await;
    assert_eq!(alerts, [("quay:t1".to_owned(), json!(0.0))]);
    assert!(report["alerts"][0]["cleared_at"].is_string(), "{report}");
    let note = report["note"].as_str().unwrap_or_default();
    assert!(note.starts_with("fences are as they are now"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_write_the_same_rule_at_once_one_is_refused() {
    let server = ready().await;
    let writing = (0..10).map(|_| server.post("/api/rules", fast("mine").to_string()));
    let mut statuses: Vec<u16> = futures::future::join_all(writing)
        .await
        .into_iter()
        .map(|(status, _)| status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses[..2], [201, 409]);
    assert_eq!(statuses.last(), Some(&409));
}

fn alert(id: &str, severity: &str, status: &str) -> Value {
    json!({
        "alert_id": id, "rule": "overspeed", "subject": "t1", "severity": severity, "status": status,
        "value": 71.0, "threshold": 60.0, "latitude": 57.7, "longitude": 11.97,
        "started_at": "2026-03-01T08:15:00Z", "timestamp": "2026-03-01T08:15:10Z", "message": "fast"
    })
}

async fn with_alerts() -> Server {
    let server = ready().await;
    for (id, severity, status) in [
        ("a", "High", "raised"),
        ("b", "Low", "cleared"),
        ("c", "Critical", "updated"),
    ] {
        server
            .put(Kind::Alert, id, alert(id, severity, status))
            .await;
    }
    server
        .get_until("/api/alerts", |_, body| {
            body.as_array().is_some_and(|all| all.len() == 3)
        })
        .await;
    server
}

#[tokio::test]
async fn alerts_are_listed_by_what_they_are() {
    let server = with_alerts().await;
    let ids = async |query: &str| -> Vec<String> {
        let (status, body) = server.get_json(&format!("/api/alerts{query}")).await;
        assert_eq!(status, 200, "{body}");
        body.as_array()
            .expect("a list")
            .iter()
            .map(|alert| alert["alert_id"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(ids("").await, ["c", "b", "a"]);
    assert_eq!(ids("?status=active").await, ["c", "a"]);
    assert_eq!(ids("?status=cleared").await, ["b"]);
    assert_eq!(ids("?severity=high").await, ["a"]);
    assert_eq!(ids("?rule=overspeed&status=active").await, ["c", "a"]);
    assert_eq!(ids("?rule=other").await, [""; 0]);
    assert_eq!(ids("?subject=t1&severity=Low").await, ["b"]);
    assert_eq!(ids("?subject=t2").await, [""; 0]);
    assert_eq!(ids("?limit=1").await, ["c"]);
    let (status, problem) = server.get_json("/api/alerts?status=open").await;
    let expected = "query parameter \"status\": got \"open\", expected one of active, raised, updated, acknowledged, cleared";
    assert_eq!((status, problem["detail"].as_str()), (422, Some(expected)));
}

#[tokio::test]
async fn an_acknowledgement_is_an_event_of_the_log() {
    let server = with_alerts().await;
    let (status, seen) = server
        .post(
            "/api/alerts/a/acknowledge",
            json!({"author": "Åsa", "note": "on it"}).to_string(),
        )
        .await;
    assert_eq!(
        (status, &seen["status"], &seen["acknowledged_by"]),
        (200, &json!("acknowledged"), &json!("Åsa")),
        "{seen}"
    );
    let mut found = None;
    for bounds in server.log.bounds(&"alerts".into()).await.expect("bounds") {
        if bounds.end == 0 {
            continue;
        }
        let from = [(TopicPartition::new("alerts", bounds.partition.partition), 0)];
        let mut reader = server.log.read_from(&from).await.expect("a reader");
        let polled = tokio::time::timeout(DEADLINE, reader.poll(Duration::from_secs(5))).await;
        let Ok(Ok(event_log::Polled::Records(all))) = polled else {
            panic!("records")
        };
        let record = &all[0].records[0];
        found = Some(
            events::decode(Stream::Alerts, &record.value, record.appended_at_us).expect("valid"),
        );
    }
    let event = found.expect("an event");
    let Body::Alert(alert) = &event.body else {
        panic!("an alert")
    };
    assert_eq!(
        (alert.alert_id.as_str(), alert.status.as_str()),
        ("a", "acknowledged")
    );
    assert_eq!(
        event.extra.as_deref(),
        Some(r#"{"author":"Åsa","note":"on it"}"#)
    );

    for (path, body, expected) in [
        ("/api/alerts/zzz/acknowledge", json!({"author": "me"}), 404),
        ("/api/alerts/a/acknowledge", json!({"author": " "}), 422),
        (
            "/api/alerts/a/acknowledge",
            json!({"author": "me", "by": "x"}),
            422,
        ),
        ("/api/alerts/a/acknowledge", json!({}), 422),
    ] {
        assert_eq!(
            server.post(path, body.to_string()).await.0,
            expected,
            "{path} {body}"
        );
    }
}

#[tokio::test]
async fn subscribers_begin_with_active_alerts_and_are_told_of_each_end() {
    let server = with_alerts().await;
    let mut socket = server.socket().await;
    let subscription = json!({"type": "subscribe", "id": "a", "channel": "alerts", "max_hz": 20});
    let (_, snapshot) = socket.subscribe(subscription).await;
    let ids = |frame: &Value| -> Vec<String> {
        let mut ids: Vec<String> = frame["data"]
            .as_array()
            .expect("data")
            .iter()
            .map(|alert| alert["alert_id"].as_str().unwrap_or_default().to_owned())
            .collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&snapshot), ["a", "c"]);
    server
        .put(Kind::Alert, "a", alert("a", "High", "cleared"))
        .await;
    let update = socket.next("update").await;
    assert_eq!(
        (ids(&update), &update["data"][0]["status"]),
        (vec!["a".to_owned()], &json!("cleared"))
    );
}
