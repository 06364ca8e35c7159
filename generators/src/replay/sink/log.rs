//! Straight into an event log.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use event_log::{EventLog, NewRecord};
use events::{Stream, TopicNames};

use super::{Outgoing, SendError, Sent, Sink};

/// Appends to a log. Nothing is rejected here: what cannot be decoded is found
/// by the layers and goes to the dead letters.
pub struct LogSink {
    log: Arc<dyn EventLog>,
    topics: TopicNames,
    name: String,
}

impl LogSink {
    /// `name` tells one log from another, such as its servers.
    pub fn new(log: Arc<dyn EventLog>, topics: TopicNames, name: impl Into<String>) -> Self {
        Self {
            log,
            topics,
            name: name.into(),
        }
    }
}

#[async_trait]
impl Sink for LogSink {
    fn identity(&self) -> String {
        format!("log {}", self.name)
    }

    async fn send(&mut self, stream: Stream, messages: &[Outgoing]) -> Result<Sent, SendError> {
        let records = messages.iter().map(|message| NewRecord {
            key: Some(Bytes::copy_from_slice(message.device_id.as_bytes())),
            value: message.value.clone(),
            ..NewRecord::default()
        });
        match self
            .log
            .append(self.topics.topic(stream), records.collect())
            .await
        {
            Ok(places) => Ok(Sent {
                accepted: places.len() as u64,
                ..Sent::default()
            }),
            Err(error) if error.is_retryable() => Err(SendError::Unavailable(error.to_string())),
            Err(error) => Err(SendError::Refused(error.to_string())),
        }
    }
}
