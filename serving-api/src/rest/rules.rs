//! Rules: written, switched, tried out.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use bytes::Bytes;
use event_log::registry::Edit;
use events::time::format_rfc3339;
use rules::{Invalid, Rule, RuleDocument, StoredRule, built_in, limits};
use serde::Serialize;
use tokio::sync::MutexGuard;
use utoipa::ToSchema;

use super::without_params;
use crate::body;
use crate::json::now_us;
use crate::params::{Params, PathId};
use crate::problem::{Problem, shorten};
use crate::state::App;
use crate::trial::{self, TrialReport};

const AUTHOR_CHARACTERS_MAX: usize = 120;

/// A rule with where it comes from.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "fast-taxi", "name": "Fast taxi", "enabled": true,
    "source": {"stream": "gps_data", "field": "speed / speed_limit"}, "comparison": ">", "threshold": 1.3,
    "clear_threshold": 1.1, "hold_s": 10.0, "filters": {"vehicle_type": ["taxi"]}, "severity": "High",
    "built_in": false, "author": "Asa", "updated_at": "2026-03-01T08:15:00Z"
}))]
pub(crate) struct RuleView {
    /// The rule's document.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    document: RuleDocument,
    /// It came with the platform, or takes the place of one that did.
    built_in: bool,
    /// Who wrote it; nobody wrote a built-in one that is as it came.
    author: Option<String>,
    /// When it was written.
    updated_at: Option<String>,
}

impl RuleView {
    fn written(stored: &StoredRule) -> Self {
        Self {
            document: stored.rule.document().clone(),
            built_in: built_in(stored.rule.id()).is_some(),
            author: Some(stored.author.clone()),
            updated_at: Some(format_rfc3339(stored.updated_at_us)),
        }
    }

    fn as_it_came(rule: &Rule) -> Self {
        Self {
            document: rule.document().clone(),
            built_in: true,
            author: None,
            updated_at: None,
        }
    }
}

