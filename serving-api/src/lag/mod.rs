//! How far the layers are behind the log, in events and in seconds.

mod age;

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::Bounds;
use events::{Offset, Stream, TopicPartition};
use hot_store::Kind;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::json::now_us;
use crate::mirror::Mirror;
use crate::problem::Problem;
use crate::schema::LayerLag;
use crate::state::Shared;
use age::Ages;

/// How long an answer serves further requests.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// A back end that takes longer is told as not available.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The hot store is not waited for longer where its positions are known from
/// before; well within [`ANSWER_MAX`], as others are asked too.
const HOT_MAX: Duration = Duration::from_secs(2);

/// Without requests it is looked this often, so that ages are known when asked.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What the speed layer writes itself, and so does not read.
const NOT_OF_SPEED: [Stream; 2] = [Stream::Alerts, Stream::Windows];

/// The last answer. Its lock also keeps many requests from asking at once.
#[derive(Default)]
pub(crate) struct LagCache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    rows: Option<(Instant, Vec<LayerLag>)>,
    looks: Looks,
}

/// What is known from looks before.
#[derive(Default)]
struct Looks {
    ages: Ages,
    /// Positions of the speed layer, and when they were read.
    speed: Option<(Instant, HashMap<TopicPartition, Offset>)>,
}

/// Looks until `stop`.
pub(crate) async fn run(app: Arc<Shared>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let looking = async {
        loop {
            ticks.tick().await;
            // Who is away is told by readiness, and to whoever asks.
            if let Err(problem) = app.lag.rows(&app).await {
                tracing::debug!(?problem, "the lag is not known");
            }
        }
    };
    stop.run_until_cancelled(looking).await;
}

impl LagCache {
    /// Per layer, topic and partition; at most [`KEPT_FOR`] old.
    pub async fn rows(&self, app: &Shared) -> Result<Vec<LayerLag>, Problem> {
        let mut kept = self.0.lock().await;
        if let Some((at, rows)) = kept.rows.as_ref()
            && at.elapsed() < KEPT_FOR
        {
            return Ok(rows.clone());
        }
        let asked = tokio::time::timeout(ANSWER_MAX, ask(app, &mut kept.looks)).await;
        let rows = asked.unwrap_or_else(|_| {
            Err(away(
                "a back end",
                &format!("no answer within {ANSWER_MAX:?}"),
            ))
        })?;
        rows.iter().for_each(show);
        kept.rows = Some((Instant::now(), rows.clone()));
        Ok(rows)
    }
}

async fn ask(app: &Shared, looks: &mut Looks) -> Result<Vec<LayerLag>, Problem> {
    let deps = &app.deps;
    let Looks { ages, speed } = looks;
    let answer = tokio::time::timeout(HOT_MAX, deps.hot.positions("speed")).await;
    let error = match answer {
        Ok(Ok(positions)) => {
            *speed = Some((Instant::now(), positions));
            None
        }
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {HOT_MAX:?}")),
    };
    let Some((read, speed)) = &*speed else {
        return Err(away("hot store", &error.unwrap_or_default()));
    };
    // While the hot store is away nothing can be saved there: what was read last
    // still holds, and the log grows on.
    let read_s = match &error {
        Some(error) => {
            tracing::debug!(%error, "positions of the speed layer are from before");
            read.elapsed().as_secs_f64()
        }
        None => 0.0,
    };
    let mut rows = Vec::new();
    for (stream, topic) in deps.topics.iter() {
        // The log first: a layer that moves on meanwhile is not behind.
        let bounds = match deps.log.bounds(topic).await {
            Ok(bounds) => bounds,
            Err(event_log::Error::UnknownTopic(_)) => continue,
            Err(error) => return Err(away("event log", &error)),
        };
        let batch = deps
            .lake
            .positions(stream)
            .await
            .map_err(|error| away("lake", &error))?;
        let now_us = now_us();
        for bounds in &bounds {
            ages.observe(&bounds.partition, bounds.end, now_us);
        }
        if !NOT_OF_SPEED.contains(&stream) {
            rows.extend(bounds.iter().map(|bounds| LayerLag {
                position_age_s: read_s,
                ..row("speed", bounds, speed)
            }));
        }
        rows.extend(bounds.iter().map(|bounds| row("batch", bounds, &batch)));
    }
    fill_seconds(&mut rows, &app.mirror, ages);
    let unknown: HashMap<TopicPartition, Offset> = rows
        .iter()
        .filter(|row| row.lag_seconds.is_none())
        .map(|row| (partition_of(row), row.position))
        .collect();
    if !unknown.is_empty() {
        ages.read(deps.log.as_ref(), unknown.into_iter().collect())
            .await;
        fill_seconds(&mut rows, &app.mirror, ages);
    }
    Ok(rows)
}

/// What a speed process says of a partition of its own.
#[derive(Deserialize)]
struct OwnLag {
    seconds: f64,
}

fn fill_seconds(rows: &mut [LayerLag], mirror: &Mirror, ages: &Ages) {
    let now_us = now_us();
    for row in rows.iter_mut().filter(|row| row.lag_events > 0) {
        let partition = partition_of(row);
        // What a process said before the hot store went away is not so any more.
        let own = (row.layer == "speed" && row.position_age_s == 0.0)
            .then(|| mirror.value(Kind::Lag, &partition.to_string()))
            .flatten();
        let own = own.and_then(|json| serde_json::from_slice::<OwnLag>(&json).ok());
        row.lag_seconds = match own {
            Some(own) => Some(own.seconds),
            None => ages.seconds(&partition, row.position, now_us),
        };
    }
}

fn partition_of(row: &LayerLag) -> TopicPartition {
    TopicPartition::new(row.topic.as_str(), row.partition)
}

fn row(
    layer: &'static str,
    bounds: &Bounds,
    positions: &HashMap<TopicPartition, Offset>,
) -> LayerLag {
    let partition = &bounds.partition;
    // A layer that has saved nothing yet starts at the oldest retained event.
    let saved = positions.get(partition).copied().unwrap_or(bounds.start);
    let position = saved.max(bounds.start);
    let lag_events = (bounds.end - position).max(0);
    LayerLag {
        layer: layer.to_owned(),
        topic: partition.topic.to_string(),
        partition: partition.partition,
        position,
        position_age_s: 0.0,
        end: bounds.end,
        lag_events,
        lag_seconds: (lag_events == 0).then_some(0.0),
    }
}

fn show(row: &LayerLag) {
    let labels = [
        ("layer", row.layer.clone()),
        ("topic", row.topic.clone()),
        ("partition", row.partition.to_string()),
    ];
    metrics::gauge!("citypulse_layer_lag_events", &labels).set(row.lag_events as f64);
    let seconds = row.lag_seconds.unwrap_or(f64::NAN);
    metrics::gauge!("citypulse_layer_lag_seconds", &labels).set(seconds);
}

fn away(what: &str, cause: &dyn Display) -> Problem {
    Problem::unavailable(format!("the lag is not known, {what} is away: {cause}"))
}
