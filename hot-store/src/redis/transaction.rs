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
//!
//! A transaction is sent in parts, and the server runs none of it before it has the last:
//! a checkpoint of many thousand cells takes the memory of a part here, not several times
//! its own. Each part is made while the server takes in the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::{self, Peekable};

use bytes::Bytes;
use events::{Advance, Offset, TopicPartition};
use futures::future::join;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Arg, Cmd, Pipeline, RedisResult, Value};

use super::failure::Peer;
use super::link::Link;
use super::{Misfit, misfit, notice, position};
use crate::keys::{mark_key, positions_key, state_key};
use crate::{Cell, HotBatch, Result, Update};

/// How often a batch is tried that others come in between of.
const TRIES: u32 = 10;
/// A part of a transaction is about as large, unless a single command is larger: what is
/// written every few milliseconds is one part and costs one round trip.
const PART_BYTES: usize = 2 << 20;
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
        let values = values(batch);
        let mut commands = transaction(owner, batch, &values, channel).peekable();
        let mut part = next_part(&mut commands);
        while commands.peek().is_some() {
            let next = async { next_part(&mut commands) };
            let (queued, next) = join(self.send(peer, part), next).await;
            queued?.try_for_each(|queued| answer(peer, Some(queued)).map(drop))?;
            part = next;
        }
        let queued = part.len();
        part.cmd("EXEC");
        self.watched.ask(&mut part);
        let mut answers = self.send(peer, part).await?;
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

/// A value that is to be set.
type Valued<'a> = (&'a Update, &'a Bytes);

/// The values of a batch, by their time to live.
fn values(batch: &HotBatch) -> Vec<Valued<'_>> {
    let updates = batch.updates.iter();
    let mut values: Vec<_> = updates
        .filter_map(|update| Some((update, update.value.as_ref()?)))
        .collect();
    values.sort_by_key(|(update, _)| update.time_to_live());
    values
}

/// From `MULTI` on, all but `EXEC`. Each command is made when its turn comes.
fn transaction<'a>(
    owner: &'a str,
    batch: &'a HotBatch,
    values: &'a [Valued<'a>],
    channel: &'a str,
) -> impl Iterator<Item = Cmd> {
    // The time not for its answer: who may not ask for it, as the script does, is refused
    // here, before anything is written.
    let begin = ["MULTI", "TIME"].map(redis::cmd).into_iter();
    let cells = groups(&batch.cells).flat_map(move |(partition, cells)| {
        let hash = state_key(owner, partition);
        pieces(cells, cell_bytes).flat_map(move |cells| set_cells(&hash, cells))
    });
    let values = pieces(values, |(update, value)| update.id.len() + value.len());
    let values = values.flat_map(|values| [set_values(values), expire_values(values)]);
    let delete = delete_values(&batch.updates);
    let publish = move || {
        let notice = notice::encode_notice(owner, &batch.updates, &batch.advances);
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(channel).arg(notice);
        publish
    };
    begin
        .chain(cells)
        .chain(move_positions(owner, &batch.advances))
        .chain(values)
        .chain(delete)
        .chain(iter::once_with(publish))
}

fn set_cells(hash: &str, cells: &[Cell]) -> impl Iterator<Item = Cmd> + use<> {
    let mut set = redis::cmd("HSET");
    let mut delete = redis::cmd("HDEL");
    set.arg(hash);
    delete.arg(hash);
    for cell in cells {
        match &cell.value {
            Some(value) => set.arg(&cell.key).arg(&value[..]),
            None => delete.arg(&cell.key),
        };
    }
    saying(set, 2).into_iter().chain(saying(delete, 2))
}

fn move_positions(owner: &str, advances: &[Advance]) -> impl Iterator<Item = Cmd> + use<> {
    let mut positions = redis::cmd("HSET");
    let mut marks = redis::cmd("MSET");
    positions.arg(positions_key(owner));
    for advance in advances.iter().filter(|advance| !advance.is_fence()) {
        let partition = &advance.partition;
        positions.arg(partition.to_string()).arg(advance.to);
        marks.arg(mark_key(owner, partition)).arg(advance.to);
    }
    saying(positions, 2).into_iter().chain(saying(marks, 1))
}

