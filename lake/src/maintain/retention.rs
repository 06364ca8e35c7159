//! Dates that are too old.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::ScalarValue;
use events::columns::date_of;

use crate::lake::Rewrite;
use crate::{DataFile, Error, Lake, Result, Snapshot, Table};

const DAY_US: i64 = 86_400_000_000;
/// Attempts against writers that exchange the same files.
const ATTEMPTS: usize = 5;

/// How long each table's rows are kept.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    /// Days after the date of the event; a table that is absent is kept forever.
    pub days: BTreeMap<Table, u32>,
    /// Rows that arrived less than this ago are kept even if their date is too old:
    /// who loads old recordings wants to look at them.
    pub grace: Duration,
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// The dates, days since the epoch, with their files.
    pub dates: BTreeMap<i32, usize>,
    /// Rows in them, as far as is known.
    pub rows: u64,
    /// Size of the files, bytes. Vacuum frees them.
    pub bytes: u64,
}

impl Retention {
    /// The first date of `table` that is kept at `now_us`, days since the epoch; `None`
    /// where all are.
    pub fn first_kept(&self, table: Table, now_us: i64) -> Option<i32> {
        let days = i64::from(*self.days.get(&table)?);
        Some(date_of(now_us.saturating_sub(days.saturating_mul(DAY_US))))
    }

    fn is_expired(
        &self,
        snapshot: &Snapshot,
        file: &DataFile,
        first_kept: i32,
        now_us: i64,
    ) -> bool {
        if file.date.is_none_or(|date| date >= first_kept) {
            return false;
        }
        if self.grace.is_zero() {
            return true;
        }
        let index = snapshot.file_schema.index_of("appended_at").ok();
        let arrived_us = index
            .and_then(|index| file.statistics.column_statistics.get(index))
            .and_then(|column| column.max_value.get_value().cloned());
        match arrived_us {
            Some(ScalarValue::TimestampMicrosecond(Some(arrived_us), _)) => {
                now_us.saturating_sub(arrived_us) >= self.grace.as_micros() as i64
            }
            // Another tool wrote it and does not say: its date decides.
            _ => true,
        }
    }
}

impl Lake {
    /// Takes the dates of `table` that are too old out of it, in one commit; with
    /// `dry_run` only says which. Older versions still have them until vacuum.
    /// Positions stay: nothing is read again.
    pub async fn expire(
        &self,
        table: Table,
        retention: &Retention,
        now_us: i64,
        dry_run: bool,
    ) -> Result<Expired> {
        let Some(first_kept) = retention.first_kept(table, now_us) else {
            return Ok(Expired::default());
        };
        let mut attempts = 1;
        loop {
            let snapshot = self.refresh(table).await?;
            let files: Vec<Arc<DataFile>> = snapshot
                .files
                .values()
                .filter(|file| retention.is_expired(&snapshot, file, first_kept, now_us))
                .cloned()
                .collect();
            let expired = summary(&files);
            if files.is_empty() || dry_run {
                return Ok(expired);
            }
            let rewrite = Rewrite {
                remove: files,
                add: Vec::new(),
                data_change: true,
                operation: "DELETE",
            };
            match self.replace(table, &rewrite).await {
                Ok(_) => return Ok(expired),
                // Merged meanwhile: the merged file is of the same date.
                Err(Error::FilesChanged { .. }) if attempts < ATTEMPTS => attempts += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

fn summary(files: &[Arc<DataFile>]) -> Expired {
    let mut expired = Expired::default();
    for file in files {
        if let Some(date) = file.date {
            *expired.dates.entry(date).or_default() += 1;
        }
        expired.rows += file.rows.unwrap_or(0);
        expired.bytes += file.size_bytes;
    }
    expired
}
