//! The shell: poll the log, fold, apply to the hot store.

mod assignment;
mod writing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use event_log::registry::Registry;
use event_log::{Consumer, EventLog, Polled, Records};
use events::backoff::Backoff;
use events::health::{Health, HealthBoard};
use events::{Stream, Topic, TopicNames, TopicPartition};
use fences::Fence;
use hot_store::{HotStore, Kind};
use metrics::counter;
use rules::{AlertStep, RuleSet, StoredRule};
use streets::StreetNetwork;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::writing::{CombinedLane, Round, TrailLane};
use crate::alert_outbox::AlertOutbox;
use crate::config::SpeedConfig;
use crate::error::Error;
use crate::fence_feed::{FenceFeed, place_of_vehicle};
use crate::lag::{self, Reached};
use crate::observer::{Observations, Observer};
use crate::outbox::Outbox;
use crate::progress::AllProgress;
use crate::publish::Published;
use crate::state::State;
use crate::write::{InFlight, Written};

/// The speed layer's name: its consumer group and the owner of its positions.
pub const OWNER: &str = "speed";
const COMPONENT: &str = "speed";
const TICK: Duration = Duration::from_secs(1);
/// For so long the log is read on while a write is under way. A store that stands
/// still stops the reading, so that nothing piles up.
const RUN_AHEAD: Duration = Duration::from_secs(1);
/// With so many records left to read of a partition the process is behind.
const BEHIND_RECORDS: i64 = 10_000;
/// Vehicles with fences around them that are asked for in one read.
const ANCHORS_AT_ONCE: usize = 1_000;

/// Vehicles whose stored values are looked up in one second.
const RECALLED_AT_ONCE: usize = 5_000;

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
    let reached = Reached::default();
    let _gauges = reached.watch(
        deps.log.clone(),
        streams(&deps.topics).into_keys().collect(),
    );
    loop {
        let opened = tokio::select! {
            opened = Session::open(&deps, &reached, &mut backoff) => opened,
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
    /// For the gauges of lag.
    reached: &'a Reached,
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
    /// What is stored when the vehicles are written that still wait.
    round: Option<Round>,
    combined: CombinedLane,
    trails: TrailLane,
    /// How many values both lanes had to write at the last tick.
    slow_found: usize,
    wrote_at: Instant,
    trails_at: Instant,
    /// As of the last tick.
    is_behind: bool,
    published: Published,
}

impl<'a> Session<'a> {
    async fn open(
        deps: &'a Deps,
        reached: &'a Reached,
        backoff: &'a mut Backoff,
    ) -> Result<Self, Error> {
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
            reached,
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
            round: None,
            combined: CombinedLane::default(),
            trails: TrailLane::default(),
            slow_found: 0,
            wrote_at: Instant::now(),
            trails_at: Instant::now(),
            is_behind: false,
            published: Published::default(),
        })
    }

    async fn follow(&mut self, shutdown: &CancellationToken) -> Result<(), Error> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut is_tick_due = false;
        loop {
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
            } else if self.round.is_some()
                || (self.has_to_write() && self.wrote_at.elapsed() >= self.pace())
            {
                self.write(shutdown);
            }
        }
    }

    fn has_to_write(&self) -> bool {
        self.progress.is_pending()
            || self.round.is_some()
            || !self.is_combined_written()
            || !self.trails.is_written()
    }

    fn may_read(&self) -> bool {
        let age = self.in_flight.as_ref().map(InFlight::age);
        age.is_none_or(|age| age < RUN_AHEAD)
    }

    /// How long to wait for records.
    fn patience(&self) -> Duration {
        match &self.in_flight {
            Some(write) => RUN_AHEAD.saturating_sub(write.age()),
            None if self.has_to_write() => self.pace().saturating_sub(self.wrote_at.elapsed()),
            None => TICK,
        }
    }

    /// Goes on with what people configured as it is now.
    fn refresh_configuration(&mut self) {
        self.refresh_rules();
        let fences = self.state.fences_mut();
        if self.fence_feed.catch_up(&self.deps.fences, fences) {
            self.state.end_unwatched_fences();
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

    /// Looks up what vehicles say of themselves that are to be shown and have said nothing
    /// since the restart: they fell silent, or all their fixes are bad.
    async fn recall_vehicles(&mut self) -> Result<(), Error> {
        let (devices, ids): (Vec<_>, Vec<_>) = self
            .state
            .take_unknown(RECALLED_AT_ONCE)
            .into_iter()
            .unzip();
        if ids.is_empty() {
            return Ok(());
        }
        let values = self.deps.hot.get_many(Kind::Vehicle, &ids).await?;
        for (device, entry) in devices.into_iter().zip(values) {
            if let Some(entry) = entry {
                self.state.recall(device, &entry.value);
            }
        }
        Ok(())
    }

    async fn handle(&mut self, polled: Polled, shutdown: &CancellationToken) -> Result<(), Error> {
        match polled {
            Polled::Nothing => {}
            Polled::Records(all) => {
                // A replay folds them with all that was written before they were appended.
                self.refresh_configuration();
                for records in all {
                    self.fold(records);
                }
            }
            // Ready to take over from others.
            Polled::Assigned(partitions) if partitions.is_empty() => self.ready(),
            Polled::Assigned(partitions) => self.assign(&partitions, shutdown).await?,
            Polled::Revoked(partitions) => self.revoke(&partitions, shutdown).await?,
        }
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

    async fn tick(&mut self, shutdown: &CancellationToken) -> Result<(), Error> {
        if let Some(observation) = self.observations.take() {
            self.state.observe(observation, self.outbox.is_some());
        }
        let ends = self.state.ends();
        let left =
            |place: lag::Place<'_>| ends.get(place.partition).map(|end| end - place.position);
        let most_left = self.progress.places().filter_map(left).max();
        self.is_behind = most_left.is_some_and(|left| left >= BEHIND_RECORDS);
        self.state.drop_closed();
        self.refresh_configuration();
        self.locate_anchors().await?;
        self.recall_vehicles().await?;
        let now_us = now_us();
        let places = self.progress.places();
        let places = places.map(|place| (place.partition, place.position));
        self.alerts.tick(places, self.state.alerts_said_until_us());
        // Not newer than what the checkpoints of this tick follow from.
        self.alerts_noted = self.alerts.note();
        self.reached.set(self.progress.places());
        let lags = lag::values(self.progress.places(), self.state.ends(), now_us);
        // Where the last second's are not all written yet, these wait for the next.
        if self.is_combined_written() {
            self.combined.updates.extend(lags);
            if self.is_combining() {
                self.combine(now_us);
            }
        }
        if self.trails.is_written() && self.are_trails_due() {
            self.drain_trails();
        }
        self.measure_slow();
        self.state.look_for_silence(now_us);
        self.state.pass_idle_time();
        self.published.publish(&self.state);
        self.write(shutdown);
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
