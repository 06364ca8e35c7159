//! librdkafka's errors in this crate's words.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::Error;

/// What `error`, met on `topic`, means to a caller.
pub(super) fn map_error(address: &str, topic: &str, error: KafkaError) -> Error {
    use RDKafkaErrorCode as Code;
    match (&error, error.rdkafka_error_code()) {
        (_, Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)) => {
            Error::UnknownTopic(topic.to_owned())
        }
        (_, Some(Code::MessageSizeTooLarge)) => Error::Invalid(format!(
            "{topic}: a record is larger than the broker takes (max.message.bytes)"
        )),
        (_, Some(Code::InvalidRecord)) => Error::Invalid(format!(
            "{topic}: the broker refuses a record; a compacted topic needs a key with each"
        )),
        (
            _,
            Some(
                Code::InvalidTopic
                | Code::InvalidPartitions
                | Code::InvalidReplicationFactor
                | Code::PolicyViolation,
            ),
        )
        | (KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::Nul(_), _) => {
            Error::Invalid(format!("{topic}: {error}"))
        }
        _ => Error::Unavailable {
            address: address.to_owned(),
            reason: error.to_string(),
        },
    }
}
