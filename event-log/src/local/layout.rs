//! Keys and values of the keyspace `meta`, and the keys of blocks.

use bytes::Buf;
use events::{Offset, TopicPartition};

use super::partition::Retention;
use crate::{Error, Result};

pub(super) const TOPIC_PREFIX: &str = "topic\0";

pub(super) fn block_key(offset: Offset) -> [u8; 8] {
    offset.to_be_bytes()
}

pub(super) fn offset_of(mut key: &[u8]) -> Offset {
    key.try_get_i64().unwrap_or(0)
}

pub(super) fn topic_key(name: &str) -> String {
    format!("{TOPIC_PREFIX}{name}")
}

pub(super) fn start_key(partition: &TopicPartition) -> String {
    format!("start\0{partition}")
}

pub(super) fn segment_prefix(partition: &TopicPartition) -> String {
    format!("segment\0{partition}\0")
}

pub(super) fn segment_key(partition: &TopicPartition, first: Offset) -> Vec<u8> {
    let mut key = segment_prefix(partition).into_bytes();
    key.extend_from_slice(&block_key(first));
    key
}

pub(super) fn encode_topic(partitions: i32, retention: Retention, compacted: bool) -> Vec<u8> {
    let mut value = partitions.to_be_bytes().to_vec();
    value.extend_from_slice(&retention.age_us.unwrap_or(-1).to_be_bytes());
    let bytes = retention
        .bytes
        .map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    value.extend_from_slice(&bytes.to_be_bytes());
    value.push(u8::from(compacted));
    value
}

/// Partitions, retention and whether it is compacted.
pub(super) fn decode_topic(mut value: &[u8]) -> Option<(i32, Retention, bool)> {
    let partitions = value.try_get_i32().ok()?;
    let age_us = value.try_get_i64().ok()?;
    let bytes = value.try_get_i64().ok()?;
    Some((
        partitions,
        Retention {
            age_us: (age_us >= 0).then_some(age_us),
            bytes: u64::try_from(bytes).ok(),
        },
        // Topics written before there were compacted ones have no such byte.
        value.try_get_u8().is_ok_and(|compacted| compacted == 1),
    ))
}

/// Whether keyspaces and Kafka alike can carry the name.
pub(super) fn check_name(name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=200).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "topic name {name:?}: got other than 1 to 200 letters, digits, '.', '_' and '-'"
    )))
}
