//! One version of one table.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use events::{Offset, TopicPartition};

use crate::layout::time_column;
use crate::{Table, statistics};

/// The column that tables are partitioned by; it lies in the path, not in the file.
pub(crate) const DATE: &str = "date";

/// When more removed files are known than this, the oldest are forgotten,
const MAX_REMOVED: usize = 50_000;
/// those that were removed this long ago. Nobody reads a version that old.
const REMOVED_KEPT_MS: i64 = 8 * 86_400_000;

/// More log partitions than this are not listed one by one.
const MAX_PARTITIONS: i64 = 256;

/// A live Parquet file of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct DataFile {
    /// Path relative to the table's folder, not URL-encoded.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Rows, where the writer said so.
    pub rows: Option<u64>,
    /// Event date of all rows, days since the epoch; `None` for rows without a date.
    pub date: Option<i32>,
    /// Bounds of the columns of [`Snapshot::file_schema`], in its order.
    pub statistics: Arc<Statistics>,
}

impl DataFile {
    fn bounds<T>(
        &self,
        schema: &Schema,
        name: &str,
        value: impl Fn(&ScalarValue) -> Option<T>,
    ) -> Option<(T, T)> {
        let index = schema.index_of(name).ok()?;
        let column = self.statistics.column_statistics.get(index)?;
        let bound = |bound: &Precision<ScalarValue>| value(bound.get_value()?);
        Some((bound(&column.min_value)?, bound(&column.max_value)?))
    }

    /// Whether no row was ever in the log, where the writer said so.
    fn is_outside_the_log(&self, schema: &Schema) -> bool {
        let index = schema.index_of("log_offset").ok();
        let column = index.and_then(|index| self.statistics.column_statistics.get(index));
        let nulls = column.and_then(|column| column.null_count.get_value().copied());
        nulls.is_some() && nulls.map(|nulls| nulls as u64) == self.rows
    }

    /// Lowest and highest instant of its rows, microseconds since the epoch, where the
    /// writer said so. `schema` is the table's [`Snapshot::file_schema`].
    pub(crate) fn times_us(&self, schema: &Schema) -> Option<(i64, i64)> {
        self.bounds(schema, time_column(schema)?, |bound| match bound {
            ScalarValue::TimestampMicrosecond(time_us, _) => *time_us,
            _ => None,
        })
    }
}

/// A file that was written and is not visible yet; see [`crate::Lake::commit`].
#[derive(Clone, Debug, PartialEq)]
pub struct NewFile {
    /// Path relative to the table's folder.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// Event date of all rows, `YYYY-MM-DD`.
    pub(crate) date_text: String,
    /// Delta's statistics JSON.
    pub(crate) statistics_json: String,
}

/// One version of one table: what a query pins. Immutable and cheap to share.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Delta version; `None` for a table that does not exist yet.
    pub version: Option<u64>,
    /// The table's columns, `date` included, and those that it will have once this
    /// version of the program has written to it. All may be null.
    pub schema: SchemaRef,
    /// The columns as stored.
    pub(crate) stored_schema: SchemaRef,
    /// The columns that lie in the files: all but `date`.
    pub file_schema: SchemaRef,
    /// Per log partition the next offset that is not in the table.
    pub positions: Arc<HashMap<TopicPartition, Offset>>,
    /// Further counters stored with the data, by name (see [`crate::Commit`]).
    pub marks: Arc<HashMap<String, i64>>,
    /// The live files by path.
    pub files: Arc<BTreeMap<String, Arc<DataFile>>>,
    /// Files that are no longer live, with when they were removed, milliseconds since
    /// the epoch. The log forgets them after about a week.
    pub(crate) removed: Arc<BTreeMap<String, i64>>,
}

impl Snapshot {
    /// The state before the first commit.
    pub(crate) fn empty(table: Table) -> Self {
        Self::of_columns(table, &Schema::empty())
    }

    fn of_columns(table: Table, stored: &Schema) -> Self {
        let schema = readable(&table.schema(), stored);
        Self {
            version: None,
            stored_schema: Arc::new(stored.clone()),
            file_schema: without_date(&schema),
            schema,
            positions: Arc::default(),
            marks: Arc::default(),
            files: Arc::default(),
            removed: Arc::default(),
        }
    }

