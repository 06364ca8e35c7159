//! The shell: poll the log, fold, apply to the hot store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use event_log::{Consumer, EventLog, Polled, Records};
use events::backoff::Backoff;
use events::health::{Health, HealthBoard};
use events::{Advance, Offset, Stream, Topic, TopicNames, TopicPartition};
use hot_store::{HotBatch, HotStore, Kind};
use metrics::{counter, histogram};
use streets::StreetNetwork;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::SpeedConfig;
use crate::state::{Counts, Origin, State};

/// The speed layer's name: its consumer group and the owner of its positions.
pub const OWNER: &str = "speed";
const COMPONENT: &str = "speed";
const TICK: Duration = Duration::from_secs(1);
/// The longest that the last write may take when the process is to stop.
const LAST_WRITE: Duration = Duration::from_secs(3);

/// What the speed layer works on.
#[derive(Clone)]
pub struct Deps {
    /// Where events come from.
    pub log: Arc<dyn EventLog>,
    /// Where values go.
    pub hot: Arc<dyn HotStore>,
    /// The city's streets.
    pub streets: Arc<StreetNetwork>,
    /// Which topic carries which stream.
    pub topics: TopicNames,
    /// Settings.
    pub config: SpeedConfig,
    /// Where readiness is reported, as component `speed`.
    pub health: HealthBoard,
}

