//! Trying a rule on what has come in lately: events from the lake and the log's
//! tail, in the log's order, through the engine that runs live.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::json::LineDelimitedWriter;
use axum::http::StatusCode;
use events::time::{format_rfc3339, parse_rfc3339_us};
use events::{Body, Event, Location, Stream};
use futures::StreamExt;
use lake::query::{Freshness, QueryError};
use rules::{AlertStep, Rule, RuleSet, SegmentFact, Status, Trial};
use serde::Serialize;
use serde_json::{Map, Value};
use streets::StreetNetwork;
use utoipa::ToSchema;

use crate::json::now_us;
use crate::problem::Problem;
use crate::sql::problem;
use crate::state::App;

/// How far back, microseconds.
const SPAN_US: i64 = 3_600_000_000;
/// The most events of one stream that are looked at.
const EVENTS_MAX: i64 = 200_000;
/// The most alerts in an answer.
const ALERTS_MAX: usize = 1_000;
/// As the speed layer does by default: farther from every street is off them.
const MATCH_DISTANCE_M: f64 = 30.0;

/// What a rule would have said.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrialReport {
    /// Events that came in from here on were looked at.
    from: String,
    /// Up to here.
    to: String,
    /// How many events were looked at.
    events: u64,
    /// Whether that was the whole hour; false where there were too many events,
    /// and `from` is later.
    whole_hour: bool,
    /// How many alerts there would have been; at most 1000 are listed.
    alert_count: usize,
    /// The alerts, the first raised first.
    alerts: Vec<TrialAlert>,
}

/// An alert that a rule would have raised.
#[derive(Debug, Serialize, ToSchema)]
struct TrialAlert {
    /// As it would have been.
    alert_id: String,
    /// What it is about.
    subject: String,
    /// Critical, High, Medium, Low.
    severity: &'static str,
    /// The value when it was raised.
    value: Option<f64>,
    /// What it was compared with.
    threshold: Option<f64>,
    /// Degrees WGS 84.
    latitude: Option<f64>,
    /// Degrees WGS 84.
    longitude: Option<f64>,
    /// When the condition began.
    started_at: String,
    /// When it was raised.
    raised_at: String,
    /// When it was over; null: it was not.
    cleared_at: Option<String>,
    /// For people.
    message: String,
    /// The incidents that were merged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<String>,
}

/// Runs `rule` over the last hour of its streams.
pub(crate) async fn run(app: &App, rule: Rule) -> Result<TrialReport, Problem> {
    if rule.is_over_fences() {
        let detail = "field \"source.built_in\": rules over fences cannot be tried on the past: \
                      which fences there were is not kept with the events";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    let streams = rule.streams();
    let mut document = rule.document().clone();
    document.enabled = true;
    let rule = Rule::new(document).map_err(|invalid| Problem::internal(&invalid))?;
    let mut trial = Trial::new(Arc::new(RuleSet::new([Arc::new(rule)])));
    let to_us = now_us();
    let mut from_us = to_us - SPAN_US;
    for stream in &streams {
        from_us = from_us.max(start_within_bound(app, *stream, from_us, to_us).await?);
    }
    for stream in streams {
        trial = fold_stream(app, stream, from_us, trial).await?;
    }
    let events = trial.events();
    let steps = tokio::task::spawn_blocking(move || trial.finish())
        .await
        .map_err(|error| Problem::internal(&error))?;
    let alerts = alerts_of(&steps);
    Ok(TrialReport {
        from: format_rfc3339(from_us),
        to: format_rfc3339(to_us),
        events,
        whole_hour: from_us == to_us - SPAN_US,
        alert_count: alerts.len(),
        alerts: alerts.into_iter().take(ALERTS_MAX).collect(),
    })
}

/// From when on there are at most about [`EVENTS_MAX`] events of the stream.
async fn start_within_bound(
    app: &App,
    stream: Stream,
    from_us: i64,
    to_us: i64,
) -> Result<i64, Problem> {
    let sql = format!(
        "SELECT count(*) AS n FROM {stream} WHERE appended_at >= TIMESTAMP '{}'",
        format_rfc3339(from_us)
    );
    let rows = rows_of(&batches(app, &sql).await?)?;
    let count = rows.first().and_then(|row| row.get("n")?.as_i64());
    let count = count.unwrap_or_default();
    if count <= EVENTS_MAX {
        return Ok(from_us);
    }
    let share = EVENTS_MAX as f64 / count as f64;
    Ok(to_us - ((to_us - from_us) as f64 * share) as i64)
}

async fn fold_stream(
    app: &App,
    stream: Stream,
    from_us: i64,
    mut trial: Trial,
) -> Result<Trial, Problem> {
    // A burst may lie in the part that is looked at: bounded all the same.
    let sql = format!(
        "SELECT * FROM {stream} WHERE appended_at >= TIMESTAMP '{}' \
         ORDER BY log_partition, log_offset LIMIT {}",
        format_rfc3339(from_us),
        EVENTS_MAX * 2
    );
    let mut partition = None;
    for batch in batches(app, &sql).await? {
        let streets = app.deps.streets.clone();
        let folded = tokio::task::spawn_blocking(move || {
            let rows = rows_of(std::slice::from_ref(&batch))?;
            for row in rows {
                fold_row(stream, row, &streets, &mut partition, &mut trial);
            }
            Ok((trial, partition))
        });
        (trial, partition) = folded.await.map_err(|error| Problem::internal(&error))??;
    }
    Ok(trial)
}

async fn batches(app: &App, sql: &str) -> Result<Vec<RecordBatch>, Problem> {
    let (_, mut rows) = app
        .deps
        .engine
        .query(sql, Freshness::Exact)
        .await
        .map_err(problem)?;
    let mut all = Vec::new();
    while let Some(batch) = rows.next().await {
        all.push(batch.map_err(|error| problem(QueryError::from(error)))?);
    }
    Ok(all)
}

/// The rows as JSON objects, which is what events are read from.
fn rows_of(batches: &[RecordBatch]) -> Result<Vec<Map<String, Value>>, Problem> {
    let mut lines = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut lines);
    for batch in batches {
        writer
            .write(batch)
            .map_err(|error| Problem::internal(&error))?;
    }
    writer.finish().map_err(|error| Problem::internal(&error))?;
    serde_json::Deserializer::from_slice(&lines)
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| Problem::internal(&error))
}

