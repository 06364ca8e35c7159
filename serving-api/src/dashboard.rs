//! The dashboard: the files of its build, embedded in the binary.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use rust_embed::RustEmbed;

use crate::static_file::{IMMUTABLE, REVALIDATE, StaticFile};

#[derive(RustEmbed)]
#[folder = "../dashboard/dist"]
#[allow_missing = true]
struct Dist;

static FILES: LazyLock<HashMap<String, StaticFile>> = LazyLock::new(|| {
    Dist::iter()
        .filter_map(|path| Some((path.to_string(), file(&path)?)))
        .collect()
});

fn file(path: &str) -> Option<StaticFile> {
    let embedded = Dist::get(path)?;
    // Vite puts a hash of the content into the names of what it bundles.
    let cache_control = if path.starts_with("assets/") {
        IMMUTABLE
    } else {
        REVALIDATE
    };
    let hash = embedded.metadata.sha256_hash();
    let version: String = hash
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let raw = match embedded.data {
        std::borrow::Cow::Borrowed(data) => Bytes::from_static(data),
        std::borrow::Cow::Owned(data) => Bytes::from(data),
    };
    Some(StaticFile::new(
        content_type(path),
        cache_control,
        &version,
        raw,
    ))
}

/// The page itself, or a plain word on how to get it.
pub(crate) fn page(request: &HeaderMap) -> Response {
    asset("index.html", request).unwrap_or_else(|| {
        let headers = [(CONTENT_TYPE, "text/html; charset=utf-8")];
        (StatusCode::SERVICE_UNAVAILABLE, headers, NOT_BUILT).into_response()
    })
}

/// A file of the dashboard by its path without the leading slash.
pub(crate) fn asset(path: &str, request: &HeaderMap) -> Option<Response> {
    FILES.get(path).map(|file| file.respond(request))
}

/// The media type by a file name's extension.
pub(crate) fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "geojson" => "application/geo+json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "pbf" => "application/x-protobuf",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

const NOT_BUILT: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>CityPulse</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}</style>
<h1>The dashboard is not part of this build</h1>
<p>CityPulse is running, but was compiled before its dashboard was built. In the source folder run</p>
<pre>make build</pre>
<p>(or <code>npm ci &amp;&amp; npm run build</code> in <code>dashboard/</code>, then <code>cargo build</code>), and start it again.
Meanwhile: <a href="/docs">API documentation</a>, <a href="/api/health">health</a>.</p>
</html>
"#;
