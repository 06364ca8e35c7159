//! How to reach Redis.

use std::fmt;
use std::time::Duration;

/// How to reach the servers. Debug output leaves credentials out.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://host:port/database`, or `rediss://` for TLS. May hold user and
    /// password.
    pub url: String,
    /// Wins over the URL's user.
    pub username: Option<String>,
    /// Wins over the URL's password.
    pub password: Option<String>,
    /// Limit of one attempt to connect.
    pub connect_timeout: Duration,
    /// Limit of one command.
    pub response_timeout: Duration,
    /// One server, or several.
    pub layout: Layout,
}

/// How many servers there are and how the right one is found.
#[derive(Clone, Default)]
pub enum Layout {
    /// The server that the URL names.
    #[default]
    Single,
    /// A Redis Cluster. Its map is read from any node that answers: the URL's, or
    /// one of `nodes`. Every node takes the URL's credentials and has TLS if it does.
    Cluster {
        /// Further nodes, `host:port`.
        nodes: Vec<String>,
    },
    /// The server that Sentinels call the primary of `primary`. The URL's host and
    /// port are not used, its database, credentials and TLS are.
    Sentinel {
        /// The name under which the Sentinels watch it.
        primary: String,
        /// The Sentinels, `host:port`; asked in this order.
        nodes: Vec<String>,
        /// The Sentinels' own password, if they have one.
        password: Option<String>,
    },
}

impl RedisConfig {
    /// The server at `url`, with the default limits: 2 s to connect, 5 s to answer.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            username: None,
            password: None,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(5),
            layout: Layout::Single,
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layout::Single => f.write_str("Single"),
            Layout::Cluster { nodes } => f.debug_tuple("Cluster").field(nodes).finish(),
            Layout::Sentinel { primary, nodes, .. } => f
                .debug_tuple("Sentinel")
                .field(primary)
                .field(nodes)
                .finish(),
        }
    }
}
