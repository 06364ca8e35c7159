//! Puts records that cannot be decoded beside their topic, with the cause, before
//! the position moves past them.

use std::collections::HashMap;

use bytes::Bytes;
use event_log::{EventLog, NewRecord};
use events::dead_letter::DeadLetter;
use events::{Topic, TopicNames};

use crate::buffer::BadRecord;

/// A value that the log refuses as too large is cut to this.
const CUT_BYTES: usize = 256 << 10;

/// Appends the bad records to the dead-letter topics of theirs. A record keeps its
/// partition's number, so that those of one partition stay in order.
pub(crate) async fn append(
    log: &dyn EventLog,
    topics: &TopicNames,
    bad: &[BadRecord],
) -> Result<(), event_log::Error> {
    let mut by_topic: HashMap<Topic, Vec<&BadRecord>> = HashMap::new();
    for record in bad {
        if let Some(stream) = topics.stream(&record.partition.topic) {
            by_topic
                .entry(topics.dead_letters(stream))
                .or_default()
                .push(record);
        }
    }
    for (topic, bad) in by_topic {
        let partitions = i32::try_from(log.bounds(&topic).await?.len())
            .unwrap_or(i32::MAX)
            .max(1);
        let records: Vec<NewRecord> = bad
            .iter()
            .map(|record| new_record(record, partitions))
            .collect();
        match log.append(&topic, records.clone()).await {
            Err(event_log::Error::Invalid(reason)) => {
                let cut = records
                    .into_iter()
                    .map(|record| cut(record, &reason))
                    .collect();
                log.append(&topic, cut).await?;
            }
            appended => {
                appended?;
            }
        }
        metrics::counter!("citypulse_batch_dead_letters_total", "topic" => topic.to_string())
            .increment(bad.len() as u64);
    }
    Ok(())
}

fn new_record(bad: &BadRecord, partitions: i32) -> NewRecord {
    let letter = DeadLetter {
        topic: bad.partition.topic.to_string(),
        origin: Some((bad.partition.partition, bad.record.offset)),
        stage: "decode".to_owned(),
        message: bad.error.to_string(),
        value: bad.record.value.clone(),
        appended_at_us: bad.record.appended_at_us,
    };
    NewRecord {
        key: bad.record.key.clone(),
        headers: letter.to_headers(),
        value: letter.value,
        partition: Some(bad.partition.partition % partitions),
    }
}

/// The log took the record once, but with the headers it is too large. The rest of
/// it can still be read at its origin.
fn cut(mut record: NewRecord, reason: &str) -> NewRecord {
    if record.value.len() > CUT_BYTES {
        record.value = record.value.slice(..CUT_BYTES);
        record
            .headers
            .push(("citypulse.cut".to_owned(), Bytes::from(reason.to_owned())));
    }
    record
}
