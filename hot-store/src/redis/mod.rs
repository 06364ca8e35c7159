//! The hot store on Redis 7.0 or newer, one server.
//!
//! Enters and leaves what the port says, as plain JSON strings that any client
//! can read. Promises: a batch is one script on the server, so it is visible
//! wholly or not at all, costs one round trip, and is refused there when its
//! positions do not fit. Never: waits longer than the configured limits.

mod failure;
mod link;
mod notice;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use events::{Advance, Offset, TopicPartition};
use parking_lot::Mutex;
use redis::Script;

use self::link::Link;
use crate::keys::{changes_channel, escape_glob, positions_key, state_key, state_pattern};
use crate::{Entry, Error, HotBatch, HotStore, Kind, Result, Watch};

/// Keys asked for in one round trip.
const KEYS_AT_ONCE: usize = 1000;

/// How to reach a Redis server. Debug output leaves credentials out.
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
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}

/// The hot state on a Redis server.
pub struct RedisStore {
    link: Arc<Link>,
    channel: String,
    apply: Script,
    reset: Script,
    /// Advances whose answer was lost, by owner: the server may have them or not.
    in_doubt: Mutex<HashMap<(String, TopicPartition), (Offset, Offset)>>,
}

impl RedisStore {
    /// Prepares the way to the server. It is first used by the first operation,
    /// so this works while the server is down. Fails on an address that cannot
    /// be one.
    pub fn connect(config: RedisConfig) -> Result<Arc<Self>> {
        let link = Arc::new(Link::new(&config)?);
        Ok(Arc::new(Self {
            channel: changes_channel(link.database),
            link,
            apply: Script::new(include_str!("apply.lua")),
            reset: Script::new(include_str!("reset.lua")),
            in_doubt: Mutex::default(),
        }))
    }

    /// `host:port` of the server, without credentials.
    pub fn address(&self) -> &str {
        &self.link.peer.address
    }

    /// After a conflict: whether exactly this batch was sent before, its answer
    /// was lost, and the store has it.
    async fn was_applied(&self, owner: &str, advances: &[Advance]) -> Result<bool> {
        let sent_before = {
            let in_doubt = self.in_doubt.lock();
            // A fence leaves nothing by which it could be known again.
            let mut moves = advances.iter().filter(|advance| !advance.is_fence());
            let is_in_doubt = |advance: &Advance| {
                in_doubt.get(&(owner.to_owned(), advance.partition.clone()))
                    == Some(&(advance.from, advance.to))
            };
            moves.next().is_some_and(is_in_doubt) && moves.all(is_in_doubt)
        };
        if !sent_before {
            return Ok(false);
        }
        let stored = self.positions(owner).await?;
        Ok(advances
            .iter()
            .all(|advance| stored.get(&advance.partition) == Some(&advance.to)))
    }

    fn doubt(&self, owner: &str, advances: &[Advance]) {
        let mut in_doubt = self.in_doubt.lock();
        for advance in advances.iter().filter(|advance| !advance.is_fence()) {
            let place = (owner.to_owned(), advance.partition.clone());
            in_doubt.insert(place, (advance.from, advance.to));
        }
    }

    fn no_doubt(&self, owner: &str, advances: &[Advance]) {
        let mut in_doubt = self.in_doubt.lock();
        if in_doubt.is_empty() {
            return;
        }
        for advance in advances.iter().filter(|advance| !advance.is_fence()) {
            in_doubt.remove(&(owner.to_owned(), advance.partition.clone()));
        }
    }

    /// The keys of a kind, each once.
    async fn keys(&self, kind: Kind) -> Result<Vec<String>> {
        let pattern = format!("{}*", escape_glob(kind.prefix()));
        let mut keys = HashSet::new();
        let mut cursor: u64 = 0;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor)
                .arg("MATCH")
                .arg(&pattern)
                .arg("COUNT")
                .arg(KEYS_AT_ONCE);
            let (next, found): (u64, Vec<Vec<u8>>) = self
                .link
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
                return Ok(keys.into_iter().collect());
            }
        }
    }

    /// The values of `keys`, in that order; `None` for those that are gone.
    async fn entries(&self, kind: Kind, keys: &[String]) -> Result<Vec<Option<Entry>>> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("MGET").arg(keys);
        for key in keys {
            pipeline.cmd("PTTL").arg(key);
        }
        let (values, times_left_ms) = self
            .link
            .run(async |connection| {
                let mut answers: Vec<redis::Value> = pipeline.query_async(connection).await?;
                let times: Vec<i64> = answers
                    .split_off(1)
                    .into_iter()
                    .map(redis::from_redis_value)
                    .collect::<std::result::Result<_, _>>()?;
                let values = answers.pop().unwrap_or(redis::Value::Nil);
                let values: Vec<Option<Vec<u8>>> = redis::from_redis_value(values)?;
                Ok((values, times))
            })
            .await?;
        let entry = |key: &String, value: Option<Vec<u8>>, left_ms| {
            let (_, id) = Kind::of_key(key).filter(|(found, _)| *found == kind)?;
            Some(Entry {
                id: id.to_owned(),
                value: Bytes::from(value?),
                expires_in: time_left(kind, left_ms)?,
            })
        };
        let found = keys.iter().zip(values).zip(times_left_ms);
        Ok(found
            .map(|((key, value), left_ms)| entry(key, value, left_ms))
            .collect())
    }
}

