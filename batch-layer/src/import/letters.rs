//! Rows of a file that are no events, on their way into `dead_letters`.

use arrow::array::RecordBatch;
use events::dead_letter::{DeadLetter, DeadLetterBuilder};

use super::BadRow;

/// Bad rows of one file that are kept; further ones are counted. A wrong `--map` makes
/// every row of a file bad, and the file is still there.
pub const KEPT_MAX: u64 = 10_000;
/// More of a row is cut off.
const ROW_BYTES_MAX: usize = 256 << 10;

/// Bad rows of one file.
pub(super) struct Letters {
    file: String,
    topic: String,
    now_us: i64,
    rows: DeadLetterBuilder,
}

impl Letters {
    pub(super) fn new(file: &str, topic: &str, now_us: i64) -> Self {
        Self {
            file: file.to_owned(),
            topic: topic.to_owned(),
            now_us,
            rows: DeadLetterBuilder::new(),
        }
    }

    pub(super) fn push(&mut self, line: u64, bad: &BadRow) {
        if self.len() >= KEPT_MAX {
            return;
        }
        let kept = bad.text.len().min(ROW_BYTES_MAX);
        self.rows.push_imported(&DeadLetter {
            topic: self.topic.clone(),
            origin: None,
            stage: "import".to_owned(),
            message: format!("{}:{line}: {}", self.file, bad.cause),
            value: bad.text.slice(..kept),
            appended_at_us: self.now_us,
        });
    }

    pub(super) fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    /// The rows, where there are any.
    pub(super) fn finish(mut self) -> Option<RecordBatch> {
        (!self.rows.is_empty()).then(|| self.rows.finish())
    }
}
