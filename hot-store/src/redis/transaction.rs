//! A batch on one server, as a transaction.
//!
//! Redis runs a transaction wholly, but lets it depend on nothing that is stored. A
//! script can look first, but takes nearly twice the time, since each value passes
//! through Lua on its way. So a writer watches what the batch depends on and reads it,
//! and the server refuses the transaction where any of that was touched since. At the
//! end of each transaction it looks for the next: one batch after the other costs one
//! round trip each.
//!
//! Watched are the hashes of cells, which might become something else, and a mark for
//! each partition, which every batch that moves the partition's position writes.
//! Processes that write for different partitions of one owner are thus not in each
//! other's way, as they would be if they watched the hash of all positions. Who makes
//! something else of that hash between look and transaction, by hand, gets values
//! without their positions, and an error.
//!
//! Values are set by one command and given their time to live by a script: a command for
//! each would take as long on the server, and its thousands of answers longer here.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use events::{Advance, Offset, TopicPartition};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, Value};

use super::failure::Peer;
use super::link::Link;
use super::{Misfit, misfit, notice, position};
use crate::keys::{mark_key, positions_key, state_key};
use crate::{Cell, HotBatch, Result, Update};

/// How often a batch is tried that others come in between of.
const TRIES: u32 = 10;
const EXPIRE: &str = include_str!("expire.lua");

/// Connections that write, one for each batch under way at once.
#[derive(Default)]
pub(super) struct Writers(Mutex<Vec<Writer>>);

struct Writer {
    connection: MultiplexedConnection,
    watched: Watched,
}

/// What a connection watches, and what was found there since.
#[derive(Default)]
struct Watched {
    owner: String,
    positions: BTreeMap<TopicPartition, Option<Offset>>,
    /// The partitions whose cells are in a hash, if in anything.
    cells: BTreeSet<TopicPartition>,
}

type Answers = std::vec::IntoIter<RedisResult<Value>>;

impl Writers {
    /// Applies a batch, whose cells are in the order of partitions; what it was refused
    /// for, if it was. A batch that is given up or fails takes its connection with it:
    /// nobody knows what that watches then.
    pub(super) async fn apply(
        &self,
        link: &Link,
        owner: &str,
        batch: &HotBatch,
        channel: &str,
    ) -> Result<Option<Misfit>> {
        let mut writer = match self.take(owner) {
            Some(writer) => writer,
            None => Writer {
                connection: link.open().await?,
                watched: Watched::default(),
            },
        };
        let mut has_looked = false;
        for _ in 0..TRIES {
            if !writer.watched.covers(owner, batch) {
                writer.look(&link.peer, owner, batch).await?;
                has_looked = true;
            }
            let found = misfit(&batch.advances, |id| *writer.watched.positions.get(id)?);
            if found.is_some() && has_looked {
                self.0.lock().push(writer);
                return Ok(found);
            }
            if found.is_none() {
                let is_applied = writer.run(&link.peer, owner, batch, channel).await?;
                if is_applied {
                    self.0.lock().push(writer);
                    return Ok(None);
                }
            }
            // Others wrote: perhaps for partitions that this process has given up.
            writer.watched = Watched::default();
        }
        let reason = "others write for the same partitions all the time";
        Err(link.peer.unavailable(reason))
    }

    /// An idle connection, best one that watches for the same owner.
    fn take(&self, owner: &str) -> Option<Writer> {
        let mut idle = self.0.lock();
        let of_owner = idle.iter().position(|w| w.watched.owner == owner);
        match of_owner {
            Some(index) => Some(idle.swap_remove(index)),
            None => idle.pop(),
        }
    }
}

