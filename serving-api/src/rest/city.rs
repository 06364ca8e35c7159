//! The city itself: where it is, and its streets.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Json, Response};
use streets::StreetNetwork;
use tokio::sync::OnceCell;

use super::without_params;
use crate::docs::version_of;
use crate::problem::Problem;
use crate::schema::CityInfo;
use crate::state::App;
use crate::static_file::{REVALIDATE, StaticFile};

/// The street network as it is sent.
pub(crate) struct City {
    streets: Arc<StreetNetwork>,
    version: &'static str,
    /// Written out at the first request: some megabytes that a server without a
    /// dashboard never needs.
    geojson: OnceCell<Arc<StaticFile>>,
}

impl City {
    pub fn new(streets: Arc<StreetNetwork>, version: &'static str) -> Self {
        Self {
            streets,
            version,
            geojson: OnceCell::new(),
        }
    }

    async fn geojson(&self) -> Result<Arc<StaticFile>, Problem> {
        let write = || async {
            let streets = self.streets.clone();
            let written = tokio::task::spawn_blocking(move || {
                let raw = streets.geojson();
                let file = StaticFile::new(
                    "application/geo+json",
                    REVALIDATE,
                    &version_of(&raw),
                    raw.into(),
                );
                file.packed();
                Arc::new(file)
            });
            written.await.map_err(|error| Problem::internal(&error))
        };
        self.geojson.get_or_try_init(write).await.cloned()
    }
}

/// The city's name and extent
#[utoipa::path(get, path = "/api/city", tag = "now", responses((status = 200, body = CityInfo)))]
pub(crate) async fn city(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    without_params(query.as_deref())?;
    let streets = &app.city.streets;
    let center = streets.center();
    let info = CityInfo {
        name: streets.name().to_owned(),
        center: [center.longitude, center.latitude].map(|degrees| (degrees * 1e7).round() / 1e7),
        bounds: streets.bounds(),
        attribution: streets.attribution().to_owned(),
        roads: streets.segments().len(),
        version: app.city.version.to_owned(),
    };
    Ok(Json(info).into_response())
}

/// The city's streets
///
/// A GeoJSON FeatureCollection, one LineString per street segment (the part of a
/// street between two junctions) with the properties `id`, `name`, `class`,
/// `limit_kmh` and `free_flow_kmh`, the speed that congestion is measured against. Some megabytes; compressed and revalidated by ETag.
#[utoipa::path(
    get, path = "/api/streets.geojson", tag = "now",
    responses((status = 200, body = Object, content_type = "application/geo+json"), (status = 304))
)]
pub(crate) async fn streets(
    State(app): State<App>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    without_params(query.as_deref())?;
    Ok(app.city.geojson().await?.respond(&headers))
}
