//! The REST resources, one file each. All read the mirror or the shared state;
//! none waits for the hot store.

pub(crate) mod alerts;
pub(crate) mod analytics;
pub(crate) mod audit;
pub(crate) mod cameras;
pub(crate) mod city;
pub(crate) mod emergencies;
pub(crate) mod fences;
pub(crate) mod health;
pub(crate) mod ingest;
pub(crate) mod jobs;
pub(crate) mod lag;
pub(crate) mod metrics;
pub(crate) mod root;
pub(crate) mod rules;
pub(crate) mod sql;
pub(crate) mod stats;
pub(crate) mod traffic;
pub(crate) mod vehicles;
pub(crate) mod weather;
pub(crate) mod windows;

use axum::response::Response;
use hot_store::Kind;

use crate::params::Params;
use crate::problem::Problem;
use crate::state::App;

/// The largest `limit` of a list.
const LIST_LIMIT_MAX: usize = 10_000;

/// Answers a list of all values of a kind, the last changed first. `limit` is
/// the only parameter.
fn list(
    app: &App,
    kind: Kind,
    query: Option<&str>,
    limit_default: usize,
) -> Result<Response, Problem> {
    let mut params = Params::new(query);
    let limit = params.number("limit", 1..=LIST_LIMIT_MAX, limit_default)?;
    params.finish()?;
    Ok(crate::json::array_response(&app.mirror.values(kind, limit)))
}

/// Refuses parameters on a path that has none.
fn without_params(query: Option<&str>) -> Result<(), Problem> {
    Params::new(query).finish()
}