fn set_values(values: &[Valued<'_>]) -> Cmd {
    let bytes = values.iter().map(|(_, value)| 50 + value.len()).sum();
    let mut set = Cmd::with_capacity(1 + 2 * values.len(), bytes);
    set.arg("MSET");
    for (update, value) in values {
        set.arg(Key(update)).arg(&value[..]);
    }
    set
}

fn expire_values(values: &[Valued<'_>]) -> Cmd {
    let mut expire = Cmd::with_capacity(5 + values.len(), 50 * values.len());
    expire.arg("EVAL").arg(EXPIRE).arg(values.len());
    for (update, _) in values {
        expire.arg(Key(update));
    }
    for group in values.chunk_by(|(a, _), (b, _)| a.time_to_live() == b.time_to_live()) {
        let time_to_live_ms = group[0].0.time_to_live().as_millis() as u64;
        expire.arg(time_to_live_ms).arg(group.len());
    }
    expire
}

fn delete_values(updates: &[Update]) -> Option<Cmd> {
    let mut delete = redis::cmd("DEL");
    let deleted = updates.iter().filter(|update| update.value.is_none());
    for update in deleted {
        delete.arg(Key(update));
    }
    saying(delete, 1)
}

/// A command that says more than its first `words`.
fn saying(command: Cmd, words: usize) -> Option<Cmd> {
    let says_more = command.args_iter().len() > words;
    says_more.then_some(command)
}

/// The next commands, as far as they fit into a part.
fn next_part(commands: &mut Peekable<impl Iterator<Item = Cmd>>) -> Pipeline {
    let mut part = redis::pipe();
    let mut room = PART_BYTES;
    while let Some(command) = commands.next_if(|next| part.is_empty() || bytes(next) <= room) {
        room = room.saturating_sub(bytes(&command));
        part.add_command(command);
    }
    part
}

fn bytes(command: &Cmd) -> usize {
    let words = command.args_iter().map(|word| match word {
        Arg::Simple(word) => word.len(),
        _ => 0,
    });
    words.sum()
}

/// All of `items`, in pieces that fit into a part.
fn pieces<T>(items: &[T], bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    let mut rest = items;
    iter::from_fn(move || {
        let mut room = PART_BYTES;
        let fits = rest.iter().take_while(|item| {
            let left = room.checked_sub(bytes(item));
            room = left.unwrap_or_default();
            left.is_some()
        });
        let (piece, others) = rest.split_at_checked(fits.count().max(1))?;
        rest = others;
        Some(piece)
    })
}

fn cell_bytes(cell: &Cell) -> usize {
    cell.key.len() + cell.value.as_ref().map_or(0, Bytes::len)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn a_large_batch_is_sent_in_parts_and_nothing_of_it_left_out() {
        let cell = |number: usize| Cell {
            partition: TopicPartition::new("t", number as i32 / 15_000),
            key: format!("cell-{number}"),
            value: (!number.is_multiple_of(3)).then(|| vec![7_u8; 200].into()),
        };
        let update = |number: usize| {
            let value = (!number.is_multiple_of(3)).then(|| vec![7_u8; 400].into());
            Update::new(Kind::Vehicle, format!("value-{number}"), value)
        };
        let huge = Update::new(Kind::Trail, "huge", Some(vec![7_u8; 2 * PART_BYTES].into()));
        let batch = HotBatch {
            updates: (0..6_000).map(update).chain([huge]).collect(),
            cells: (0..20_000).map(cell).collect(),
            advances: Vec::new(),
        };
        let values = values(&batch);
        let mut commands = transaction("o", &batch, &values, "c").peekable();
        let (mut parts, mut words) = (0, BTreeMap::new());
        while commands.peek().is_some() {
            let part = next_part(&mut commands);
            let size: usize = part.cmd_iter().map(bytes).sum();
            assert!(size <= PART_BYTES || part.len() == 1);
            parts += 1;
            for word in part.cmd_iter().flat_map(Cmd::args_iter) {
                if let Arg::Simple(word) = word {
                    *words.entry(word.to_vec()).or_insert(0) += 1;
                }
            }
        }
        assert!(parts > 4, "{parts}");
        let count = |word: String| words.get(word.as_bytes()).copied().unwrap_or(0);
        for number in 0..20_000 {
            assert_eq!(count(format!("cell-{number}")), 1);
        }
        for number in 0..6_000_usize {
            // Set and given its time to live, or deleted.
            let times = if number.is_multiple_of(3) { 1 } else { 2 };
            assert_eq!(count(format!("vehicle:location:value-{number}")), times);
        }
        assert_eq!((count("MULTI".into()), count("PUBLISH".into())), (1, 1));
    }
}
