//! The running layer on the embedded log and store: killed, shared, rebuilt.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::local::{LocalLog, LocalLogConfig};
use event_log::registry::Registry;
use event_log::{EventLog, NewRecord, Polled, TopicSpec};
use events::health::HealthBoard;
use events::{Body, Event, Gps, Location, Stream, TopicNames};
use fences::Fence;
use hot_store::{HotStore, Kind, MemoryStore, Watch, WatchEvent};
use rules::StoredRule;
use serde_json::Value;
use speed_layer::{Deps, OWNER, SpeedConfig};
use streets::StreetNetwork;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PARTITIONS: i32 = 3;
const START_US: i64 = 1_700_000_040_000_000;
const SECOND_US: i64 = 1_000_000;
const DEVICES: i64 = 40;
const PATIENCE: Duration = Duration::from_secs(60);

/// One city: its log outlives everything else.
struct City {
    log: Arc<LocalLog>,
    topics: TopicNames,
    _folder: tempfile::TempDir,
}

impl City {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = LocalLog::open(LocalLogConfig::new(folder.path())).unwrap();
        let topics = TopicNames::default();
        let specs: Vec<TopicSpec> = topics
            .iter()
            .map(|(_, name)| TopicSpec {
                name: name.clone(),
                partitions: PARTITIONS,
                retention: None,
                retention_bytes: None,
                compacted: false,
            })
            .chain([rules::TOPIC, fences::TOPIC].map(|name| TopicSpec {
                name: name.into(),
                partitions: 1,
                retention: None,
                retention_bytes: None,
                compacted: true,
            }))
            .collect();
        log.create_topics(&specs).await.unwrap();
        Self {
            log,
            topics,
            _folder: folder,
        }
    }

    fn deps(&self, hot: &Arc<MemoryStore>) -> Deps {
        let rules = Registry::new(self.log.clone(), rules::TOPIC.into(), |_, value| {
            StoredRule::from_json(value).map_err(|invalid| invalid.to_string())
        });
        let rules = Arc::new(rules);
        let fences = Registry::new(self.log.clone(), fences::TOPIC.into(), Fence::from_record);
        let fences = Arc::new(fences);
        tokio::spawn(fences.clone().run(CancellationToken::new()));
        tokio::spawn(rules.clone().run(CancellationToken::new()));
        Deps {
            fences,
            rules,
            log: self.log.clone(),
            hot: hot.clone(),
            streets: StreetNetwork::gothenburg(),
            topics: self.topics.clone(),
            config: SpeedConfig {
                checkpoint_interval_ms: 100,
                write_interval_ms: 5,
                ..SpeedConfig::default()
            },
            health: HealthBoard::default(),
        }
    }

    /// A process that can be killed.
    fn start(&self, hot: &Arc<MemoryStore>) -> JoinHandle<()> {
        let deps = self.deps(hot);
        tokio::spawn(async move {
            speed_layer::run(deps, CancellationToken::new())
                .await
                .unwrap();
        })
    }

    /// Every device's fix of some seconds, one of each ten twice.
    async fn append(&self, seconds: std::ops::Range<i64>) {
        let mut records = Vec::new();
        for second in seconds {
            for device in 0..DEVICES {
                let record = record_of(&fix(device, second));
                if device % 10 == 0 {
                    records.push(record.clone());
                }
                records.push(record);
            }
        }
        self.log
            .append(self.topics.topic(Stream::GpsData), records)
            .await
            .unwrap();
    }

    async fn ends(&self) -> BTreeMap<String, i64> {
        let topic = self.topics.topic(Stream::GpsData);
        let bounds = self.log.bounds(topic).await.unwrap();
        bounds
            .into_iter()
            .map(|b| (b.partition.to_string(), b.end))
            .collect()
    }

    async fn wait_for_end(&self, hot: &MemoryStore) {
        let ends = self.ends().await;
        until("the positions at the log's end", async || {
            let positions = hot.positions(OWNER).await.unwrap();
            ends.iter().all(|(id, end)| {
                let id = events::TopicPartition::parse(id).unwrap();
                *end == 0 || positions.get(&id) == Some(end)
            })
        })
        .await;
    }

    /// Closed windows in the log: the last of each id, and how many were repeated.
    async fn closed(&self) -> (BTreeMap<String, Value>, usize) {
        let topic = self.topics.topic(Stream::Windows);
        let bounds = self.log.bounds(topic).await.unwrap();
        let starts: Vec<_> = bounds
            .iter()
            .map(|b| (b.partition.clone(), b.start))
            .collect();
        let total: i64 = bounds.iter().map(|b| b.end - b.start).sum();
        let mut consumer = self.log.read_from(&starts).await.unwrap();
        let (mut read, mut closed, mut repeated) = (0, BTreeMap::new(), 0);
        while read < total {
            if let Polled::Records(all) = consumer.poll(Duration::from_secs(1)).await.unwrap() {
                for record in all.into_iter().flat_map(|records| records.records) {
                    let value: Value = serde_json::from_slice(&record.value).unwrap();
                    let id = value["id"].as_str().unwrap().to_owned();
                    read += 1;
                    repeated += usize::from(closed.insert(id, value).is_some());
                }
            }
        }
        (closed, repeated)
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "still waiting for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn record_of(event: &Event) -> NewRecord {
    NewRecord {
        key: Some(event.device_id.to_string().into()),
        value: event.to_json().into(),
        ..NewRecord::default()
    }
}

