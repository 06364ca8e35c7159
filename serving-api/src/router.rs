//! Every path of the server, and the layers around them.

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::docs::{self, ApiDoc};
use crate::rest::{
    alerts, analytics, audit, cameras, city, emergencies, fences, health, ingest, jobs, lag,
    metrics, root, rules, sql, stats, traffic, vehicles, weather, windows,
};
use crate::state::App;
use crate::static_file::StaticFile;
use crate::{guard, observe, problem, ws};

pub(crate) fn router(app: App) -> Router {
    let (described, mut api) = described().split_for_parts();
    docs::describe_aliases(&mut api);
    let openapi = Arc::new(docs::openapi_file(&api));
    let routes = described
        .merge(aliases())
        .route(
            "/openapi.json",
            get(move |headers| openapi_json(openapi, headers)),
        )
        .route("/docs", get(docs::page))
        .route("/docs/", get(docs::page))
        .route("/docs/{*file}", get(docs::file))
        .fallback(root::other)
        .method_not_allowed_fallback(problem::wrong_method);
    let routes = routes
        .layer(from_fn(guard::panics))
        .layer(compression())
        .layer(from_fn_with_state(app.clone(), guard::origins));
    let routes = match guard::cross_origin(&app.config().allowed_origins) {
        Some(layer) => routes.layer(layer),
        None => routes,
    };
    routes
        .layer(from_fn(guard::headers))
        .layer(from_fn(observe::request))
        .with_state(app)
}

/// The paths with a description in `/openapi.json`.
fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .routes(routes!(vehicles::locations))
        .routes(routes!(vehicles::vehicle))
        .routes(routes!(emergencies::active))
        .routes(routes!(traffic::conditions))
        .routes(routes!(traffic::live))
        .routes(routes!(weather::current))
        .routes(routes!(weather::stations))
        .routes(routes!(cameras::cameras))
        .routes(routes!(analytics::city_summary))
        .routes(routes!(windows::windows))
        .routes(routes!(city::city))
        .routes(routes!(city::streets))
        .routes(routes!(alerts::alerts))
        .routes(routes!(alerts::acknowledge))
        .routes(routes!(rules::rules, rules::create))
        .routes(routes!(rules::rule, rules::replace, rules::delete))
        .routes(routes!(rules::enable))
        .routes(routes!(rules::disable))
        .routes(routes!(rules::test_document))
        .routes(routes!(rules::test))
        .routes(routes!(fences::list, fences::create))
        .routes(routes!(fences::get, fences::put, fences::delete))
        .routes(routes!(fences::geojson::export))
        .routes(routes!(fences::geojson::import))
        .routes(routes!(fences::inside::inside))
        .routes(routes!(ws::upgrade))
        .routes(routes!(sql::sql))
        .routes(routes!(audit::audit))
        .routes(routes!(audit::heal))
        .routes(routes!(jobs::jobs))
        .routes(routes!(ingest::ingest))
        .routes(routes!(root::root))
        .routes(routes!(health::health))
        .routes(routes!(stats::stats))
        .routes(routes!(lag::lag))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
}

/// The same handlers under the names that existing clients use; each is listed
/// in [`docs::ALIASES`].
fn aliases() -> Router<App> {
    Router::new()
        .route("/health", get(health::health))
        .route("/vehicles", get(vehicles::locations))
        .route("/gps", get(vehicles::locations))
        .route("/api/gps/data", get(vehicles::locations))
        .route("/emergency", get(emergencies::active))
        .route("/api/emergency/incidents", get(emergencies::active))
        .route("/traffic", get(traffic::conditions))
        .route("/weather", get(weather::current))
        .route("/api/analytics/summary", get(analytics::city_summary))
}

async fn openapi_json(file: Arc<StaticFile>, headers: HeaderMap) -> Response {
    file.respond(&headers)
}

/// Packs what is text; columnar answers are packed by their own format.
fn compression() -> CompressionLayer<impl Predicate> {
    let predicate = DefaultPredicate::new()
        .and(NotForContentType::const_new("application/vnd.apache."))
        .and(NotForContentType::const_new("font/"));
    CompressionLayer::new()
        .quality(tower_http::CompressionLevel::Fastest)
        .compress_when(predicate)
}
