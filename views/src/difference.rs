//! What a draft of a view has that the view has not.

use std::ops::RangeInclusive;

use arrow::datatypes::{Date32Type, Int64Type};
use events::time::DAY_US;
use futures::StreamExt;
use lake::query::QueryError;
use lake::{Table, View};

use crate::Result;
use crate::compute::Views;
use crate::source::{date_text, numbers};

/// How a date of a draft differs from that of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Days since the epoch.
    pub date: i32,
    /// Rows that only the draft has.
    pub added: i64,
    /// Rows that only the view has.
    pub removed: i64,
    /// Rows that both have, with other values.
    pub changed: i64,
    /// Rows that are the same in both.
    pub same: i64,
}

impl Views {
    /// Compares view and draft on these dates (days since the epoch), oldest first;
    /// dates that both have no rows of are left out.
    pub async fn difference(
        &self,
        view: View,
        dates: RangeInclusive<i32>,
    ) -> Result<Vec<Difference>> {
        let mut versions = Vec::new();
        for table in [Table::View(view), Table::Draft(view)] {
            versions.push((table, self.lake.refresh(table).await?));
        }
        let mut rows = self.reader.read(&sql(view, &dates), &versions).await?;
        let mut all = Vec::new();
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(QueryError::from)?;
            let dates = numbers::<Date32Type>(&batch, "date")?;
            let [added, removed, changed, same] = ["added", "removed", "changed", "same"]
                .map(|name| numbers::<Int64Type>(&batch, name));
            let (added, removed, changed, same) = (added?, removed?, changed?, same?);
            all.extend((0..dates.len()).map(|row| Difference {
                date: dates.value(row),
                added: added.value(row),
                removed: removed.value(row),
                changed: changed.value(row),
                same: same.value(row),
            }));
        }
        Ok(all)
    }
}

fn sql(view: View, dates: &RangeInclusive<i32>) -> String {
    let [first, last] =
        [dates.start(), dates.end()].map(|date| date_text(i64::from(*date) * DAY_US));
    let of = |table: &str| {
        format!(
            "(SELECT *, true AS here FROM {table} WHERE date >= DATE '{first}' AND date <= DATE '{last}')"
        )
    };
    let keys: Vec<&str> = view.key().iter().copied().chain(["date"]).collect();
    let on = keys.iter().map(|key| format!("old.{key} = new.{key}"));
    let schema = view.schema();
    let values = schema.fields().iter().map(|field| field.name().as_str());
    let differs = values
        .filter(|name| !keys.contains(name))
        .map(|name| format!("(old.{name} IS DISTINCT FROM new.{name})"));
    let differs = differs.collect::<Vec<_>>().join(" OR ");
    let count = |condition: String, name: &str| {
        format!("CAST(sum(CASE WHEN {condition} THEN 1 ELSE 0 END) AS BIGINT) AS {name}")
    };
    let both = "old.here IS NOT NULL AND new.here IS NOT NULL";
    format!(
        "SELECT coalesce(old.date, new.date) AS date, {}, {}, {}, {} FROM {} AS old FULL JOIN {} AS new ON {} GROUP BY 1 ORDER BY 1",
        count("old.here IS NULL".to_owned(), "added"),
        count("new.here IS NULL".to_owned(), "removed"),
        count(format!("{both} AND ({differs})"), "changed"),
        count(format!("{both} AND NOT ({differs})"), "same"),
        of(view.name()),
        of(view.draft_name()),
        on.collect::<Vec<_>>().join(" AND ")
    )
}