    /// The next offset of `partition` that is not in the table; 0 before the first commit.
    pub fn position(&self, partition: &TopicPartition) -> Offset {
        self.positions.get(partition).copied().unwrap_or(0)
    }

    /// The dates that it has rows of, days since the epoch, ascending.
    pub fn dates(&self) -> std::collections::BTreeSet<i32> {
        self.files.values().filter_map(|file| file.date).collect()
    }

    /// A number that changes when rows of `span_us` (microseconds since the epoch) on
    /// `date` come or go, and hardly ever otherwise: merging the files of a whole date
    /// leaves it as it is. `None` where there are none.
    pub fn fingerprint(&self, date: i32, span_us: std::ops::Range<i64>) -> Option<u64> {
        let (mut rows, mut appended_us) = (0_u64, i64::MIN);
        let mut unknown = std::collections::hash_map::DefaultHasher::new();
        let appended = self.file_schema.index_of("appended_at").ok();
        let mut any = false;
        for file in self.files.values().filter(|file| file.date == Some(date)) {
            let times_us = file.times_us(&self.file_schema);
            if times_us.is_some_and(|(low, high)| high < span_us.start || low >= span_us.end) {
                continue;
            }
            any = true;
            let column = appended.and_then(|index| file.statistics.column_statistics.get(index));
            let newest = column.and_then(|column| column.max_value.get_value().cloned());
            match (file.rows, newest) {
                (Some(count), Some(ScalarValue::TimestampMicrosecond(Some(newest), _))) => {
                    rows += count;
                    appended_us = appended_us.max(newest);
                }
                // Another tool wrote it and does not say what is in it.
                _ => file.path.hash(&mut unknown),
            }
        }
        (rows, appended_us).hash(&mut unknown);
        any.then(|| unknown.finish())
    }

    /// For each log partition an offset that rows of `date` do not go beyond; rows that
    /// never were in the log have none. `None` where a writer did not say, or where they
    /// are of more partitions than anybody wants to list.
    pub fn last_offsets(&self, date: i32) -> Option<BTreeMap<i32, Offset>> {
        let mut last = BTreeMap::new();
        for file in self.files.values().filter(|file| file.date == Some(date)) {
            let schema = &self.file_schema;
            if file.is_outside_the_log(schema) {
                continue;
            }
            let partitions = file.bounds(schema, "log_partition", |bound| match bound {
                ScalarValue::Int32(partition) => *partition,
                _ => None,
            });
            let offsets = file.bounds(schema, "log_offset", |bound| match bound {
                ScalarValue::Int64(offset) => *offset,
                _ => None,
            });
            let ((low, high), (_, offset)) = (partitions?, offsets?);
            if i64::from(high) - i64::from(low) >= MAX_PARTITIONS {
                return None;
            }
            for partition in low..=high {
                let last = last.entry(partition).or_insert(offset);
                *last = offset.max(*last);
            }
        }
        (last.len() as i64 <= MAX_PARTITIONS).then_some(last)
    }

    /// Rows of all files, where every writer said how many.
    pub fn rows(&self) -> Option<u64> {
        self.files.values().map(|file| file.rows).sum()
    }

    /// Size of all files.
    pub fn size_bytes(&self) -> u64 {
        self.files.values().map(|file| file.size_bytes).sum()
    }
}

/// A version in the making: the one before it plus actions.
pub(crate) struct SnapshotBuilder {
    next: Snapshot,
}

impl SnapshotBuilder {
    pub(crate) fn from(snapshot: &Snapshot) -> Self {
        Self {
            next: snapshot.clone(),
        }
    }

    pub(crate) fn with_columns(table: Table, stored: &Schema) -> Self {
        Self {
            next: Snapshot::of_columns(table, stored),
        }
    }

    /// Makes a file live.
    pub(crate) fn add(
        &mut self,
        path: String,
        size_bytes: u64,
        date: Option<&str>,
        stats_json: Option<&str>,
    ) {
        let parsed = statistics::read(stats_json, &self.next.file_schema);
        let file = DataFile {
            size_bytes,
            rows: parsed.num_rows.get_value().map(|rows| *rows as u64),
            date: date.and_then(statistics::parse_date),
            statistics: Arc::new(parsed),
            path: path.clone(),
        };
        if self.next.removed.contains_key(&path) {
            Arc::make_mut(&mut self.next.removed).remove(&path);
        }
        Arc::make_mut(&mut self.next.files).insert(path, Arc::new(file));
    }

