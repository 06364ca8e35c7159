//! Reading: one consumer, in a group or over fixed partitions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use events::{Offset, Topic, TopicPartition};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use tokio::time::Instant;

use super::batch::collect;
use super::chunk::Chunk;
use super::client::Client;
use super::context::{Rebalance, Rebalances};
use crate::{Consumer, Error, Polled, Result};

/// Required by librdkafka, never joined: fixed partitions need no group.
const NO_GROUP: &str = "citypulse-reader";
/// How long brokers that were away are asked whether they are back.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// A reader of Kafka.
pub(super) struct KafkaConsumer {
    client: Arc<Client>,
    /// Taken when dropped.
    inner: Option<StreamConsumer<Rebalances>>,
    in_group: bool,
    /// The partitions of a group that are this consumer's.
    owned: BTreeSet<TopicPartition>,
    /// Those being read.
    cursors: Vec<Cursor>,
    chunk: Chunk,
    /// An error met behind records: the next poll's result.
    failed: Option<KafkaError>,
    /// Told to be given up, still read by librdkafka.
    revoked: Vec<TopicPartition>,
    /// librdkafka waits for an answer to an assignment.
    unanswered: bool,
    /// All brokers were away when last heard of.
    down: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Cursor {
    pub(super) id: TopicPartition,
    pub(super) position: Offset,
}

impl KafkaConsumer {
    /// One that shares `topics` with its group.
    pub(super) fn subscribe(client: Arc<Client>, group: &str, topics: &[Topic]) -> Result<Self> {
        let consumer = Self::new(client, group, true)?;
        let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        let subscribed = consumer.inner()?.subscribe(&names);
        subscribed.map_err(|error| consumer.client.error("", error))?;
        Ok(consumer)
    }

    /// One that reads what it is told to start.
    pub(super) fn unassigned(client: Arc<Client>) -> Result<Self> {
        Self::new(client, NO_GROUP, false)
    }

    fn new(client: Arc<Client>, group: &str, in_group: bool) -> Result<Self> {
        let config = client.config.consumer(group)?;
        let inner = StreamConsumer::from_config_and_context(&config, Rebalances::default())
            .map_err(|error| Error::Invalid(format!("kafka: {error}")))?;
        Ok(Self {
            client,
            inner: Some(inner),
            in_group,
            owned: BTreeSet::new(),
            cursors: Vec::new(),
            chunk: Chunk::default(),
            failed: None,
            revoked: Vec::new(),
            unanswered: false,
            down: false,
        })
    }

    fn inner(&self) -> Result<&StreamConsumer<Rebalances>> {
        self.inner
            .as_ref()
            .ok_or_else(|| self.client.unavailable("the consumer is closed"))
    }

    /// A rebalance as the layer is to see it; `None` if there is nothing to decide.
    fn rebalanced(&mut self, rebalance: Rebalance) -> Result<Option<Polled>> {
        match rebalance {
            // librdkafka waits for an answer all the same.
            Rebalance::Assigned(ids) if ids.is_empty() => {
                self.assign(&[])?;
                Ok(self.owned.is_empty().then_some(Polled::Assigned(ids)))
            }
            Rebalance::Revoked(ids) if ids.is_empty() => self.unassign(&[]).map(|()| None),
            Rebalance::Assigned(ids) => {
                self.unanswered = true;
                self.owned.extend(ids.iter().cloned());
                Ok(Some(Polled::Assigned(ids)))
            }
            Rebalance::Revoked(ids) => {
                let read = self
                    .cursors
                    .iter()
                    .map(|cursor| &cursor.id)
                    .filter(|id| ids.contains(id));
                self.revoked.extend(read.cloned());
                self.cursors.retain(|cursor| !ids.contains(&cursor.id));
                Ok(Some(Polled::Revoked(ids)))
            }
        }
    }

