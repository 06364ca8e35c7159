//! Pacing, shifting, interruption, and what receivers answer.

mod replay_support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use event_log::local::{LocalLog, LocalLogConfig};
use event_log::{EventLog, Polled, TopicSpec};
use events::{Stream, TopicNames, TopicPartition};
use generators::replay::{HttpSink, LogSink, ReplayError, ReplayOptions, Speed};
use replay_support::{Collector, fixture, replay, run, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Taxis for several batches, with a bad row among them.
fn many_rows(folder: &Path, rows: u64) -> ReplayOptions {
    let mut text = String::from("cab,t,lat,lon,occ\n");
    for row in 0..rows {
        let (cab, t) = (row % 50, 1_211_241_600 + row / 50);
        let occupied = if row == 7_777 { "x" } else { "1" };
        text.push_str(&format!("cab{cab},{t},37.{row:05},-122.4,{occupied}\n"));
    }
    let path = folder.join("cabs.csv");
    std::fs::write(&path, text).expect("writes");
    ReplayOptions {
        state_dir: Some(folder.join("state")),
        ..ReplayOptions::file(path)
    }
}

fn states(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("state")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn an_interrupted_replay_goes_on_and_the_union_is_exact() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = many_rows(folder.path(), 22_000);
    let whole = replay(&ReplayOptions {
        state_dir: None,
        ..options.clone()
    })
    .await
    .1;

    let shutdown = CancellationToken::new();
    let mut first = Collector {
        stop_in_batch: Some((2, shutdown.clone())),
        ..Collector::default()
    };
    let (summary, _) = run(&options, &mut first, &shutdown).await;
    let summary = summary.expect("stopped in order");
    assert!(summary.is_interrupted);
    assert_eq!((summary.accepted, first.received.len()), (10_000, 10_000));
    assert_eq!(states(folder.path()), 1);

    let (summary, second, told) = replay(&options).await;
    assert!(told.notices[0].contains("10001"), "{:?}", told.notices);
    assert_eq!(
        summary.resumed_after,
        Some(10_001),
        "one of the rows is bad"
    );
    assert_eq!(
        (summary.rows, summary.accepted, summary.bad),
        (22_000, 21_999, 1)
    );
    assert_eq!(summary.accepted_now, 11_999);
    let union = [first.received, second.received].concat();
    assert!(
        union == whole.received,
        "same messages, same order, none twice"
    );
    assert_eq!(states(folder.path()), 0, "a finished replay is forgotten");
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_with_the_same_ids() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = many_rows(folder.path(), 12_000);
    let mut first = Collector {
        refuse_batch: Some(2),
        ..Collector::default()
    };
    let (result, _) = run(&options, &mut first, &CancellationToken::new()).await;
    assert!(matches!(result, Err(ReplayError::Refused(_))));
    let (_, second, _) = replay(&options).await;
    let whole = replay(&ReplayOptions {
        state_dir: None,
        ..options
    })
    .await
    .1;
    assert_eq!([first.ids(), second.ids()].concat(), whole.ids());
}

#[tokio::test]
async fn restart_begins_anew_and_a_changed_file_is_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = many_rows(folder.path(), 12_000);
    let interrupt = async || {
        let shutdown = CancellationToken::new();
        let stop_in_batch = Some((1, shutdown.clone()));
        let mut first = Collector {
            stop_in_batch,
            ..Collector::default()
        };
        run(&options, &mut first, &shutdown)
            .await
            .0
            .expect("stopped in order");
    };
    interrupt().await;
    let restarted = ReplayOptions {
        restart: true,
        ..options.clone()
    };
    assert_eq!(replay(&restarted).await.0.resumed_after, None);
    interrupt().await;
    many_rows(folder.path(), 12_001);
    assert_eq!(replay(&options).await.0.resumed_after, None);
}

