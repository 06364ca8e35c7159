//! One server or many: the same questions to either.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use redis::aio::{PubSubSink, PubSubStream};
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value};

use super::access::{self, Access};
use super::cluster::Cluster;
use super::config::{Layout, RedisConfig};
use super::failure::Peer;
use super::link::{Link, Route};
use super::sentinel::Sentinels;
use crate::keys::escape_glob;
use crate::{Error, Result};

/// Keys asked for in one round trip.
pub(super) const KEYS_AT_ONCE: usize = 1000;

/// A value as the server has it, and the milliseconds that it has left.
pub(super) type Found = (Option<Vec<u8>>, i64);

/// Where the state is kept.
pub(super) struct Servers {
    pub(super) database: i64,
    pub(super) response_timeout: Duration,
    way: Way,
}

enum Way {
    One(Arc<Link>),
    Cluster(Arc<Cluster>),
}

impl Servers {
    pub(super) fn new(config: &RedisConfig) -> Result<Self> {
        let access = Arc::new(Access::new(config)?);
        let (database, response_timeout) = (access.database, access.response_timeout);
        let way = match &config.layout {
            Layout::Single => {
                let (client, address) = (access.client()?, access.address());
                Way::One(Arc::new(Link::new(access, Route::Fixed(client), address)))
            }
            Layout::Cluster { nodes } => {
                if database != 0 {
                    return Err(Error::Configuration(format!(
                        "a Redis Cluster has database 0 only, and redis.url names database {database}"
                    )));
                }
                let nodes = access::nodes("redis.nodes", nodes)?;
                Way::Cluster(Arc::new(Cluster::new(access, nodes)))
            }
            Layout::Sentinel {
                primary,
                nodes,
                password,
            } => {
                let nodes = access::nodes("redis.sentinel.nodes", nodes)?;
                if nodes.is_empty() || primary.is_empty() {
                    return Err(Error::Configuration(
                        "redis.sentinel needs both: master, a name, and nodes, host:port of at least one Sentinel".into(),
                    ));
                }
                let names: Vec<_> = nodes.iter().map(ToString::to_string).collect();
                let address = format!("{primary} of the Sentinels {}", names.join(","));
                let sentinels =
                    Sentinels::new(access.clone(), primary, nodes, password.as_deref())?;
                Way::One(Arc::new(Link::new(
                    access,
                    Route::Sentinel(sentinels),
                    address,
                )))
            }
        };
        Ok(Self {
            database,
            response_timeout,
            way,
        })
    }

    /// The way to the only server; `None` where a transaction or a script can reach only
    /// the keys of one slot.
    pub(super) fn only(&self) -> Option<&Link> {
        match &self.way {
            Way::One(link) => Some(link),
            Way::Cluster(_) => None,
        }
    }

    pub(super) fn peer(&self) -> &Peer {
        match &self.way {
            Way::One(link) => &link.peer,
            Way::Cluster(cluster) => &cluster.peer,
        }
    }

    /// Runs one command about `key`.
    pub(super) async fn ask<T: FromRedisValue>(&self, key: &str, command: Cmd) -> Result<T> {
        let value = self.ask_script(key, command).await?.unwrap_or(Value::Nil);
        redis::from_redis_value(value).map_err(|error| self.peer().failure(&error.into()))
    }

