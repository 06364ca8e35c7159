//! The shell: poll the log, fold, apply to the hot store.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use event_log::registry::Registry;
use event_log::{Consumer, EventLog, NewRecord, Polled, Records};
use events::backoff::Backoff;
use events::health::{Health, HealthBoard};
use events::{Stream, Topic, TopicNames, TopicPartition};
use fences::Fence;
use hot_store::{Cell, HotBatch, HotStore, Kind, Update};
use metrics::counter;
use rules::{AlertStep, RuleSet, StoredRule};
use streets::StreetNetwork;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::alert_outbox::{AlertOutbox, NOTED};
use crate::config::SpeedConfig;
use crate::error::Error;
use crate::fence_feed::{FenceFeed, place_of_vehicle};
use crate::lag;
use crate::observer::{Observations, Observer};
use crate::outbox::Outbox;
use crate::progress::{AllProgress, Progress, Start};
use crate::publish::Published;
use crate::state::{State, combined_cells_of, learned_cells_of, shared_cells_of};
use crate::write::{InFlight, Write, Written};

/// The speed layer's name: its consumer group and the owner of its positions.
pub const OWNER: &str = "speed";
const COMPONENT: &str = "speed";
const TICK: Duration = Duration::from_secs(1);
/// The longest that the last write may take when the process is to stop.
const LAST_WRITE: Duration = Duration::from_secs(3);
/// After a write that took `t` the next one waits for this many `t`, so that a busy
/// hot store leaves time to fold; at most [`PACE_MAX`].
const PACE_FACTOR: u32 = 2;
const PACE_MAX: Duration = Duration::from_millis(250);
/// For so long the log is read on while a write is under way. A store that stands
/// still stops the reading, so that nothing piles up.
const RUN_AHEAD: Duration = Duration::from_millis(250);
/// Values of [`Slow`] in one write: what moves is not kept waiting by what does not.
const SLOW_AT_ONCE: usize = 2_000;
/// Partitions that are checkpointed in one write, so that none takes long.
const CHECKPOINTS_AT_ONCE: usize = 1;
/// Vehicles with fences around them that are asked for in one read.
const ANCHORS_AT_ONCE: usize = 1_000;
/// Cell of the combining process: where its outbox stands.
const OUTBOX: &str = "outbox";

/// What the speed layer works on.
#[derive(Clone)]
pub struct Deps {
    /// Where events come from, and closed windows go.
    pub log: Arc<dyn EventLog>,
    /// Where values go.
    pub hot: Arc<dyn HotStore>,
    /// The city's streets.
    pub streets: Arc<StreetNetwork>,
    /// The fences that people drew.
    pub fences: Arc<Registry<Fence>>,
    /// The rules that people wrote.
    pub rules: Arc<Registry<StoredRule>>,
    /// Which topic carries which stream.
    pub topics: TopicNames,
    /// Settings.
    pub config: SpeedConfig,
    /// Where readiness is reported, as component `speed`.
    pub health: HealthBoard,
}

