//! Producers and consumers that were there before keep working, unchanged.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::Utc;
use end_to_end::{Deployment, Servers, on_real_servers, until};
use serde_json::{Value, json};

on_real_servers!(
    kafka_producers_and_redis_consumers_work_unchanged,
    bad_record_goes_to_the_dead_letter_topic
);

fn cache() -> String {
    let home = std::env::var("HOME").expect("a home");
    std::env::var("CITYPULSE_CACHE").unwrap_or_else(|_| {
        let base = std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| format!("{home}/.cache"));
        format!("{base}/citypulse")
    })
}

fn kafka_tool(class: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("java");
    command
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(format!("{}/kafka/lib/*", cache()))
        .arg(class)
        .args(arguments);
    command
}

/// Kafka's own console producer: one record a line, `key<TAB>value`.
fn produce(servers: &Servers, topic: &str, records: &[(&str, String)]) {
    let mut child = kafka_tool(
        "org.apache.kafka.tools.ConsoleProducer",
        &[
            "--bootstrap-server",
            &servers.kafka(),
            "--topic",
            topic,
            "--property",
            "parse.key=true",
        ],
    )
    .stdin(Stdio::piped())
    .stdout(Stdio::null())
    .stderr(Stdio::piped())
    .spawn()
    .expect("java starts");
    let mut input = child.stdin.take().expect("its input");
    for (key, value) in records {
        writeln!(input, "{key}\t{value}").expect("the producer reads");
    }
    drop(input);
    let output = child.wait_with_output().expect("the producer ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What the console consumer prints of the first `count` records, headers before values.
fn consume(servers: &Servers, topic: &str, count: usize) -> String {
    let output = kafka_tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &[
            "--bootstrap-server",
            &servers.kafka(),
            "--topic",
            topic,
            "--from-beginning",
            "--max-messages",
            &count.to_string(),
            "--timeout-ms",
            "20000",
            "--property",
            "print.headers=true",
        ],
    )
    .output()
    .expect("java starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn redis_get(deployment: &Deployment, key: &str) -> Option<Value> {
    let environment = deployment.environment();
    let (_, url) = environment
        .iter()
        .find(|(name, _)| name == "CITYPULSE_REDIS__URL")
        .expect("the stack names its Redis");
    let output = Command::new("redis-cli")
        .args(["-u", url, "--raw", "get", key])
        .output()
        .expect("redis-cli starts");
    serde_json::from_slice(&output.stdout).ok()
}

async fn kafka_producers_and_redis_consumers_work_unchanged(deployment: Deployment) {
    let platform = deployment.up(&["--no-generators"]).await;
    // The event clock ahead of the wall clock, naive times, the record's id as key,
    // a compass word, the place as an object or as two members.
    let ahead = (Utc::now() + Duration::from_secs(60))
        .format("%Y-%m-%dT%H:%M:%S%.6f")
        .to_string();
    let id = "8a1c5e0e-57f3-4f0a-9d8e-0d5a6a1f0001";
    let vehicle = json!({
        "id": id, "device_id": "Vehicle-Old-1", "timestamp": ahead,
        "location": {"latitude": 57.7, "longitude": 11.97}, "speed": 31.5, "direction": "North-East",
        "make": "BMW", "model": "C500", "year": 2024, "fuel_type": "Hybrid", "colour": "red",
    });
    let incident = json!({
        "id": "8a1c5e0e-57f3-4f0a-9d8e-0d5a6a1f0002", "device_id": "Vehicle-Old-1",
        "incidentId": "incident-1", "timestamp": ahead, "latitude": 57.71, "longitude": 11.98,
        "incident_type": "Fire", "status": "Active", "description": "smoke",
    });
    let servers = deployment.servers().expect("real servers");
    produce(servers, "vehicle_data", &[(id, vehicle.to_string())]);
    produce(
        servers,
        "emergency_incident_data",
        &[("x", incident.to_string())],
    );

    let location = until(
        Duration::from_secs(20),
        "vehicle:location in Redis",
        || async { redis_get(&deployment, "vehicle:location:Vehicle-Old-1").ok_or("no such key") },
    )
    .await;
    assert_eq!(location["vehicle_id"], "Vehicle-Old-1");
    assert_eq!(
        (&location["latitude"], &location["speed"]),
        (&json!(57.7), &json!(31.5))
    );
    assert_eq!(location["direction"].as_f64(), Some(45.0), "{location}");
    let incident = until(
        Duration::from_secs(20),
        "emergency:incident in Redis",
        || async { redis_get(&deployment, "emergency:incident:incident-1").ok_or("no such key") },
    )
    .await;
    assert_eq!(incident["incident_type"], "Fire", "{incident}");
    for key in ["analytics:city:summary", "health:check"] {
        until(Duration::from_secs(20), key, || async {
            redis_get(&deployment, key).ok_or("no such key")
        })
        .await;
    }
    let row = platform
        .api
        .sql_row("SELECT id, make, model, year, direction, extra, log_offset FROM vehicle_data")
        .await;
    assert_eq!(
        (&row["id"], &row["make"], &row["year"]),
        (&json!(id), &json!("BMW"), &json!(2024))
    );
    let extra: Value =
        serde_json::from_str(row["extra"].as_str().expect("JSON text")).expect("JSON");
    assert_eq!(extra["colour"], "red", "an unknown field is kept: {row}");
}

async fn bad_record_goes_to_the_dead_letter_topic(deployment: Deployment) {
    let platform = deployment.up(&["--no-generators"]).await;
    let servers = deployment.servers().expect("real servers");
    let good = end_to_end::fixtures::gps(1, "taxi-1", Utc::now());
    let mut negative = end_to_end::fixtures::gps(2, "taxi-1", Utc::now());
    negative["speed"] = json!(-3);
    let records = [
        ("taxi-1", "not json".to_owned()),
        ("taxi-1", negative.to_string()),
        ("taxi-1", good.to_string()),
    ];
    produce(servers, "gps_data", &records);
    let letters = until(Duration::from_secs(40), "two dead letters", || async {
        let rows = platform
            .api
            .sql("SELECT topic, partition, \"offset\", message, value FROM dead_letters ORDER BY \"offset\"")
            .await;
        if rows.len() == 2 { Ok(rows) } else { Err(format!("{rows:?}")) }
    })
    .await;
    assert!(
        letters.iter().all(|row| row["topic"] == "gps_data"),
        "{letters:?}"
    );
    assert_eq!(letters[0]["value"], "not json");
    let cause = letters[1]["message"].as_str().unwrap_or_default();
    assert!(cause.contains("speed") && cause.contains("-3"), "{cause}");
    assert_eq!(platform.api.count("gps_data").await, 1);

    let records = consume(servers, "gps_data.dlq", 2);
    for header in ["topic", "partition", "offset", "stage", "exception.message"] {
        let name = format!("__connect.errors.{header}");
        assert_eq!(records.matches(&name).count(), 2, "{name}:\n{records}");
    }
    assert!(
        records.contains("not json"),
        "the original bytes:\n{records}"
    );
}