impl Writer {
    /// Watches and reads what `batch` depends on, besides what was watched before.
    async fn look(&mut self, peer: &Peer, owner: &str, batch: &HotBatch) -> Result<()> {
        self.watched.add(owner, batch);
        let mut pipeline = redis::pipe();
        pipeline.cmd("UNWATCH");
        self.watched.ask(&mut pipeline);
        for partition in &self.watched.cells {
            // Fails on anything but a hash.
            pipeline.cmd("HLEN").arg(state_key(owner, partition));
        }
        let mut answers = self.send(peer, pipeline).await?;
        answer(peer, answers.next())?;
        self.watched.found(peer, &mut answers)?;
        answers.try_for_each(|hash| answer(peer, Some(hash)).map(drop))
    }

    /// Sends the transaction and looks for the next one; whether it was run.
    async fn run(
        &mut self,
        peer: &Peer,
        owner: &str,
        batch: &HotBatch,
        channel: &str,
    ) -> Result<bool> {
        let mut pipeline = transaction(owner, batch, channel);
        let queued = pipeline.len() - 1;
        self.watched.ask(&mut pipeline);
        let mut answers = self.send(peer, pipeline).await?;
        for queued in answers.by_ref().take(queued) {
            answer(peer, Some(queued))?;
        }
        let is_applied = answer(peer, answers.next())? != Value::Nil;
        if self.watched.found(peer, &mut answers).is_err() {
            // Not this batch's concern: the next one looks again and says so.
            self.watched = Watched::default();
        }
        Ok(is_applied)
    }

    async fn send(&mut self, peer: &Peer, mut pipeline: Pipeline) -> Result<Answers> {
        pipeline.ignore_errors();
        let answers: RedisResult<Vec<_>> = pipeline.query_async(&mut self.connection).await;
        let answers = answers.map_err(|error| peer.failure(&error))?;
        Ok(answers.into_iter())
    }
}

/// The server's answer to one command, without errors.
fn answer(peer: &Peer, answer: Option<RedisResult<Value>>) -> Result<Value> {
    let answer = answer.unwrap_or(Ok(Value::Nil));
    answer
        .and_then(Value::extract_error)
        .map_err(|error| peer.failure(&error))
}

impl Watched {
    fn covers(&self, owner: &str, batch: &HotBatch) -> bool {
        let has_position = |advance: &Advance| self.positions.contains_key(&advance.partition);
        let has_cells = |id: &TopicPartition| self.cells.contains(id);
        self.owner == owner
            && batch.advances.iter().all(has_position)
            && groups(&batch.cells).all(|(id, _)| has_cells(id))
    }

    fn add(&mut self, owner: &str, batch: &HotBatch) {
        if self.owner != owner {
            *self = Self::default();
            owner.clone_into(&mut self.owner);
        }
        let advances = batch.advances.iter();
        self.positions
            .extend(advances.map(|advance| (advance.partition.clone(), None)));
        let cells = groups(&batch.cells).map(|(id, _)| id.clone());
        self.cells.extend(cells);
    }

    /// Watches, then reads: what changes after the reading is noticed.
    fn ask(&self, pipeline: &mut Pipeline) {
        let marks = self.positions.keys().map(|id| mark_key(&self.owner, id));
        let cells = self.cells.iter().map(|id| state_key(&self.owner, id));
        let watched: Vec<_> = marks.chain(cells).collect();
        if !watched.is_empty() {
            pipeline.cmd("WATCH").arg(watched);
        }
        if !self.positions.is_empty() {
            let fields: Vec<_> = self.positions.keys().map(ToString::to_string).collect();
            pipeline
                .cmd("HMGET")
                .arg(positions_key(&self.owner))
                .arg(fields);
        }
    }

    /// Takes the answers to [`Watched::ask`].
    fn found(&mut self, peer: &Peer, answers: &mut Answers) -> Result<()> {
        if !self.positions.is_empty() || !self.cells.is_empty() {
            answer(peer, answers.next())?;
        }
        if self.positions.is_empty() {
            return Ok(());
        }
        let found = answer(peer, answers.next())?;
        let found: Vec<Option<String>> =
            redis::from_redis_value(found).map_err(|error| peer.failure(&error.into()))?;
        let key = positions_key(&self.owner);
        for ((id, stored), found) in self.positions.iter_mut().zip(found) {
            *stored = match found {
                Some(text) => Some(position(&key, &id.to_string(), &text)?),
                None => None,
            };
        }
        Ok(())
    }
}