    /// As [`Servers::ask`]; `None` where the server does not know the script that
    /// the command runs.
    async fn ask_script(&self, key: &str, command: Cmd) -> Result<Option<Value>> {
        let is_unknown =
            |error: &RedisError| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript);
        let answer: RedisResult<Value> = match &self.way {
            Way::One(link) => {
                link.run(
                    async |connection| match command.query_async(connection).await {
                        Err(error) if is_unknown(&error) => Ok(Err(error)),
                        answer => answer.map(Ok),
                    },
                )
                .await?
            }
            Way::Cluster(cluster) => {
                let mut answers = cluster.each(vec![(key.into(), command)]).await?;
                answers.pop().unwrap_or(Ok(Value::Nil))
            }
        };
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if is_unknown(&error) => Ok(None),
            Err(error) => Err(self.peer().failure(&error)),
        }
    }

    /// Runs the script about `keys`, which are of one slot.
    pub(super) async fn evaluate<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[&[u8]],
    ) -> Result<T> {
        let command = |name: &str, body: &str| {
            let mut command = redis::cmd(name);
            command.arg(body).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        let known = command("EVALSHA", &script.hash);
        let Some(answer) = self.ask_script(&keys[0], known).await? else {
            return self.ask(&keys[0], command("EVAL", script.code)).await;
        };
        redis::from_redis_value(answer).map_err(|error| self.peer().failure(&error.into()))
    }

    /// Runs commands, each about the key beside it, in one round trip per server.
    pub(super) async fn each(&self, commands: Vec<(Vec<u8>, Cmd)>) -> Result<()> {
        match &self.way {
            Way::One(link) => {
                let mut pipeline = redis::pipe();
                for (_, command) in commands {
                    pipeline.add_command(command).ignore();
                }
                link.run(async |connection| pipeline.exec_async(connection).await)
                    .await
            }
            Way::Cluster(cluster) => {
                for answer in cluster.each(commands).await? {
                    answer.map_err(|error| cluster.peer.failure(&error))?;
                }
                Ok(())
            }
        }
    }

    /// What `keys` hold, in that order.
    pub(super) async fn values(&self, keys: &[String]) -> Result<Vec<Found>> {
        match &self.way {
            Way::One(link) => values_of_one(link, keys).await,
            Way::Cluster(cluster) => {
                let commands = ["GET", "PTTL"].into_iter().flat_map(|name| {
                    keys.iter().map(move |key| {
                        let mut command = redis::cmd(name);
                        command.arg(key);
                        (key.as_bytes().to_vec(), command)
                    })
                });
                let mut answers = cluster.each(commands.collect()).await?;
                let times_left = answers.split_off(keys.len());
                let found = answers.into_iter().zip(times_left).map(|(value, left)| {
                    // As MGET has it: a key of another type is no value.
                    let value = value.ok().and_then(|v| redis::from_redis_value(v).ok());
                    let left = left.and_then(|left| Ok(redis::from_redis_value(left)?));
                    left.map(|left| (value.flatten(), left))
                });
                found
                    .collect::<RedisResult<_>>()
                    .map_err(|error| cluster.peer.failure(&error))
            }
        }
    }

    /// The keys that begin with `prefix`, each once. On a cluster, one that moves to another
    /// node meanwhile may be missing.
    pub(super) async fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let links = match &self.way {
            Way::One(link) => vec![link.clone()],
            Way::Cluster(cluster) => cluster.links().await?,
        };
        let pattern = format!("{}*", escape_glob(prefix));
        let scans = links.iter().map(|link| scan(link, &pattern));
        let found = try_join_all(scans)
            .await
            .inspect_err(|_| self.look_again())?;
        let keys: HashSet<String> = found.into_iter().flatten().collect();
        Ok(keys.into_iter().collect())
    }

    /// Whether all of it can be reached now.
    pub(super) async fn ping(&self) -> Result<()> {
        let links = match &self.way {
            Way::One(link) => vec![link.clone()],
            Way::Cluster(cluster) => cluster.links().await?,
        };
        let pings = links.iter().map(|link| {
            link.run(async |connection| redis::cmd("PING").exec_async(connection).await)
        });
        try_join_all(pings)
            .await
            .inspect_err(|_| self.look_again())?;
        Ok(())
    }

    /// A connection of its own that is subscribed to `channel`. The nodes of a
    /// cluster hand notices on to each other, so any will do.
    pub(super) async fn subscribe(&self, channel: &str) -> Result<(PubSubSink, PubSubStream)> {
        let links = match &self.way {
            Way::One(link) => return link.subscribe(channel).await,
            Way::Cluster(cluster) => cluster.links().await?,
        };
        let mut failure = None;
        for link in links {
            match link.subscribe(channel).await {
                Ok(subscribed) => return Ok(subscribed),
                Err(error) => failure = Some(error),
            }
        }
        self.look_again();
        Err(failure.unwrap_or_else(|| self.peer().unavailable("the Redis Cluster has no slots")))
    }

    fn look_again(&self) {
        if let Way::Cluster(cluster) = &self.way {
            cluster.forget_map();
        }
    }
}

/// A script of ours.
pub(super) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    pub(super) fn new(code: &'static str) -> Self {
        let hash = redis::Script::new(code).get_hash().to_owned();
        Self { code, hash }
    }
}

async fn values_of_one(link: &Link, keys: &[String]) -> Result<Vec<Found>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = redis::pipe();
    pipeline.cmd("MGET").arg(keys);
    for key in keys {
        pipeline.cmd("PTTL").arg(key);
    }
    link.run(async |connection| {
        let mut answers: Vec<Value> = pipeline.query_async(connection).await?;
        let times_left = answers.split_off(1);
        let values = answers.pop().unwrap_or(Value::Nil);
        let values: Vec<Option<Vec<u8>>> = redis::from_redis_value(values)?;
        let found = values.into_iter().zip(times_left);
        found
            .map(|(value, left)| Ok((value, redis::from_redis_value(left)?)))
            .collect()
    })
    .await
}

/// Every key of one server that the pattern fits, some perhaps twice.
async fn scan(link: &Link, pattern: &str) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    let mut cursor: u64 = 0;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern);
        scan.arg("COUNT").arg(KEYS_AT_ONCE);
        let (next, found): (u64, Vec<Vec<u8>>) = link
            .run(async |connection| scan.query_async(connection).await)
            .await?;
        // Ids are text; a key that is not is another program's.
        keys.extend(
            found
                .into_iter()
                .filter_map(|key| String::from_utf8(key).ok()),
        );
        cursor = next;
        if cursor == 0 {
            return Ok(keys);
        }
    }
}
