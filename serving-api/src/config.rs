//! Limits and choices of the HTTP door.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Every limit of the server, with defaults for one machine. Each is a bound on
/// memory or on time: beyond it a client is told so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Web pages of these origins (`https://city.example`) may read and write
    /// from a browser; the dashboard's own origin always may.
    pub allowed_origins: Vec<String>,
    /// TCP connections at once; further ones wait to be accepted.
    pub connections_max: usize,
    /// Open WebSockets at once; further ones are refused with 503.
    pub websockets_max: usize,
    /// Subscriptions of one WebSocket.
    pub subscriptions_max: usize,
    /// Bytes of one message from a WebSocket client; a longer one is answered with
    /// an error, one beyond 1 MiB ends the connection.
    pub websocket_message_bytes_max: usize,
    /// Seconds between pings to a WebSocket client.
    pub websocket_ping_s: u64,
    /// A WebSocket client that sent nothing, not even a pong, for this many
    /// seconds is disconnected.
    pub websocket_idle_s: u64,
    /// Bytes of one ingest request as sent.
    pub ingest_body_bytes_max: usize,
    /// Bytes of one ingest request after unpacking gzip or zstd.
    pub ingest_unpacked_bytes_max: usize,
    /// Bytes of all ingest requests being worked on; further ones get 429.
    pub ingest_in_flight_bytes_max: usize,
    /// Seconds that an ingest request waits for room before it gets 429.
    pub ingest_wait_s: u64,
    /// Bytes of an SQL answer that are held back before the first is sent: an
    /// error among them is still told as one, later ones cut the answer off.
    pub sql_held_back_bytes: usize,
    /// Bytes of an SQL answer as JSON or Parquet, which is sent when it is whole;
    /// what is not held back waits in a temporary file.
    pub sql_whole_bytes_max: u64,
    /// Seconds that a running statement waits for a client that does not read.
    pub sql_stalled_s: u64,
    /// Seconds for a request to arrive in full.
    pub request_timeout_s: u64,
    /// Seconds that open requests and WebSockets get to end at shutdown.
    pub shutdown_grace_s: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            allowed_origins: Vec::new(),
            connections_max: 8_192,
            websockets_max: 2_000,
            subscriptions_max: 16,
            websocket_message_bytes_max: 64 * 1024,
            websocket_ping_s: 20,
            websocket_idle_s: 75,
            ingest_body_bytes_max: 16 * MIB,
            ingest_unpacked_bytes_max: 128 * MIB,
            ingest_in_flight_bytes_max: 192 * MIB,
            ingest_wait_s: 2,
            sql_held_back_bytes: 4 * MIB,
            sql_whole_bytes_max: 2048 * MIB as u64,
            sql_stalled_s: 60,
            request_timeout_s: 60,
            shutdown_grace_s: 3,
        }
    }
}

impl HttpConfig {
    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_s)
    }

    pub(crate) fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_s)
    }
}