/// Runs until `shutdown`; what was folded is saved before it returns. A back end
/// that is away is waited for; any other failure is returned.
pub async fn run(deps: Deps, shutdown: CancellationToken) -> Result<(), Error> {
    deps.health.report(COMPONENT, Health::Starting);
    let mut backoff = Backoff::new();
    loop {
        let opened = tokio::select! {
            opened = Session::open(&deps, &mut backoff) => opened,
            () = shutdown.cancelled() => return Ok(()),
        };
        let error = match opened {
            Ok(mut session) => match session.follow(&shutdown).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if !error.is_retryable() {
            return Err(error);
        }
        degrade(&deps, &error);
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

pub(crate) fn degrade(deps: &Deps, error: &Error) {
    let sentence = error.sentence();
    let health = Health::Degraded(sentence.clone());
    if deps.health.report(COMPONENT, health) {
        warn!("{sentence}");
    }
}

/// The topics that are read. What this layer writes itself is no news to it.
pub(crate) fn streams(topics: &TopicNames) -> HashMap<Topic, Stream> {
    topics
        .iter()
        .filter(|(stream, _)| *stream != Stream::Windows)
        .map(|(stream, topic)| (topic.clone(), stream))
        .collect()
}

/// The partition whose owner speaks for the whole city.
pub(crate) fn first_partition(topics: &TopicNames) -> TopicPartition {
    TopicPartition::new(topics.topic(Stream::ALL[0]).clone(), 0)
}

/// One run from stored state. Any failure ends it; the next starts from what is
/// stored, so memory and store cannot drift apart.
struct Session<'a> {
    deps: &'a Deps,
    backoff: &'a mut Backoff,
    consumer: Box<dyn Consumer>,
    streams: HashMap<Topic, Stream>,
    first: TopicPartition,
    state: State,
    progress: AllProgress,
    observations: Observations,
    /// Where closed windows go, of the process that combines.
    outbox: Option<Outbox>,
    /// Where alerts go.
    alerts: AlertOutbox,
    /// Noted for the next session, as of the last tick or before.
    alerts_noted: Bytes,
    /// What rules over all partitions said and is not appended yet.
    unsaid: Vec<AlertStep>,
    rules_version: Option<u64>,
    fence_feed: FenceFeed,
    in_flight: Option<InFlight>,
    slow: Slow,
    written_at: Instant,
    /// How long after a write the next one is.
    pace: Duration,
    published: Published,
}

/// What is written once a second, a part of it with each write: trails, windows, roads.
#[derive(Default)]
struct Slow {
    updates: VecDeque<Update>,
    /// What says that all of it is written.
    cells: Vec<Cell>,
    /// Closed windows, to be appended before.
    windows: Vec<NewRecord>,
    /// Whether windows and roads are among it.
    is_combined: bool,
}

impl Slow {
    fn is_empty(&self) -> bool {
        self.updates.is_empty() && self.cells.is_empty() && self.windows.is_empty()
    }
}

impl<'a> Session<'a> {
    async fn open(deps: &'a Deps, backoff: &'a mut Backoff) -> Result<Self, Error> {
        deps.hot.ping().await?;
        let streams = streams(&deps.topics);
        let first = first_partition(&deps.topics);
        let interval = Duration::from_millis(deps.config.checkpoint_interval_ms.clamp(100, 2_000));
        let observer = Observer {
            log: deps.log.clone(),
            hot: deps.hot.clone(),
            streams: streams.clone(),
            first: first.clone(),
            interval,
        };
        // What is folded follows from rules and fences: they come first.
        deps.rules.loaded().await;
        deps.fences.loaded().await;
        let mut state = State::new(deps.streets.clone(), deps.config.clone());
        let mut fence_feed = FenceFeed::default();
        fence_feed.catch_up(&deps.fences, state.fences_mut());
        let topics: Vec<Topic> = streams.keys().cloned().collect();
        let consumer = deps.log.subscribe(OWNER, &topics).await?;
        Ok(Self {
            deps,
            backoff,
            consumer,
            streams,
            first,
            state,
            fence_feed,
            progress: AllProgress::default(),
            observations: observer.start(),
            outbox: None,
            alerts: AlertOutbox::new(deps.topics.topic(Stream::Alerts).clone()),
            alerts_noted: Bytes::new(),
            unsaid: Vec::new(),
            rules_version: None,
            in_flight: None,
            slow: Slow::default(),
            written_at: Instant::now(),
            pace: Duration::from_millis(deps.config.write_interval_ms),
            published: Published::default(),
        })
    }

    async fn follow(&mut self, shutdown: &CancellationToken) -> Result<(), Error> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut is_tick_due = false;
        loop {
            self.refresh_rules();
            self.fence_feed
                .step(&self.deps.fences, self.state.fences_mut());
            let patience = self.patience();
            let may_read = self.may_read();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.save_before_exit(shutdown).await,
                written = finished(&mut self.in_flight) => {
                    self.in_flight = None;
                    self.written(written?);
                }
                _ = tick.tick(), if !is_tick_due => is_tick_due = true,
                polled = self.consumer.poll(patience), if may_read => {
                    self.handle(polled?, shutdown).await?;
                }
            }
            if self.in_flight.is_some() {
                continue;
            }
            if std::mem::take(&mut is_tick_due) {
                self.tick(shutdown).await?;
            } else if self.has_to_write() && self.written_at.elapsed() >= self.pace {
                self.write(shutdown);
            }
        }
    }

    fn has_to_write(&self) -> bool {
        self.progress.is_pending() || !self.slow.is_empty()
    }

    fn may_read(&self) -> bool {
        let age = self.in_flight.as_ref().map(InFlight::age);
        age.is_none_or(|age| age < RUN_AHEAD)
    }

    /// How long to wait for records.
    fn patience(&self) -> Duration {
        match &self.in_flight {
            Some(write) => RUN_AHEAD.saturating_sub(write.age()),
            None if self.has_to_write() => self.pace.saturating_sub(self.written_at.elapsed()),
            None => TICK,
        }
    }

    /// Goes on with the rules as they are now.
    fn refresh_rules(&mut self) {
        let version = self.deps.rules.version();
        if self.rules_version == Some(version) {
            return;
        }
        self.rules_version = Some(version);
        let written = self.deps.rules.entries();
        let written = written
            .iter()
            .map(|(_, entry)| Arc::new(entry.value.rule.clone()));
        let rules = RuleSet::with_built_in(written);
        info!(rules = rules.rules().count(), "rules are in force");
        self.state.set_rules(Arc::new(rules));
    }

    /// Takes fences around vehicles to where those are that other processes fold.
    async fn locate_anchors(&mut self) -> Result<(), Error> {
        let anchors = self.state.unseen_anchors();
        for anchors in anchors.chunks(ANCHORS_AT_ONCE) {
            let values = self.deps.hot.get_many(Kind::Vehicle, anchors).await?;
            for (anchor, entry) in anchors.iter().zip(values) {
                if let Some(place) = entry.and_then(|entry| place_of_vehicle(&entry.value)) {
                    self.state.fences_mut().move_anchor(anchor, place);
                }
            }
        }
        Ok(())
    }

    async fn handle(&mut self, polled: Polled, shutdown: &CancellationToken) -> Result<(), Error> {
        match polled {
            Polled::Nothing => {}
            Polled::Records(all) => {
                for records in all {
                    self.fold(records);
                }
            }
            Polled::Assigned(partitions) => {
                self.settle().await?;
                self.assign(&partitions).await?;
            }
            Polled::Revoked(partitions) => self.revoke(&partitions, shutdown).await?,
        }
        Ok(())
    }

    async fn assign(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        let stored = self.deps.hot.positions(OWNER).await?;
        let city = combined_cells_of(&self.first);
        let city = self.deps.hot.cells(OWNER, &city).await?;
        self.state.restore_combined(&city);
        if partitions.contains(&self.first) {
            self.open_outbox(&city).await?;
            let learned = learned_cells_of(&self.first);
            let learned = self.deps.hot.cells(OWNER, &learned).await?;
            self.state.restore_learned(&learned);
        }
        self.refresh_rules();
        let mut starts = Vec::with_capacity(partitions.len());
        let note_of = |cells: &[(String, Bytes)]| {
            let note = cells.iter().find(|(key, _)| key == NOTED);
            note.map(|(_, note)| note.clone())
        };
        let mut notes = vec![note_of(&city)];
        let mut goals = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let Some(stream) = self.streams.get(&partition.topic).copied() else {
                continue;
            };
            let mut cells = self.deps.hot.cells(OWNER, partition).await?;
            let shared = shared_cells_of(partition);
            cells.extend(self.deps.hot.cells(OWNER, &shared).await?);
            let bounds = self.deps.log.bounds(&partition.topic).await?;
            let oldest = bounds.iter().find(|bounds| bounds.partition == *partition);
            let end = oldest.map_or(0, |bounds| bounds.end);
            goals.push((partition.clone(), end));
            let oldest = oldest.map_or(0, |bounds| bounds.start);
            notes.push(note_of(&cells));
            let start = Start::of(&cells, stored.get(partition).copied(), oldest);
            let slot = self.state.assign(partition, stream, start.cells(&cells));
            if start.is_behind() {
                self.state.catch_up(slot);
            }
            self.progress
                .insert(partition, Progress::new(slot, stream, &start));
            starts.push((partition.clone(), start));
        }
        if !partitions.contains(&self.first) {
            notes.remove(0);
        }
        self.alerts
            .read_since(self.deps.log.as_ref(), &notes, goals)
            .await?;
        self.alerts_noted = self.alerts.note();
        // First where it is known to have been: an embedded log that lost its end
        // to a power failure goes on numbering there.
        let ends: Vec<_> = starts
            .iter()
            .map(|(id, start)| (id.clone(), start.stored))
            .collect();
        self.consumer.start(&ends).await?;
        let behind: Vec<_> = starts
            .iter()
            .filter(|(_, start)| start.is_behind())
            .map(|(id, start)| (id.clone(), start.read_from))
            .collect();
        if !behind.is_empty() {
            self.consumer.start(&behind).await?;
        }
        self.observations.set_own(self.progress.partitions());
        info!(
            partitions = partitions.len(),
            "speed layer took over partitions"
        );
        self.ready();
        Ok(())
    }

    async fn open_outbox(&mut self, city: &[(String, Bytes)]) -> Result<(), Error> {
        let topic = self.deps.topics.topic(Stream::Windows);
        let note = city.iter().find(|(key, _)| key == OUTBOX);
        let mut closed_until_us = i64::MIN;
        let outbox = Outbox::open(
            self.deps.log.as_ref(),
            topic,
            note.map(|(_, note)| note.as_ref()),
            |value| {
                if let Ok(event) = events::decode(Stream::Windows, value, i64::MAX)
                    && let events::Body::Window(window) = event.body
                {
                    closed_until_us = closed_until_us.max(window.window_end_us.unwrap_or(i64::MIN));
                }
            },
        );
        self.outbox = Some(outbox.await?);
        if note.is_none() {
            // A store that was flushed: the log itself says what was closed.
            self.state.closed_until(closed_until_us);
        }
        Ok(())
    }

    async fn revoke(
        &mut self,
        partitions: &[TopicPartition],
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        self.settle().await?;
        let write = self.last_write(&partitions.iter().cloned().collect());
        self.in_flight = Some(write.start(self.deps, shutdown));
        self.settle().await?;
        for partition in partitions {
            self.state.revoke(partition);
            self.progress.remove(partition);
            lag::forget(partition);
        }
        if partitions.contains(&self.first) {
            self.outbox = None;
        }
        self.consumer.release(partitions).await?;
        self.observations.set_own(self.progress.partitions());
        Ok(())
    }

    fn ready(&mut self) {
        self.backoff.reset();
        if self.deps.health.report(COMPONENT, Health::Ready) {
            info!("speed layer is ready");
        }
    }

    fn fold(&mut self, records: Records) {
        let Some(progress) = self.progress.get_mut(&records.partition) else {
            return;
        };
        progress.began(records.from);
        let mut undecodable = 0;
        for record in &records.records {
            if progress.passes(record.offset) {
                self.state.caught_up(progress.slot);
            }
            match events::decode(progress.stream, &record.value, record.appended_at_us) {
                Ok(event) => {
                    self.state
                        .fold(progress.slot, event, record.offset, record.appended_at_us);
                }
                // The batch layer sends it to the dead-letter topic.
                Err(error) => {
                    undecodable += 1;
                    debug!(partition = %records.partition, offset = record.offset, %error, "skipped a record");
                }
            }
        }
        if let Some(last) = records.records.last() {
            progress.appended_at_us = last.appended_at_us;
        }
        if progress.passes(records.next) {
            self.state.caught_up(progress.slot);
        }
        self.state.reached(progress.slot, records.next);
        progress.folded = records.next;
        counter!("citypulse_speed_undecodable_total", "stream" => progress.stream.name())
            .increment(undecodable);
    }

    /// Whether this process speaks for the whole city, and can.
    fn is_combining(&self) -> bool {
        self.outbox.is_some() && self.state.can_combine()
    }

    /// What is written as soon as it is known, and the checkpoints of some
    /// partitions.
    fn batch(&mut self, checkpoints: &HashSet<TopicPartition>) -> HotBatch {
        let now_us = now_us();
        let mut batch = HotBatch {
            updates: self.state.drain_vehicles(now_us),
            ..HotBatch::default()
        };
        batch.updates.extend(self.state.drain_alerts(now_us));
        if self.is_combining() {
            let latest = self.state.drain_latest(now_us);
            if !latest.is_empty() {
                batch.updates.extend(latest);
                batch.cells.push(self.state.latest_shown(&self.first));
            }
        }
        for partition in checkpoints {
            if let Some(progress) = self.progress.get_mut(partition)
                && !progress.is_behind()
            {
                let cells = self.state.checkpoint(progress.slot, now_us);
                batch.cells.extend(cells);
                batch.cells.extend(progress.first_checkpoint(partition));
                batch.cells.push(Cell {
                    partition: partition.clone(),
                    key: NOTED.to_owned(),
                    value: Some(self.alerts_noted.clone()),
                });
                progress.checkpointed(self.deps.config.checkpoint_interval_ms);
            }
        }
        batch.advances = self.progress.advances();
        batch
    }

    /// Trails that grew, besides what waits already.
    fn drain_trails(&mut self) {
        let (trails, flushed) = self.state.drain_trails(now_us());
        self.slow.updates.extend(trails);
        self.slow.cells.extend(flushed);
    }

    async fn tick(&mut self, shutdown: &CancellationToken) -> Result<(), Error> {
        if let Some(observation) = self.observations.take() {
            self.state.observe(observation, self.outbox.is_some());
        }
        self.state.drop_closed();
        self.locate_anchors().await?;
        let now_us = now_us();
        let places = self.progress.places();
        self.alerts
            .tick(places.map(|place| (place.partition, place.position)));
        // Not newer than what the checkpoints of this tick follow from.
        self.alerts_noted = self.alerts.note();
        let lags = lag::publish(self.progress.places(), self.state.ends(), now_us);
        // Where the last second's are not all written yet, these wait for the next.
        if self.slow.is_empty() {
            self.drain_trails();
            if self.is_combining() {
                self.combine(now_us);
            }
        }
        self.slow.updates.extend(lags);
        self.published.publish(&self.state);
        self.write(shutdown);
        Ok(())
    }

    /// Figures of the whole city. Windows that are closed now are appended to the
    /// log before anything says that they are.
    fn combine(&mut self, now_us: i64) {
        let combined = self.state.combine(now_us);
        self.slow.is_combined = true;
        self.slow.updates.extend(combined.updates);
        self.unsaid.extend(combined.alerts);
        self.slow
            .cells
            .extend(self.state.combined_cells(&self.first));
        if let Some(outbox) = self.outbox.as_mut() {
            self.slow.windows.extend(outbox.records(&combined.closed));
        }
        self.slow.updates.extend(self.state.summary(now_us));
    }

    /// Puts a part of what is slow into a batch, at most `most` values.
    fn take_slow(&mut self, most: usize, batch: &mut HotBatch) {
        let part = self.slow.updates.len().min(most);
        batch.updates.extend(self.slow.updates.drain(..part));
        if !self.slow.updates.is_empty() {
            return;
        }
        batch.cells.append(&mut self.slow.cells);
        if !std::mem::take(&mut self.slow.is_combined) {
            return;
        }
        if let Some(outbox) = self.outbox.as_mut() {
            let city = combined_cells_of(&self.first);
            let notes = [(OUTBOX, outbox.note()), (NOTED, self.alerts_noted.clone())];
            batch.cells.extend(notes.map(|(key, value)| Cell {
                partition: city.clone(),
                key: key.to_owned(),
                value: Some(value),
            }));
        }
    }

    /// What there is to write now, with `slow_most` values of what is slow.
    fn next_write(&mut self, checkpoints: &HashSet<TopicPartition>, slow_most: usize) -> Write {
        let mut batch = self.batch(checkpoints);
        self.take_slow(slow_most, &mut batch);
        let mut steps = std::mem::take(&mut self.unsaid);
        steps.extend(self.state.take_alert_steps());
        Write {
            alerts: self.alerts.records(&steps),
            windows: std::mem::take(&mut self.slow.windows),
            batch,
            fences: self.progress.fences(),
        }
    }

    /// Everything at once, before partitions are given up.
    fn last_write(&mut self, checkpoints: &HashSet<TopicPartition>) -> Write {
        self.drain_trails();
        self.next_write(checkpoints, usize::MAX)
    }

    /// Starts the next write; none may be under way.
    fn write(&mut self, shutdown: &CancellationToken) {
        let due = self.progress.due(CHECKPOINTS_AT_ONCE);
        let write = self.next_write(&due, SLOW_AT_ONCE);
        self.in_flight = Some(write.start(self.deps, shutdown));
    }

    /// Waits for the write that is under way.
    async fn settle(&mut self) -> Result<(), Error> {
        if let Some(mut write) = self.in_flight.take() {
            let written = write.done().await?;
            self.written(written);
        }
        Ok(())
    }

    fn written(&mut self, written: Written) {
        let interval = Duration::from_millis(self.deps.config.write_interval_ms);
        self.pace = (written.took * PACE_FACTOR).min(PACE_MAX).max(interval);
        self.written_at = Instant::now();
        self.alerts.appended(written.alerts);
        if let Some(outbox) = self.outbox.as_mut() {
            outbox.appended(written.windows);
        }
        self.progress.stored(&written.advances);
        let advances = written.advances.into_iter();
        let positions: Vec<_> = advances
            .filter(|advance| advance.from != advance.to)
            .map(|advance| (advance.partition, advance.to))
            .collect();
        if !positions.is_empty() {
            self.consumer.commit_advisory(&positions);
            self.ready();
        }
    }

    async fn save_before_exit(&mut self, shutdown: &CancellationToken) -> Result<(), Error> {
        let save = async {
            self.settle().await?;
            let all = self.progress.partitions();
            let write = self.last_write(&all);
            self.in_flight = Some(write.start(self.deps, shutdown));
            self.settle().await
        };
        match tokio::time::timeout(LAST_WRITE, save).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(%error, "last write was not saved; the next start repeats it");
            }
            Err(_) => {
                warn!("hot store did not answer in time; the next start repeats the last write");
            }
        }
        Ok(())
    }
}

/// The end of the write under way; never where there is none.
async fn finished(in_flight: &mut Option<InFlight>) -> Result<Written, Error> {
    match in_flight {
        Some(write) => write.done().await,
        None => std::future::pending().await,
    }
}

/// Microseconds since the epoch.
pub(crate) fn now_us() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since_epoch.as_micros() as i64
}
