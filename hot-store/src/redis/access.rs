//! What every connection of a store has in common, wherever it leads.

use std::fmt;
use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    RedisConnectionInfo,
};
use rustls::crypto::CryptoProvider;

use super::RedisConfig;
use super::config::Layout;
use crate::{Error, Result};

/// One server's place in the network.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Node {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Node {
    /// Reads `host:port`, also `[::1]:6379`; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let port = port.parse().ok()?;
        (!host.is_empty()).then(|| Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Credentials, database, TLS and limits; and the address of the URL.
pub(super) struct Access {
    info: ConnectionInfo,
    pub(super) limits: AsyncConnectionConfig,
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) database: i64,
    /// Never to be shown.
    pub(super) secrets: Vec<String>,
}

impl Access {
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
        let mut secrets: Vec<String> = settings.password().map(str::to_owned).into_iter().collect();
        if let Layout::Sentinel { password, .. } = &config.layout {
            secrets.extend(password.clone());
        }
        let database = settings.db();
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(config.response_timeout));
        Ok(Self {
            info: info.set_redis_settings(settings),
            limits,
            connect_timeout: config.connect_timeout,
            response_timeout: config.response_timeout,
            database,
            secrets,
        })
    }

    /// The URL's server, `host:port`.
    pub(super) fn address(&self) -> String {
        match self.node() {
            Some(node) => node.to_string(),
            None => self.info.addr().to_string(),
        }
    }

    /// The URL's server; `None` for a Unix socket.
    pub(super) fn node(&self) -> Option<Node> {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some(Node {
                    host: host.clone(),
                    port: *port,
                })
            }
            _ => None,
        }
    }

    /// A client of the URL's server.
    pub(super) fn client(&self) -> Result<Client> {
        Client::open(self.info.clone()).map_err(|_| self.impossible(&self.address()))
    }

    /// A client of another server, reached like the URL's.
    pub(super) fn client_of(&self, node: &Node) -> Result<Client> {
        self.open(node, self.info.redis_settings().clone())
    }

    /// A client of a Sentinel: no database, a password of its own.
    pub(super) fn client_of_sentinel(&self, node: &Node, password: Option<&str>) -> Result<Client> {
        let mut settings = RedisConnectionInfo::default();
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        self.open(node, settings)
    }

    fn open(&self, node: &Node, settings: RedisConnectionInfo) -> Result<Client> {
        let mut address = self.info.addr().clone();
        match &mut address {
            ConnectionAddr::TcpTls { host, port, .. } => {
                (*host, *port) = (node.host.clone(), node.port);
            }
            _ => address = ConnectionAddr::Tcp(node.host.clone(), node.port),
        }
        let info = self.info.clone().set_addr(address);
        Client::open(info.set_redis_settings(settings))
            .map_err(|_| self.impossible(&node.to_string()))
    }

    fn impossible(&self, address: &str) -> Error {
        Error::Configuration(format!(
            "no connection to Redis at {address} is possible with these settings"
        ))
    }
}

/// The addresses of `texts`, which the setting `what` lists.
pub(super) fn nodes(what: &str, texts: &[String]) -> Result<Vec<Node>> {
    let parse = |text: &String| {
        Node::parse(text).ok_or_else(|| {
            Error::Configuration(format!(
                "{what}: {text:?} is not an address; give host:port"
            ))
        })
    };
    texts.iter().map(parse).collect()
}

/// TLS panics where a process has not said which of several cryptography
/// libraries it uses. Only says so if nobody has.
fn choose_cryptography() {
    if CryptoProvider::get_default().is_none() {
        // Fails only if another thread has just chosen: that serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_and_others_are_refused() {
        for text in ["localhost:6379", "10.0.0.1:1", "[::1]:6379"] {
            let node = Node::parse(text).expect("an address");
            assert_eq!(node.to_string(), text);
        }
        for text in ["", "localhost", ":1", "localhost:", "a:70000", "a:-1"] {
            assert_eq!(Node::parse(text), None, "{text}");
        }
        let error = nodes("redis.nodes", &["here".to_owned()]).expect_err("refused");
        assert!(
            error.to_string().contains("redis.nodes") && error.to_string().contains("host:port")
        );
    }
}
