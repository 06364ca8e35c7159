//! What librdkafka tells its clients: log lines, and rebalances, which wait here
//! until `poll` hands them to the layer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use events::TopicPartition;
use parking_lot::{Condvar, Mutex};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::Notify;

/// Forwards librdkafka's log.
#[derive(Clone, Debug, Default)]
pub(super) struct Logging;

impl ClientContext for Logging {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client error");
    }
}

fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::warn!(facility, message, "kafka client");
        }
        // Lost connections and the like, many a second while a broker is away: the
        // client retries, and the calls that fail say so once.
        _ => tracing::debug!(facility, message, "kafka client"),
    }
}

/// A change of this consumer's partitions, still to be answered.
#[derive(Debug)]
pub(super) enum Rebalance {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
}

/// A consumer's context.
#[derive(Debug, Default)]
pub(super) struct Rebalances {
    waiting: Mutex<VecDeque<Rebalance>>,
    pub(super) changed: Notify,
    /// Set when nobody is left to answer.
    closing: AtomicBool,
}

impl Rebalances {
    pub(super) fn next(&self) -> Option<Rebalance> {
        self.waiting.lock().pop_front()
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client error");
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assigns = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            let answered = match (assigns, consumer.rebalance_protocol()) {
                (true, RebalanceProtocol::Cooperative) => {
                    consumer.incremental_assign(&TopicPartitionList::new())
                }
                // While closing, librdkafka takes it as giving up everything.
                _ => consumer.unassign(),
            };
            if let Err(error) = answered {
                tracing::debug!(%error, "a rebalance while closing was not answered");
            }
            return;
        }
        let ids = partitions
            .elements()
            .iter()
            .map(|e| TopicPartition::new(e.topic(), e.partition()))
            .collect();
        let rebalance = if assigns {
            Rebalance::Assigned(ids)
        } else {
            Rebalance::Revoked(ids)
        };
        self.waiting.lock().push_back(rebalance);
        self.changed.notify_one();
    }

    fn commit_callback(&self, result: Result<(), KafkaError>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "group offsets were not stored; nothing depends on them");
        }
    }
}

/// Counts consumers that are leaving their group in the background.
#[derive(Debug, Default)]
pub(super) struct Closing {
    count: Mutex<usize>,
    changed: Condvar,
}

/// Leaving a group takes milliseconds, unless the brokers are away.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(2);

impl Closing {
    pub(super) fn begin(&self) {
        *self.count.lock() += 1;
    }

    pub(super) fn end(&self) {
        *self.count.lock() -= 1;
        self.changed.notify_all();
    }

    /// Waits for all, but not for brokers that do not answer.
    pub(super) fn wait(&self) {
        let deadline = Instant::now() + CLOSE_WAIT_MAX;
        let mut count = self.count.lock();
        while *count > 0 && !self.changed.wait_until(&mut count, deadline).timed_out() {}
    }
}
