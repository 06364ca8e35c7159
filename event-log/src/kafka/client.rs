//! What both sides ask the brokers: topics, their partitions and offsets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use events::{Topic, TopicPartition};
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, Producer};
use rdkafka::types::RDKafkaRespErr;
use tokio::time::Instant;

use super::KafkaConfig;
use super::context::{Closing, Logging};
use super::errors::map_error;
use crate::{Bounds, Error, Result, TOMBSTONE_RETENTION, TopicSpec};

/// How often a partition is asked for that has no leader yet or gets another.
const LEADER_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The producer and the admin client, shared by the log and its consumers.
pub(super) struct Client {
    pub(super) config: KafkaConfig,
    pub(super) producer: FutureProducer<Logging>,
    admin: AdminClient<Logging>,
    /// How many partitions each topic that was seen has.
    partitions: Mutex<HashMap<Topic, i32>>,
    pub(super) closing: Arc<Closing>,
}

impl Client {
    pub(super) fn new(config: KafkaConfig) -> Result<Self> {
        let invalid = |error: KafkaError| Error::Invalid(format!("kafka: {error}"));
        let producer_config: ClientConfig = config.producer()?;
        Ok(Self {
            producer: FutureProducer::from_config_and_context(&producer_config, Logging)
                .map_err(invalid)?,
            admin: AdminClient::from_config_and_context(&producer_config, Logging)
                .map_err(invalid)?,
            partitions: Mutex::default(),
            closing: Arc::default(),
            config,
        })
    }

    pub(super) fn unavailable(&self, reason: &str) -> Error {
        Error::Unavailable {
            address: self.config.bootstrap_servers.clone(),
            reason: reason.to_owned(),
        }
    }

    pub(super) fn error(&self, topic: &str, error: KafkaError) -> Error {
        let error = map_error(&self.config.bootstrap_servers, topic, error);
        if matches!(error, Error::UnknownTopic(_)) {
            // It was deleted: look again the next time.
            self.partitions.lock().remove(topic);
        }
        error
    }

    /// How many partitions `topic` has.
    pub(super) async fn partitions(&self, topic: &Topic) -> Result<i32> {
        if let Some(partitions) = self.partitions.lock().get(topic) {
            return Ok(*partitions);
        }
        let partitions = self
            .fetch_partitions(topic)
            .await?
            .ok_or_else(|| Error::UnknownTopic(topic.to_string()))?;
        self.partitions.lock().insert(topic.clone(), partitions);
        Ok(partitions)
    }

    /// The same from the brokers; `None` if there is no such topic.
    async fn fetch_partitions(&self, topic: &Topic) -> Result<Option<i32>> {
        let (producer, timeout, name) = (self.producer.clone(), self.config.timeout, topic.clone());
        let metadata = self
            .blocking(move || producer.client().fetch_metadata(Some(&name), timeout))
            .await?
            .map_err(|error| self.error(topic, error))?;
        let Some(found) = metadata
            .topics()
            .iter()
            .find(|found| found.name() == &**topic)
        else {
            return Ok(None);
        };
        match found.error() {
            None => {}
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Ok(None),
            Some(error) => return Err(self.error(topic, KafkaError::MetadataFetch(error.into()))),
        }
        if found
            .partitions()
            .iter()
            .any(|partition| partition.leader() < 0)
        {
            return Err(self.unavailable(&format!("{topic} has partitions without a leader")));
        }
        Ok(i32::try_from(found.partitions().len())
            .ok()
            .filter(|count| *count > 0))
    }

    /// The retained range of each partition, all asked at once.
    pub(super) async fn bounds(&self, ids: &[TopicPartition]) -> Result<Vec<Bounds>> {
        futures::future::try_join_all(ids.iter().map(|id| self.bounds_of(id))).await
    }