/// Why the speed layer gave up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log failed.
    #[error("speed layer cannot read the event log")]
    Log(#[from] event_log::Error),
    /// The hot store failed.
    #[error("speed layer cannot write to the hot store")]
    Hot(#[from] hot_store::Error),
}

impl Error {
    /// A conflict is retried as well: another process took the partition, and a
    /// new session starts from what that process stored.
    fn is_retryable(&self) -> bool {
        match self {
            Error::Log(error) => error.is_retryable(),
            Error::Hot(hot_store::Error::Conflict { .. }) => true,
            Error::Hot(error) => error.is_retryable(),
        }
    }

    fn sentence(&self) -> String {
        let cause = std::error::Error::source(self)
            .map(ToString::to_string)
            .unwrap_or_default();
        format!("{self}: {cause}; retrying")
    }
}

/// Runs until `shutdown`; what was folded is saved before it returns. A back end
/// that is away is waited for; any other failure is returned.
pub async fn run(deps: Deps, shutdown: CancellationToken) -> Result<(), Error> {
    deps.health.report(COMPONENT, Health::Starting);
    let mut backoff = Backoff::new();
    loop {
        let error = match Session::open(&deps, &mut backoff).await {
            Ok(mut session) => match session.follow(&shutdown).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if !error.is_retryable() {
            return Err(error);
        }
        let sentence = error.sentence();
        if deps
            .health
            .report(COMPONENT, Health::Degraded(sentence.clone()))
        {
            warn!("{sentence}");
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

/// One run from stored state. Any failure ends it; the next starts from what is
/// stored, so memory and store cannot drift apart.
struct Session<'a> {
    deps: &'a Deps,
    backoff: &'a mut Backoff,
    consumer: Box<dyn Consumer>,
    streams: HashMap<Topic, Stream>,
    state: State,
    /// Folded and not yet applied: partition -> (from, to).
    pending: HashMap<TopicPartition, (Offset, Offset)>,
    written_at: Instant,
    published: Counts,
}

impl<'a> Session<'a> {
    async fn open(deps: &'a Deps, backoff: &'a mut Backoff) -> Result<Self, Error> {
        deps.hot.ping().await?;
        let mut state = State::new(deps.streets.clone(), deps.config.clone());
        for kind in Kind::ALL {
            state.restore(kind, &deps.hot.scan(kind).await?, now_us());
        }
        let streams: HashMap<Topic, Stream> = deps
            .topics
            .iter()
            // What this layer writes itself is no news to it.
            .filter(|(stream, _)| *stream != Stream::Windows)
            .map(|(stream, topic)| (topic.clone(), stream))
            .collect();
        let topics: Vec<Topic> = streams.keys().cloned().collect();
        let consumer = deps.log.subscribe(OWNER, &topics).await?;
        Ok(Self {
            deps,
            backoff,
            consumer,
            streams,
            state,
            pending: HashMap::new(),
            written_at: Instant::now(),
            published: Counts::default(),
        })
    }

    async fn follow(&mut self, shutdown: &CancellationToken) -> Result<(), Error> {
        let write_interval = Duration::from_millis(self.deps.config.write_interval_ms);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            let since_write = self.written_at.elapsed();
            let patience = match self.pending.is_empty() {
                true => TICK,
                false => write_interval.saturating_sub(since_write),
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.save_before_exit().await,
                _ = tick.tick() => self.tick(shutdown).await?,
                polled = self.consumer.poll(patience) => self.handle(polled?, shutdown).await?,
            }
            if !self.pending.is_empty() && self.written_at.elapsed() >= write_interval {
                let batch = self.batch();
                self.apply(batch, shutdown).await?;
            }
        }
    }

    async fn handle(&mut self, polled: Polled, shutdown: &CancellationToken) -> Result<(), Error> {
        match polled {
            Polled::Nothing => {}
            Polled::Records(all) => {
                for records in all {
                    self.fold(records);
                }
            }
            Polled::Assigned(partitions) => self.assign(&partitions).await?,
            Polled::Revoked(partitions) => {
                let batch = self.batch();
                self.apply(batch, shutdown).await?;
                for partition in &partitions {
                    self.state.revoke(partition);
                }
                self.consumer.release(&partitions).await?;
            }
        }
        Ok(())
    }

    async fn assign(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        let stored = self.deps.hot.positions(OWNER).await?;
        let mut starts = Vec::with_capacity(partitions.len());
        for partition in partitions {
            self.state
                .assign(partition, &self.deps.hot.cells(OWNER, partition).await?);
            starts.push((partition.clone(), stored.get(partition).copied()));
        }
        self.consumer.start(&starts).await?;
        info!(
            partitions = partitions.len(),
            "speed layer took over partitions"
        );
        self.ready();
        Ok(())
    }

    fn ready(&mut self) {
        self.backoff.reset();
        if self.deps.health.report(COMPONENT, Health::Ready) {
            info!("speed layer is ready");
        }
    }

    fn fold(&mut self, records: Records) {
        let Some(stream) = self.streams.get(&records.partition.topic).copied() else {
            return;
        };
        let slot = self.state.slot(&records.partition);
        let now_us = now_us();
        let mut undecodable = 0;
        for record in &records.records {
            let origin = Origin {
                slot,
                offset: record.offset,
                appended_at_us: record.appended_at_us,
            };
            match events::decode(stream, &record.value, record.appended_at_us) {
                Ok(event) => self.state.fold(event, origin, now_us),
                // The batch layer sends it to the dead-letter topic.
                Err(error) => {
                    undecodable += 1;
                    debug!(partition = %records.partition, offset = record.offset, %error, "skipped a record");
                }
            }
        }
        counter!("citypulse_speed_events_total", "stream" => stream.name())
            .increment(records.records.len() as u64 - undecodable);
        counter!("citypulse_speed_undecodable_total", "stream" => stream.name())
            .increment(undecodable);
        self.pending
            .entry(records.partition)
            .and_modify(|(_, to)| *to = records.next)
            .or_insert((records.from, records.next));
    }

    fn batch(&mut self) -> HotBatch {
        let mut batch = self.state.drain(now_us());
        batch.advances = self
            .pending
            .drain()
            .map(|(partition, (from, to))| Advance {
                partition,
                from,
                to,
            })
            .collect();
        batch
    }

    async fn tick(&mut self, shutdown: &CancellationToken) -> Result<(), Error> {
        let figures = self.state.tick(now_us());
        let mut batch = self.batch();
        batch.updates.extend(figures);
        self.publish_counts();
        self.apply(batch, shutdown).await
    }

    /// Applies until it is in, or another owner is found to have taken over.
    async fn apply(&mut self, batch: HotBatch, shutdown: &CancellationToken) -> Result<(), Error> {
        let advances = batch.advances.clone();
        let started = Instant::now();
        while let Err(error) = self.deps.hot.apply(OWNER, batch.clone()).await {
            let error = Error::from(error);
            if !error.is_retryable()
                || matches!(error, Error::Hot(hot_store::Error::Conflict { .. }))
            {
                return Err(error);
            }
            let sentence = error.sentence();
            if self
                .deps
                .health
                .report(COMPONENT, Health::Degraded(sentence.clone()))
            {
                warn!("{sentence}");
            }
            tokio::select! {
                () = tokio::time::sleep(self.backoff.next_delay()) => {}
                // Not saved: the next start reads these records again.
                () = shutdown.cancelled() => return Err(error),
            }
        }
        histogram!("citypulse_speed_apply_seconds").record(started.elapsed().as_secs_f64());
        self.written_at = Instant::now();
        let positions: Vec<_> = advances
            .into_iter()
            .map(|advance| (advance.partition, advance.to))
            .collect();
        if !positions.is_empty() {
            self.consumer.commit_advisory(&positions);
            self.ready();
        }
        Ok(())
    }

    async fn save_before_exit(&mut self) -> Result<(), Error> {
        let batch = self.batch();
        match tokio::time::timeout(LAST_WRITE, self.deps.hot.apply(OWNER, batch)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                warn!(%error, "last write was not saved; the next start repeats it");
                Ok(())
            }
            Err(_) => {
                warn!("hot store did not answer in time; the next start repeats the last write");
                Ok(())
            }
        }
    }

    fn publish_counts(&mut self) {
        let now = self.state.counts();
        let before = std::mem::replace(&mut self.published, now);
        let flagged = |reason: &'static str, count: u64| {
            counter!("citypulse_speed_flagged_fixes_total", "reason" => reason).increment(count);
        };
        flagged("null_island", now.null_island - before.null_island);
        flagged("teleport", now.teleports - before.teleports);
        counter!("citypulse_speed_out_of_order_total")
            .increment(now.out_of_order - before.out_of_order);
        counter!("citypulse_speed_late_total").increment(now.late - before.late);
    }
}

fn now_us() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since_epoch.as_micros() as i64
}