fn fold_row(
    stream: Stream,
    mut row: Map<String, Value>,
    streets: &StreetNetwork,
    partition: &mut Option<(Stream, i64)>,
    trial: &mut Trial,
) {
    let mut take = |name: &str| row.remove(name);
    let number = take("log_partition").and_then(|value| value.as_i64());
    let appended = take("appended_at");
    let appended_at_us = appended
        .as_ref()
        .and_then(Value::as_str)
        .and_then(parse_rfc3339_us)
        .unwrap_or_default();
    take("log_offset");
    take("date");
    let extra = take("extra");
    if let Some(Ok(Value::Object(extra))) = extra
        .as_ref()
        .and_then(Value::as_str)
        .map(serde_json::from_str)
    {
        row.extend(extra);
    }
    let here = number.map(|number| (stream, number));
    if *partition != here {
        *partition = here;
        trial.begin_partition();
    }
    let Ok(json) = serde_json::to_vec(&row) else {
        return;
    };
    // What is in the table was decoded once: it decodes again.
    match events::decode(stream, &json, appended_at_us) {
        Ok(event) => {
            let segment = match trial.needs_segments() {
                true => place_of(&event)
                    .and_then(|(place, heading)| streets.nearest(place, heading, MATCH_DISTANCE_M)),
                false => None,
            };
            let segment = segment.map(|found| {
                let segment = streets.segment(found.segment);
                SegmentFact {
                    id: &segment.id,
                    limit_kmh: segment.free_flow_kmh,
                    free_flow_kmh: segment.free_flow_kmh,
                }
            });
            trial.fold(&event, appended_at_us, segment);
        }
        Err(error) => tracing::warn!(%stream, %error, "a row of the table is no event"),
    }
}

fn place_of(event: &Event) -> Option<(Location, Option<f64>)> {
    match &event.body {
        Body::Gps(gps) => Some((gps.location, gps.direction_deg)),
        Body::Vehicle(vehicle) => Some((vehicle.location, vehicle.direction_deg)),
        _ => None,
    }
}

/// The steps as alerts, the first raised first.
fn alerts_of(steps: &[AlertStep]) -> Vec<TrialAlert> {
    let mut alerts: Vec<TrialAlert> = Vec::new();
    let mut by_id: BTreeMap<uuid::Uuid, usize> = BTreeMap::new();
    for step in steps {
        match (step.status, by_id.get(&step.alert_id)) {
            (Status::Cleared, Some(index)) => {
                alerts[*index].cleared_at = Some(format_rfc3339(step.at_us));
            }
            (Status::Raised, None) => {
                by_id.insert(step.alert_id, alerts.len());
                alerts.push(TrialAlert {
                    alert_id: step.alert_id.to_string(),
                    subject: step.subject.to_string(),
                    severity: step.severity.name(),
                    value: step.value,
                    threshold: step.threshold,
                    latitude: step.location.map(|place| place.latitude),
                    longitude: step.location.map(|place| place.longitude),
                    started_at: format_rfc3339(step.started_at_us),
                    raised_at: format_rfc3339(step.at_us),
                    cleared_at: None,
                    message: step.message.to_string(),
                    sources: step.sources.iter().map(ToString::to_string).collect(),
                });
            }
            _ => {}
        }
    }
    alerts
}
