//! `/ws/realtime`: changes pushed to whoever watches.
//!
//! [`protocol`] reads and writes messages, [`subscription`] is the pure answer to
//! "what does this client not have yet", [`session`] is the socket around them.
//! Nothing is queued per client: a subscription remembers the change number it
//! has sent up to and asks the mirror again when it is due.

pub(crate) mod filter;
mod protocol;
mod session;
mod subscription;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::StatusCode;
use axum::http::header::UPGRADE;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;
use crate::state::App;

/// What is read of one message: more than may be in it, so that a client is told
/// before its connection ends.
const READ_BYTES_MAX: usize = 1024 * 1024;

/// Changes over a WebSocket
///
/// A client that says nothing gets `{"type":"city_analytics","data":{..},"timestamp":".."}` at once and every
/// 5 s. It may send:
///
/// - `{"type":"ping"}`, answered by `{"type":"pong","timestamp":".."}`
/// - `{"type":"subscribe","id":"a","channel":"vehicles","bbox":[west,south,east,north],"ids":[..],"max_hz":2,
///   "resume":"<token>"}` with channel vehicles, emergencies, traffic, weather, alerts or city; all but id and
///   channel may be left out. Answered by `subscribed`, then
///   `{"type":"snapshot","id":"a","data":[..],"resume":"<token>"}`, then, whenever something changed,
///   `{"type":"update","id":"a","data":[..],"removed":["id",..],"resume":"<token>"}`. `removed` are ids that
///   are no longer live or no longer in the box. The same id again changes the subscription: only the
///   difference is sent. With a `resume` token after a reconnect, an update with what changed since comes in
///   place of the snapshot where that is known.
/// - `{"type":"unsubscribe","id":"a"}`
///
/// A bad message, or one of more than 64 KiB, gets `{"type":"error","id":..,"detail":".."}`. Subscribers hear
/// `{"type":"heartbeat","timestamp":".."}` after 5 s without a change. A slow reader gets the newest values,
/// never a backlog.
#[utoipa::path(
    get, path = "/ws/realtime", tag = "now",
    responses(
        (status = 101, description = "WebSocket"),
        (status = 426, body = Problem, description = "Not a WebSocket request"),
        (status = 503, body = Problem, description = "No room for more WebSockets")
    )
)]
pub(crate) async fn upgrade(
    State(app): State<App>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return not_a_websocket(&rejection),
    };
    let Some(place) = app.websockets.enter() else {
        let detail = format!(
            "{} websockets are open and there is no room for more",
            app.websockets.open()
        );
        return Problem::unavailable(detail).into_response();
    };
    let bytes_max = READ_BYTES_MAX.max(app.config().websocket_message_bytes_max);
    let tracked = app.sessions.token();
    upgrade
        .max_message_size(bytes_max)
        .max_frame_size(bytes_max)
        .on_upgrade(move |socket| async move {
            let (_place, _tracked) = (place, tracked);
            session::run(socket, app).await;
        })
}

fn not_a_websocket(rejection: &WebSocketUpgradeRejection) -> Response {
    let detail = format!("this path speaks WebSocket: {rejection}");
    let mut response = Problem::new(StatusCode::UPGRADE_REQUIRED, detail).into_response();
    response
        .headers_mut()
        .insert(UPGRADE, axum::http::HeaderValue::from_static("websocket"));
    response
}
