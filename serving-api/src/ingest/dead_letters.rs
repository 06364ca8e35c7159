//! What is refused is kept: beside its topic, with the cause, as the batch layer
//! keeps what it cannot decode. Only such letters have no place in the log that
//! they came from.

use bytes::Bytes;
use event_log::NewRecord;
use events::dead_letter::DeadLetter;

use super::records::Rejected;
use super::{Target, append};
use crate::problem::Problem;

/// Refused events of one request that are kept; a body of nothing but line feeds
/// and one-letter lines must not become a thousand times its size. Further ones are
/// only counted, in the answer and in `/metrics`.
const KEPT_MAX: usize = 10_000;

/// Bytes of one letter: what brokers take by default, with room for its headers.
const LETTER_BYTES_MAX: usize = 768 << 10;

/// Bytes of the letters that are appended at a time.
const APPEND_BYTES: usize = 8 << 20;

/// The refused events of one request. They share the request's memory.
#[derive(Debug, Default)]
pub(super) struct DeadLetters {
    letters: Vec<(Bytes, String)>,
    omitted: u64,
}

impl DeadLetters {
    /// A body that cannot even be split into events.
    pub fn whole(body: Bytes, reason: &str) -> Self {
        Self {
            letters: vec![(body, reason.to_owned())],
            omitted: 0,
        }
    }

    /// Adds the refused events of a batch.
    pub fn extend(&mut self, rejected: Vec<Rejected>) {
        let room = KEPT_MAX - self.letters.len();
        self.omitted += rejected.len().saturating_sub(room) as u64;
        let kept = rejected.into_iter().take(room);
        self.letters
            .extend(kept.map(|rejected| (rejected.value, rejected.detail)));
    }

    /// Appends them; returns once they are durable.
    ///
    /// # Errors
    /// As of any append: 503 where the log does not take them.
    pub async fn keep(self, target: &Target<'_>) -> Result<(), Problem> {
        let kept = self.letters.len() as u64;
        let counter = |outcome| metrics::counter!("citypulse_ingest_dead_letters_total", "stream" => target.stream.name(), "outcome" => outcome);
        let topic = target.topic.as_ref();
        let (mut records, mut bytes) = (Vec::new(), 0);
        for (value, detail) in self.letters {
            let record = new_record(topic, value, detail);
            bytes += record.value.len();
            records.push(record);
            if bytes >= APPEND_BYTES {
                append(
                    target.log,
                    target.dead_letters,
                    std::mem::take(&mut records),
                )
                .await?;
                bytes = 0;
            }
        }
        append(target.log, target.dead_letters, records).await?;
        counter("kept").increment(kept);
        counter("omitted").increment(self.omitted);
        Ok(())
    }
}

fn new_record(topic: &str, mut value: Bytes, message: String) -> NewRecord {
    let is_cut = value.len() > LETTER_BYTES_MAX;
    value.truncate(LETTER_BYTES_MAX);
    let letter = DeadLetter {
        topic: topic.to_owned(),
        origin: None,
        stage: "ingest".to_owned(),
        message,
        value,
        // The log says when it took the letter in.
        appended_at_us: 0,
    };
    let mut headers = letter.to_headers();
    if is_cut {
        let reason = format!("longer than {LETTER_BYTES_MAX} bytes");
        headers.push(("citypulse.cut".to_owned(), Bytes::from(reason)));
    }
    NewRecord {
        headers,
        value: letter.value,
        ..NewRecord::default()
    }
}