/// All rules, by id
///
/// The built-in ones included.
#[utoipa::path(
    get, path = "/api/rules", tag = "watch",
    responses((status = 200, body = Vec<RuleView>), (status = 503, body = Problem))
)]
pub(crate) async fn rules(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<RuleView>>, Problem> {
    without_params(query.as_deref())?;
    check_loaded(&app)?;
    let written = app.deps.rules.entries();
    let mut views: Vec<RuleView> = rules::built_in_rules()
        .iter()
        .filter(|rule| app.deps.rules.get(rule.id()).is_none())
        .map(RuleView::as_it_came)
        .chain(
            written
                .iter()
                .map(|(_, entry)| RuleView::written(&entry.value)),
        )
        .collect();
    views.sort_by(|a, b| a.document.id.cmp(&b.document.id));
    Ok(Json(views))
}

/// One rule
#[utoipa::path(
    get, path = "/api/rules/{id}", tag = "watch",
    params(("id" = String, Path, description = "The rule's id", example = "overspeed")),
    responses((status = 200, body = RuleView), (status = 404, body = Problem))
)]
pub(crate) async fn rule(
    State(app): State<App>,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Json<RuleView>, Problem> {
    without_params(query.as_deref())?;
    check_loaded(&app)?;
    if let Some(entry) = app.deps.rules.get(&id) {
        return Ok(Json(RuleView::written(&entry.value)));
    }
    let rule = built_in(&id).ok_or_else(|| unknown(&id))?;
    Ok(Json(RuleView::as_it_came(&rule)))
}

/// Write a rule
///
/// Effective within a second on every process. Without an `id` it is given one.
#[utoipa::path(
    post, path = "/api/rules", tag = "watch",
    params(("author" = Option<String>, Query, description = "Who writes it")),
    request_body(content = String, content_type = "application/json",
        example = "{\"name\":\"Fast taxi\",\"source\":{\"stream\":\"gps_data\",\"field\":\"speed / speed_limit\"},\"comparison\":\">\",\"threshold\":1.3,\"severity\":\"High\",\"filters\":{\"vehicle_type\":[\"taxi\"]}}"),
    responses(
        (status = 201, body = RuleView), (status = 409, body = Problem, description = "There is one with that id"),
        (status = 413, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let author = author(query.as_deref())?;
    let mut document = read_document(&app, &headers, body).await?;
    if document.id.is_empty() {
        document.id = format!("rule-{}", uuid::Uuid::new_v4().simple());
    }
    let rule = Rule::new(document).map_err(refused)?;
    check_loaded(&app)?;
    let writing = app.rule_writes.lock().await;
    if app.deps.rules.get(rule.id()).is_some() || built_in(rule.id()).is_some() {
        let detail = format!("there is a rule {} already; replace it with PUT", rule.id());
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let view = store(&app, rule, author, &writing).await?;
    let location = format!("/api/rules/{}", view.document.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(view)).into_response())
}

/// Write or replace a rule
///
/// A built-in rule is given other values in the same way.
#[utoipa::path(
    put, path = "/api/rules/{id}", tag = "watch",
    params(
        ("id" = String, Path, description = "The rule's id", example = "fast-taxi"),
        ("author" = Option<String>, Query, description = "Who writes it")
    ),
    request_body(content = String, content_type = "application/json"),
    responses((status = 200, body = RuleView), (status = 413, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem))
)]
pub(crate) async fn replace(
    State(app): State<App>,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RuleView>, Problem> {
    let author = author(query.as_deref())?;
    let mut document = read_document(&app, &headers, body).await?;
    if document.id.is_empty() {
        document.id.clone_from(&id);
    }
    if document.id != id {
        let got = format!("{:?}", document.id);
        let expected = format!("{id:?}, as in the path, or nothing");
        return Err(Problem::unprocessable("field \"id\"", &got, &expected));
    }
    let rule = Rule::new(document).map_err(refused)?;
    let writing = app.rule_writes.lock().await;
    store(&app, rule, author, &writing).await.map(Json)
}

/// Remove a rule
///
/// Its alerts are cleared. A built-in rule that was given other values is as it
/// came again; one that is as it came cannot be removed, but disabled.
#[utoipa::path(
    delete, path = "/api/rules/{id}", tag = "watch",
    params(("id" = String, Path, description = "The rule's id")),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem))
)]
pub(crate) async fn delete(
    State(app): State<App>,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    without_params(query.as_deref())?;
    check_loaded(&app)?;
    let _writing = app.rule_writes.lock().await;
    if app.deps.rules.get(&id).is_none() {
        return Err(match built_in(&id) {
            Some(_) => Problem::new(
                StatusCode::CONFLICT,
                format!("rule {id} is built in: disable it with POST /api/rules/{id}/disable"),
            ),
            None => unknown(&id),
        });
    }
    write(&app, Edit::remove(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Switch a rule on
#[utoipa::path(
    post, path = "/api/rules/{id}/enable", tag = "watch",
    params(
        ("id" = String, Path, description = "The rule's id", example = "overspeed"),
        ("author" = Option<String>, Query, description = "Who does it")
    ),
    responses((status = 200, body = RuleView), (status = 404, body = Problem), (status = 503, body = Problem))
)]
pub(crate) async fn enable(
    State(app): State<App>,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Json<RuleView>, Problem> {
    switch(&app, &id, query.as_deref(), true).await
}

/// Switch a rule off
///
/// Its alerts are cleared.
#[utoipa::path(
    post, path = "/api/rules/{id}/disable", tag = "watch",
    params(
        ("id" = String, Path, description = "The rule's id", example = "overspeed"),
        ("author" = Option<String>, Query, description = "Who does it")
    ),
    responses((status = 200, body = RuleView), (status = 404, body = Problem), (status = 503, body = Problem))
)]
pub(crate) async fn disable(
    State(app): State<App>,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Json<RuleView>, Problem> {
    switch(&app, &id, query.as_deref(), false).await
}

/// Try a rule on the last hour
///
/// The alerts that it would have raised on the events that came in during the
/// last hour, judged as the speed layer judges them. Where a stream had more than
/// 400,000, those are looked at that came in from the first second on from which
/// there are no more, of every partition: `from` says which, and `whole_hour` is
/// false. Fences are as they are now. Nothing is written.
#[utoipa::path(
    post, path = "/api/rules/{id}/test", tag = "watch",
    params(("id" = String, Path, description = "The rule's id", example = "overspeed")),
    responses((status = 200, body = TrialReport), (status = 404, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem))
)]
pub(crate) async fn test(
    State(app): State<App>,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Json<TrialReport>, Problem> {
    without_params(query.as_deref())?;
    check_loaded(&app)?;
    let rule = find(&app, &id)?;
    trial::run(&app, rule).await.map(Json)
}

/// Try a rule that is not written yet on the last hour
///
/// As for one that is.
#[utoipa::path(
    post, path = "/api/rules/test", tag = "watch",
    request_body(content = String, content_type = "application/json"),
    responses((status = 200, body = TrialReport), (status = 413, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem))
)]
pub(crate) async fn test_document(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TrialReport>, Problem> {
    without_params(query.as_deref())?;
    let mut document = read_document(&app, &headers, body).await?;
    if document.id.is_empty() {
        document.id = "test".to_owned();
    }
    let rule = Rule::new(document).map_err(refused)?;
    trial::run(&app, rule).await.map(Json)
}

async fn switch(
    app: &App,
    id: &str,
    query: Option<&str>,
    enabled: bool,
) -> Result<Json<RuleView>, Problem> {
    let author = author(query)?;
    check_loaded(app)?;
    let writing = app.rule_writes.lock().await;
    let rule = find(app, id)?.switched(enabled);
    store(app, rule, author, &writing).await.map(Json)
}

/// The rule of that id, written or built in.
fn find(app: &App, id: &str) -> Result<Rule, Problem> {
    if let Some(entry) = app.deps.rules.get(id) {
        return Ok(entry.value.rule.clone());
    }
    built_in(id).ok_or_else(|| unknown(id))
}

/// `_writing`: nobody else writes a rule meanwhile.
async fn store(
    app: &App,
    rule: Rule,
    author: String,
    _writing: &MutexGuard<'_, ()>,
) -> Result<RuleView, Problem> {
    check_loaded(app)?;
    let is_new = app.deps.rules.get(rule.id()).is_none();
    if is_new && app.deps.rules.len() >= limits::RULES_MAX {
        let detail = format!(
            "there are {} rules already, which is the most there may be; remove one first",
            limits::RULES_MAX
        );
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let stored = StoredRule {
        rule,
        author,
        updated_at_us: now_us(),
    };
    write(
        app,
        Edit::put(stored.rule.id(), Bytes::from(stored.to_json())),
    )
    .await?;
    Ok(RuleView::written(&stored))
}

/// Returns once the change is durable and read back here.
async fn write(app: &App, edit: Edit) -> Result<(), Problem> {
    let written = app.deps.rules.write(vec![edit]).await;
    written.map_err(|error| Problem::unavailable(format!("the rule could not be written: {error}")))
}

/// Before the rules have been read nothing is said about them.
fn check_loaded(app: &App) -> Result<(), Problem> {
    match app.deps.rules.is_loaded() {
        true => Ok(()),
        false => Err(Problem::unavailable(
            "the rules are not read yet, the event log is away or has just come up",
        )),
    }
}

async fn read_document(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<RuleDocument, Problem> {
    body::expect_json(headers)?;
    let limit = limits::DOCUMENT_BYTES_MAX;
    let body = body::read(body, limit, app.config().request_timeout()).await?;
    RuleDocument::parse(&body).map_err(refused)
}

fn author(query: Option<&str>) -> Result<String, Problem> {
    let mut params = Params::new(query);
    let author = params.text("author", AUTHOR_CHARACTERS_MAX)?;
    params.finish()?;
    Ok(author.unwrap_or_default())
}

fn refused(invalid: Invalid) -> Problem {
    let name = format!("field {:?}", invalid.field);
    Problem::unprocessable(&name, &invalid.got, &invalid.expected)
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!(
        "No rule {} found; GET /api/rules lists them",
        shorten(id)
    ))
}
