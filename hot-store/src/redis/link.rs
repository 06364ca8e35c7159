//! One shared connection that is made when needed and replaced when broken.

use std::sync::Arc;
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use redis::{Client, RedisResult};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::access::Access;
use super::failure::{Peer, breaks_connection};
use super::sentinel::Sentinels;
use crate::{Error, Result};

/// Where a new connection leads.
pub(super) enum Route {
    /// Always to the same server.
    Fixed(Client),
    /// To whatever server is the primary then.
    Sentinel(Sentinels),
}

/// The way to one server.
pub(super) struct Link {
    access: Arc<Access>,
    route: Route,
    pub(super) peer: Peer,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that only a caller of the broken one drops it.
    generation: u64,
    failed: Option<(Instant, String)>,
}

impl Link {
    /// `address` names the server in messages.
    pub(super) fn new(access: Arc<Access>, route: Route, address: String) -> Self {
        Self {
            peer: Peer {
                address,
                secrets: access.secrets.clone(),
            },
            access,
            route,
            current: Mutex::default(),
        }
    }

    /// Runs `command` on the shared connection. `command` may be cut off by the
    /// connection's loss: its effect is then unknown.
    pub(super) async fn run<T>(
        &self,
        command: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T> {
        let (mut connection, generation) = self.connection().await?;
        match command(&mut connection).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                if breaks_connection(&error) {
                    self.drop_connection(generation).await;
                }
                Err(self.peer.failure(&error))
            }
        }
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64)> {
        let asked = Instant::now();
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok((connection.clone(), current.generation));
        }
        // Who waited for another's attempt shares its result: otherwise many
        // callers would each wait for the time limit, one after the other.
        if let Some((at, reason)) = &current.failed
            && *at >= asked
        {
            return Err(self.peer.unavailable(reason));
        }
        let error = match self.open().await {
            Ok(connection) => {
                current.failed = None;
                current.generation += 1;
                current.connection = Some(connection.clone());
                return Ok((connection, current.generation));
            }
            Err(error) => error,
        };
        if let Error::Unavailable { reason, .. } = &error {
            current.failed = Some((Instant::now(), reason.clone()));
        }
        Err(error)
    }

    /// A new connection.
    pub(super) async fn open(&self) -> Result<MultiplexedConnection> {
        match timeout(self.access.connect_timeout, self.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(self.no_answer()),
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection> {
        let client = self.client().await?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&self.access.limits)
            .await
            .map_err(|error| self.peer.failure(&error))?;
        if matches!(self.route, Route::Sentinel(_)) {
            // Sentinels learn of a change before the server does, or after it.
            let role: Vec<redis::Value> = redis::cmd("ROLE")
                .query_async(&mut connection)
                .await
                .map_err(|error| self.peer.failure(&error))?;
            let is_primary = role.first().is_some_and(|role| {
                *role == redis::Value::BulkString(b"master".to_vec())
                    || *role == redis::Value::SimpleString("master".to_owned())
            });
            if !is_primary {
                return Err(self
                    .peer
                    .unavailable("the server that Sentinel names is no primary yet"));
            }
        }
        Ok(connection)
    }

    async fn client(&self) -> Result<Client> {
        match &self.route {
            Route::Fixed(client) => Ok(client.clone()),
            Route::Sentinel(sentinels) => sentinels
                .primary()
                .await
                .map_err(|reason| self.peer.unavailable(self.peer.redact(&reason))),
        }
    }

    async fn drop_connection(&self, generation: u64) {
        let mut current = self.current.lock().await;
        if current.generation == generation {
            current.connection = None;
        }
    }

    /// A connection of its own that is subscribed to `channel`.
    pub(super) async fn subscribe(
        &self,
        channel: &str,
    ) -> Result<(redis::aio::PubSubSink, redis::aio::PubSubStream)> {
        let attempt = async {
            let client = self.client().await?;
            let subscribe = async {
                let (mut sink, stream) = client.get_async_pubsub().await?.split();
                sink.subscribe(channel).await?;
                Ok((sink, stream))
            };
            subscribe.await.map_err(|error| self.peer.failure(&error))
        };
        match timeout(self.access.connect_timeout, attempt).await {
            Ok(subscribed) => subscribed,
            Err(_) => Err(self.no_answer()),
        }
    }

    fn no_answer(&self) -> Error {
        self.peer.unavailable(format!(
            "no answer within {:?}; the server is paused, overloaded or behind a firewall",
            self.access.connect_timeout
        ))
    }
}
