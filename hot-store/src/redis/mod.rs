//! The hot store on Redis 7.0 or newer: one server, a primary that Sentinels
//! watch, or a Redis Cluster.
//!
//! Enters and leaves what the port says, as plain JSON strings that any client
//! can read. Never: waits longer than the configured limits.
//!
//! # What is promised where
//!
//! *One server.* A batch is one transaction on the server (`transaction.rs`), so it is
//! visible wholly or not at all, and is refused when its positions do not fit. It costs
//! one round trip for each two megabytes; the first of a connection, and the first after
//! another process came in between, cost one more.
//!
//! *Sentinel.* The same, on the server that is the primary. Redis replicates after
//! it has answered, so a failover may lose the last batches: whole ones, with their
//! positions. The next batch then does not begin where the new primary stands and
//! is refused, and its sender reads cells and positions again and repeats what was
//! lost from the log.
//!
//! *Cluster.* Positions and cells of an owner lie in one slot and change together,
//! in one script, as above. Values lie in many slots, which no script can reach at
//! once. They are written first, after a look at the positions, so they may be
//! visible a moment before the position that they follow from, or without the rest
//! of their batch when the writer dies in between; the repetition then writes the
//! same values again. None is lost, none counts twice. A process that lost its
//! partition *after* that look may leave older values of one batch standing until
//! their next update; its positions and cells are refused. A change of the slot map
//! is followed; a failover loses what it does with Sentinel, of one node.

mod access;
mod cluster;
mod config;
mod doubt;
mod failure;
mod link;
mod notice;
mod sentinel;
mod servers;
mod slots;
mod subscription;
#[cfg(test)]
mod tests;
mod transaction;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use events::{Advance, Offset, TopicPartition};

use self::doubt::Doubts;
use self::servers::{KEYS_AT_ONCE, Script, Servers};
use self::transaction::Writers;
use crate::keys::{changes_channel, own_patterns, positions_key, state_key};
use crate::{Entry, Error, HotBatch, HotStore, Kind, Result, Update, Watch};

pub use self::config::{Layout, RedisConfig};

/// The hot state on Redis.
pub struct RedisStore {
    servers: Arc<Servers>,
    channel: String,
    writers: Writers,
    apply: Script,
    reset: Script,
    doubts: Doubts,
}

/// The first advance that does not begin where its partition stands, and where that is.
type Misfit = (usize, Offset);

impl RedisStore {
    /// Prepares the way to the server. It is first used by the first operation,
    /// so this works while the server is down. Fails on an address that cannot
    /// be one.
    pub fn connect(config: RedisConfig) -> Result<Arc<Self>> {
        let servers = Servers::new(&config)?;
        Ok(Arc::new(Self {
            channel: changes_channel(servers.database),
            servers: Arc::new(servers),
            writers: Writers::default(),
            apply: Script::new(include_str!("apply.lua")),
            reset: Script::new(include_str!("reset.lua")),
            doubts: Doubts::default(),
        }))
    }

    /// `host:port` of the server, without credentials.
    pub fn address(&self) -> &str {
        &self.servers.peer().address
    }

    /// Writes values to the nodes of a cluster.
    async fn write_values(&self, updates: &[Update]) -> Result<()> {
        let command = |update: &Update| {
            let key = update.kind.key(&update.id).into_bytes();
            let command = match &update.value {
                Some(value) => {
                    let mut set = redis::cmd("SET");
                    let time_to_live_ms = update.time_to_live().as_millis() as u64;
                    set.arg(&key).arg(&value[..]).arg("PX").arg(time_to_live_ms);
                    set
                }
                None => {
                    let mut delete = redis::cmd("DEL");
                    delete.arg(&key);
                    delete
                }
            };
            (key, command)
        };
        self.servers
            .each(updates.iter().map(command).collect())
            .await
    }

    /// Applies a batch, whose cells are in the order of partitions, on a cluster; what it
    /// was refused for, if it was.
    async fn apply_on_cluster(&self, owner: &str, batch: &HotBatch) -> Result<Option<Misfit>> {
        let HotBatch {
            updates,
            cells,
            advances,
        } = batch;
        if !advances.is_empty() {
            let stored = self.positions(owner).await?;
            let misfit = misfit(advances, |id| stored.get(id).copied());
            if misfit.is_some() {
                return Ok(misfit);
            }
        }
        self.write_values(updates).await?;
        let notice = notice::encode_notice(owner, updates, advances);
        let own = notice::encode_own(owner, cells, advances);
        let mut keys = vec![positions_key(owner)];
        let groups = cells.chunk_by(|a, b| a.partition == b.partition);
        keys.extend(groups.map(|group| state_key(owner, &group[0].partition)));
        let arguments = [&notice, &own, self.channel.as_bytes()];
        self.servers.evaluate(&self.apply, &keys, &arguments).await
    }

    /// What a refused batch means: nothing where the store has it already.
    async fn refused(
        &self,
        owner: &str,
        advances: &[Advance],
        (index, stored): Misfit,
    ) -> Result<()> {
        if self.doubts.cover(owner, advances) {
            let positions = self.positions(owner).await?;
            let is_there =
                |advance: &Advance| positions.get(&advance.partition) == Some(&advance.to);
            if advances.iter().all(is_there) {
                return Ok(());
            }
        }
        let nonsense = || {
            self.servers
                .peer()
                .unavailable("the apply script answered nonsense")
        };
        let advance = advances.get(index).ok_or_else(nonsense)?;
        Err(Error::Conflict {
            partition: advance.partition.clone(),
            expected: advance.from,
            stored,
        })
    }