/// From `MULTI` to `EXEC`.
fn transaction(owner: &str, batch: &HotBatch, channel: &str) -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("MULTI");
    // Not for its answer: who may not ask for it, as the script does, is refused here,
    // before anything is written.
    pipeline.cmd("TIME");
    for (partition, cells) in groups(&batch.cells) {
        let hash = state_key(owner, partition);
        let mut set = redis::cmd("HSET");
        let mut delete = redis::cmd("HDEL");
        set.arg(&hash);
        delete.arg(&hash);
        for cell in cells {
            match &cell.value {
                Some(value) => set.arg(&cell.key).arg(&value[..]),
                None => delete.arg(&cell.key),
            };
        }
        add(&mut pipeline, set, 2);
        add(&mut pipeline, delete, 2);
    }
    let values = batch.updates.iter();
    let mut values: Vec<(&Update, &Bytes)> = values
        .filter_map(|update| Some((update, update.value.as_ref()?)))
        .collect();
    values.sort_by_key(|(update, _)| update.time_to_live());
    let bytes = values.iter().map(|(_, value)| 50 + value.len()).sum();
    let mut positions = redis::cmd("HSET");
    let mut set = Cmd::with_capacity(1 + 2 * values.len(), bytes);
    positions.arg(positions_key(owner));
    set.arg("MSET");
    for advance in batch.advances.iter().filter(|advance| !advance.is_fence()) {
        let partition = &advance.partition;
        positions.arg(partition.to_string()).arg(advance.to);
        set.arg(mark_key(owner, partition)).arg(advance.to);
    }
    for (update, value) in &values {
        set.arg(Key(update)).arg(&value[..]);
    }
    add(&mut pipeline, positions, 2);
    add(&mut pipeline, set, 1);
    if !values.is_empty() {
        let mut expire = Cmd::with_capacity(3 + values.len(), 50 * values.len());
        expire.arg("EVAL").arg(EXPIRE).arg(values.len());
        for (update, _) in &values {
            expire.arg(Key(update));
        }
        for group in values.chunk_by(|(a, _), (b, _)| a.time_to_live() == b.time_to_live()) {
            let time_to_live_ms = group[0].0.time_to_live().as_millis() as u64;
            expire.arg(time_to_live_ms).arg(group.len());
        }
        pipeline.add_command(expire);
    }
    let mut delete = redis::cmd("DEL");
    let deleted = batch.updates.iter().filter(|update| update.value.is_none());
    for update in deleted {
        delete.arg(Key(update));
    }
    add(&mut pipeline, delete, 1);
    let notice = notice::encode_notice(owner, &batch.updates, &batch.advances);
    pipeline.cmd("PUBLISH").arg(channel).arg(notice);
    pipeline.cmd("EXEC");
    pipeline
}

/// Adds a command that says more than its first `words`.
fn add(pipeline: &mut Pipeline, command: Cmd, words: usize) {
    if command.args_iter().len() > words {
        pipeline.add_command(command);
    }
}

/// Cells by partition.
fn groups(cells: &[Cell]) -> impl Iterator<Item = (&TopicPartition, &[Cell])> {
    let groups = cells.chunk_by(|a, b| a.partition == b.partition);
    groups.map(|group| (&group[0].partition, group))
}

/// The whole Redis key of an update, without building it first.
struct Key<'a>(&'a Update);

impl redis::ToRedisArgs for Key<'_> {
    fn write_redis_args<W: ?Sized + redis::RedisWrite>(&self, out: &mut W) {
        let Update { kind, id, .. } = self.0;
        out.write_arg_fmt(format_args!("{}{}", kind.prefix(), kind.normal_id(id)));
    }
}
