//! Panes that the speed layer closed earlier, from the table `windows`.

use std::fmt::Write;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use events::aggregate::{Aggregate, Moments};
use events::columns::{date_of, timestamp_type};
use events::time::{DAY_US, format_rfc3339};
use events::window::{Pane, recorded_sketch};
use futures::TryStreamExt;
use lake::query::{Freshness, QueryError};

use super::gather::Gathered;
use super::{PANES_MAX, Wanted};
use crate::problem::Problem;
use crate::sql::{QueryEngine, problem};

/// Adds the recorded panes that `wanted` is made of.
pub(super) async fn read(
    engine: &dyn QueryEngine,
    wanted: &Wanted,
    now_us: i64,
    gathered: &mut Gathered,
) -> Result<(), Problem> {
    let (_, mut rows) = engine
        .query(&statement(wanted), Freshness::Exact)
        .await
        .map_err(problem)?;
    let mut read = 0;
    while let Some(batch) = rows
        .try_next()
        .await
        .map_err(|error| problem(QueryError::from(error)))?
    {
        read += batch.num_rows();
        if read > PANES_MAX {
            return Err(too_many());
        }
        let taken = take(&batch, wanted, now_us, gathered);
        taken.map_err(|error| Problem::internal(&error))?;
    }
    Ok(())
}

/// Looks at the city's newest recorded pane, from the oldest gathered one until a
/// day after the newest. Where those are the last ones, the clock tells the rest.
pub(super) async fn follow_the_city(
    engine: &dyn QueryEngine,
    now_us: i64,
    gathered: &mut Gathered,
) -> Result<(), Problem> {
    let starts = || gathered.panes().map(|pane| pane.start_us);
    let (Some(oldest_us), Some(newest_us)) = (starts().min(), starts().max()) else {
        return Ok(());
    };
    let sql = format!(
        "SELECT max(timestamp), max(appended_at) FROM windows WHERE kind = 'city' AND {}",
        span(oldest_us, newest_us.saturating_add(DAY_US))
    );
    let (_, mut rows) = engine
        .query(&sql, Freshness::Exact)
        .await
        .map_err(problem)?;
    while let Some(batch) = rows
        .try_next()
        .await
        .map_err(|error| problem(QueryError::from(error)))?
    {
        let newest = |index: usize| {
            let instants = cast(batch.column(index), &timestamp_type());
            let instants = instants.map_err(|error| Problem::internal(&error))?;
            let instants = instants.as_primitive::<TimestampMicrosecondType>();
            Ok::<_, Problem>(arrow::compute::max(instants))
        };
        if let Some(start_us) = newest(0)? {
            gathered.recorded(start_us, newest(1)?.unwrap_or(now_us), now_us);
        }
    }
    Ok(())
}

fn too_many() -> Problem {
    let detail = format!(
        "query parameters \"from\" and \"to\": got a span with more than {PANES_MAX} one-minute windows, \
         expected a shorter one, or a \"key\""
    );
    Problem::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, detail)
}

/// The columns that [`take`] reads, in its order.
const COLUMNS: &str =
    "key, timestamp, count, mean, min, max, p50, p90, p99, vehicles, appended_at, extra";

/// The days that a date with four digits of year can be, from the epoch.
const DAY_MIN: i32 = -719_162;
const DAY_MAX: i32 = 2_932_896;

fn statement(wanted: &Wanted) -> String {
    let (first_us, last_us) = wanted.panes();
    let mut sql = format!(
        "SELECT {COLUMNS} FROM windows WHERE kind = '{}' AND {} AND count > 0",
        wanted.kind,
        span(first_us, last_us),
    );
    if let Some(key) = &wanted.key {
        let _ = write!(sql, " AND key = {}", literal(key));
    }
    let _ = write!(sql, " LIMIT {}", PANES_MAX + 1);
    sql
}

