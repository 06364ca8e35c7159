//! What becomes of a draft that `recompute` wrote beside a view.

use std::time::Duration;

use arrow::array::RecordBatch;
use events::time::DAY_US;
use futures::StreamExt;
use lake::query::QueryError;
use lake::{Replacement, Table, View};

use crate::Result;
use crate::compute::{Recomputed, Views, mark_name};
use crate::source::date_text;

/// The draft's counter that says when it was written, microseconds since the epoch.
pub(crate) const WRITTEN: &str = "draft/written-us";

impl Views {
    /// Puts the rows of the draft in the place of what `view` has on its dates, in one
    /// commit, and drops it. `None` where there is no draft. Where raw rows have changed
    /// since it was written, those dates are computed anew with the next changes.
    ///
    /// # Errors
    /// The view is as it was, unless only dropping the draft failed.
    pub async fn adopt(&self, view: View) -> Result<Option<Recomputed>> {
        let draft = self.lake.refresh(Table::Draft(view)).await?;
        let dates: Vec<i32> = draft.dates().into_iter().collect();
        if dates.is_empty() {
            return Ok(None);
        }
        let schema = view.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let names = names.join(", ");
        let versions = [(Table::Draft(view), draft.clone())];
        let mut replacement = Replacement {
            dates: dates.clone(),
            ..Replacement::default()
        };
        for date in &dates {
            let day = date_text(i64::from(*date) * DAY_US);
            let table = view.draft_name();
            let sql = format!("SELECT {names} FROM {table} WHERE date = DATE '{day}'");
            let mut found = self.reader.read(&sql, &versions).await?;
            let mut rows = Vec::new();
            while let Some(batch) = found.next().await {
                let batch = batch.map_err(QueryError::from)?;
                let columns = batch.columns().to_vec();
                rows.push(RecordBatch::try_new(schema.clone(), columns)?);
            }
            let files = self.lake.write_files(Table::View(view), rows).await?;
            replacement.files.extend(files);
            let mark = mark_name(*date);
            if let Some(of_raw) = draft.marks.get(&mark) {
                replacement.marks.insert(mark, *of_raw);
            }
        }
        let rows = replacement.files.iter().map(|file| file.rows).sum();
        let table = Table::View(view);
        self.lake.replace_dates(table, &replacement).await?;
        self.drop_draft(view).await?;
        Ok(Some(Recomputed {
            view,
            dates: dates.len(),
            rows,
        }))
    }

    /// Drops the draft of `view`: its rows go in one commit, its files with vacuum. The
    /// number of its dates; 0 where there is none.
    ///
    /// # Errors
    /// Where the lake cannot be read or written.
    pub async fn drop_draft(&self, view: View) -> Result<usize> {
        let table = Table::Draft(view);
        let dates: Vec<i32> = self
            .lake
            .refresh(table)
            .await?
            .dates()
            .into_iter()
            .collect();
        let count = dates.len();
        if count > 0 {
            let nothing = Replacement {
                dates,
                ..Replacement::default()
            };
            self.lake.replace_dates(table, &nothing).await?;
        }
        Ok(count)
    }

    /// Drops the draft of `view` that was written more than `kept` before `now_us`
    /// (microseconds since the epoch); one that does not say when is old. As
    /// [`Views::drop_draft`].
    ///
    /// # Errors
    /// Where the lake cannot be read or written.
    pub async fn drop_old_draft(&self, view: View, kept: Duration, now_us: i64) -> Result<usize> {
        let draft = self.lake.refresh(Table::Draft(view)).await?;
        let written_us = draft.marks.get(WRITTEN).copied().unwrap_or(0);
        match now_us.saturating_sub(written_us) > kept.as_micros() as i64 {
            true => self.drop_draft(view).await,
            false => Ok(0),
        }
    }
}
