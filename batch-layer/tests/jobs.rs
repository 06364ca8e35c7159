//! Jobs as their authors meet them: what is wrong is said, and a result is whole or
//! not there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use batch_layer::jobs::file::JobFile;
use batch_layer::jobs::history::{history, record};
use batch_layer::jobs::{Job, JobDeps, JobError, JobLimits, RunOf, run, scheduler};
use bytes::Bytes;
use events::{Stream, TopicNames, TopicPartition};
use lake::export::{ExportFormat, Exported, Manifest};
use lake::query::Parameters;
use lake::rows::{RowBuilder, SeenOrigins};
use lake::{Commit, Lake, LakeConfig, S3Options, Table};
use tokio_util::sync::CancellationToken;

const TABLE: Table = Table::Stream(Stream::VehicleData);
/// 2026-03-01T12:00:00Z.
const NOON_US: i64 = 1_772_366_400_000_000;

/// A lake with 3,000 rows: ten vehicles, a minute apart, over three days.
struct City {
    folder: tempfile::TempDir,
    deps: JobDeps,
}

impl City {
    async fn new() -> City {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = LakeConfig {
            url: folder.path().join("lake").display().to_string(),
            s3: S3Options::default(),
        };
        let lake = Lake::open(config).await.expect("a lake");
        let partition = TopicPartition::new(TABLE.name(), 0);
        let mut rows = RowBuilder::new(TABLE);
        for offset in 0..3_000_i64 {
            let time = events::time::format_rfc3339(NOON_US + offset * 60_000_000);
            let device = offset % 10;
            let event = format!(
                r#"{{"id":"e-{offset}","device_id":"car-{device}","timestamp":"{time}","location":[57.7,11.97],"speed":{},"make":"Å/{}"}}"#,
                offset % 90,
                device % 2
            );
            let record = event_log::Record {
                offset,
                appended_at_us: NOON_US + 30 * 86_400_000_000,
                key: None,
                value: Bytes::from(event),
                headers: Vec::new(),
            };
            rows.push(&partition, &record, &mut SeenOrigins::default())
                .expect("a valid event");
        }
        let files = lake.write_files(TABLE, vec![rows.finish()]).await;
        let commit = Commit {
            files: files.expect("files"),
            ..Commit::default()
        };
        lake.commit(TABLE, &commit).await.expect("a commit");
        City {
            deps: JobDeps {
                lake,
                log: None,
                topics: TopicNames::default(),
                s3: S3Options::default(),
                temp_dir: folder.path().join("tmp"),
                cluster: None,
            },
            folder,
        }
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn job(&self, sql: &str, given: &[(&str, &str)]) -> Job {
        let file = JobFile::parse(sql.to_owned()).expect("a file");
        Job {
            name: "test".to_owned(),
            sql: file.sql,
            parameters: Parameters {
                declared: file.declared,
                given: given
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
                ..Parameters::default()
            },
            output: self.output().display().to_string(),
            format: ExportFormat::Csv,
            partition_by: Vec::new(),
            overwrite: false,
            limits: JobLimits::default(),
        }
    }

    async fn run(&self, job: &Job) -> Result<Exported, JobError> {
        let stop = CancellationToken::new();
        run::run(&self.deps, job, &RunOf::by_hand(), &mut |_| {}, &stop).await
    }

    /// Why it is refused; nothing is left of it.
    async fn refused(&self, job: &Job) -> String {
        let error = self.run(job).await.expect_err(&job.sql);
        assert!(matches!(error, JobError::Usage(_)), "{error:?}");
        self.assert_nothing_left();
        error.to_string()
    }

    /// Neither a result nor what would become one, and nothing that spilled.
    fn assert_nothing_left(&self) {
        assert_eq!(
            names(self.folder.path(), |name| name != "lake" && name != "tmp"),
            [""; 0]
        );
        let temp = self.folder.path().join("tmp");
        if temp.is_dir() {
            assert_eq!(names(&temp, |_| true), [""; 0]);
        }
    }

    fn csv(&self, path: &str) -> String {
        std::fs::read_to_string(self.output().join(path)).expect("a file of the result")
    }
}

fn names(folder: &Path, keep: impl Fn(&str) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| keep(name))
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_job_is_said() {
    let city = City::new().await;
    let typed =
        "-- param from: timestamp\nSELECT count(*) FROM vehicle_data WHERE timestamp >= $from";
    for (sql, given, said) in [
        (
            typed,
            &[][..],
            "parameter from has no value; expected a time such as",
        ),
        (
            typed,
            &[("from", "soon")],
            "parameter from is \"soon\"; expected a time such as",
        ),
        (
            typed,
            &[("from", "2026-03-01"), ("to", "x")],
            "parameter to is \"x\", but the statement has no $to",
        ),
        ("SELECT 1 WHERE 1 > $x", &[], "parameter x has no value"),
        (
            "SELECT id FROM vehicle_data WHERE speed > $x",
            &[("x", "fast")],
            "parameter x is \"fast\"; expected a number",
        ),
        (
            "SELECT $x AS label",
            &[("x", "1")],
            "parameter x has no type that the statement tells",
        ),
        (
            "-- param y: text = a\nSELECT 1",
            &[],
            "parameter y is declared, but the statement has no $y",
        ),
        ("DELETE FROM vehicle_data", &[], "read only"),
        ("EXPLAIN SELECT 1", &[], "a job is one SELECT or WITH"),
        ("SELECT 1; SELECT 2", &[], "single SQL statement"),
        (
            "SELECT * FROM vehicle_date",
            &[],
            "did you mean vehicle_data?",
        ),
        ("SELECT", &[], "the SQL cannot be read"),
        ("", &[], "the query is empty"),
    ] {
        let error = city.refused(&city.job(sql, given)).await;
        assert!(error.contains(said), "{sql}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_is_a_value_and_nothing_else() {
    let city = City::new().await;
    let evil = "x' OR '1'='1'; DROP TABLE vehicle_data; --";
    let sql = "-- param label: text\n-- param n: integer\n-- param since: timestamp\n-- param unit: text = day\n\
               SELECT $label AS label, date_trunc($unit, timestamp) AS day, count(*) AS n FROM vehicle_data\n\
               WHERE device_id <> $label AND timestamp >= $since - INTERVAL '1 day' AND speed > $fast\n\
               GROUP BY 2 ORDER BY 2 LIMIT $n";
    let given = [
        ("label", evil),
        ("n", "2"),
        ("since", "2026-03-02T12:00:00Z"),
        ("fast", "-1.5"),
    ];
    let done = city.run(&city.job(sql, &given)).await.expect("a result");
    assert_eq!(done.rows, 2);
    let text = city.csv(&done.files[0].path);
    let days: Vec<&str> = text.lines().skip(1).collect();
    assert!(
        days[0].starts_with(&format!("{evil},2026-03-01")) && days[0].ends_with(",720"),
        "{text}"
    );
    assert!(days[1].ends_with(",1440"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_made_of_columns_and_the_manifest_lists_every_file() {
    let city = City::new().await;
    let sql = "SELECT make, date, id, speed FROM vehicle_data ORDER BY speed DESC, id";
    let mut job = city.job(sql, &[]);
    job.partition_by = vec!["date".to_owned(), "make".to_owned()];
    let done = city.run(&job).await.expect("a result");
    assert_eq!(
        (done.rows, done.files.len()),
        (3_000, 6),
        "one file a folder"
    );
    let manifest: Manifest = serde_json::from_str(&city.csv("_SUCCESS")).expect("JSON");
    assert_eq!((manifest.rows, &manifest.files), (3_000, &done.files));
    assert_eq!(
        manifest.tables,
        BTreeMap::from([("vehicle_data".to_owned(), Some(1))])
    );
    assert_eq!(
        names(&city.output().join("date=2026-03-02"), |_| true),
        ["make=Å%2F0", "make=Å%2F1"]
    );
    let mut rows = 0;
    for file in &done.files {
        let text = city.csv(&file.path);
        assert!(
            text.starts_with("id,speed\n"),
            "the folder's columns are not in it: {text}"
        );
        let speeds = text.lines().skip(1).map(|line| {
            let speed = line.rsplit(',').next().expect("a speed");
            speed.parse::<f64>().expect("a number")
        });
        let speeds: Vec<f64> = speeds.collect();
        assert!(
            speeds.is_sorted_by(|a, b| a >= b),
            "as the statement orders them"
        );
        assert_eq!(speeds.len() as u64, file.rows);
        rows += file.rows;
    }
    assert_eq!(rows, 3_000);

    for (columns, said) in [
        (
            &["nothing"][..],
            "partition_by is \"nothing\"; expected a column of the result: make, date, id, speed",
        ),
        (&["make", "make"], "is named twice"),
        (&["make", "date", "id", "speed"], "leave at least one"),
    ] {
        let mut job = city.job(sql, &[]);
        job.output = city.folder.path().join("other").display().to_string();
        job.partition_by = columns.iter().map(|name| (*name).to_owned()).collect();
        let error = city.run(&job).await.expect_err("refused").to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_replaced_only_when_asked_and_nothing_else_is() {
    let city = City::new().await;
    let mut job = city.job("SELECT 1 AS one", &[]);
    let first = city.run(&job).await.expect("a result");
    let error = city.run(&job).await.expect_err("it is there").to_string();
    assert!(
        error.contains("has a result already (2 files)") && error.contains("--overwrite"),
        "{error}"
    );
    assert_eq!(city.csv(&first.files[0].path), "one\n1\n");

    job.overwrite = true;
    job.sql = "SELECT 2 AS two".to_owned();
    let second = city.run(&job).await.expect("a result");
    assert_eq!(names(&city.output(), |_| true).len(), 2, "only the new one");
    assert_eq!(city.csv(&second.files[0].path), "two\n2\n");

    // A run that fails leaves the earlier result as it was.
    job.sql = "SELECT 1 / (speed - speed) AS no FROM (SELECT CAST(speed AS BIGINT) AS speed FROM vehicle_data)".to_owned();
    let error = city.run(&job).await.expect_err("a division by zero");
    assert!(error.to_string().contains("zero"), "{error}");
    assert_eq!(city.csv(&second.files[0].path), "two\n2\n");

    std::fs::write(city.output().join("thesis.docx"), "years of work").expect("a file");
    let error = city.run(&job).await.expect_err("not ours").to_string();
    assert!(
        error.contains("has thesis.docx, which no job wrote"),
        "{error}"
    );

    job.output = city.deps.lake.url().to_owned() + "/reports";
    let error = city
        .run(&job)
        .await
        .expect_err("among the tables")
        .to_string();
    assert!(error.contains("among the tables of the lake"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_without_rows_has_its_columns() {
    let city = City::new().await;
    let job = city.job("SELECT id, speed FROM vehicle_data WHERE speed > 1000", &[]);
    let done = city.run(&job).await.expect("a result");
    assert_eq!((done.rows, done.files.len()), (0, 1));
    assert_eq!(city.csv(&done.files[0].path), "id,speed\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sort_larger_than_its_memory_spills_and_finishes() {
    let city = City::new().await;
    let mut job = city.job(
        "SELECT md5(CAST(value AS TEXT)) AS hash, value FROM generate_series(1, 1500000) ORDER BY hash",
        &[],
    );
    job.format = ExportFormat::Parquet;
    job.limits.memory_bytes = 32 << 20;
    let done = city.run(&job).await.expect("a result");
    assert_eq!(done.rows, 1_500_000);
    assert_eq!(names(&city.folder.path().join("tmp"), |_| true), [""; 0]);

    let mut small = city.job(&job.sql, &[]);
    small.output += "-small";
    small.limits.memory_bytes = 32 << 20;
    small.limits.spill_bytes = 1 << 20;
    let error = city.run(&small).await.expect_err("no room to spill");
    assert!(error.to_string().contains("--memory-limit"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_larger_than_its_memory_spills_and_finishes() {
    let city = City::new().await;
    let side = "(SELECT value, md5(CAST(value AS TEXT)) AS hash FROM generate_series(1, 1500000))";
    let sql = format!(
        "SELECT count(*) AS pairs, count(*) FILTER (WHERE one.value = other.value) AS right \
         FROM {side} one JOIN {side} other ON one.hash = other.hash"
    );
    let mut job = city.job(&sql, &[]);
    job.limits.memory_bytes = 64 << 20;
    let done = city.run(&job).await.expect("a result");
    assert_eq!(
        city.csv(&done.files[0].path),
        "pairs,right\n1500000,1500000\n"
    );
    assert_eq!(names(&city.folder.path().join("tmp"), |_| true), [""; 0]);

    let mut small = city.job(&sql, &[]);
    small.output += "-small";
    small.limits.memory_bytes = 64 << 20;
    small.limits.spill_bytes = 1 << 20;
    let error = city.run(&small).await.expect_err("no room to spill");
    let said = error.to_string();
    assert!(
        said.starts_with("the run needs more memory or disk") && said.contains("--spill-limit"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_or_takes_too_long_leaves_nothing() {
    let city = City::new().await;
    let endless = "SELECT value FROM generate_series(1, 1000000000000)";
    let mut job = city.job(endless, &[]);
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    let mut progress = move |progress: run::Progress| {
        // In the middle: some of it is written already.
        if progress.bytes_written > 10 << 20 {
            cancel.cancel();
        }
    };
    let error = run::run(&city.deps, &job, &RunOf::by_hand(), &mut progress, &stop).await;
    assert!(matches!(error, Err(JobError::Cancelled)), "{error:?}");
    city.assert_nothing_left();

    job.limits.timeout = Duration::from_millis(500);
    let error = city.run(&job).await;
    assert!(matches!(error, Err(JobError::TimedOut { .. })), "{error:?}");
    city.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_a_table() {
    let city = City::new().await;
    let job = city.job("SELECT 1 AS one", &[]);
    let run = RunOf::by_hand();
    for _ in 0..2 {
        let stop = CancellationToken::new();
        let outcome = run::run(&city.deps, &job, &run, &mut |_| {}, &stop).await;
        // The same run again finds its result.
        assert_eq!(outcome.as_ref().map(|done| done.rows).ok(), Some(1));
        let row = scheduler::ending(&job, &run, &outcome);
        record(&city.deps.lake, &row).await.expect("a row");
    }
    let lake: &Arc<Lake> = &city.deps.lake;
    let runs = history(lake, Some("test"), 10).await.expect("the history");
    assert_eq!(runs.len(), 1);
    assert_eq!(
        (runs[0].state.as_str(), runs[0].rows),
        ("succeeded", Some(1))
    );
    assert!(
        history(lake, Some("other"), 10)
            .await
            .expect("the history")
            .is_empty()
    );
}
