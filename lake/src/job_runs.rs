//! The table `job_runs`: what became of every run of a job. No topic feeds it; the
//! runs' processes write it themselves.

use std::sync::Arc;

use arrow::array::{
    Array, AsArray, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use events::columns::{date_of, timestamp_type};

/// The table's name.
pub const TABLE: &str = "job_runs";

/// A step of a run. A run has one when it begins (`state` is `running`) and one when it
/// ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobRun {
    /// The job's name.
    pub job: String,
    /// Tells runs apart.
    pub run_id: String,
    /// `schedule` or `command`.
    pub trigger: String,
    /// `running`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// When it was due, microseconds since the epoch; none for one started by hand.
    pub scheduled_us: Option<i64>,
    /// When it began.
    pub started_us: i64,
    /// When it ended.
    pub ended_us: Option<i64>,
    /// Rows written.
    pub rows: Option<i64>,
    /// Bytes written.
    pub bytes: Option<i64>,
    /// Where to.
    pub output: String,
    /// Why it failed.
    pub error: Option<String>,
    /// When this was so.
    pub timestamp_us: i64,
}

/// The columns of the table.
pub fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let time = |name: &str| Field::new(name, timestamp_type(), true);
    let whole = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![
        text("job"),
        text("run_id"),
        text("trigger"),
        text("state"),
        time("scheduled"),
        time("started"),
        time("ended"),
        whole("rows"),
        whole("bytes"),
        text("output"),
        text("error"),
        time("timestamp"),
        Field::new("date", DataType::Date32, true),
    ]))
}

impl JobRun {
    /// Steps as rows of the table.
    ///
    /// # Errors
    /// Only a fault of ours.
    pub fn to_rows(runs: &[JobRun]) -> Result<RecordBatch, ArrowError> {
        let text = |pick: fn(&JobRun) -> Option<&str>| -> Arc<dyn Array> {
            Arc::new(runs.iter().map(pick).collect::<StringArray>())
        };
        let time = |pick: fn(&JobRun) -> Option<i64>| -> Arc<dyn Array> {
            let times: TimestampMicrosecondArray = runs.iter().map(pick).collect();
            Arc::new(times.with_timezone("UTC"))
        };
        let whole = |pick: fn(&JobRun) -> Option<i64>| -> Arc<dyn Array> {
            Arc::new(runs.iter().map(pick).collect::<Int64Array>())
        };
        let dates: Date32Array = runs
            .iter()
            .map(|run| Some(date_of(run.timestamp_us)))
            .collect();
        RecordBatch::try_new(
            schema(),
            vec![
                text(|run| Some(&run.job)),
                text(|run| Some(&run.run_id)),
                text(|run| Some(&run.trigger)),
                text(|run| Some(&run.state)),
                time(|run| run.scheduled_us),
                time(|run| Some(run.started_us)),
                time(|run| run.ended_us),
                whole(|run| run.rows),
                whole(|run| run.bytes),
                text(|run| Some(&run.output)),
                text(|run| run.error.as_deref()),
                time(|run| Some(run.timestamp_us)),
                Arc::new(dates),
            ],
        )
    }

    /// Rows of the table as steps; columns may come in any order, and those that are
    /// missing are as if they were null.
    pub fn from_rows(rows: &RecordBatch) -> Vec<JobRun> {
        let text = |name: &str, row: usize| {
            let column = rows.column_by_name(name)?.as_string_opt::<i32>()?;
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        let time = |name: &str, row: usize| {
            let column = rows.column_by_name(name)?;
            let column = column.as_primitive_opt::<TimestampMicrosecondType>()?;
            column.is_valid(row).then(|| column.value(row))
        };
        let whole = |name: &str, row: usize| {
            let column = rows.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
            column.is_valid(row).then(|| column.value(row))
        };
        let run = |row: usize| JobRun {
            job: text("job", row).unwrap_or_default(),
            run_id: text("run_id", row).unwrap_or_default(),
            trigger: text("trigger", row).unwrap_or_default(),
            state: text("state", row).unwrap_or_default(),
            scheduled_us: time("scheduled", row),
            started_us: time("started", row).unwrap_or_default(),
            ended_us: time("ended", row),
            rows: whole("rows", row),
            bytes: whole("bytes", row),
            output: text("output", row).unwrap_or_default(),
            error: text("error", row),
            timestamp_us: time("timestamp", row).unwrap_or_default(),
        };
        (0..rows.num_rows()).map(run).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_the_same_after_a_table() {
        let steps = vec![
            JobRun {
                job: "daily".into(),
                run_id: "1".into(),
                trigger: "schedule".into(),
                state: "running".into(),
                scheduled_us: Some(1),
                started_us: 2,
                output: "s3://a/b".into(),
                timestamp_us: 2,
                ..JobRun::default()
            },
            JobRun {
                job: "daily".into(),
                state: "failed".into(),
                ended_us: Some(3),
                rows: Some(4),
                bytes: Some(5),
                error: Some("no".into()),
                timestamp_us: 3,
                ..JobRun::default()
            },
        ];
        let rows = JobRun::to_rows(&steps).expect("rows");
        assert_eq!(rows.schema(), schema());
        assert_eq!(JobRun::from_rows(&rows), steps);
    }
}
