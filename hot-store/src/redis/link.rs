//! One shared connection that is made when needed and replaced when broken.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisResult};
use rustls::crypto::CryptoProvider;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::RedisConfig;
use super::failure::{Peer, breaks_connection};
use crate::{Error, Result};

/// The way to one server.
pub(super) struct Link {
    client: Client,
    limits: AsyncConnectionConfig,
    connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) database: i64,
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
    pub(super) fn new(config: &RedisConfig) -> Result<Self> {
        // The library's own text may repeat the URL, password included.
        let info = config.url.as_str().into_connection_info().map_err(|_| {
            Error::Configuration(
                "the Redis address must be redis://host:port/database, or rediss:// for TLS".into(),
            )
        })?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            choose_cryptography();
        }
        let mut settings = info.redis_settings().clone();
        if let Some(username) = &config.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &config.password {
            settings = settings.set_password(password);
        }
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                format!("{host}:{port}")
            }
            other => other.to_string(),
        };
        let peer = Peer {
            address,
            password: settings.password().map(str::to_owned),
        };
        let database = settings.db();
        let client = Client::open(info.set_redis_settings(settings)).map_err(|_| {
            Error::Configuration(format!(
                "no connection to Redis at {} is possible with these settings",
                peer.address
            ))
        })?;
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(config.response_timeout));
        Ok(Self {
            client,
            limits,
            connect_timeout: config.connect_timeout,
            response_timeout: config.response_timeout,
            database,
            peer,
            current: Mutex::default(),
        })
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
        let attempt = self
            .client
            .get_multiplexed_async_connection_with_config(&self.limits);
        let error = match timeout(self.connect_timeout, attempt).await {
            Ok(Ok(connection)) => {
                current.failed = None;
                current.generation += 1;
                current.connection = Some(connection.clone());
                return Ok((connection, current.generation));
            }
            Ok(Err(error)) => self.peer.failure(&error),
            Err(_) => self.no_answer(),
        };
        if let Error::Unavailable { reason, .. } = &error {
            current.failed = Some((Instant::now(), reason.clone()));
        }
        Err(error)
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
            let (mut sink, stream) = self.client.get_async_pubsub().await?.split();
            sink.subscribe(channel).await?;
            Ok((sink, stream))
        };
        match timeout(self.connect_timeout, attempt).await {
            Ok(subscribed) => subscribed.map_err(|error| self.peer.failure(&error)),
            Err(_) => Err(self.no_answer()),
        }
    }

    fn no_answer(&self) -> Error {
        self.peer.unavailable(format!(
            "no answer within {:?}; the server is paused, overloaded or behind a firewall",
            self.connect_timeout
        ))
    }
}

/// TLS panics where a process has not said which of several cryptography
/// libraries it uses. Only says so if nobody has.
fn choose_cryptography() {
    if CryptoProvider::get_default().is_none() {
        // Fails only if another thread has just chosen: that serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
