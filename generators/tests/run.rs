//! The shell around the city: what the log does not take is not lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use event_log::{Bounds, Consumer, Error, EventLog, NewRecord, Result, TopicSpec};
use events::health::{Health, HealthBoard};
use events::{Offset, Topic, TopicNames, TopicPartition};
use generators::GeneratorConfig;
use streets::StreetNetwork;
use tokio_util::sync::CancellationToken;

/// A log that only takes, and not always.
#[derive(Default)]
struct Trough {
    is_down: AtomicBool,
    is_broken: AtomicBool,
    refused: Mutex<Vec<NewRecord>>,
    taken: Mutex<Vec<NewRecord>>,
}

impl Trough {
    fn of(records: &Mutex<Vec<NewRecord>>) -> Vec<NewRecord> {
        records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn no_reading<T>() -> Result<T> {
    Err(Error::Invalid("this log is only appended to".to_owned()))
}

#[async_trait]
impl EventLog for Trough {
    async fn create_topics(&self, _: &[TopicSpec]) -> Result<()> {
        Ok(())
    }

    async fn append(&self, _: &Topic, records: Vec<NewRecord>) -> Result<Vec<(i32, Offset)>> {
        if self.is_broken.load(Ordering::SeqCst) {
            return no_reading();
        }
        let is_down = self.is_down.load(Ordering::SeqCst);
        let into = if is_down { &self.refused } else { &self.taken };
        let count = records.len();
        into.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(records);
        if is_down {
            return Err(Error::Unavailable {
                address: "here".to_owned(),
                reason: "switched off".to_owned(),
            });
        }
        Ok(vec![(0, 0); count])
    }

    async fn bounds(&self, _: &Topic) -> Result<Vec<Bounds>> {
        no_reading()
    }

    async fn subscribe(&self, _: &str, _: &[Topic]) -> Result<Box<dyn Consumer>> {
        no_reading()
    }

    async fn read_from(&self, _: &[(TopicPartition, Offset)]) -> Result<Box<dyn Consumer>> {
        no_reading()
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let looking = async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        while !is_so() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looking)
        .await
        .unwrap_or_else(|_| panic!("waited too long until {what}"));
}

struct Running {
    log: Arc<Trough>,
    health: HealthBoard,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<std::result::Result<(), generators::Error>>,
}

fn start(is_down: bool) -> Running {
    let log = Arc::new(Trough {
        is_down: AtomicBool::new(is_down),
        ..Trough::default()
    });
    let (health, shutdown) = (HealthBoard::default(), CancellationToken::new());
    let config = GeneratorConfig {
        vehicles: 40,
        cameras: 5,
        stations: 5,
        ..GeneratorConfig::default()
    };
    let streets = StreetNetwork::gothenburg();
    let running = generators::run(
        log.clone(),
        TopicNames::default(),
        streets,
        config,
        health.clone(),
        shutdown.clone(),
    );
    Running {
        log,
        health,
        shutdown,
        task: tokio::spawn(running),
    }
}

fn state(health: &HealthBoard) -> Option<Health> {
    health.all().get("generators").cloned()
}

#[tokio::test]
async fn what_a_log_that_is_down_refused_is_appended_when_it_is_back() {
    let Running {
        log,
        health,
        shutdown,
        task,
    } = start(true);
    until("it is degraded", || {
        matches!(state(&health), Some(Health::Degraded(_)))
    })
    .await;
    let Some(Health::Degraded(advice)) = state(&health) else {
        panic!("degraded")
    };
    assert!(
        advice.contains("switched off") && advice.contains("check that it runs"),
        "{advice}"
    );
    log.is_down.store(false, Ordering::SeqCst);
    until("it is ready", || state(&health) == Some(Health::Ready)).await;
    until("much was taken", || Trough::of(&log.taken).len() > 100).await;
    shutdown.cancel();
    task.await.expect("no panic").expect("a clean end");
    let mut taken: HashMap<_, usize> = HashMap::new();
    for record in Trough::of(&log.taken) {
        *taken.entry(record.value).or_default() += 1;
    }
    assert!(
        Trough::of(&log.refused)
            .iter()
            .all(|record| taken.contains_key(&record.value)),
        "nothing is lost"
    );
    assert!(
        taken.values().all(|count| *count == 1),
        "nothing is taken twice"
    );
    assert!(
        Trough::of(&log.taken)
            .iter()
            .all(|record| record.key.is_some())
    );
}

#[tokio::test]
async fn a_log_that_will_never_take_it_ends_the_run() {
    let Running { log, task, .. } = start(false);
    log.is_broken.store(true, Ordering::SeqCst);
    let error = task.await.expect("no panic").expect_err("it cannot go on");
    assert!(error.to_string().contains("cannot append to"), "{error}");
}

#[tokio::test]
async fn a_configuration_that_makes_no_city_is_refused() {
    let config = GeneratorConfig {
        interval_s: 90.0,
        ..GeneratorConfig::default()
    };
    let log: Arc<dyn EventLog> = Arc::new(Trough::default());
    let outcome = generators::run(
        log,
        TopicNames::default(),
        StreetNetwork::gothenburg(),
        config,
        HealthBoard::default(),
        CancellationToken::new(),
    );
    assert!(
        outcome
            .await
            .expect_err("refused")
            .to_string()
            .contains("interval_s is 90")
    );
}
