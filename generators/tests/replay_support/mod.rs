//! What the replay's tests share: a receiver that keeps what it gets, and runs.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use events::{Body, Event, Gps, Incident, Stream};
use generators::replay::{
    Outgoing, ReplayError, ReplayOptions, SendError, Sent, Sink, Summary, Update, run_replay,
};
use tokio_util::sync::CancellationToken;

/// Far enough in the future for every recording.
pub const LATE_US: i64 = 4_000_000_000_000_000;

pub fn fixture(name: &str) -> PathBuf {
    Path::new("tests/fixtures").join(name)
}

/// A file of the recordings of real cities; says so where it is missing.
pub fn recording(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CITYPULSE_REALDATA")
        .map_or_else(|| PathBuf::from("../../shared/data"), PathBuf::from);
    let path = folder.join(name);
    if !path.exists() {
        println!(
            "SKIPPED: {} is missing; set CITYPULSE_REALDATA to the recordings' folder",
            path.display()
        );
        return None;
    }
    Some(path)
}

/// Keeps every message.
#[derive(Default)]
pub struct Collector {
    pub received: Vec<(Stream, Outgoing)>,
    pub batches: usize,
    /// Told to stop while this batch, from 1, is sent.
    pub stop_in_batch: Option<(usize, CancellationToken)>,
    /// This batch, from 1, is refused.
    pub refuse_batch: Option<usize>,
    /// So many sends fail first.
    pub failures: usize,
    /// Only the number of messages counts.
    pub keep_nothing: bool,
    pub count: u64,
}

#[async_trait]
impl Sink for Collector {
    fn identity(&self) -> String {
        "collector".to_owned()
    }

    async fn send(&mut self, stream: Stream, messages: &[Outgoing]) -> Result<Sent, SendError> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err(SendError::Unavailable("nobody is there".to_owned()));
        }
        self.batches += 1;
        if self.refuse_batch == Some(self.batches) {
            return Err(SendError::Refused("no more".to_owned()));
        }
        if let Some((batch, shutdown)) = &self.stop_in_batch
            && *batch == self.batches
        {
            shutdown.cancel();
        }
        self.count += messages.len() as u64;
        if !self.keep_nothing {
            self.received
                .extend(messages.iter().map(|message| (stream, message.clone())));
        }
        Ok(Sent {
            accepted: messages.len() as u64,
            ..Sent::default()
        })
    }
}

impl Collector {
    /// What it got, as the layers read it.
    pub fn events(&self) -> Vec<Event> {
        let decoded = self.received.iter().map(|(stream, message)| {
            let event = events::decode(*stream, &message.value, LATE_US);
            let event = event.unwrap_or_else(|error| {
                panic!("{error}: {}", String::from_utf8_lossy(&message.value))
            });
            assert_eq!(event.device_id, message.device_id, "the key is the device");
            event
        });
        decoded.collect()
    }

    pub fn ids(&self) -> Vec<String> {
        let events = self.events();
        events.iter().map(|event| event.id.to_string()).collect()
    }
}

/// What a run told.
#[derive(Debug, Default)]
pub struct Told {
    pub bad: Vec<(u64, String)>,
    pub notices: Vec<String>,
}

/// Runs a replay into `sink` and keeps what it tells.
pub async fn run(
    options: &ReplayOptions,
    sink: &mut dyn Sink,
    shutdown: &CancellationToken,
) -> (Result<Summary, ReplayError>, Told) {
    let mut told = Told::default();
    let mut report = |update| match update {
        Update::BadRow { line, cause } => told.bad.push((line, cause)),
        Update::Notice(notice) => told.notices.push(notice),
        Update::Progress(_) => {}
    };
    let summary = run_replay(options, sink, &mut report, shutdown).await;
    (summary, told)
}

/// Replays a whole file, which must work.
pub async fn replay(options: &ReplayOptions) -> (Summary, Collector, Told) {
    let mut collector = Collector::default();
    let (summary, told) = run(options, &mut collector, &CancellationToken::new()).await;
    (
        summary.expect("the replay comes to its end"),
        collector,
        told,
    )
}

pub fn gps(event: &Event) -> &Gps {
    match &event.body {
        Body::Gps(gps) => gps,
        other => panic!("no gps_data: {other:?}"),
    }
}

pub fn incident(event: &Event) -> &Incident {
    match &event.body {
        Body::Incident(incident) => incident,
        other => panic!("no emergency_incident_data: {other:?}"),
    }
}

/// Waits for `done`, at most ten seconds.
pub async fn within<T>(done: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), done)
        .await
        .expect("within ten seconds")
}
