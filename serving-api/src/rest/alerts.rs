//! Alerts: what was raised, and who has seen it.

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use event_log::NewRecord;
use events::{Stream, TopicPartition};
use hot_store::Kind;
use rules::AlertState;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{LIST_LIMIT_MAX, without_params};
use crate::body;
use crate::json::{array_response, now_us, response};
use crate::params::{Params, PathId};
use crate::problem::{Problem, shorten};
use crate::schema::Alert;
use crate::state::App;

const LIMIT_DEFAULT: usize = 1000;
const BODY_BYTES_MAX: usize = 16 * 1024;
const AUTHOR_CHARACTERS_MAX: usize = 120;
const NOTE_CHARACTERS_MAX: usize = 1000;
const SUBJECT_CHARACTERS_MAX: usize = 512;

const STATUSES: [&str; 5] = ["active", "raised", "updated", "acknowledged", "cleared"];
const SEVERITIES: [&str; 4] = ["Critical", "High", "Medium", "Low"];

/// Who has seen an alert.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"author": "Asa", "note": "a patrol is on its way"}))]
pub(crate) struct AcknowledgeRequest {
    /// 1 to 120 characters.
    author: String,
    /// At most 1000 characters.
    note: Option<String>,
}

/// Alerts of the last day
///
/// The last changed come first. `active` are all that are not cleared.
#[utoipa::path(
    get, path = "/api/alerts", tag = "watch",
    params(
        ("status" = Option<String>, Query, description = "active, raised, updated, acknowledged or cleared", example = "active"),
        ("severity" = Option<String>, Query, description = "Critical, High, Medium or Low"),
        ("rule" = Option<String>, Query, description = "The rule's id", example = "overspeed"),
        ("subject" = Option<String>, Query, description = "What they are about: a device, an incident, a segment, ..."),
        ("limit" = Option<usize>, Query, description = "At most this many", minimum = 1, maximum = 10000)
    ),
    responses((status = 200, body = Vec<Alert>), (status = 422, body = Problem))
)]
pub(crate) async fn alerts(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut params = Params::new(query.as_deref());
    let status = params.one_of("status", &STATUSES)?;
    let severity = params.one_of("severity", &SEVERITIES)?;
    let rule = params.text("rule", rules::limits::ID_CHARACTERS_MAX)?;
    let subject = params.text("subject", SUBJECT_CHARACTERS_MAX)?;
    let limit = params.number("limit", 1..=LIST_LIMIT_MAX, LIMIT_DEFAULT)?;
    params.finish()?;
    let takes_all = status.is_none() && severity.is_none() && rule.is_none() && subject.is_none();
    let wanted = |value: &Bytes| {
        if takes_all {
            return true;
        }
        let Ok(alert) = serde_json::from_slice::<Shown<'_>>(value) else {
            return false;
        };
        let shown = match status {
            Some("active") => alert.status != "cleared",
            Some(status) => alert.status == status,
            None => true,
        };
        shown
            && severity.is_none_or(|severity| alert.severity.eq_ignore_ascii_case(severity))
            && rule.as_deref().is_none_or(|rule| alert.rule == rule)
            && subject
                .as_deref()
                .is_none_or(|subject| alert.subject == subject)
    };
    let values = app.mirror.values(Kind::Alert, usize::MAX);
    let values: Vec<Bytes> = values.into_iter().filter(wanted).take(limit).collect();
    Ok(array_response(&values))
}

/// Say that somebody has seen an alert
///
/// It stays until its rule clears it. The acknowledgement is an event on the
/// topic of alerts.
#[utoipa::path(
    post, path = "/api/alerts/{id}/acknowledge", tag = "watch",
    params(("id" = String, Path, description = "The alert's id")),
    request_body = AcknowledgeRequest,
    responses(
        (status = 200, body = Alert), (status = 404, body = Problem), (status = 422, body = Problem),
        (status = 503, body = Problem, description = "The log is away")
    )
)]
pub(crate) async fn acknowledge(
    State(app): State<App>,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    without_params(query.as_deref())?;
    body::expect_json(&headers)?;
    let body = body::read(body, BODY_BYTES_MAX, app.config().request_timeout()).await?;
    let request = read_request(&body)?;
    let value = app.mirror.value(Kind::Alert, &id);
    let mut alert = value
        .as_deref()
        .and_then(AlertState::from_json)
        .ok_or_else(|| Problem::not_found(format!("No alert {} found", shorten(&id))))?;
    let event = alert.acknowledgement(
        &uuid::Uuid::new_v4().to_string(),
        request.author.trim(),
        request.note.as_deref(),
        now_us(),
    );
    let record = NewRecord {
        key: Some(Bytes::copy_from_slice(event.device_id.as_bytes())),
        value: event.to_json().into(),
        ..NewRecord::default()
    };
    let topic = app.deps.topics.topic(Stream::Alerts);
    let appended = app.deps.log.append(topic, vec![record]).await;
    let placed = appended.map_err(|error| {
        Problem::unavailable(format!("the acknowledgement could not be written: {error}"))
    })?;
    if let Some((partition, offset)) = placed.first() {
        let partition = TopicPartition::new(topic.clone(), *partition);
        tracing::info!(alert = %id, %partition, offset, "alert was acknowledged");
    }
    alert.fold(&event);
    Ok(response(alert.to_json()))
}

fn read_request(body: &[u8]) -> Result<AcknowledgeRequest, Problem> {
    let request: AcknowledgeRequest = serde_json::from_slice(body).map_err(|error| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("body: {error}; expected {{\"author\": \"...\", \"note\": \"...\"}}"),
        )
    })?;
    let count = request.author.trim().chars().count();
    if count == 0 || count > AUTHOR_CHARACTERS_MAX {
        let expected = format!("1 to {AUTHOR_CHARACTERS_MAX} characters");
        let got = format!("{:?}", request.author);
        return Err(Problem::unprocessable("field \"author\"", &got, &expected));
    }
    let note = request.note.as_deref().unwrap_or_default();
    if note.chars().count() > NOTE_CHARACTERS_MAX {
        let expected = format!("at most {NOTE_CHARACTERS_MAX} characters");
        return Err(Problem::unprocessable(
            "field \"note\"",
            &format!("{note:?}"),
            &expected,
        ));
    }
    Ok(request)
}

/// What lists of alerts are filtered by.
#[derive(Deserialize)]
struct Shown<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    severity: Cow<'a, str>,
    #[serde(borrow)]
    rule: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
}
