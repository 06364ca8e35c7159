//! Several batch processes share the partitions and are killed at random moments:
//! afterwards the table has each record of the log once, as DuckDB counts them.
//!
//! Short in `make test`. `make soak` sets `CITYPULSE_SOAK_RATE` and `_KILLS`.

use std::time::{Duration, Instant};

use end_to_end::{Api, Deployment, LAG_KEPT, Process, on_real_servers, python, read_lake, until};
use serde_json::Value;

on_real_servers!(killed_batch_processes_write_each_record_once);

/// Processes at a time; one more while a killed one's partitions are not yet given on.
const PROCESSES: usize = 3;

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(format!("CITYPULSE_SOAK_{name}"));
    text.map_or(default, |text| text.parse().expect("a whole number"))
}

/// What DuckDB, PyArrow and Polars see in a table.
pub async fn places(deployment: &Deployment, table: &str) -> Option<Value> {
    let python = python()?;
    let output = read_lake(&python, deployment, "places.py", [deployment.table(table)]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    let read = serde_json::from_str(&said);
    Some(read.unwrap_or_else(|error| {
        panic!("{error}: {said}{}", String::from_utf8_lossy(&output.stderr))
    }))
}

/// Panics unless each record is there once.
pub fn assert_each_once(places: &Value) {
    assert_none_twice(places);
    assert_eq!(places["expected"], places["rows"], "{places}");
}

/// Panics unless no record is there twice, for any reader.
fn assert_none_twice(places: &Value) {
    assert_eq!(places["places"], places["rows"], "{places}");
    let readers = places["readers"].as_object().expect("readers by name");
    assert!(!readers.is_empty(), "{places}");
    for found in readers.values() {
        assert_eq!(found[0], places["rows"], "{places}");
        assert_eq!(found[1], places["offset_sum"], "{places}");
    }
}

/// Waits until every layer that writes the lake has reached the log's end.
pub async fn lake_is_complete(api: &Api) {
    // The answer may be of before the last events.
    tokio::time::sleep(LAG_KEPT).await;
    until(
        Duration::from_secs(120),
        "the lake at the log's end",
        || async {
            let lag = api.get_json("/api/lag").await;
            let behind: u64 = lag
                .as_array()
                .expect("a list of positions")
                .iter()
                .filter(|entry| entry["layer"] == "batch")
                .map(|entry| entry["lag_events"].as_u64().unwrap_or(u64::MAX / 1024))
                .sum();
            match behind {
                0 => Ok(()),
                behind => Err(format!("{behind} events behind")),
            }
        },
    )
    .await;
}

/// Moments between 0.3 and 2.8 s, without a pattern that commits could fall in with.
fn pause(kill: u64) -> Duration {
    let spread = kill.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    Duration::from_millis(300 + spread % 2_500)
}

async fn killed_batch_processes_write_each_record_once(deployment: Deployment) {
    let (kills, rate) = (number("KILLS", 5), number("RATE", 2_000).to_string());
    let deployment = deployment
        .with("CITYPULSE_BATCH__FLUSH_AGE_S", 1)
        .with("CITYPULSE_MAINTENANCE__COMPACT_EVERY_MIN", 1);
    let serve = deployment.serve(&[]).await;
    let generate = deployment.start("generate", &["--rate", &rate]);
    let mut running: Vec<Process> = (0..PROCESSES)
        .map(|_| deployment.start("batch", &[]))
        .collect();
    for kill in 0..kills {
        let next = Instant::now() + pause(kill);
        until(Duration::from_secs(10), "the next kill", || async {
            match Instant::now() >= next {
                true => Ok(()),
                false => Err("not yet"),
            }
        })
        .await;
        running.remove(kill as usize % running.len()).kill();
        running.push(deployment.start("batch", &[]));
    }
    drop(generate);
    lake_is_complete(&serve.api).await;
    for table in ["vehicle_data", "gps_data"] {
        let Some(places) = places(&deployment, table).await else {
            return;
        };
        assert!(places["rows"].as_u64() > Some(1_000), "{places}");
        assert_records_or_dead_letters(&serve.api, table, &places).await;
    }
}

/// The generator's dirt includes records that cannot be decoded: those are dead letters,
/// and all others are in the table.
async fn assert_records_or_dead_letters(api: &Api, table: &str, places: &Value) {
    let refused = api
        .sql_row(&format!(
            "SELECT count(*) AS n, count(DISTINCT concat(partition, '/', \"offset\")) AS places \
             FROM dead_letters WHERE topic = '{table}'"
        ))
        .await;
    assert_eq!(refused["n"], refused["places"], "{refused}");
    assert_none_twice(places);
    let all = places["rows"].as_u64().unwrap_or(0) + refused["n"].as_u64().unwrap_or(0);
    let lag = api.get_json("/api/lag").await;
    let appended: u64 = lag
        .as_array()
        .expect("a list of positions")
        .iter()
        .filter(|entry| entry["layer"] == "batch" && entry["topic"] == table)
        .filter_map(|entry| entry["end"].as_u64())
        .sum();
    assert_eq!(all, appended, "{places} {refused}");
}
