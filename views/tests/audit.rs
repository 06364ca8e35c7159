//! What an audit finds, and what healing leaves.

mod common;

use std::sync::Arc;

use bytes::Bytes;
use event_log::local::{LocalLog, LocalLogConfig};
use event_log::{EventLog, NewRecord, TopicSpec};
use events::aggregate::Aggregate;
use events::time::{format_rfc3339, parse_rfc3339_us};
use events::window::{Pane, WindowKind};
use events::{Stream, TopicNames};
use hot_store::keys::window_id;
use hot_store::memory::MemoryStore;
use hot_store::{HotBatch, HotStore, Kind, Update};
use lake::query::{QueryConfig, SqlEngine};
use lake::{Lake, LakeConfig};
use serde_json::json;
use tempfile::TempDir;
use views::audit::{AuditConfig, Auditor, Report};

struct City {
    log: Arc<LocalLog>,
    hot: Arc<MemoryStore>,
    auditor: Auditor,
    _folder: TempDir,
}

fn start_us() -> i64 {
    parse_rfc3339_us("2026-03-01T08:00:00Z").expect("an instant")
}

impl City {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = LocalLog::open(LocalLogConfig::new(folder.path().join("log"))).expect("a log");
        let topics = TopicNames::default();
        let specs: Vec<TopicSpec> = topics
            .iter()
            .map(|(_, topic)| TopicSpec {
                name: topic.clone(),
                partitions: 1,
                retention: None,
                retention_bytes: None,
                compacted: false,
            })
            .collect();
        log.create_topics(&specs).await.expect("topics");
        let config = LakeConfig {
            url: folder.path().join("lake").display().to_string(),
            ..LakeConfig::default()
        };
        let lake = Lake::open(config).await.expect("a lake");
        let engine = SqlEngine::new(lake, log.clone(), topics.clone(), QueryConfig::default());
        let hot = MemoryStore::new();
        let auditor = Auditor::new(
            engine.expect("an engine"),
            log.clone(),
            hot.clone(),
            topics,
            common::streets(),
            AuditConfig::default(),
        );
        Self {
            log,
            hot,
            auditor,
            _folder: folder,
        }
    }

    async fn append(&self, stream: Stream, values: Vec<Vec<u8>>) {
        let records = values.into_iter().map(|value| NewRecord {
            value: Bytes::from(value),
            ..NewRecord::default()
        });
        let done = self
            .log
            .append(&stream.name().into(), records.collect())
            .await;
        done.expect("appended");
    }

    /// A fix at a second of the first hour.
    async fn fix(&self, id: &str, device: &str, second: i64, speed: f64) {
        let event = json!({
            "id": id, "device_id": device, "speed": speed, "location": [57.7, 11.962],
            "timestamp": format_rfc3339(start_us() + second * 1_000_000),
        });
        self.append(Stream::GpsData, vec![event.to_string().into_bytes()])
            .await;
    }

    async fn say(&self, pane: &Pane) {
        self.append(Stream::Windows, vec![pane.to_event().to_json()])
            .await;
    }

    /// An hour later: every window is due.
    async fn audit(&self, heal: bool) -> Report {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now_us = now.expect("a clock").as_micros() as i64 + 3_600_000_000;
        self.auditor.run(1, heal, now_us).await.expect("an audit")
    }
}

fn city(minute: i64, values: &[f64], vehicles: u64) -> Pane {
    Pane {
        kind: WindowKind::City,
        key: WindowKind::CITY_SPEED.to_owned(),
        start_us: start_us() + minute * 60_000_000,
        aggregate: values.iter().copied().collect::<Aggregate>(),
        vehicles: Some(vehicles),
        is_final: true,
    }
}

fn of_city(report: &Report) -> [u64; 7] {
    let kind = report.kinds.iter().find(|kind| kind.kind == "city");
    kind.expect("the city")
        .results()
        .map(|(_, windows)| windows)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_window_is_explained_and_healing_leaves_nothing_to_explain() {
    let city_of = City::new().await;
    // Minute 0 is closed by minute 10; what comes for it then is late.
    city_of.fix("a1", "car-1", 1, 30.0).await;
    city_of.fix("a2", "car-2", 2, 40.0).await;
    city_of.fix("b1", "car-1", 61, 31.0).await;
    city_of.fix("b1", "car-1", 61, 31.0).await;
    city_of.fix("c1", "car-1", 121, 32.0).await;
    city_of.fix("d1", "car-1", 181, 33.0).await;
    city_of.fix("z1", "car-1", 600, 34.0).await;
    city_of.fix("a3", "car-2", 3, 50.0).await;
    city_of.fix("a3", "car-2", 3, 50.0).await;
    let said = [
        city(0, &[30.0, 40.0], 2), // rightly without the late one
        city(1, &[31.0, 31.0], 1), // the repeated message was counted
        city(2, &[99.0], 1),       // wrong
        city(4, &[1.0], 1),        // of nothing
        city(10, &[35.0], 1),
        city(10, &[34.0], 1), // the last word counts
    ];
    for pane in &said {
        city_of.say(pane).await;
    }
    let live = Update::new(
        Kind::Window,
        window_id(WindowKind::City, "speed", said[2].start_us),
        Some(said[2].to_json().into()),
    );
    let batch = HotBatch {
        updates: vec![live.clone()],
        ..HotBatch::default()
    };
    city_of
        .hot
        .apply("speed", &batch)
        .await
        .expect("a live window");

    let report = city_of.audit(false).await;
    // equal, late, duplicate, bug, missing, extra, open
    assert_eq!(of_city(&report), [1, 1, 1, 1, 1, 1, 0], "{report:?}");
    let again = city_of.audit(false).await;
    assert_eq!(again.kinds, report.kinds, "an audit changes nothing");

    let healed = city_of.audit(true).await.healed.expect("what was healed");
    assert_eq!(healed.live, 1);
    let report = city_of.audit(false).await;
    assert_eq!(of_city(&report), [5, 0, 0, 0, 0, 0, 0], "{report:?}");
    assert_eq!((report.wrong(), report.findings.len()), (0, 0));
    let now = city_of
        .hot
        .get(Kind::Window, &live.id)
        .await
        .expect("an answer")
        .expect("live");
    let pane = Pane::from_json(&now.value).expect("a window");
    assert_eq!(pane.aggregate, [32.0].into_iter().collect::<Aggregate>());
}