#[tokio::test]
async fn rebase_moves_the_first_event_to_now_and_keeps_distances() {
    let options = ReplayOptions::file(fixture("cabs.csv"));
    let recorded = replay(&options).await.1.events();
    let now_us = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock")
        .as_micros() as i64;
    let rebased = ReplayOptions {
        rebase_to_now: true,
        ..options
    };
    let shifted = replay(&rebased).await.1.events();
    let shift_us = shifted[0].timestamp_us - recorded[0].timestamp_us;
    assert!((0..10_000_000).contains(&(shifted[0].timestamp_us - now_us)));
    for (before, after) in recorded.iter().zip(&shifted) {
        assert_eq!(after.timestamp_us - before.timestamp_us, shift_us);
        assert_eq!(after.id, before.id);
    }
}

#[tokio::test]
async fn a_rebased_replay_keeps_its_shift_when_it_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = ReplayOptions {
        rebase_to_now: true,
        ..many_rows(folder.path(), 12_000)
    };
    let shutdown = CancellationToken::new();
    let mut first = Collector {
        stop_in_batch: Some((1, shutdown.clone())),
        ..Collector::default()
    };
    run(&options, &mut first, &shutdown)
        .await
        .0
        .expect("stopped in order");
    let second = replay(&options).await.1;
    let (last, next) = (
        first.events()[4_999].timestamp_us,
        second.events()[0].timestamp_us,
    );
    assert_eq!(next - last, 1_000_000, "50 cabs a second");
}

#[tokio::test]
async fn recorded_speed_waits_for_each_event() {
    // 180 seconds in about a third of one.
    let options = ReplayOptions {
        speed: Speed::Times(540.0),
        ..ReplayOptions::file(fixture("cabs.csv"))
    };
    let began = Instant::now();
    let (summary, collector, _) = replay(&options).await;
    assert!(
        began.elapsed() >= Duration::from_millis(300),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(summary.accepted, 6);
    assert!(
        collector.batches >= 3,
        "what is due together is sent together"
    );
}

#[tokio::test]
async fn a_receiver_that_is_away_is_tried_again_and_told_once() {
    let mut collector = Collector {
        failures: 3,
        ..Collector::default()
    };
    let options = ReplayOptions::file(fixture("cabs.csv"));
    let (summary, told) = run(&options, &mut collector, &CancellationToken::new()).await;
    assert_eq!(summary.expect("in the end").accepted, 6);
    assert_eq!(told.notices, ["nobody is there; trying again"]);
}

#[tokio::test]
async fn an_instance_that_never_was_there_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let mut sink = HttpSink::new(&address).expect("a sink");
    let options = ReplayOptions {
        give_up_after: Duration::from_millis(150),
        ..ReplayOptions::file(fixture("cabs.csv"))
    };
    let (result, told) = within(run(&options, &mut sink, &CancellationToken::new())).await;
    let error = result.expect_err("given up").to_string();
    assert!(
        error.contains(&format!("no instance at {address}")),
        "{error}"
    );
    assert!(error.contains("citypulse up"), "{error}");
    assert_eq!(told.notices.len(), 1);
}

