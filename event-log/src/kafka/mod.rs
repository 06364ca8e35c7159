//! The log on Apache Kafka, through librdkafka.
//!
//! Enters: appends, as an idempotent producer with `acks=all`. Leaves: records,
//! through consumer groups or fixed positions. Promises: an acknowledged append
//! is on every in-sync replica; one caller's order per partition is kept over
//! retries. Never: resumes from Kafka's own group offsets; creates a topic unasked.
//!
//! - [`config`]: how to reach the brokers, and every limit of the clients.
//! - [`client`]: metadata, offsets and topics, away from the async threads.
//! - [`consumer`], [`batch`]: reading; [`context`]: what librdkafka tells a consumer.
//! - [`errors`]: librdkafka's errors in this crate's words.

mod batch;
mod chunk;
mod client;
mod config;
mod consumer;
mod context;
mod errors;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use events::{Offset, Topic, TopicPartition};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::OwnedDeliveryResult;
use rdkafka::producer::{DeliveryFuture, FutureRecord};
use tokio::time::Instant;

use self::client::Client;
use self::consumer::KafkaConsumer;
use crate::{Bounds, Consumer, Error, EventLog, NewRecord, Result, TopicSpec};

pub use self::config::KafkaConfig;

/// How long a full queue is left alone when nothing of this call is in it.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(5);

/// The log on Apache Kafka.
pub struct KafkaLog {
    client: Arc<Client>,
}

impl KafkaLog {
    /// Makes the clients. They connect in the background: brokers that are down
    /// show as [`Error::Unavailable`] in the calls, which work again once the
    /// brokers are back.
    ///
    /// Errors: [`Error::Invalid`] if librdkafka refuses the configuration.
    pub fn connect(config: KafkaConfig) -> Result<Arc<KafkaLog>> {
        Ok(Arc::new(KafkaLog {
            client: Arc::new(Client::new(config)?),
        }))
    }

    /// Hands one record to the producer, waiting while its queue is full: first
    /// for deliveries of this same call, so that they make room.
    async fn enqueue(
        &self,
        topic: &Topic,
        record: &NewRecord,
        deliveries: &mut VecDeque<DeliveryFuture>,
        placed: &mut Vec<(i32, Offset)>,
        deadline: Instant,
    ) -> Result<()> {
        loop {
            match self.client.producer.send_result(to_kafka(topic, record)) {
                Ok(delivery) => {
                    deliveries.push_back(delivery);
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    if Instant::now() >= deadline {
                        return Err(self.client.unavailable("the producer's queue stays full"));
                    }
                    match deliveries.pop_front() {
                        Some(delivery) => placed.push(self.delivered(topic, delivery.await)?),
                        None => tokio::time::sleep(QUEUE_FULL_WAIT).await,
                    }
                }
                Err((error, _)) => return Err(self.client.error(topic, error)),
            }
        }
    }

    fn delivered(
        &self,
        topic: &Topic,
        result: std::result::Result<OwnedDeliveryResult, futures::channel::oneshot::Canceled>,
    ) -> Result<(i32, Offset)> {
        match result {
            Ok(Ok(delivery)) => Ok((delivery.partition, delivery.offset)),
            Ok(Err((error, _))) => Err(self.client.error(topic, error)),
            Err(_) => Err(self.client.unavailable("the producer was closed")),
        }
    }
}

fn to_kafka<'a>(topic: &'a Topic, record: &'a NewRecord) -> FutureRecord<'a, [u8], [u8]> {
    let mut message = FutureRecord::to(topic);
    message.partition = record.partition;
    message.key = record.key.as_deref();
    // Without a value it is a tombstone to Kafka's log cleaner.
    let is_tombstone = record.value.is_empty() && record.key.is_some();
    message.payload = (!is_tombstone).then_some(&record.value[..]);
    if !record.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        let headers = record
            .headers
            .iter()
            .fold(headers, |headers, (name, value)| {
                headers.insert(Header {
                    key: name,
                    value: Some(&value[..]),
                })
            });
        message = message.headers(headers);
    }
    message
}

#[async_trait]
impl EventLog for KafkaLog {
    async fn create_topics(&self, topics: &[TopicSpec]) -> Result<()> {
        self.client.create_topics(topics).await
    }

    async fn append(&self, topic: &Topic, records: Vec<NewRecord>) -> Result<Vec<(i32, Offset)>> {
        let partitions = self.client.settled_partitions(topic).await?;
        let unknown = |partition: &i32| !(0..partitions).contains(partition);
        if let Some(partition) = records
            .iter()
            .filter_map(|record| record.partition)
            .find(unknown)
        {
            return Err(Error::Invalid(format!(
                "there is no partition {topic}/{partition}"
            )));
        }
        let deadline = Instant::now() + self.client.config.timeout;
        let mut placed = Vec::with_capacity(records.len());
        let mut deliveries = VecDeque::with_capacity(records.len());
        for record in &records {
            self.enqueue(topic, record, &mut deliveries, &mut placed, deadline)
                .await?;
        }
        for delivery in deliveries {
            placed.push(self.delivered(topic, delivery.await)?);
        }
        Ok(placed)
    }

    async fn bounds(&self, topic: &Topic) -> Result<Vec<Bounds>> {
        let partitions = self.client.settled_partitions(topic).await?;
        let ids: Vec<_> = (0..partitions)
            .map(|number| TopicPartition::new(topic.clone(), number))
            .collect();
        self.client.bounds(&ids).await
    }

    async fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Consumer>> {
        for topic in topics {
            self.client.settled_partitions(topic).await?;
        }
        Ok(Box::new(KafkaConsumer::subscribe(
            self.client.clone(),
            group,
            topics,
        )?))
    }

    async fn read_from(&self, positions: &[(TopicPartition, Offset)]) -> Result<Box<dyn Consumer>> {
        for (id, _) in positions {
            let partitions = self.client.settled_partitions(&id.topic).await?;
            if !(0..partitions).contains(&id.partition) {
                return Err(Error::Invalid(format!("there is no partition {id}")));
            }
        }
        let mut consumer = KafkaConsumer::unassigned(self.client.clone())?;
        let positions: Vec<_> = positions
            .iter()
            .map(|(id, position)| (id.clone(), Some(*position)))
            .collect();
        consumer.start(&positions).await?;
        Ok(Box::new(consumer))
    }

    async fn ping(&self) -> Result<()> {
        self.client.ping().await
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.client.closing.wait();
    }
}
