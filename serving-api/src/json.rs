//! JSON text from JSON texts, without taking them apart.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

/// An answer that is already JSON text.
pub(crate) fn response(body: impl Into<Bytes>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body.into()).into_response()
}

/// A JSON array answer of JSON texts.
pub(crate) fn array_response(values: &[Bytes]) -> Response {
    let mut body =
        Vec::with_capacity(2 + values.iter().map(|value| value.len() + 1).sum::<usize>());
    write_array(&mut body, values);
    response(body)
}

/// Appends `[a,b,..]` of JSON texts.
pub(crate) fn write_array(out: &mut Vec<u8>, values: &[Bytes]) {
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(value);
    }
    out.push(b']');
}

/// Appends `text` as a JSON string.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing a str to a Vec cannot fail; an error would only leave it out.
    let _ = serde_json::to_writer(out, text);
}

/// The time now as RFC 3339 with `Z`.
pub(crate) fn now() -> String {
    events::time::format_rfc3339(now_us())
}

/// The time now in microseconds since the epoch.
pub(crate) fn now_us() -> i64 {
    chrono::Utc::now().timestamp_micros()
}
