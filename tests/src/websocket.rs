//! A WebSocket client of `/ws/realtime`.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::Api;

/// An open connection.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Connects.
    pub async fn connect(api: &Api) -> Socket {
        let url = format!("ws://127.0.0.1:{}/ws/realtime", api.port());
        let (stream, _) = tokio_tungstenite::connect_async(url)
            .await
            .unwrap_or_else(|error| panic!("the WebSocket does not open: {error}"));
        Socket { stream }
    }

    /// Sends text as it is.
    pub async fn send_text(&mut self, text: &str) {
        self.stream
            .send(Message::text(text))
            .await
            .unwrap_or_else(|error| panic!("the WebSocket is gone: {error}"));
    }

    /// Sends a message.
    pub async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    /// The next message.
    pub async fn next(&mut self, within: Duration) -> Value {
        self.next_where(within, |_| true).await
    }

    /// The next message of a type; others are passed over.
    pub async fn next_of(&mut self, kind: &str, within: Duration) -> Value {
        self.next_where(within, |message| message["type"] == kind)
            .await
    }

    /// The next message that `wanted` says yes to; others are passed over.
    pub async fn next_where(&mut self, within: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = tokio::time::timeout(within, async {
            loop {
                let message = match self.stream.next().await {
                    Some(Ok(message)) => message,
                    other => panic!("the WebSocket ended: {other:?}"),
                };
                let Message::Text(text) = message else {
                    continue;
                };
                let value: Value = serde_json::from_str(&text)
                    .unwrap_or_else(|error| panic!("not JSON ({error}): {text}"));
                if wanted(&value) {
                    return value;
                }
            }
        });
        found
            .await
            .unwrap_or_else(|_| panic!("no such message within {within:?}"))
    }
}