/// Notes a batch as sent without an answer when it goes away open: after an
/// error, or when the caller gave up waiting.
struct Doubt<'a> {
    store: &'a RedisStore,
    owner: &'a str,
    advances: &'a [Advance],
    open: bool,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if self.open {
            self.store.doubt(self.owner, self.advances);
        }
    }
}

/// The meaning of a PTTL answer; `None` for a key that is gone.
fn time_left(kind: Kind, left_ms: i64) -> Option<Duration> {
    match left_ms {
        // Written by another program without a limit: it is as good as new.
        -1 => Some(kind.time_to_live()),
        left_ms => u64::try_from(left_ms).ok().map(Duration::from_millis),
    }
}

#[async_trait]
impl HotStore for RedisStore {
    async fn apply(&self, owner: &str, batch: HotBatch) -> Result<()> {
        let HotBatch {
            updates,
            mut cells,
            advances,
        } = batch;
        if updates.is_empty() && cells.is_empty() && advances.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let notice = notice::encode_notice(owner, &updates, &advances);
        let private = notice::encode_private(owner, &mut cells, &updates);
        let mut script = self.apply.key(positions_key(owner));
        script.arg(notice).arg(private).arg(&self.channel);
        let mut doubt = Doubt {
            store: self,
            owner,
            advances: &advances,
            open: true,
        };
        let conflict: Result<Option<(usize, Offset)>> = self
            .link
            .run(async |connection| script.invoke_async(connection).await)
            .await;
        match conflict {
            Ok(None) => {}
            Ok(Some((index, stored))) => {
                // A refusal is an answer; an older doubt about the batch stays.
                doubt.open = false;
                if !self.was_applied(owner, &advances).await? {
                    let Some(advance) = advances.get(index) else {
                        return Err(self
                            .link
                            .peer
                            .unavailable("the apply script answered nonsense"));
                    };
                    return Err(Error::Conflict {
                        partition: advance.partition.clone(),
                        expected: advance.from,
                        stored,
                    });
                }
            }
            Err(error) => {
                doubt.open = error.is_retryable();
                return Err(error);
            }
        }
        doubt.open = false;
        self.no_doubt(owner, &advances);
        metrics::counter!("citypulse_hot_store_updates_total").increment(updates.len() as u64);
        metrics::histogram!("citypulse_hot_store_apply_seconds")
            .record(began.elapsed().as_secs_f64());
        Ok(())
    }

    async fn positions(&self, owner: &str) -> Result<HashMap<TopicPartition, Offset>> {
        let key = positions_key(owner);
        let fields: Vec<(String, String)> = self
            .link
            .run(async |connection| {
                redis::cmd("HGETALL")
                    .arg(&key)
                    .query_async(connection)
                    .await
            })
            .await?;
        let parse = |(field, text): (String, String)| {
            let position = TopicPartition::parse(&field).zip(text.parse().ok());
            position.ok_or_else(|| Error::Damaged {
                key: key.clone(),
                reason: format!("{field} = {text} is no position"),
            })
        };
        fields.into_iter().map(parse).collect()
    }

    async fn cells(&self, owner: &str, partition: &TopicPartition) -> Result<Vec<(String, Bytes)>> {
        let key = state_key(owner, partition);
        let cells: Vec<(String, Vec<u8>)> = self
            .link
            .run(async |connection| {
                redis::cmd("HGETALL")
                    .arg(&key)
                    .query_async(connection)
                    .await
            })
            .await?;
        Ok(cells
            .into_iter()
            .map(|(key, value)| (key, value.into()))
            .collect())
    }

    async fn reset(&self, owner: &str) -> Result<()> {
        let mut script = self.reset.key(positions_key(owner));
        script.arg(state_pattern(owner));
        self.link
            .run(async |connection| script.invoke_async(connection).await)
            .await
    }

    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Entry>> {
        Ok(self.entries(kind, &[kind.key(id)]).await?.pop().flatten())
    }

    async fn get_many(&self, kind: Kind, ids: &[String]) -> Result<Vec<Option<Entry>>> {
        let mut entries = Vec::with_capacity(ids.len());
        for ids in ids.chunks(KEYS_AT_ONCE) {
            let keys: Vec<_> = ids.iter().map(|id| kind.key(id)).collect();
            entries.extend(self.entries(kind, &keys).await?);
        }
        Ok(entries)
    }

    async fn scan(&self, kind: Kind) -> Result<Vec<Entry>> {
        if kind.is_single() {
            return Ok(self.get(kind, "").await?.into_iter().collect());
        }
        let keys = self.keys(kind).await?;
        let mut entries = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_AT_ONCE) {
            entries.extend(self.entries(kind, keys).await?.into_iter().flatten());
        }
        Ok(entries)
    }

    async fn watch(&self) -> Result<Box<dyn Watch>> {
        Ok(Box::new(
            subscription::watch(&self.link, self.channel.clone()).await?,
        ))
    }

    async fn ping(&self) -> Result<()> {
        self.link
            .run(async |connection| redis::cmd("PING").query_async(connection).await)
            .await
    }
}
