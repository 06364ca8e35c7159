//! The city's figures.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use bytes::Bytes;
use hot_store::Kind;

use super::without_params;
use crate::json;
use crate::mirror::Mirror;
use crate::problem::Problem;
use crate::schema::CitySummary;
use crate::state::App;

/// The city's figures now
///
/// Before the first vehicle has been heard of, all figures are 0.
#[utoipa::path(
    get, path = "/api/analytics/city-summary", tag = "now",
    responses((status = 200, body = CitySummary))
)]
pub(crate) async fn city_summary(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    without_params(query.as_deref())?;
    Ok(json::response(summary(&app.mirror)))
}

/// The summary as the speed layer wrote it last, all zeros before that.
pub(crate) fn summary(mirror: &Mirror) -> Bytes {
    mirror.value(Kind::CitySummary, "").unwrap_or_else(|| {
        let nothing = CitySummary {
            timestamp: json::now(),
            ..CitySummary::default()
        };
        serde_json::to_vec(&nothing)
            .unwrap_or_else(|_| b"{}".to_vec())
            .into()
    })
}
