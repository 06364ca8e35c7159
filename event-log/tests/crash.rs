//! A process that appends is killed with SIGKILL at a random moment, many times
//! over one folder; every record that it said was acknowledged must be there.
//!
//! This file is its own child: called with `append FOLDER` it appends for ever
//! and writes one line per acknowledged append.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use event_log::local::{LocalLog, LocalLogConfig};
use event_log::{EventLog, NewRecord, Polled, TopicSpec};
use events::{Topic, TopicPartition};

const PARTITIONS: i32 = 3;
const KILLS: u32 = 6;
const NAME: &str = "every_acknowledged_record_survives_kill_9";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["append", folder] => runtime.block_on(append_for_ever(Path::new(folder))),
        // The arguments of the usual harness: a filter, or a wish for a list.
        ["--list", ..] => println!("{NAME}: test"),
        [filter, ..] if !filter.starts_with('-') && !NAME.contains(filter) => {}
        _ => {
            runtime.block_on(every_acknowledged_record_survives_kill_9());
            println!("test {NAME} ... ok");
        }
    }
}

fn config(folder: &Path) -> LocalLogConfig {
    // Small buffers, so that kills also meet flushes and closing segments.
    LocalLogConfig {
        write_buffer_bytes: 256 << 10,
        segment_bytes: 64 << 10,
        ..LocalLogConfig::new(folder)
    }
}

/// Each record's value is its offset, so a lost or doubled one shows.
fn value(offset: i64) -> Bytes {
    Bytes::from(format!(
        "{offset:020} {}",
        "some payload that compresses ".repeat(8)
    ))
}

async fn append_for_ever(folder: &Path) {
    let log = LocalLog::open(config(folder)).unwrap();
    let topic = Topic::from("t");
    let spec = TopicSpec {
        name: topic.clone(),
        partitions: PARTITIONS,
        retention: None,
        retention_bytes: None,
        compacted: false,
    };
    log.create_topics(&[spec]).await.unwrap();
    let mut ends: Vec<i64> = log
        .bounds(&topic)
        .await
        .unwrap()
        .iter()
        .map(|bounds| bounds.end)
        .collect();
    for call in 0i32.. {
        let partition = call % PARTITIONS;
        let end = &mut ends[partition as usize];
        let count = 1 + i64::from(call % 7) * 20;
        let records = (*end..*end + count)
            .map(|offset| NewRecord {
                value: value(offset),
                partition: Some(partition),
                ..NewRecord::default()
            })
            .collect();
        let placed = log.append(&topic, records).await.unwrap();
        *end += count;
        assert_eq!(placed.last(), Some(&(partition, *end - 1)));
        let mut out = std::io::stdout().lock();
        writeln!(out, "{partition} {end}").unwrap();
        out.flush().unwrap();
    }
}

async fn every_acknowledged_record_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<i32, i64> = BTreeMap::new();
    for kill in 0..KILLS {
        append_and_kill(
            folder.path(),
            Duration::from_millis(150 + u64::from(kill * 173 % 400)),
            &mut acknowledged,
        );
        check(folder.path(), &acknowledged).await;
    }
    assert!(
        acknowledged.values().sum::<i64>() > 100,
        "the child appended: {acknowledged:?}"
    );
}

/// Runs a child for `life` from its first acknowledgement and kills it.
fn append_and_kill(folder: &Path, life: Duration, acknowledged: &mut BTreeMap<i32, i64>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("append")
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut killed = false;
    let mut dies_at = None;
    // After the kill, what the child had said is read to its end.
    while let Some(Ok(line)) = lines.next() {
        if let Some((partition, end)) = line.split_once(' ')
            && let (Ok(partition), Ok(end)) = (partition.parse(), end.parse())
        {
            acknowledged.insert(partition, end);
        }
        let dies_at = dies_at.get_or_insert_with(|| Instant::now() + life);
        if !killed && Instant::now() >= *dies_at {
            child.kill().unwrap();
            killed = true;
        }
    }
    assert!(killed, "the child ended by itself");
    child.wait().unwrap();
}

async fn check(folder: &Path, acknowledged: &BTreeMap<i32, i64>) {
    let log = LocalLog::open(config(folder)).unwrap();
    for bounds in log.bounds(&Topic::from("t")).await.unwrap() {
        let partition = bounds.partition.partition;
        let acknowledged = acknowledged.get(&partition).copied().unwrap_or(0);
        assert!(
            bounds.end >= acknowledged,
            "partition {partition} ends at {} of {acknowledged}",
            bounds.end
        );
        let positions = [(TopicPartition::new("t", partition), 0)];
        let mut consumer = log.read_from(&positions).await.unwrap();
        let mut next = 0;
        while next < bounds.end {
            let Polled::Records(all) = consumer.poll(Duration::from_secs(10)).await.unwrap() else {
                panic!("partition {partition} cannot be read at {next}");
            };
            for record in all.into_iter().flat_map(|read| read.records) {
                assert_eq!(
                    (record.offset, &record.value),
                    (next, &value(next)),
                    "partition {partition}"
                );
                next += 1;
            }
        }
    }
}
