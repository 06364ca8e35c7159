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
/// The most events of one stream that are looked at, unless a single second has more.
const EVENTS_MAX: u64 = 400_000;
/// The most alerts in an answer.
const ALERTS_MAX: usize = 1_000;
/// What is not as it was then.
const FENCES_OF_TODAY: &str = "fences are as they are now, not as they were then";

/// What a rule would have said.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrialReport {
    /// All events that came in from here on were looked at, of every partition.
    from: String,
    /// Up to here.
    to: String,
    /// How many events were looked at.
    events: u64,
    /// Whether that was the whole hour; false where a stream had more than 400,000
    /// events, and `from` is the first second from which on there are no more.
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
    let rule = Arc::new(rule.switched(true));
    let trial = Trial::new(Arc::new(RuleSet::new([rule])));
    let mut judge = judge_of(app, trial).await?;
    let to_us = now_us();
    let mut from_us = to_us - SPAN_US;
    for stream in &streams {
        from_us = start_within_bound(app, *stream, from_us).await?;
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

/// From when on there are at most [`EVENTS_MAX`] events of the stream.
async fn start_within_bound(app: &App, stream: Stream, from_us: i64) -> Result<i64, Problem> {
    let sql = format!(
        "SELECT date_trunc('second', appended_at) AS second, count(*) AS events FROM {stream} \
         WHERE appended_at >= TIMESTAMP '{}' GROUP BY 1 ORDER BY 1 DESC",
        format_rfc3339(from_us)
    );
    let mut seconds = Vec::new();
    let mut batches = batches(app, &sql).await?;
    while let Some(batch) = batches.next().await {
        for row in rows_of(&batch?)? {
            let second = row.get("second").and_then(Value::as_str);
            let second = second.and_then(parse_rfc3339_us);
            let events = row.get("events").and_then(Value::as_u64);
            seconds.extend(second.zip(events));
        }
    }
    let start = start_of_newest(&seconds, EVENTS_MAX);
    Ok(start.map_or(from_us, |start_us| start_us.max(from_us)))
}

/// The first second from which on there are at most `most` events, and the newest at the
/// latest; `None` where there are no more in all. The seconds with their events come
/// newest first.
fn start_of_newest(seconds: &[(i64, u64)], most: u64) -> Option<i64> {
    let mut events = 0;
    let fits = seconds.iter().take_while(|(_, more)| {
        events += more;
        events <= most
    });
    let fits = fits.count();
    let oldest = fits.max(1);
    (oldest < seconds.len()).then(|| seconds[oldest - 1].0)
}

async fn fold_stream(
    app: &App,
    stream: Stream,
    from_us: i64,
    mut judge: Judge,
) -> Result<Judge, Problem> {
    let sql = format!(
        "SELECT * FROM {stream} WHERE appended_at >= TIMESTAMP '{}' \
         ORDER BY log_partition, log_offset",
        format_rfc3339(from_us)
    );
    let mut batches = batches(app, &sql).await?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let folded = tokio::task::spawn_blocking(move || {
            for row in rows_of(&batch)? {
                fold_row(stream, row, &mut judge);
            }
            Ok(judge)
        });
        judge = folded.await.map_err(|error| Problem::internal(&error))??;
    }
    Ok(judge)
}

/// The rows of a query as they come.
async fn batches(
    app: &App,
    sql: &str,
) -> Result<impl futures::Stream<Item = Result<RecordBatch, Problem>> + Unpin, Problem> {
    let rows = app.deps.engine.query(sql, Freshness::Exact).await;
    let (_, rows) = rows.map_err(problem)?;
    Ok(rows.map(|batch| batch.map_err(|error| problem(QueryError::from(error)))))
}

/// The rows as JSON objects, which is what events are read from.
fn rows_of(batch: &RecordBatch) -> Result<Vec<Map<String, Value>>, Problem> {
    let mut lines = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut lines);
    let written = writer.write(batch).and_then(|()| writer.finish());
    written.map_err(|error| Problem::internal(&error))?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_hour_is_cut_where_the_newest_events_fit_however_they_are_spread() {
        // A burst at the beginning, then little: the little of all partitions is whole.
        assert_eq!(start_of_newest(&[(9, 5), (7, 5), (2, 600)], 10), Some(7));
        assert_eq!(start_of_newest(&[(9, 600), (7, 5), (2, 5)], 610), None);
        assert_eq!(start_of_newest(&[(9, 5), (7, 6), (2, 1)], 10), Some(9));
        // The newest second is looked at whatever it holds.
        assert_eq!(start_of_newest(&[(9, 600), (7, 1)], 10), Some(9));
        assert_eq!(start_of_newest(&[(9, 600)], 10), None);
        assert_eq!(start_of_newest(&[], 10), None);
    }

    proptest! {
        #[test]
        fn no_more_fits_and_nothing_that_fits_is_left_out(
            events in prop::collection::vec(1..1_000_u64, 0..60), most in 1..10_000_u64
        ) {
            let seconds: Vec<(i64, u64)> = (0..60).rev().zip(events).collect();
            let held = |from: i64| -> u64 {
                let newer = seconds.iter().filter(|(second, _)| *second >= from);
                newer.map(|(_, events)| events).sum()
            };
            match start_of_newest(&seconds, most) {
                Some(start) => {
                    prop_assert!(held(start) <= most || start == 59);
                    prop_assert!(held(start - 1) > most);
                }
                None => prop_assert!(held(0) <= most || seconds.len() == 1),
            }
        }
    }
}
