//! Trying a rule on what has come in lately: events from the lake and the log's
//! tail, in the log's order, judged as the speed layer judges them, through the
//! engine that runs live.

mod judge;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::json::LineDelimitedWriter;
use events::Stream;
use events::time::{format_rfc3339, parse_rfc3339_us};
use fences::FenceIndex;
use futures::StreamExt;
use hot_store::Kind;
use lake::query::{Freshness, QueryError};
use rules::{AlertStep, Rule, RuleSet, Status, Trial, TrialSegment};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::json::now_us;
use crate::problem::Problem;
use crate::sql::problem;
use crate::state::App;
use judge::Judge;

/// How far back, microseconds.
const SPAN_US: i64 = 3_600_000_000;
/// The most events of one stream that are looked at.
const EVENTS_MAX: i64 = 200_000;
/// The most alerts in an answer.
const ALERTS_MAX: usize = 1_000;
/// What is not as it was then.
const FENCES_OF_TODAY: &str = "fences are as they are now, not as they were then";

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
    /// What may have been different live, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
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
    let streams = rule.streams();
    let note = rule.is_over_fences().then_some(FENCES_OF_TODAY);
    let mut document = rule.document().clone();
    document.enabled = true;
    let rule = Rule::new(document).map_err(|invalid| Problem::internal(&invalid))?;
    let trial = Trial::new(Arc::new(RuleSet::new([Arc::new(rule)])));
    let mut judge = judge_of(app, trial).await?;
    let to_us = now_us();
    let mut from_us = to_us - SPAN_US;
    for stream in &streams {
        from_us = from_us.max(start_within_bound(app, *stream, from_us, to_us).await?);
    }
    for stream in streams {
        judge = fold_stream(app, stream, from_us, judge).await?;
    }
    let trial = judge.into_trial();
    let events = trial.events();
    let known = app.clone();
    let finished = tokio::task::spawn_blocking(move || {
        trial.finish(to_us, |segment| segment_of(&known, segment))
    });
    let steps = finished.await.map_err(|error| Problem::internal(&error))?;
    let alerts = alerts_of(&steps);
    Ok(TrialReport {
        from: format_rfc3339(from_us),
        to: format_rfc3339(to_us),
        events,
        whole_hour: from_us == to_us - SPAN_US,
        alert_count: alerts.len(),
        note,
        alerts: alerts.into_iter().take(ALERTS_MAX).collect(),
    })
}

/// Judges with the speed layer's settings; with the fences of now where the rule
/// asks for fences.
async fn judge_of(app: &App, trial: Trial) -> Result<Judge, Problem> {
    let mut index = FenceIndex::default();
    if trial.needs_fences() {
        if !app.deps.fences.is_loaded() {
            let detail = "the fences are not read yet, the event log is away or has just come up";
            return Err(Problem::unavailable(detail));
        }
        let app = app.clone();
        let built = tokio::task::spawn_blocking(move || index_of(&app));
        index = built.await.map_err(|error| Problem::internal(&error))?;
    }
    let config = app.deps.audit.config();
    Ok(Judge::new(config, app.deps.streets.clone(), index, trial))
}

/// The fences, those around vehicles where these are now.
fn index_of(app: &App) -> FenceIndex {
    let mut index = FenceIndex::default();
    for (id, entry) in app.deps.fences.entries() {
        if let Err(error) = index.put(entry.value, i64::MIN) {
            tracing::warn!(fence = %id, %error, "a fence is left out of the trial of a rule");
        }
    }
    let anchors: Vec<String> = index.anchors().map(str::to_owned).collect();
    for anchor in anchors {
        let vehicles = app.mirror.table(Kind::Vehicle);
        if let Some(location) = vehicles.get(&anchor).and_then(|vehicle| vehicle.location) {
            index.move_anchor(&anchor, location);
        }
    }
    index
}

/// A street's free flow as the speed layer has learned it, where it is shown.
fn segment_of(app: &App, id: &str) -> Option<TrialSegment> {
    #[derive(Deserialize)]
    struct Road {
        free_flow_speed: f64,
    }
    let segment = app.deps.streets.segment(app.deps.streets.by_id(id)?);
    let road = app.mirror.value(Kind::Road, id);
    let road = road.and_then(|road| serde_json::from_slice::<Road>(&road).ok());
    Some(TrialSegment {
        free_flow_kmh: road.map_or(segment.free_flow_kmh, |road| road.free_flow_speed),
        location: segment.line.get(segment.line.len() / 2).copied(),
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
    mut judge: Judge,
) -> Result<Judge, Problem> {
    // A burst may lie in the part that is looked at: bounded all the same.
    let sql = format!(
        "SELECT * FROM {stream} WHERE appended_at >= TIMESTAMP '{}' \
         ORDER BY log_partition, log_offset LIMIT {}",
        format_rfc3339(from_us),
        EVENTS_MAX * 2
    );
    for batch in batches(app, &sql).await? {
        let folded = tokio::task::spawn_blocking(move || {
            for row in rows_of(std::slice::from_ref(&batch))? {
                fold_row(stream, row, &mut judge);
            }
            Ok(judge)
        });
        judge = folded.await.map_err(|error| Problem::internal(&error))??;
    }
    Ok(judge)
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

fn fold_row(stream: Stream, mut row: Map<String, Value>, judge: &mut Judge) {
    let mut take = |name: &str| row.remove(name);
    let whole = |value: Option<Value>| value.and_then(|value| value.as_i64());
    let partition = whole(take("log_partition")).unwrap_or_default();
    let offset = whole(take("log_offset")).unwrap_or_default();
    let appended = take("appended_at");
    let appended_at_us = appended
        .as_ref()
        .and_then(Value::as_str)
        .and_then(parse_rfc3339_us)
        .unwrap_or_default();
    take("date");
    let extra = take("extra");
    if let Some(Ok(Value::Object(extra))) = extra
        .as_ref()
        .and_then(Value::as_str)
        .map(serde_json::from_str)
    {
        row.extend(extra);
    }
    let Ok(json) = serde_json::to_vec(&row) else {
        return;
    };
    // What is in the table was decoded once: it decodes again.
    match events::decode(stream, &json, appended_at_us) {
        Ok(event) => judge.fold((stream, partition), &event, offset, appended_at_us),
        Err(error) => tracing::warn!(%stream, %error, "a row of the table is no event"),
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