/// The condition that a pane starts in `first_us..last_us`. The table is
/// partitioned by date: whole days are left out unread.
fn span(first_us: i64, last_us: i64) -> String {
    let day = |us: i64| {
        let day = i64::from(date_of(us).clamp(DAY_MIN, DAY_MAX));
        format_rfc3339(day * DAY_US)[..10].to_owned()
    };
    format!(
        "timestamp >= to_timestamp_micros({first_us}) AND timestamp < to_timestamp_micros({last_us}) \
         AND date >= DATE '{}' AND date <= DATE '{}'",
        day(first_us),
        day(last_us)
    )
}

/// `text` as an SQL string: the quote is the only character with a meaning.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn take(
    batch: &RecordBatch,
    wanted: &Wanted,
    now_us: i64,
    gathered: &mut Gathered,
) -> Result<(), arrow::error::ArrowError> {
    let column = |index: usize, data_type: &DataType| cast(batch.column(index), data_type);
    let keys = column(0, &DataType::Utf8)?;
    let starts = column(1, &timestamp_type())?;
    let counts = column(2, &DataType::Int64)?;
    let vehicles = column(9, &DataType::Int64)?;
    let appended = column(10, &timestamp_type())?;
    let extra = column(11, &DataType::Utf8)?;
    let extra = extra.as_string::<i32>();
    let figures = (3..9)
        .map(|index| column(index, &DataType::Float64))
        .collect::<Result<Vec<_>, _>>()?;
    let keys = keys.as_string::<i32>();
    let starts = starts.as_primitive::<TimestampMicrosecondType>();
    let counts = counts.as_primitive::<Int64Type>();
    let vehicles = vehicles.as_primitive::<Int64Type>();
    let appended = appended.as_primitive::<TimestampMicrosecondType>();
    for row in 0..batch.num_rows() {
        let figure = |index: usize| {
            let values = figures[index].as_primitive::<Float64Type>();
            values.is_valid(row).then(|| values.value(row))
        };
        // A record of a producer of its own may lack what ours have.
        let (Some(mean), Some(min), Some(max)) = (figure(0), figure(1), figure(2)) else {
            continue;
        };
        if keys.is_null(row) || starts.is_null(row) {
            continue;
        }
        let vehicles = vehicles.is_valid(row).then(|| vehicles.value(row));
        let sketch = extra.is_valid(row).then(|| extra.value(row));
        let sketch = sketch.and_then(recorded_sketch);
        let pane = Pane {
            kind: wanted.kind,
            key: keys.value(row).to_owned(),
            start_us: starts.value(row),
            aggregate: Aggregate {
                moments: Moments::from_mean(counts.value(row).unsigned_abs(), mean, min, max),
                sketch: sketch.unwrap_or_default(),
            },
            vehicles: vehicles.and_then(|vehicles| u64::try_from(vehicles).ok()),
            is_final: true,
        };
        let appended_us = appended.is_valid(row).then(|| appended.value(row));
        gathered.recorded(pane.start_us, appended_us.unwrap_or(now_us), now_us);
        let appended_us = appended_us.unwrap_or(i64::MIN);
        gathered.stored(pane, [figure(3), figure(4), figure(5)], appended_us);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use events::window::WindowKind;

    use super::*;

    #[test]
    fn statements_name_days_and_escape_keys() {
        let sql = statement(&Wanted {
            kind: WindowKind::Segment,
            key: Some("o'x -- ".into()),
            windows: "5m".parse().expect("offered"),
            from_us: 1_700_092_740_000_000,
            to_us: 1_700_092_800_000_000,
            limit: 10,
        });
        for part in [
            "kind = 'segment'",
            "key = 'o''x -- '",
            "timestamp >= to_timestamp_micros(1700092740000000)",
            "timestamp < to_timestamp_micros(1700093040000000)",
            "date >= DATE '2023-11-15'",
            "date <= DATE '2023-11-16'",
            "LIMIT 100001",
        ] {
            assert!(sql.contains(part), "{part} in {sql}");
        }
    }
}