fn fix(device: i64, second: i64) -> Event {
    Event {
        id: format!("{device}-{second}").into(),
        device_id: format!("taxi-{device}").into(),
        timestamp_us: START_US + second * SECOND_US,
        extra: None,
        body: Body::Gps(Gps {
            location: Location {
                latitude: 57.65 + device as f64 * 0.002 + second as f64 * 1e-5,
                longitude: 11.97,
            },
            speed_kmh: (device + second % 30) as f64,
            ..Gps::default()
        }),
    }
}

/// What the city's minutes must be, by a computation of its own.
fn expected_minutes(seconds: i64) -> BTreeMap<i64, (u64, f64)> {
    let mut minutes = BTreeMap::new();
    for second in 0..seconds {
        let minute = (START_US / SECOND_US + second) / 60 * 60;
        let entry: &mut (u64, f64) = minutes.entry(minute).or_default();
        for device in 0..DEVICES {
            entry.0 += 1;
            entry.1 += (device + second % 30) as f64;
        }
    }
    minutes
}

async fn assert_city(hot: &MemoryStore, seconds: i64) {
    let wanted = expected_minutes(seconds);
    until("the newest minute's window", async || {
        let (start, (count, _)) = wanted.iter().next_back().unwrap();
        let id = format!("city:speed:{start}");
        let entry = hot.get(Kind::Window, &id).await.unwrap();
        entry.is_some_and(|entry| {
            let window: Value = serde_json::from_slice(&entry.value).unwrap();
            window["count"] == *count
        })
    })
    .await;
    for (start, (count, sum)) in wanted {
        let entry = hot
            .get(Kind::Window, &format!("city:speed:{start}"))
            .await
            .unwrap();
        let window: Value = serde_json::from_slice(&entry.unwrap().value).unwrap();
        assert_eq!(window["count"], count, "{start}");
        assert_eq!(window["sum"], sum, "{start}");
        assert_eq!(window["vehicles"], DEVICES, "{start}");
    }
    for device in 0..DEVICES {
        let entry = hot
            .get(Kind::Vehicle, &format!("taxi-{device}"))
            .await
            .unwrap();
        let vehicle: Value = serde_json::from_slice(&entry.unwrap().value).unwrap();
        let last = fix(device, seconds - 1).location().unwrap().latitude;
        assert!(
            (vehicle["latitude"].as_f64().unwrap() - last).abs() < 1e-9,
            "{device}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_of_several_writes_arrives_whole_though_killed_between_them() {
    const FLEET: i64 = 25_000;
    let city = City::new().await;
    let hot = MemoryStore::new();
    let topic = city.topics.topic(Stream::GpsData);
    for second in 0..2 {
        let records = (0..FLEET).map(|device| {
            let mut event = fix(device % DEVICES, second);
            event.id = format!("{device}-{second}").into();
            event.device_id = format!("taxi-{device}").into();
            record_of(&event)
        });
        city.log.append(topic, records.collect()).await.unwrap();
    }
    let process = city.start(&hot);
    until("the first vehicles", async || {
        !hot.ids(Kind::Vehicle, "").await.unwrap().is_empty()
    })
    .await;
    process.abort();
    let _ = process.await;
    let process = city.start(&hot);
    city.wait_for_end(&hot).await;
    process.abort();
    let vehicles = hot.scan(Kind::Vehicle).await.unwrap();
    assert_eq!(vehicles.len() as i64, FLEET);
    for entry in vehicles {
        let vehicle: Value = serde_json::from_slice(&entry.value).unwrap();
        assert_eq!(vehicle["timestamp"], "2023-11-14T22:14:01Z", "{}", entry.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_counts_each_event_once() {
    let city = City::new().await;
    let hot = MemoryStore::new();
    let mut seconds = 0;
    for round in 0..12 {
        let process = city.start(&hot);
        city.append(seconds..seconds + 35).await;
        seconds += 35;
        // At a different moment each time: at once, in the middle, at the end.
        if round % 3 == 2 {
            city.wait_for_end(&hot).await;
        } else if round % 3 == 1 {
            until("some progress", async || {
                hot.positions(OWNER).await.unwrap().values().sum::<i64>() > seconds * DEVICES / 2
            })
            .await;
        }
        process.abort();
        assert!(process.await.unwrap_err().is_cancelled());
    }
    let process = city.start(&hot);
    city.wait_for_end(&hot).await;
    assert_city(&hot, seconds).await;
    let (closed, _) = city.closed().await;
    for window in closed.values().filter(|window| window["kind"] == "city") {
        let start = window["timestamp"].as_str().unwrap();
        let start = events::time::parse_rfc3339_us(start).unwrap() / SECOND_US;
        let (count, sum) = expected_minutes(seconds)[&start];
        assert_eq!(window["count"], count);
        assert_eq!(window["mean"], sum / count as f64);
    }
    process.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_the_city_and_one_takes_over() {
    let city = City::new().await;
    let hot = MemoryStore::new();
    let first = city.start(&hot);
    city.append(0..40).await;
    city.wait_for_end(&hot).await;
    let second = city.start(&hot);
    city.append(40..100).await;
    city.wait_for_end(&hot).await;
    city.append(100..200).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    city.append(200..230).await;
    city.wait_for_end(&hot).await;
    assert_city(&hot, 230).await;
    second.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_refreshes_nothing() {
    let city = City::new().await;
    let hot = MemoryStore::new();
    let process = city.start(&hot);
    city.append(0..200).await;
    city.wait_for_end(&hot).await;
    assert_city(&hot, 200).await;
    // What is written once a second is written by the second summary from now, and
    // by the fifth every partition has had its turn to be checkpointed.
    let mut watch = hot.watch().await.unwrap();
    summaries(&mut *watch, 5).await;
    process.abort();
    assert!(process.await.unwrap_err().is_cancelled());
    let windows = || async {
        let mut windows = hot.scan(Kind::Window).await.unwrap();
        windows.sort_by(|a, b| a.id.cmp(&b.id));
        windows
    };
    let before = windows().await;

    let mut watch = hot.watch().await.unwrap();
    let process = city.start(&hot);
    let told = summaries(&mut *watch, 3).await;
    let is_figure = |kind: &Kind| matches!(kind, Kind::CitySummary | Kind::Health | Kind::Lag);
    assert!(told.iter().all(is_figure), "{told:?}");
    let after = windows().await;
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.id, &before.value), (&after.id, &after.value));
        assert!(after.expires_in < before.expires_in, "{}", after.id);
    }
    process.abort();
}

/// Waits for so many summaries of the city; the kinds of all that was written.
async fn summaries(watch: &mut dyn Watch, count: usize) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let is_summary = |kind: &&Kind| **kind == Kind::CitySummary;
    while kinds.iter().filter(is_summary).count() < count {
        let event = tokio::time::timeout(PATIENCE, watch.next()).await;
        if let WatchEvent::Changed(notice) = event.unwrap() {
            kinds.extend(notice.updates.iter().map(|update| update.kind));
        }
    }
    kinds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_store_is_rebuilt_from_the_log() {
    let city = City::new().await;
    let hot = MemoryStore::new();
    let process = city.start(&hot);
    city.append(0..200).await;
    city.wait_for_end(&hot).await;
    assert_city(&hot, 200).await;
    until("a closed window", async || {
        !city.closed().await.0.is_empty()
    })
    .await;
    process.abort();
    assert!(process.await.unwrap_err().is_cancelled());
    let (before, _) = city.closed().await;

    // Flushed empty: nothing is left, and nothing is closed a second time.
    let hot = MemoryStore::new();
    let shutdown = CancellationToken::new();
    speed_layer::rebuild(&city.deps(&hot), &shutdown)
        .await
        .unwrap();
    let process = city.start(&hot);
    city.wait_for_end(&hot).await;
    until("the vehicles", async || {
        hot.scan(Kind::Vehicle).await.unwrap().len() as i64 == DEVICES
    })
    .await;
    let mut watch = hot.watch().await.unwrap();
    summaries(watch.as_mut(), 3).await;
    let (after, repeated) = city.closed().await;
    assert_eq!((before.len(), repeated), (after.len(), 0));

    // Of a store that is not empty, beside a process that runs: that one starts over.
    speed_layer::rebuild(&city.deps(&hot), &shutdown)
        .await
        .unwrap();
    city.append(200..230).await;
    city.wait_for_end(&hot).await;
    until("the last fixes", async || {
        let entry = hot.get(Kind::Vehicle, "taxi-3").await.unwrap();
        let wanted = fix(3, 229).location().unwrap().latitude;
        entry.is_some_and(|entry| {
            let vehicle: Value = serde_json::from_slice(&entry.value).unwrap();
            (vehicle["latitude"].as_f64().unwrap() - wanted).abs() < 1e-9
        })
    })
    .await;
    let mut watch = hot.watch().await.unwrap();
    summaries(watch.as_mut(), 3).await;
    assert_eq!(
        city.closed().await.1,
        0,
        "closed windows are not said again"
    );
    process.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_newer_data_prolongs_a_value() {
    // Ages are whole seconds.
    const ROUNDED: Duration = Duration::from_millis(1_200);
    let city = City::new().await;
    let hot = MemoryStore::new();
    let process = city.start(&hot);
    let topic = city.topics.topic(Stream::GpsData);
    let say = async |event: Event| {
        let appended = city.log.append(topic, vec![record_of(&event)]).await;
        appended.unwrap();
        city.wait_for_end(&hot).await;
    };
    let left = async |kind: Kind| {
        let entry = hot.get(kind, "taxi-3").await.unwrap();
        entry.map(|entry| (entry.expires_in, Instant::now()))
    };
    let kinds = [Kind::Vehicle, Kind::Trail];
    say(fix(3, 0)).await;
    for kind in kinds {
        until("some seconds to pass", async || {
            let most = kind.time_to_live() - Duration::from_secs(3);
            left(kind).await.is_some_and(|(left, _)| left <= most)
        })
        .await;
    }
    let mut before = Vec::new();
    for kind in kinds {
        before.push((kind, left(kind).await.unwrap()));
    }
    let gained = async |kind: Kind, (was_left, then): (Duration, Instant)| {
        let (left, now) = left(kind).await.unwrap();
        (left + (now - then)).saturating_sub(was_left)
    };
    // Older, said again, and not to be believed.
    say(fix(3, -20)).await;
    say(fix(3, 0)).await;
    let mut nowhere = fix(3, 5);
    if let Body::Gps(gps) = &mut nowhere.body {
        gps.location = Location::default();
    }
    say(nowhere).await;
    until("the bad fix to be told", async || {
        let entry = hot.get(Kind::Vehicle, "taxi-3").await.unwrap().unwrap();
        let vehicle: Value = serde_json::from_slice(&entry.value).unwrap();
        vehicle["bad_fixes"]["count"] == 1
    })
    .await;
    let mut watch = hot.watch().await.unwrap();
    summaries(watch.as_mut(), 2).await;
    for (kind, before) in &before {
        assert!(gained(*kind, *before).await <= ROUNDED, "{kind:?}");
    }
    say(fix(3, 10)).await;
    for (kind, before) in before {
        until("a longer life", async || {
            gained(kind, before).await > ROUNDED
        })
        .await;
    }
    process.abort();
}
