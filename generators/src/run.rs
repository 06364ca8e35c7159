//! Steps the city by the clock and appends what its devices send.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use event_log::{EventLog, NewRecord};
use events::backoff::Backoff;
use events::health::{Health, HealthBoard};
use events::{Stream, TopicNames};
use streets::StreetNetwork;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::city::{City, Message};
use crate::config::{GeneratorConfig, Rate};

/// The component's name on the health board.
pub const COMPONENT: &str = "generators";

/// How often the city is stepped. Short against the glide of a vehicle, long
/// against the cost of an append.
const TICK: Duration = Duration::from_millis(100);
/// At full speed no step is shorter, so that event times differ.
const STEP_MIN_US: i64 = 1_000;

/// Why the generators gave up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration makes no city.
    #[error("{0}")]
    Config(String),
    /// The log refused what trying again will not change.
    #[error("generators cannot append to {topic}")]
    Log {
        /// The topic.
        topic: String,
        /// Why.
        source: event_log::Error,
    },
    /// The city could not be built.
    #[error("the simulated city could not be built: {0}")]
    City(String),
}

/// Runs the simulated city until `shutdown`. What the log does not take now is
/// appended again until it does, and the city waits meanwhile: nothing is lost,
/// but an append that failed half way may leave repeats (at least once).
pub async fn run(
    log: Arc<dyn EventLog>,
    topics: TopicNames,
    streets: Arc<StreetNetwork>,
    config: GeneratorConfig,
    health: HealthBoard,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    config.validate().map_err(Error::Config)?;
    health.report(COMPONENT, Health::Starting);
    let rate = config.rate;
    let began_us = clock_us();
    let start_us = config
        .start_us()
        .map_err(Error::Config)?
        .unwrap_or(began_us);
    // Simulated time may begin at any date, but runs as fast as the clock.
    let shift_us = start_us - began_us;
    let built = tokio::task::spawn_blocking(move || City::new(streets, &config, start_us)).await;
    let mut city = built.map_err(|error| Error::City(error.to_string()))?;
    info!(devices = city.device_count(), %rate, "simulated city is running");
    let appender = Appender {
        log,
        topics,
        health,
    };
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !shutdown.is_cancelled() {
        if rate != Rate::Max {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.cancelled() => break,
            }
        }
        let now_us = clock_us() + shift_us;
        if rate == Rate::Max && now_us < city.now_us() + STEP_MIN_US {
            tokio::time::sleep(Duration::from_micros(STEP_MIN_US as u64)).await;
            continue;
        }
        let messages = city.step(now_us);
        tokio::select! {
            appended = appender.append(messages) => appended?,
            () = shutdown.cancelled() => break,
        }
    }
    Ok(())
}

fn clock_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

struct Appender {
    log: Arc<dyn EventLog>,
    topics: TopicNames,
    health: HealthBoard,
}

impl Appender {
    /// Appends each stream's messages in order; streams side by side.
    async fn append(&self, messages: Vec<Message>) -> Result<(), Error> {
        let mut by_stream: [Vec<NewRecord>; Stream::ALL.len()] = Default::default();
        for message in messages {
            let key = Bytes::copy_from_slice(message.device_id.as_bytes());
            let record = NewRecord {
                key: Some(key),
                value: message.value,
                ..NewRecord::default()
            };
            by_stream[message.stream as usize].push(record);
        }
        let appends = Stream::ALL
            .into_iter()
            .zip(by_stream)
            .filter(|(_, records)| !records.is_empty())
            .map(|(stream, records)| self.append_to(stream, records));
        futures::future::try_join_all(appends).await.map(|_| ())
    }

    async fn append_to(&self, stream: Stream, records: Vec<NewRecord>) -> Result<(), Error> {
        let topic = self.topics.topic(stream);
        let count = records.len() as u64;
        let mut backoff = Backoff::new();
        loop {
            match self.log.append(topic, records.clone()).await {
                Ok(_) => break,
                Err(error) if error.is_retryable() => {
                    let advice = format!(
                        "{error}; generated events wait until it answers: check that it runs"
                    );
                    if self.health.report(COMPONENT, Health::Degraded(advice)) {
                        warn!(%topic, %error, "append failed, trying again");
                    }
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                Err(source) => {
                    return Err(Error::Log {
                        topic: topic.to_string(),
                        source,
                    });
                }
            }
        }
        self.health.report(COMPONENT, Health::Ready);
        metrics::counter!("citypulse_generated_events_total", "stream" => stream.name())
            .increment(count);
        Ok(())
    }
}