    /// The values of `keys`, in that order; `None` for those that are gone.
    async fn entries(&self, kind: Kind, keys: &[String]) -> Result<Vec<Option<Entry>>> {
        let entry = |key: &String, (value, left_ms): servers::Found| {
            let (_, id) = Kind::of_key(key).filter(|(found, _)| *found == kind)?;
            Some(Entry {
                id: id.to_owned(),
                value: Bytes::from(value?),
                expires_in: time_left(kind, left_ms)?,
            })
        };
        let found = self.servers.values(keys).await?;
        Ok(keys
            .iter()
            .zip(found)
            .map(|(key, found)| entry(key, found))
            .collect())
    }
}

/// The batch with its cells in the order of partitions, as most are.
fn with_cells_in_order(batch: &HotBatch) -> Cow<'_, HotBatch> {
    if batch.cells.is_sorted_by_key(|cell| &cell.partition) {
        return Cow::Borrowed(batch);
    }
    let mut batch = batch.clone();
    batch.cells.sort_by(|a, b| a.partition.cmp(&b.partition));
    Cow::Owned(batch)
}

/// See [`Misfit`].
fn misfit(
    advances: &[Advance],
    stored: impl Fn(&TopicPartition) -> Option<Offset>,
) -> Option<Misfit> {
    advances.iter().enumerate().find_map(|(index, advance)| {
        let stored = stored(&advance.partition)?;
        (stored != advance.from).then_some((index, stored))
    })
}

/// The position that `field` of the hash `key` holds as `text`.
fn position(key: &str, field: &str, text: &str) -> Result<Offset> {
    text.parse().map_err(|_| no_position(key, field, text))
}

fn no_position(key: &str, field: &str, text: &str) -> Error {
    Error::Damaged {
        key: key.to_owned(),
        reason: format!("{field} = {text} is no position"),
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
    async fn apply(&self, owner: &str, batch: &HotBatch) -> Result<()> {
        if batch.updates.is_empty() && batch.cells.is_empty() && batch.advances.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let batch = &*with_cells_in_order(batch);
        let advances = &batch.advances;
        let mut doubt = self.doubts.guard(owner, advances);
        let applied = match self.servers.only() {
            Some(link) => {
                let channel = &self.channel;
                self.writers.apply(link, owner, batch, channel).await
            }
            None => self.apply_on_cluster(owner, batch).await,
        };
        match applied {
            Ok(None) => {}
            Ok(Some(misfit)) => {
                // A refusal is an answer; an older doubt about the batch stays.
                doubt.is_open = false;
                self.refused(owner, advances, misfit).await?;
            }
            Err(error) => {
                doubt.is_open = error.is_retryable();
                return Err(error);
            }
        }
        doubt.is_open = false;
        self.doubts.settle(owner, advances);
        metrics::counter!("citypulse_hot_store_updates_total")
            .increment(batch.updates.len() as u64);
        metrics::histogram!("citypulse_hot_store_apply_seconds")
            .record(began.elapsed().as_secs_f64());
        Ok(())
    }

    async fn positions(&self, owner: &str) -> Result<HashMap<TopicPartition, Offset>> {
        let key = positions_key(owner);
        let mut command = redis::cmd("HGETALL");
        command.arg(&key);
        let fields: Vec<(String, String)> = self.servers.ask(&key, command).await?;
        let parse = |(field, text): (String, String)| {
            let partition = TopicPartition::parse(&field);
            let partition = partition.ok_or_else(|| no_position(&key, &field, &text))?;
            Ok((partition, position(&key, &field, &text)?))
        };
        fields.into_iter().map(parse).collect()
    }

    async fn cells(&self, owner: &str, partition: &TopicPartition) -> Result<Vec<(String, Bytes)>> {
        let key = state_key(owner, partition);
        let mut command = redis::cmd("HGETALL");
        command.arg(&key);
        let cells: Vec<(String, Vec<u8>)> = self.servers.ask(&key, command).await?;
        Ok(cells
            .into_iter()
            .map(|(key, value)| (key, value.into()))
            .collect())
    }

    async fn reset(&self, owner: &str) -> Result<()> {
        let (keys, patterns) = ([positions_key(owner)], own_patterns(owner));
        let patterns = patterns.each_ref().map(|pattern| pattern.as_bytes());
        self.servers.evaluate(&self.reset, &keys, &patterns).await
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
        let keys = self.servers.keys(kind.prefix()).await?;
        let mut entries = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_AT_ONCE) {
            entries.extend(self.entries(kind, keys).await?.into_iter().flatten());
        }
        Ok(entries)
    }

    async fn ids(&self, kind: Kind, prefix: &str) -> Result<Vec<String>> {
        let prefix = format!("{}{prefix}", kind.prefix());
        let keys = self.servers.keys(&prefix).await?;
        let ids = keys.iter().filter_map(|key| match Kind::of_key(key)? {
            (of, id) if of == kind => Some(id.to_owned()),
            _ => None,
        });
        Ok(ids.collect())
    }

    async fn watch(&self) -> Result<Box<dyn Watch>> {
        Ok(Box::new(
            subscription::watch(&self.servers, self.channel.clone()).await?,
        ))
    }

    async fn ping(&self) -> Result<()> {
        self.servers.ping().await
    }
}