    async fn bounds_of(&self, id: &TopicPartition) -> Result<Bounds> {
        let deadline = Instant::now() + self.config.timeout;
        loop {
            let (producer, timeout, asked) =
                (self.producer.clone(), self.config.timeout, id.clone());
            let watermarks = self
                .blocking(move || {
                    producer
                        .client()
                        .fetch_watermarks(&asked.topic, asked.partition, timeout)
                })
                .await?;
            match watermarks {
                Ok((start, end)) => {
                    return Ok(Bounds {
                        partition: id.clone(),
                        start,
                        end,
                    });
                }
                Err(error) if is_moving(&error) && Instant::now() < deadline => {
                    tokio::time::sleep(LEADER_CHECK_INTERVAL).await;
                }
                Err(error) => return Err(self.error(&id.topic, error)),
            }
        }
    }

    pub(super) async fn ping(&self) -> Result<()> {
        let (producer, timeout) = (self.producer.clone(), self.config.timeout);
        let answered = self
            .blocking(move || producer.client().fetch_metadata(None, timeout).map(|_| ()))
            .await?;
        answered.map_err(|error| self.error("", error))
    }

    pub(super) async fn create_topics(&self, specs: &[TopicSpec]) -> Result<()> {
        let texts: Vec<_> = specs
            .iter()
            .map(|spec| {
                let age = spec
                    .retention
                    .map_or("-1".to_owned(), |age| age.as_millis().to_string());
                (
                    age,
                    spec.retention_bytes
                        .map_or("-1".to_owned(), |bytes| bytes.to_string()),
                )
            })
            .collect();
        let copies = self.config.replication_factor;
        let tombstone_ms = TOMBSTONE_RETENTION.as_millis().to_string();
        let topics: Vec<_> = specs
            .iter()
            .zip(&texts)
            .map(|(spec, (age_ms, bytes))| {
                NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(copies))
                    .set("retention.ms", age_ms)
                    .set("retention.bytes", bytes)
                    .set("cleanup.policy", cleanup_policy(spec))
                    .set("delete.retention.ms", &tombstone_ms)
                    // The time the log took a record in, not what its producer says.
                    .set("message.timestamp.type", "LogAppendTime")
            })
            .collect();
        let options = AdminOptions::new()
            .request_timeout(Some(self.config.timeout))
            .operation_timeout(Some(self.config.timeout));
        let results = self
            .admin
            .create_topics(&topics, &options)
            .await
            .map_err(|error| self.error("", error))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(self.error(&topic, KafkaError::AdminOp(code))),
            }
        }
        for spec in specs {
            self.wait_for(&spec.name).await?;
        }
        Ok(())
    }

    /// Waits until every partition of a new topic has a leader.
    async fn wait_for(&self, topic: &Topic) -> Result<()> {
        let deadline = Instant::now() + self.config.timeout;
        loop {
            match self.partitions(topic).await {
                Err(error) if !error.is_retryable() || Instant::now() >= deadline => {
                    return Err(error);
                }
                Err(_) => tokio::time::sleep(LEADER_CHECK_INTERVAL).await,
                Ok(_) => return Ok(()),
            }
        }
    }

    /// How many partitions `topic` has, once its leaders are settled: a topic made a
    /// moment ago may still say that they are not.
    pub(super) async fn settled_partitions(&self, topic: &Topic) -> Result<i32> {
        let deadline = Instant::now() + self.config.timeout;
        loop {
            match self.partitions(topic).await {
                Err(Error::Unavailable { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(LEADER_CHECK_INTERVAL).await;
                }
                settled => return settled,
            }
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| self.unavailable(&error.to_string()))
    }
}

/// What Kafka's log cleaner does with a topic.
fn cleanup_policy(spec: &TopicSpec) -> &'static str {
    let expires = spec.retention.is_some() || spec.retention_bytes.is_some();
    match (spec.compacted, expires) {
        (false, _) => "delete",
        (true, false) => "compact",
        (true, true) => "compact,delete",
    }
}

/// Whether a partition is just being created or handed to another broker.
fn is_moving(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::NotLeaderForPartition | Code::LeaderNotAvailable)
    )
}
