//! A WebSocket client.

use std::net::SocketAddr;

use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::DEADLINE;

pub struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(
            TcpStream::connect(address).await.expect("a connection"),
            address,
        )
        .await
    }

    /// With room for a few packets only.
    pub async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .set_recv_buffer_size(8 * 1024)
            .expect("a small buffer");
        Self::over(
            socket.connect(address).await.expect("a connection"),
            address,
        )
        .await
    }

    async fn over(stream: TcpStream, address: SocketAddr) -> Self {
        let url = format!("ws://{address}/ws/realtime");
        let (socket, _) = tokio_tungstenite::client_async(url, stream)
            .await
            .expect("a websocket");
        Self(socket)
    }

    pub async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("sent");
    }

    pub async fn send_binary(&mut self) {
        self.0
            .send(Message::binary(vec![1u8, 2, 3]))
            .await
            .expect("sent");
    }

    /// The next message of that type; others are passed over.
    pub async fn next(&mut self, kind: &str) -> Value {
        let waiting = async {
            loop {
                let message = self.any().await;
                if message["type"] == kind {
                    return message;
                }
            }
        };
        tokio::time::timeout(DEADLINE, waiting)
            .await
            .unwrap_or_else(|_| panic!("no {kind} message came"))
    }

    /// The next message of any type.
    pub async fn any(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.0.next())
                .await
                .expect("a message in time");
            match message.expect("an open websocket").expect("a good frame") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// Reads to the closing message.
    pub async fn close_frame(&mut self) -> Option<CloseFrame> {
        let waiting = async {
            while let Some(message) = self.0.next().await {
                if let Ok(Message::Close(frame)) = message {
                    return frame;
                }
            }
            None
        };
        tokio::time::timeout(DEADLINE, waiting)
            .await
            .expect("the connection ends")
    }

    /// `subscribed` and what follows it at once.
    pub async fn subscribe(&mut self, request: Value) -> (Value, Value) {
        self.send(request).await;
        let subscribed = self.next("subscribed").await;
        let first = self.any().await;
        (subscribed, first)
    }
}

/// The ids of a message's vehicles, sorted.
pub fn vehicle_ids(message: &Value) -> Vec<String> {
    let data = message["data"].as_array().expect("data");
    let mut ids: Vec<String> = data
        .iter()
        .map(|item| item["vehicle_id"].as_str().expect("an id").to_owned())
        .collect();
    ids.sort();
    ids
}
