//! `/openapi.json` and the interactive documentation at `/docs`, all from
//! within the binary: it works offline.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use utoipa::OpenApi;
use utoipa_swagger_ui::Config;

use crate::dashboard::content_type;
use crate::problem::Problem;
use crate::static_file::{REVALIDATE, StaticFile};

/// What is said about the API as a whole; paths come from the handlers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "CityPulse",
        description = "What is happening in the city now, and what has happened ever.\n\n\
            Live paths answer from memory. `POST /api/sql` reads the whole history up to the last \
            acknowledged event. `/ws/realtime` pushes changes over a WebSocket.\n\n\
            Times are RFC 3339 in UTC, places degrees WGS 84, speeds km/h. Every error is an RFC 9457 \
            problem whose `detail` says what was wrong and what was expected."
    ),
    tags(
        (name = "now", description = "Live state"),
        (name = "watch", description = "Rules and the alerts that they raise"),
        (name = "ever", description = "History by SQL"),
        (name = "fences", description = "Areas that are watched"),
        (name = "in", description = "Taking events in"),
        (name = "service", description = "The service itself")
    )
)]
pub(crate) struct ApiDoc;

/// The paths that existing clients know something by, and the path's name today.
pub(crate) const ALIASES: [(&str, &str); 9] = [
    ("/health", "/api/health"),
    ("/vehicles", "/api/vehicles/locations"),
    ("/gps", "/api/vehicles/locations"),
    ("/api/gps/data", "/api/vehicles/locations"),
    ("/emergency", "/api/emergencies/active"),
    ("/api/emergency/incidents", "/api/emergencies/active"),
    ("/traffic", "/api/traffic/conditions"),
    ("/weather", "/api/weather/current"),
    ("/api/analytics/summary", "/api/analytics/city-summary"),
];

/// Describes each alias like the path that it stands for.
pub(crate) fn describe_aliases(api: &mut utoipa::openapi::OpenApi) {
    for (alias, canonical) in ALIASES {
        let Some(mut item) = api.paths.paths.get(canonical).cloned() else {
            continue;
        };
        if let Some(operation) = &mut item.get {
            operation.summary = Some(format!("The same as `{canonical}`, for existing clients"));
            operation.operation_id = Some(alias.trim_matches('/').replace(['/', '-'], "_"));
        }
        api.paths.paths.insert(alias.to_owned(), item);
    }
}

/// The answer to `/openapi.json`.
pub(crate) fn openapi_file(api: &utoipa::openapi::OpenApi) -> StaticFile {
    let text = api.to_json().unwrap_or_else(|error| {
        // Only maps with keys that are not text fail, and there are none.
        tracing::error!(%error, "cannot write the api description");
        "{}".to_owned()
    });
    StaticFile::new(
        "application/json",
        REVALIDATE,
        &version_of(text.as_bytes()),
        text.into(),
    )
}

/// A short name that differs whenever `content` does.
pub(crate) fn version_of(content: &[u8]) -> String {
    use std::hash::Hasher;
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(content);
    format!("{:016x}-{:x}", hasher.finish(), content.len())
}

/// `GET /docs`
pub(crate) async fn page() -> Html<&'static str> {
    Html(PAGE)
}

/// The documentation's scripts and styles.
pub(crate) async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    match FILES.get(path.as_str()) {
        Some(file) => file.respond(&headers),
        None => {
            Problem::not_found(format!("no such file of the documentation: {path}")).into_response()
        }
    }
}

static FILES: LazyLock<BTreeMap<&'static str, StaticFile>> = LazyLock::new(|| {
    // "none" keeps it from asking a public validator about a private address.
    let config = Arc::new(
        Config::from("/openapi.json")
            .validator_url("none")
            .try_it_out_enabled(true),
    );
    let names = [
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "swagger-ui-standalone-preset.js",
        "swagger-initializer.js",
    ];
    names
        .into_iter()
        .filter_map(|name| Some((name, swagger_file(name, config.clone())?)))
        .collect()
});

fn swagger_file(name: &str, config: Arc<Config<'static>>) -> Option<StaticFile> {
    let file = utoipa_swagger_ui::serve(name, config)
        .inspect_err(|error| tracing::error!(%error, name, "cannot prepare the documentation"))
        .ok()??;
    let bytes = Bytes::from(file.bytes.into_owned());
    Some(StaticFile::new(
        content_type(name),
        REVALIDATE,
        &version_of(&bytes),
        bytes,
    ))
}

/// The WebSocket is not part of OpenAPI: the page points to its description.
const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>CityPulse API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/swagger-ui-standalone-preset.js"></script>
<script src="/docs/swagger-initializer.js"></script>
</body>
</html>
"#;
