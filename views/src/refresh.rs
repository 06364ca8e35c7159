//! Keeps views up to date: the dates whose raw rows have changed.

use std::collections::BTreeMap;

use lake::{Replacement, View};
use tokio_util::sync::CancellationToken;

use crate::compute::{Recomputed, Views, dates_of, in_background, mark, table};
use crate::source::Source;
use crate::{Error, Result};

impl Views {
    /// Computes the dates of every view whose raw rows have changed since the view was
    /// computed, each in one commit. A date whose raw rows are gone stays as it is. Of
    /// two that do this at once one works in vain.
    ///
    /// # Errors
    /// [`Error::Stopped`] after `stop`; what was committed stays.
    pub async fn refresh(&self, stop: &CancellationToken) -> Result<Vec<Recomputed>> {
        let mut done: BTreeMap<View, Recomputed> = BTreeMap::new();
        for source in Source::ALL {
            let views = View::ALL
                .into_iter()
                .filter(|view| Source::of(*view) == source);
            let mut known = Vec::new();
            for view in views {
                known.push((view, self.lake.refresh(table(view, false)).await?));
            }
            let versions = self.versions(source).await?;
            for date in dates_of(&versions) {
                let Some((name, value)) = mark(source, &versions, date) else {
                    continue;
                };
                let stale = known
                    .iter()
                    .filter(|(_, snapshot)| snapshot.marks.get(&name) != Some(&value));
                let stale: Vec<View> = stale.map(|(view, _)| *view).collect();
                if stale.is_empty() {
                    continue;
                }
                let computed = self
                    .compute(source, &stale, &versions, date, |_| {}, stop)
                    .await?;
                for (view, rows) in in_background(computed).await? {
                    let before = known.iter().find(|(of, _)| *of == view);
                    let before =
                        before.and_then(|(_, snapshot)| snapshot.marks.get(&name).copied());
                    let count = rows.num_rows() as u64;
                    let replacement = Replacement {
                        dates: vec![date],
                        files: self
                            .lake
                            .write_files(table(view, false), vec![rows])
                            .await?,
                        marks: [(name.clone(), value)].into(),
                        expected: [(name.clone(), before)].into(),
                    };
                    match self
                        .lake
                        .replace_dates(table(view, false), &replacement)
                        .await
                    {
                        Ok(_) => {
                            let entry = done.entry(view).or_insert(Recomputed {
                                view,
                                dates: 0,
                                rows: 0,
                            });
                            entry.dates += 1;
                            entry.rows += count;
                        }
                        Err(lake::Error::FilesChanged { .. }) => {
                            tracing::info!(%view, date, "another process has computed the same date");
                        }
                        Err(error) => return Err(Error::Lake(error)),
                    }
                }
            }
        }
        Ok(done.into_values().collect())
    }
}