/// Answers each request with the next of `answers`; gives back what was asked.
async fn serve(listener: TcpListener, answers: &[&str]) -> Vec<(String, String)> {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let (mut buffer, mut requests) = (Vec::new(), Vec::new());
    for answer in answers {
        let (head, body) = loop {
            let text = String::from_utf8_lossy(&buffer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.to_lowercase();
                let length = length.split("content-length: ").nth(1).expect("a length");
                let length: usize = length
                    .split("\r\n")
                    .next()
                    .expect("a line")
                    .parse()
                    .expect("a number");
                if body.len() >= length {
                    break (head.to_owned(), body.to_owned());
                }
            }
            assert!(
                stream.read_buf(&mut buffer).await.expect("reads") > 0,
                "closed early"
            );
        };
        buffer.clear();
        requests.push((head.lines().next().expect("a line").to_owned(), body));
        stream.write_all(answer.as_bytes()).await.expect("answers");
    }
    requests
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn the_ingest_path_is_spoken_to_and_understood() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}/", listener.local_addr().expect("an address"));
    let busy = answer(
        "429 Too Many Requests",
        "retry-after: 0\r\n",
        r#"{"detail":"slowly"}"#,
    );
    let taken = answer(
        "202 Accepted",
        "",
        r#"{"accepted":5,"rejected":1,"errors":[{"line":2,"detail":"field \"speed\": got -1"}]}"#,
    );
    let mut sink = HttpSink::new(&address).expect("a sink");
    let options = ReplayOptions::file(fixture("cabs.csv"));
    let shutdown = CancellationToken::new();
    let answers = [busy.as_str(), taken.as_str()];
    let (requests, (summary, told)) = within(async {
        tokio::join!(
            serve(listener, &answers),
            run(&options, &mut sink, &shutdown)
        )
    })
    .await;
    let summary = summary.expect("taken");
    assert_eq!((summary.accepted, summary.rejected, summary.bad), (5, 1, 4));
    assert!(told.notices[0].contains("429") && told.notices[0].contains("slowly"));
    // The second message of the batch is from line 3 of the file.
    assert!(
        told.bad
            .contains(&(3, "field \"speed\": got -1".to_owned()))
    );
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0], requests[1]);
    let (line, body) = &requests[0];
    assert_eq!(line, "POST /api/ingest/gps_data HTTP/1.1");
    assert_eq!(body.lines().count(), 6);
    assert!(
        body.lines()
            .all(|line| line.starts_with('{') && line.ends_with('}'))
    );
}

#[tokio::test]
async fn a_refusal_ends_the_replay_with_its_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let refusal = answer(
        "404 Not Found",
        "",
        r#"{"detail":"no such topic: gps_data"}"#,
    );
    let mut sink = HttpSink::new(&address).expect("a sink");
    let options = ReplayOptions::file(fixture("cabs.csv"));
    let shutdown = CancellationToken::new();
    let answers = [refusal.as_str()];
    let (_, (result, _)) = within(async {
        tokio::join!(
            serve(listener, &answers),
            run(&options, &mut sink, &shutdown)
        )
    })
    .await;
    let error = result.expect_err("refused").to_string();
    assert!(
        error.contains("404") && error.contains("no such topic: gps_data"),
        "{error}"
    );
}

#[tokio::test]
async fn a_log_takes_messages_keyed_by_device() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = LocalLog::open(LocalLogConfig::new(folder.path())).expect("a log");
    let topics = TopicNames::default();
    let topic = topics.topic(Stream::GpsData).clone();
    let spec = TopicSpec {
        name: topic.clone(),
        partitions: 3,
        retention: None,
        retention_bytes: None,
        compacted: false,
    };
    log.create_topics(&[spec]).await.expect("a topic");
    let shared: Arc<dyn EventLog> = log.clone();
    let mut sink = LogSink::new(shared, topics, "test");
    let options = ReplayOptions::file(fixture("cabs.csv"));
    let (summary, _) = run(&options, &mut sink, &CancellationToken::new()).await;
    assert_eq!(summary.expect("appended").accepted, 6);

    let bounds = log.bounds(&topic).await.expect("bounds");
    let positions: Vec<(TopicPartition, _)> = bounds
        .into_iter()
        .map(|bounds| (bounds.partition, bounds.start))
        .collect();
    let mut consumer = log.read_from(&positions).await.expect("a reader");
    let mut amber = Vec::new();
    let mut count = 0;
    while count < 6 {
        let polled = within(consumer.poll(Duration::from_secs(1)))
            .await
            .expect("reads");
        let Polled::Records(records) = polled else {
            continue;
        };
        for record in records.iter().flat_map(|records| &records.records) {
            let event = events::decode(Stream::GpsData, &record.value, record.appended_at_us);
            let event = event.expect("valid");
            assert_eq!(record.key.as_deref(), Some(event.device_id.as_bytes()));
            count += 1;
            if event.device_id == "amber" {
                amber.push(event.timestamp_us);
            }
        }
    }
    assert_eq!(amber.len(), 4);
    assert!(amber.is_sorted(), "order per device holds");
    log.close().await.expect("closes");
}
