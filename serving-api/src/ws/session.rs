//! One open WebSocket.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::time::Instant;

use super::protocol::{self, BadMessage, Channel, ClientMessage, Subscribe};
use super::subscription::{Difference, Subscription};
use crate::rest::analytics::summary;
use crate::state::App;

/// A silent client hears the city's figures this often, a subscriber at least a heartbeat.
const SPEAK_EVERY: Duration = Duration::from_secs(5);

/// How long a client gets to take the closing message.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// Serves the client until either side ends it.
pub(super) async fn run(socket: WebSocket, app: App) {
    let (sink, stream) = socket.split();
    let now = Instant::now();
    let mut session = Session {
        sink,
        subscriptions: Vec::new(),
        speak_at: now,
        ping_at: now,
        heard_at: now,
        app,
    };
    session.ping_at += session.ping_every();
    let end = session.serve(stream).await;
    session.close(&end).await;
    tracing::debug!(?end, "websocket ended");
}

/// Why a session ends.
#[derive(Debug)]
enum End {
    /// The client closed, or its connection broke.
    Gone,
    /// The client sent more than it may, or something that is not WebSocket.
    Refused(String),
    /// The client was silent for too long, or did not read for too long.
    Silent,
    /// The server stops.
    Shutdown,
}

/// A named subscription of this client.
struct Named {
    id: String,
    channel: Channel,
    subscription: Subscription,
    every: Duration,
    due_at: Instant,
}

struct Session {
    app: App,
    sink: SplitSink<WebSocket, Message>,
    /// At most [`crate::HttpConfig::subscriptions_max`].
    subscriptions: Vec<Named>,
    /// When to say something although nothing changed.
    speak_at: Instant,
    ping_at: Instant,
    /// When the client was last heard.
    heard_at: Instant,
}

