//! Reading: one consumer over some partitions.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use events::{Offset, TopicPartition};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::block::BLOCK_RECORDS_MAX;
use super::groups::{Change, Membership};
use super::partition::Partition;
use super::store::Store;
use super::writer::Command;
use super::{closed, run_blocking};
use crate::{Consumer, Error, MAX_RECORDS_PER_POLL, Polled, Records, Result};

/// One poll reads about this many bytes of values at most.
const POLL_BYTES_MAX: usize = 8 << 20;

/// A reader of the embedded log.
pub(super) struct LocalConsumer {
    store: Arc<Store>,
    commands: mpsc::WeakSender<Command>,
    /// `None` for one that reads fixed partitions.
    membership: Option<Membership>,
    cursors: Vec<Cursor>,
    /// The cursor whose turn it is to be read first.
    turn: usize,
    wake: Arc<Notify>,
}

#[derive(Clone, Debug)]
struct Cursor {
    partition: Arc<Partition>,
    position: Offset,
}

impl LocalConsumer {
    pub(super) fn new(
        store: Arc<Store>,
        commands: mpsc::WeakSender<Command>,
        membership: Option<Membership>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            commands,
            membership,
            cursors: Vec::new(),
            turn: 0,
            wake,
        }
    }

    /// Reads `partition` from `position` on.
    pub(super) fn seek(&mut self, partition: Arc<Partition>, position: Offset) {
        let start = partition.start();
        if position < start {
            tracing::warn!(
                partition = %partition.id, position, start, lost = start - position,
                "records were removed by retention before they were read"
            );
        }
        match self
            .cursors
            .iter_mut()
            .find(|cursor| Arc::ptr_eq(&cursor.partition, &partition))
        {
            Some(cursor) => cursor.position = position,
            None => {
                partition.add_reader(&self.wake);
                self.cursors.push(Cursor {
                    partition,
                    position,
                });
            }
        }
    }

    fn forget(&mut self, partitions: &[TopicPartition]) {
        let wake = &self.wake;
        self.cursors.retain(|cursor| {
            let keep = !partitions.contains(&cursor.partition.id);
            if !keep {
                cursor.partition.remove_reader(wake);
            }
            keep
        });
    }

    /// The cursors that have something to read, the next in turn first.
    fn ready(&self) -> Vec<(usize, Cursor)> {
        let count = self.cursors.len();
        (0..count)
            .map(|step| (self.turn + step) % count)
            .filter(|index| self.cursors[*index].partition.end() > self.cursors[*index].position)
            .map(|index| (index, self.cursors[index].clone()))
            .collect()
    }

    async fn read(&mut self, ready: Vec<(usize, Cursor)>) -> Result<Vec<Records>> {
        let store = self.store.clone();
        let read = run_blocking(&self.store, move || read_all(&store, ready)).await?;
        // From here on nothing waits, so a cancelled poll has moved no position.
        let mut all = Vec::with_capacity(read.len());
        for (index, records) in read {
            self.cursors[index].position = records.next;
            self.turn = index + 1;
            all.push(records);
        }
        Ok(all)
    }

    /// Readers were once given offsets that the log does not have: the machine
    /// stopped before the journal reached the disk, or the folder was replaced.
    /// They must not be given to other records, which the readers would skip.
    async fn skip_to(&self, partition: &Arc<Partition>, position: Offset) -> Result<()> {
        tracing::warn!(
            partition = %partition.id, position, end = partition.end(),
            "a reader is ahead of the log; numbering continues at the reader's position"
        );
        let commands = self.commands.upgrade().ok_or_else(|| closed(&self.store))?;
        let (reply, replied) = oneshot::channel();
        let command = Command::SkipTo {
            partition: partition.clone(),
            offset: position,
            reply,
        };
        commands
            .send(command)
            .await
            .map_err(|_| closed(&self.store))?;
        replied.await.map_err(|_| closed(&self.store))?
    }
}

fn read_all(store: &Store, ready: Vec<(usize, Cursor)>) -> Result<Vec<(usize, Records)>> {
    let mut read = Vec::new();
    let mut records_left = MAX_RECORDS_PER_POLL;
    let mut bytes_left = POLL_BYTES_MAX;
    for (
        index,
        Cursor {
            partition,
            position,
        },
    ) in ready
    {
        let mut records = Vec::new();
        let next = store.read(&partition, position, bytes_left, &mut records, records_left)?;
        let bytes: usize = records.iter().map(|record| record.value.len()).sum();
        bytes_left = bytes_left.saturating_sub(bytes);
        records_left -= records.len();
        read.push((
            index,
            Records {
                partition: partition.id.clone(),
                from: position,
                next,
                records,
            },
        ));
        // The smallest read is one block.
        if bytes_left == 0 || records_left < BLOCK_RECORDS_MAX {
            break;
        }
    }
    Ok(read)
}

#[async_trait]
impl Consumer for LocalConsumer {
    async fn poll(&mut self, max_wait: Duration) -> Result<Polled> {
        let deadline = Instant::now() + max_wait;
        loop {
            match self.membership.as_ref().and_then(Membership::next_change) {
                Some(Change::Revoked(partitions)) => {
                    self.forget(&partitions);
                    return Ok(Polled::Revoked(partitions));
                }
                Some(Change::Assigned(partitions)) => return Ok(Polled::Assigned(partitions)),
                None => {}
            }
            let ready = self.ready();
            if !ready.is_empty() {
                return Ok(Polled::Records(self.read(ready).await?));
            }
            // An append between the look and the wait has left its notice in `wake`.
            if tokio::time::timeout_at(deadline, self.wake.notified())
                .await
                .is_err()
            {
                return Ok(Polled::Nothing);
            }
        }
    }

    async fn start(&mut self, positions: &[(TopicPartition, Option<Offset>)]) -> Result<()> {
        for (id, position) in positions {
            let partition = self.store.partition(id)?;
            if self
                .membership
                .as_ref()
                .is_some_and(|membership| !membership.owns(id))
            {
                return Err(Error::Invalid(format!(
                    "partition {id} is not assigned to this consumer"
                )));
            }
            let position = position.unwrap_or_else(|| partition.start());
            if position < 0 {
                return Err(Error::Invalid(format!(
                    "position of {id}: got {position}, expected at least 0"
                )));
            }
            if position > partition.end() {
                self.skip_to(&partition, position).await?;
            }
            self.seek(partition, position);
        }
        Ok(())
    }

    async fn release(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.forget(partitions);
        if let Some(membership) = &self.membership {
            membership.release(partitions);
        }
        Ok(())
    }

    /// Nothing to tell: the embedded log has no tools of its own, and lag is
    /// shown from the positions that the readers save.
    fn commit_advisory(&mut self, _positions: &[(TopicPartition, Offset)]) {}
}

impl Drop for LocalConsumer {
    fn drop(&mut self) {
        for cursor in &self.cursors {
            cursor.partition.remove_reader(&self.wake);
        }
    }
}
