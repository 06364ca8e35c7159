//! Recordings of real cities, as the replay makes events of them.

use std::env;
use std::path::PathBuf;

use anyhow::Result;
use async_trait::async_trait;
use events::{Event, Stream, decode};
use generators::replay::{Outgoing, ReplayOptions, SendError, Sent, Sink, run_replay};
use tokio_util::sync::CancellationToken;

/// Later than every recording: nothing in one is from the future.
const LATE_US: i64 = 4_000_000_000_000_000;

/// A file of the recordings, which are no part of the checkout; says so where it
/// is missing.
pub fn recording(name: &str) -> Option<PathBuf> {
    let folder = env::var_os("CITYPULSE_REALDATA")
        .map_or_else(|| PathBuf::from("../../shared/data"), PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    println!(
        "SKIPPED: {} is missing; set CITYPULSE_REALDATA to the recordings' folder",
        path.display()
    );
    None
}

#[derive(Default)]
struct Collector {
    events: Vec<Event>,
}

#[async_trait]
impl Sink for Collector {
    fn identity(&self) -> String {
        "collector".to_owned()
    }

    async fn send(&mut self, stream: Stream, messages: &[Outgoing]) -> Result<Sent, SendError> {
        for message in messages {
            let event = decode(stream, &message.value, LATE_US)
                .map_err(|error| SendError::Refused(error.to_string()))?;
            self.events.push(event);
        }
        Ok(Sent {
            accepted: messages.len() as u64,
            ..Sent::default()
        })
    }
}

/// All events of a recording, in its order.
///
/// # Errors
/// When it cannot be read.
pub fn replayed(path: PathBuf) -> Result<Vec<Event>> {
    let mut collector = Collector::default();
    let options = ReplayOptions::file(path);
    let (shutdown, mut report) = (CancellationToken::new(), |_| {});
    let replay = run_replay(&options, &mut collector, &mut report, &shutdown);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?
        .block_on(replay)?;
    Ok(collector.events)
}