    /// Makes a file no longer live.
    pub(crate) fn remove(&mut self, path: &str, removed_ms: i64) {
        Arc::make_mut(&mut self.next.files).remove(path);
        self.note_removed(path, removed_ms);
    }

    /// Notes when a file was removed, unless it is live.
    pub(crate) fn note_removed(&mut self, path: &str, removed_ms: i64) {
        if self.next.files.contains_key(path) {
            return;
        }
        let removed = Arc::make_mut(&mut self.next.removed);
        removed.insert(path.to_owned(), removed_ms);
        if removed.len() > MAX_REMOVED {
            removed.retain(|_, at_ms| *at_ms > removed_ms - REMOVED_KEPT_MS);
        }
    }

    /// Sets a stored counter: `topic/partition` is a position, all else a mark.
    pub(crate) fn set_counter(&mut self, app_id: &str, version: i64) {
        match TopicPartition::parse(app_id) {
            Some(partition) if !partition.topic.contains('/') => {
                Arc::make_mut(&mut self.next.positions).insert(partition, version);
            }
            _ => {
                Arc::make_mut(&mut self.next.marks).insert(app_id.to_owned(), version);
            }
        }
    }

    pub(crate) fn build(mut self, version: u64) -> Snapshot {
        self.next.version = Some(version);
        self.next
    }
}

/// Delta columns may all be null: a column added later is missing in old files.
pub(crate) fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Our columns in our order, of the type that is stored, then those of other writers.
fn readable(ours: &Schema, stored: &Schema) -> SchemaRef {
    let in_store = |field: &FieldRef| match stored.field_with_name(field.name()) {
        Ok(stored) => Arc::new(stored.clone()),
        Err(_) => field.clone(),
    };
    let others = stored
        .fields()
        .iter()
        .filter(|field| ours.index_of(field.name()).is_err());
    let fields: Vec<FieldRef> = ours
        .fields()
        .iter()
        .map(in_store)
        .chain(others.cloned())
        .collect();
    nullable(&Schema::new(fields))
}

fn without_date(schema: &Schema) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .filter(|field| field.name() != DATE)
        .cloned();
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use events::Stream;
    use serde_json::json;

    use super::*;

    fn version(files: &[(&str, Option<serde_json::Value>)]) -> Snapshot {
        let mut next = SnapshotBuilder::from(&Snapshot::empty(Table::Stream(Stream::GpsData)));
        for (number, (date, statistics)) in files.iter().enumerate() {
            let statistics = statistics.as_ref().map(serde_json::Value::to_string);
            let path = format!("{number}.parquet");
            next.add(path, 1, Some(*date), statistics.as_deref());
        }
        next.build(1)
    }

    fn placed(partitions: [i32; 2], offsets: [i64; 2]) -> Option<serde_json::Value> {
        let bounds =
            |at: usize| json!({"log_partition": partitions[at], "log_offset": offsets[at]});
        let nulls = json!({"log_partition": 0, "log_offset": 0});
        Some(json!({
            "numRecords": 4, "minValues": bounds(0), "maxValues": bounds(1), "nullCount": nulls,
        }))
    }

    #[test]
    fn no_row_of_a_date_lies_beyond_its_last_offsets() {
        let imported = json!({"numRecords": 4, "nullCount": {"log_offset": 4}});
        let version = version(&[
            ("2026-03-01", placed([0, 1], [10, 90])),
            ("2026-03-01", placed([1, 2], [5, 40])),
            ("2026-03-01", Some(imported)),
            ("2026-03-02", placed([0, 0], [91, 200])),
            ("2026-03-03", placed([0, 1_000], [0, 1])),
            ("2026-03-04", None),
        ]);
        let date = |day| statistics::parse_date(&format!("2026-03-0{day}")).expect("a date");
        let expected = BTreeMap::from([(0, 90), (1, 90), (2, 40)]);
        assert_eq!(version.last_offsets(date(1)), Some(expected));
        assert_eq!(
            version.last_offsets(date(2)),
            Some(BTreeMap::from([(0, 200)]))
        );
        assert_eq!(version.last_offsets(date(3)), None, "too many to list");
        assert_eq!(version.last_offsets(date(4)), None, "nobody says");
        assert_eq!(version.last_offsets(date(5)), Some(BTreeMap::new()));
    }
}
