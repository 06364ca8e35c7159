//! Records on their way into the state, decoded beside the fold of those before.

use event_log::Records;
use events::{DecodeError, Event, Offset, Stream, TopicPartition};
use tokio_util::task::AbortOnDropHandle;

/// So few are decoded before another thread has begun.
const FEW: usize = 500;

/// The records of one poll, being decoded or about to be folded.
pub(super) enum Decoding {
    Beside(AbortOnDropHandle<Vec<Decoded>>),
    Done(Vec<Decoded>),
}

/// [`Records`], decoded.
pub(super) struct Decoded {
    pub(super) partition: TopicPartition,
    pub(super) from: Offset,
    pub(super) next: Offset,
    pub(super) events: Vec<DecodedRecord>,
}

pub(super) struct DecodedRecord {
    pub(super) offset: Offset,
    pub(super) appended_at_us: i64,
    pub(super) event: Result<Event, DecodeError>,
}

impl Decoding {
    pub(super) fn start(all: Vec<(Stream, Records)>) -> Self {
        let count: usize = all.iter().map(|(_, records)| records.records.len()).sum();
        let decode_all = move || {
            let all = all.into_iter();
            all.map(|(stream, records)| decode(stream, records))
                .collect()
        };
        match count <= FEW {
            true => Self::Done(decode_all()),
            // Takes milliseconds: not on a thread that others wait for.
            false => Self::Beside(AbortOnDropHandle::new(tokio::task::spawn_blocking(
                decode_all,
            ))),
        }
    }

    /// Waits for the end; never where there is none. Safe to cancel.
    pub(super) async fn finished(decoding: &mut Option<Self>) -> Vec<Decoded> {
        match decoding {
            None => std::future::pending().await,
            Some(Self::Done(all)) => std::mem::take(all),
            Some(Self::Beside(task)) => match task.await {
                Ok(all) => all,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            },
        }
    }
}

fn decode(stream: Stream, records: Records) -> Decoded {
    let events = records.records.iter().map(|record| DecodedRecord {
        offset: record.offset,
        appended_at_us: record.appended_at_us,
        event: events::decode(stream, &record.value, record.appended_at_us),
    });
    Decoded {
        events: events.collect(),
        partition: records.partition,
        from: records.from,
        next: records.next,
    }
}