    /// Makes librdkafka read the cursors: besides the others in a group, as the
    /// only ones otherwise.
    fn assign(&self, cursors: &[Cursor]) -> Result<()> {
        let positions = cursors
            .iter()
            .map(|cursor| (&cursor.id, KafkaOffset::Offset(cursor.position)));
        let assigned = match (to_list(positions), self.in_group) {
            (Ok(list), true) => self.inner()?.incremental_assign(&list),
            (Ok(list), false) => self.inner()?.assign(&list),
            (Err(error), _) => Err(error),
        };
        assigned.map_err(|error| self.client.error("", error))
    }

    /// Makes librdkafka of a group's consumer stop reading `ids`.
    fn unassign(&self, ids: &[TopicPartition]) -> Result<()> {
        let list = to_list(ids.iter().map(|id| (id, KafkaOffset::Invalid)));
        let unassigned = match list {
            Ok(list) => self.inner()?.incremental_unassign(&list),
            Err(error) => Err(error),
        };
        unassigned.map_err(|error| self.client.error("", error))
    }

    /// What an error of the stream means for the poll; `None` if nothing.
    async fn failure(&mut self, error: KafkaError) -> Option<Error> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                self.down = true;
                Some(self.client.unavailable("all brokers are down"))
            }
            // One of several, or about to be retried: if it is all, that is told too.
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::PartitionEOF,
            ) => {
                tracing::debug!(%error, "kafka consumer");
                None
            }
            Some(RDKafkaErrorCode::AutoOffsetReset) => self.skip_what_is_gone().await.err(),
            _ => {
                let topics: BTreeSet<&str> = self
                    .cursors
                    .iter()
                    .map(|cursor| &*cursor.id.topic)
                    .collect();
                let topics = topics.into_iter().collect::<Vec<_>>().join(",");
                Some(self.client.error(&topics, error))
            }
        }
    }

    /// A position is no longer retained: go on with the oldest that is.
    async fn skip_what_is_gone(&mut self) -> Result<()> {
        let ids: Vec<_> = self
            .cursors
            .iter()
            .map(|cursor| cursor.id.clone())
            .collect();
        let positions: Vec<_> = self
            .cursors
            .iter()
            .map(|c| (c.id.clone(), Some(c.position)))
            .collect();
        tracing::debug!(partitions = ids.len(), "a position is out of range");
        self.read_on(&positions).await
    }

    /// Reads the partitions from the positions, clamped to what is retained.
    async fn read_on(&mut self, positions: &[(TopicPartition, Option<Offset>)]) -> Result<()> {
        let ids: Vec<_> = positions.iter().map(|(id, _)| id.clone()).collect();
        let bounds = self.client.bounds(&ids).await?;
        let mut asked = Vec::with_capacity(ids.len());
        for ((id, position), bounds) in positions.iter().zip(&bounds) {
            let position = position.unwrap_or(bounds.start);
            if position < 0 || position > bounds.end {
                return Err(Error::Invalid(format!(
                    "position of {id}: got {position}, expected 0 to {}, the log's end: is it another log than the one that was read before?",
                    bounds.end
                )));
            }
            if position < bounds.start {
                tracing::warn!(
                    partition = %id, position, start = bounds.start, lost = bounds.start - position,
                    "records were removed by retention before they were read"
                );
            }
            asked.push(Cursor {
                id: id.clone(),
                position,
            });
        }
        let already: Vec<_> = self
            .cursors
            .iter()
            .map(|c| c.id.clone())
            .filter(|id| ids.contains(id))
            .collect();
        if self.in_group && !already.is_empty() {
            self.unassign(&already)?;
        }
        self.cursors.retain(|cursor| !ids.contains(&cursor.id));
        let retained = asked.iter().zip(&bounds).map(|(cursor, bounds)| Cursor {
            id: cursor.id.clone(),
            position: cursor.position.max(bounds.start),
        });
        let others = if self.in_group {
            &[][..]
        } else {
            &self.cursors[..]
        };
        self.assign(&retained.chain(others.iter().cloned()).collect::<Vec<_>>())?;
        self.unanswered = false;
        self.cursors.extend(asked);
        Ok(())
    }

    /// Whether brokers that were all away have come back.
    async fn probe(&mut self) -> Result<Polled> {
        match tokio::time::timeout(PROBE_TIMEOUT, self.client.ping()).await {
            Ok(Ok(())) => {
                self.down = false;
                Ok(Polled::Nothing)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(self.client.unavailable("all brokers are down")),
        }
    }
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn poll(&mut self, max_wait: Duration) -> Result<Polled> {
        let deadline = Instant::now() + max_wait;
        loop {
            if let Some(error) = self.failed.take()
                && let Some(error) = self.failure(error).await
            {
                return Err(error);
            }
            while let Some(rebalance) = self.inner()?.context().next() {
                if let Some(polled) = self.rebalanced(rebalance)? {
                    return Ok(polled);
                }
            }
            let Self {
                client,
                inner,
                cursors,
                chunk,
                failed,
                ..
            } = self;
            let inner = inner
                .as_ref()
                .ok_or_else(|| client.unavailable("the consumer is closed"))?;
            let first = tokio::select! {
                biased;
                () = inner.context().changed.notified() => continue,
                message = inner.recv() => message,
                () = tokio::time::sleep_until(deadline) => {
                    return if self.down { self.probe().await } else { Ok(Polled::Nothing) };
                }
            };
            let records = collect(inner, first, cursors, chunk, failed);
            if !records.is_empty() {
                self.down = false;
                return Ok(Polled::Records(records));
            }
        }
    }

    async fn start(&mut self, positions: &[(TopicPartition, Option<Offset>)]) -> Result<()> {
        if let Some((id, _)) = positions
            .iter()
            .find(|(id, _)| self.in_group && !self.owned.contains(id))
        {
            return Err(Error::Invalid(format!(
                "partition {id} is not assigned to this consumer"
            )));
        }
        self.read_on(positions).await
    }

    async fn release(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let given_up = |id: &TopicPartition| partitions.contains(id);
        let read = self
            .cursors
            .iter()
            .map(|cursor| &cursor.id)
            .chain(&self.revoked);
        let read: Vec<_> = read.filter(|id| given_up(id)).cloned().collect();
        self.cursors.retain(|cursor| !given_up(&cursor.id));
        self.revoked.retain(|id| !given_up(id));
        self.owned.retain(|id| !given_up(id));
        if !self.in_group {
            return self.assign(&self.cursors);
        }
        if std::mem::take(&mut self.unanswered) {
            self.assign(&[])?;
        }
        self.unassign(&read)
    }

    fn commit_advisory(&mut self, positions: &[(TopicPartition, Offset)]) {
        if !self.in_group {
            return;
        }
        let list = to_list(
            positions
                .iter()
                .map(|(id, position)| (id, KafkaOffset::Offset(*position))),
        );
        let committed = list.and_then(|list| match &self.inner {
            Some(inner) => inner.commit(&list, CommitMode::Async),
            None => Ok(()),
        });
        if let Err(error) = committed {
            tracing::debug!(%error, "group offsets were not stored; nothing depends on them");
        }
    }
}

impl Drop for KafkaConsumer {
    /// Leaves the group in the background: librdkafka waits for the brokers.
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else {
            return;
        };
        inner.context().close();
        let closing = self.client.closing.clone();
        closing.begin();
        let thread = std::thread::Builder::new().name("kafka-leave".to_owned());
        let ended = closing.clone();
        let spawned = thread.spawn(move || {
            drop(inner);
            ended.end();
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "a consumer could not leave its group in the background");
            closing.end();
        }
    }
}

fn to_list<'a>(
    positions: impl Iterator<Item = (&'a TopicPartition, KafkaOffset)>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (id, position) in positions {
        list.add_partition_offset(&id.topic, id.partition, position)?;
    }
    Ok(list)
}