impl Session {
    async fn serve(&mut self, mut stream: SplitStream<WebSocket>) -> End {
        let shutdown = self.app.shutdown.clone();
        loop {
            let step = tokio::select! {
                () = shutdown.cancelled() => Err(End::Shutdown),
                message = stream.next() => self.hear(message).await,
                () = tokio::time::sleep_until(self.next_due()) => self.speak().await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn hear(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        self.heard_at = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) if text.len() > self.message_bytes_max() => {
                let (got, most) = (text.len(), self.message_bytes_max());
                self.refuse(format!("message: got {got} bytes, expected at most {most}"))
                    .await
            }
            Some(Ok(Message::Text(text))) => self.follow(&text).await,
            Some(Ok(Message::Binary(_))) => {
                self.refuse("binary messages are not understood, send JSON as text".to_owned())
                    .await
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Ok(Message::Close(_))) | None => Err(End::Gone),
            Some(Err(error)) => Err(End::Refused(error.to_string())),
        }
    }

    async fn follow(&mut self, text: &str) -> Result<(), End> {
        match protocol::parse(text) {
            Ok(ClientMessage::Ping) => self.send(protocol::pong()).await,
            Ok(ClientMessage::Subscribe(request)) => self.subscribe(request).await,
            Ok(ClientMessage::Unsubscribe { id }) => self.unsubscribe(id).await,
            Err(bad) => self.send(protocol::error(&bad)).await,
        }
    }

    async fn refuse(&mut self, detail: String) -> Result<(), End> {
        self.send(protocol::error(&BadMessage { id: None, detail }))
            .await
    }

    async fn subscribe(&mut self, request: Subscribe) -> Result<(), End> {
        let position = self
            .subscriptions
            .iter()
            .position(|named| named.id == request.id);
        let limit = self.app.config().subscriptions_max;
        if position.is_none() && self.subscriptions.len() >= limit {
            let detail = format!(
                "a connection has at most {limit} subscriptions; unsubscribe from one first"
            );
            return self
                .send(protocol::error(&BadMessage {
                    id: Some(request.id),
                    detail,
                }))
                .await;
        }
        let every = Duration::from_secs_f64(1.0 / request.max_hz);
        let existing = position.map(|position| self.subscriptions.swap_remove(position));
        let (subscription, difference) = self.begin(&request, existing);
        let token = self.token(request.channel, &subscription);
        let frames = [
            protocol::subscribed(&request, !difference.is_snapshot),
            protocol::difference(&request.id, &difference, &token),
        ];
        let due_at = Instant::now() + every;
        self.subscriptions.push(Named {
            id: request.id,
            channel: request.channel,
            subscription,
            every,
            due_at,
        });
        for frame in frames {
            self.send(frame).await?;
        }
        Ok(())
    }

    /// Continues what the client has, on this connection or by its token; else
    /// begins with everything.
    fn begin(&self, request: &Subscribe, existing: Option<Named>) -> (Subscription, Difference) {
        let table = self.app.mirror.table(request.channel.kind());
        let filter = request.filter.clone();
        if let Some(mut named) = existing.filter(|named| named.channel == request.channel) {
            let difference = named.subscription.change_filter(filter, &table);
            return (named.subscription, difference);
        }
        let since = request
            .resume
            .as_deref()
            .and_then(|token| self.change_of(token, request));
        let resumed = since.and_then(|since| Subscription::resume(filter.clone(), since, &table));
        resumed.unwrap_or_else(|| Subscription::open(filter, &table))
    }

    async fn unsubscribe(&mut self, id: String) -> Result<(), End> {
        match self.subscriptions.iter().position(|named| named.id == id) {
            Some(position) => {
                self.subscriptions.swap_remove(position);
                self.send(protocol::unsubscribed(&id)).await
            }
            None => {
                let detail = format!("there is no subscription {id:?} to end");
                self.send(protocol::error(&BadMessage {
                    id: Some(id),
                    detail,
                }))
                .await
            }
        }
    }

    /// Names this mirror, the change, and what was asked for.
    fn token(&self, channel: Channel, subscription: &Subscription) -> String {
        let asked = subscription.filter().fingerprint() ^ channel as u64;
        format!(
            "{:x}-{:x}-{asked:x}",
            self.app.mirror.epoch(),
            subscription.sent()
        )
    }

    /// The change that a token names, if it is of this mirror and for this request.
    fn change_of(&self, token: &str, request: &Subscribe) -> Option<u64> {
        let mut parts = token
            .split('-')
            .map(|part| u64::from_str_radix(part, 16).ok());
        let (epoch, change, asked) = (parts.next()??, parts.next()??, parts.next()??);
        let asks = request.filter.fingerprint() ^ request.channel as u64;
        (epoch == self.app.mirror.epoch() && asked == asks).then_some(change)
    }

    /// When something is to be done although the client says nothing.
    fn next_due(&self) -> Instant {
        let idle_at = self.heard_at + self.idle_max();
        let due = self.subscriptions.iter().map(|named| named.due_at);
        due.fold(self.speak_at.min(self.ping_at).min(idle_at), Instant::min)
    }

    async fn speak(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if now >= self.heard_at + self.idle_max() {
            return Err(End::Silent);
        }
        if now >= self.ping_at {
            self.ping_at = now + self.ping_every();
            self.transmit(Message::Ping(Default::default())).await?;
        }
        for index in 0..self.subscriptions.len() {
            if now >= self.subscriptions[index].due_at
                && let Some(frame) = self.next_update(index)
            {
                self.send(frame).await?;
            }
        }
        if Instant::now() >= self.speak_at {
            let is_silent = self.subscriptions.is_empty();
            let frame = if is_silent {
                protocol::city_analytics(&summary(&self.app.mirror))
            } else {
                protocol::heartbeat()
            };
            self.send(frame).await?;
            self.speak_at = now + SPEAK_EVERY;
        }
        Ok(())
    }

    /// What a due subscription has to tell. It is due again one interval from
    /// now, not from when it was due: a client that was slow is not caught up with.
    fn next_update(&mut self, index: usize) -> Option<Vec<u8>> {
        let named = &mut self.subscriptions[index];
        named.due_at = Instant::now() + named.every;
        let difference = named
            .subscription
            .advance(&self.app.mirror.table(named.channel.kind()))?;
        let named = &self.subscriptions[index];
        let token = self.token(named.channel, &named.subscription);
        Some(protocol::difference(&named.id, &difference, &token))
    }

    async fn send(&mut self, frame: Vec<u8>) -> Result<(), End> {
        if !self.subscriptions.is_empty() {
            self.speak_at = Instant::now() + SPEAK_EVERY;
        }
        metrics::counter!("citypulse_websocket_sent_bytes_total").increment(frame.len() as u64);
        // Made of parts that were each checked to be UTF-8.
        let text = Utf8Bytes::try_from(frame).map_err(|error| End::Refused(error.to_string()))?;
        self.transmit(Message::Text(text)).await
    }

    /// Waits until the client has room for the message. Meanwhile nothing is
    /// gathered for it: the next update is made when this one is out.
    async fn transmit(&mut self, message: Message) -> Result<(), End> {
        let idle_max = self.idle_max();
        tokio::select! {
            sent = self.sink.send(message) => sent.map_err(|_| End::Gone),
            () = self.app.shutdown.cancelled() => Err(End::Shutdown),
            () = tokio::time::sleep(idle_max) => Err(End::Silent),
        }
    }

    async fn close(&mut self, end: &End) {
        let (code, reason) = match end {
            End::Gone => return,
            End::Refused(reason) if reason.contains("too long") => {
                (close_code::SIZE, reason.as_str())
            }
            End::Refused(reason) => (close_code::PROTOCOL, reason.as_str()),
            End::Silent => (
                close_code::POLICY,
                "nothing was heard from you for too long",
            ),
            End::Shutdown => (close_code::AWAY, "the server stops; connect again"),
        };
        // A close frame carries at most 123 bytes of reason.
        let reason = reason.get(..reason.len().min(120)).unwrap_or_default();
        let frame = CloseFrame {
            code,
            reason: Utf8Bytes::from(reason.to_owned()),
        };
        // A client that is already away learns it from the connection's end.
        let _ = tokio::time::timeout(CLOSE_MAX, self.sink.send(Message::Close(Some(frame)))).await;
    }

    fn message_bytes_max(&self) -> usize {
        self.app.config().websocket_message_bytes_max
    }

    fn idle_max(&self) -> Duration {
        Duration::from_secs(self.app.config().websocket_idle_s)
    }

    fn ping_every(&self) -> Duration {
        Duration::from_secs(self.app.config().websocket_ping_s)
    }
}
