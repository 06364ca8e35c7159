//! Files that do not change while the server runs: revalidated by ETag, packed once.

use std::io::Write;
use std::sync::OnceLock;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// May be kept for good: its name changes with its content.
pub(crate) const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// May be kept, but asked about each time.
pub(crate) const REVALIDATE: &str = "no-cache";

/// Files smaller than this are not worth packing.
const PACK_BYTES_MIN: usize = 1024;

pub(crate) struct StaticFile {
    content_type: String,
    cache_control: &'static str,
    etag: String,
    raw: Bytes,
    packed: OnceLock<Option<Bytes>>,
}

impl StaticFile {
    /// `version` differs whenever the content does.
    pub fn new(
        content_type: impl Into<String>,
        cache_control: &'static str,
        version: &str,
        raw: Bytes,
    ) -> Self {
        // Weak: the packed and the plain answer are the same content.
        let etag = format!("W/\"{version}\"");
        Self {
            content_type: content_type.into(),
            cache_control,
            etag,
            raw,
            packed: OnceLock::new(),
        }
    }

    pub fn respond(&self, request: &HeaderMap) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(self.cache_control));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        headers.extend(
            HeaderValue::from_str(&self.etag)
                .ok()
                .map(|etag| (ETAG, etag)),
        );
        if self.is_known_to(request) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        headers.extend(
            HeaderValue::from_str(&self.content_type)
                .ok()
                .map(|value| (CONTENT_TYPE, value)),
        );
        match self.packed().filter(|_| accepts_gzip(request)) {
            Some(packed) => {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                (headers, Body::from(packed)).into_response()
            }
            None => (headers, Body::from(self.raw.clone())).into_response(),
        }
    }

    fn is_known_to(&self, request: &HeaderMap) -> bool {
        let known = request
            .get(IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        known
            .split(',')
            .any(|etag| etag.trim() == self.etag || etag.trim() == "*")
    }

    /// Packed with gzip, where that makes it smaller.
    pub fn packed(&self) -> Option<Bytes> {
        let pack = || {
            if self.raw.len() < PACK_BYTES_MIN {
                return None;
            }
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&self.raw).ok()?;
            let packed = encoder.finish().ok()?;
            (packed.len() < self.raw.len()).then(|| packed.into())
        };
        self.packed.get_or_init(pack).clone()
    }
}

fn accepts_gzip(request: &HeaderMap) -> bool {
    let accepted = request
        .get(ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = matches!(parts.next(), Some("gzip" | "*"));
        named && !parts.any(|quality| matches!(quality, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}
