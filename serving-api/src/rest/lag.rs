//! How far the layers are behind the log.

use std::collections::HashMap;
use std::fmt::Display;
use std::time::{Duration, Instant};

use axum::extract::{RawQuery, State};
use axum::response::Json;
use event_log::Bounds;
use events::{Offset, TopicPartition};
use tokio::sync::Mutex;

use super::without_params;
use crate::problem::Problem;
use crate::schema::LayerLag;
use crate::state::{App, Shared};

/// How long an answer serves further requests.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// A back end that takes longer is told as not available.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The last answer. Its lock also keeps many requests from asking at once.
#[derive(Default)]
pub(crate) struct LagCache(Mutex<Option<(Instant, Vec<LayerLag>)>>);

/// How far each layer is behind the log
///
/// Per layer, topic and partition; at most a second old.
#[utoipa::path(
    get, path = "/api/lag", tag = "service",
    responses((status = 200, body = Vec<LayerLag>), (status = 503, body = Problem))
)]
pub(crate) async fn lag(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<LayerLag>>, Problem> {
    without_params(query.as_deref())?;
    app.lag.rows(&app).await.map(Json)
}

impl LagCache {
    pub async fn rows(&self, app: &Shared) -> Result<Vec<LayerLag>, Problem> {
        let mut kept = self.0.lock().await;
        if let Some((at, rows)) = kept.as_ref()
            && at.elapsed() < KEPT_FOR
        {
            return Ok(rows.clone());
        }
        let asked = tokio::time::timeout(ANSWER_MAX, ask(app)).await;
        let rows = asked.unwrap_or_else(|_| {
            Err(away(
                "a back end",
                &format!("no answer within {ANSWER_MAX:?}"),
            ))
        })?;
        *kept = Some((Instant::now(), rows.clone()));
        Ok(rows)
    }
}

async fn ask(app: &Shared) -> Result<Vec<LayerLag>, Problem> {
    let deps = &app.deps;
    let speed = deps
        .hot
        .positions("speed")
        .await
        .map_err(|error| away("hot store", &error))?;
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
        rows.extend(bounds.iter().map(|bounds| row("speed", bounds, &speed)));
        rows.extend(bounds.iter().map(|bounds| row("batch", bounds, &batch)));
    }
    Ok(rows)
}

fn row(
    layer: &'static str,
    bounds: &Bounds,
    positions: &HashMap<TopicPartition, Offset>,
) -> LayerLag {
    let partition = &bounds.partition;
    // A layer that has saved nothing yet starts at the oldest retained event.
    let position = positions.get(partition).copied().unwrap_or(bounds.start);
    let lag_events = (bounds.end - position.max(bounds.start)).max(0);
    metrics::gauge!(
        "citypulse_layer_lag_events",
        "layer" => layer, "topic" => partition.topic.to_string(), "partition" => partition.partition.to_string()
    )
    .set(lag_events as f64);
    LayerLag {
        layer: layer.to_owned(),
        topic: partition.topic.to_string(),
        partition: partition.partition,
        position,
        end: bounds.end,
        lag_events,
    }
}

fn away(what: &str, cause: &dyn Display) -> Problem {
    Problem::unavailable(format!("the lag is not known, {what} is away: {cause}"))
}
