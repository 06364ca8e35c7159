//! SQL whose result is files: others read what it says, nobody sees half of it, and of
//! several processes one runs what is due.

use std::path::PathBuf;
use std::time::Duration;

use end_to_end::{
    Api, Deployment, Process, Signal, fixtures, on_each_backend, on_real_servers, project_root,
    skipped, until,
};
use serde_json::Value;

use crate::exactly_once::lake_is_complete;

on_each_backend!(
    duckdb_reads_what_a_job_wrote,
    a_job_that_is_told_to_stop_leaves_nothing,
    a_due_job_runs_and_its_runs_are_a_table,
);

mod shared_schedule {
    use super::*;

    on_real_servers!(of_two_batch_processes_one_runs_what_is_due);
}

const LONG: Duration = Duration::from_secs(120);

/// A place for a result: a folder, or a prefix in the lake's bucket.
fn place(deployment: &Deployment, name: &str) -> String {
    match deployment.servers() {
        None => deployment.scratch().join(name).display().to_string(),
        Some(_) => format!("s3://citypulse/reports/{name}"),
    }
}

fn sql_file(deployment: &Deployment, sql: &str) -> String {
    let path = deployment.scratch().join("job.sql");
    std::fs::write(&path, sql).expect("a file of our own");
    path.display().to_string()
}

async fn duckdb_reads_what_a_job_wrote(deployment: Deployment) {
    let platform = deployment.up(&["--no-generators"]).await;
    let events = fixtures::gps_batch(0, 500);
    platform.api.ingest("gps_data", &events).await;
    lake_is_complete(&platform.api).await;
    let file = sql_file(
        &deployment,
        "-- param least: integer = 0\n-- param not: text\n\
         SELECT device_id, count(*) AS fixes, min(latitude) AS south FROM gps_data\n\
         WHERE device_id <> $not GROUP BY 1 HAVING count(*) > $least",
    );
    let output = place(&deployment, "fixes");
    let arguments = [
        "run",
        &file,
        "--param",
        "not=taxi-3",
        "--param",
        "least=10",
        "--output",
        &output,
        "--partition-by",
        "device_id",
    ];
    let said = deployment.run("job", &arguments).await.expect_success();
    assert!(said.starts_with("9 rows in 9 files"), "{said}");
    let again = deployment.run("job", &arguments).await;
    assert_eq!(again.code(), 2, "{again:?}");
    assert!(again.stderr.contains("has a result already"), "{again:?}");
    let replaced = [&arguments[..], &["--overwrite"]].concat();
    deployment.run("job", &replaced).await.expect_success();

    let Some(python) = std::env::var_os("CITYPULSE_TEST_PYTHON") else {
        return skipped("CITYPULSE_TEST_PYTHON names no Python with DuckDB; `make test` does");
    };
    let read = tokio::process::Command::new(python)
        .arg(project_root().join("tests/readers/job_output.py"))
        .arg(&output)
        .envs(deployment.environment())
        .kill_on_drop(true)
        .output()
        .await
        .expect("python starts");
    let text = String::from_utf8_lossy(&read.stdout);
    let rows: Vec<Value> = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&read.stderr)));
    let mut expected = platform
        .api
        .sql("SELECT count(*) AS fixes, min(latitude) AS south, device_id FROM gps_data WHERE device_id <> 'taxi-3' GROUP BY 3")
        .await;
    expected.sort_by_key(|row| row["south"].to_string());
    let mut rows = rows;
    rows.sort_by_key(|row| row["south"].to_string());
    assert_eq!(rows, expected);
}

async fn a_job_that_is_told_to_stop_leaves_nothing(deployment: Deployment) {
    let platform = deployment.up(&["--no-generators"]).await;
    let output = place(&deployment, "stopped");
    let file = sql_file(
        &deployment,
        "SELECT value, md5(CAST(value AS TEXT)) AS hash FROM generate_series(1, 1000000000000)",
    );
    let mut job = deployment.start("job", &["run", &file, "--output", &output]);
    // The lines of somebody who has no terminal come every 5 s.
    until(LONG, "rows that are written", || {
        let said = job.output();
        async move {
            let is_written = said.contains(" written, ") && said.contains(" MB");
            is_written.then_some(()).ok_or(said)
        }
    })
    .await;
    job.signal(Signal::Terminate);
    let status = job.wait(Duration::from_secs(30)).await;
    assert_eq!(status.code(), Some(1), "{}", job.output());
    assert!(
        job.output().contains("cancelled; nothing was written"),
        "{}",
        job.output()
    );
    if deployment.servers().is_none() {
        let left = std::fs::read_dir(deployment.scratch()).expect("a folder");
        let left: Vec<_> = left
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .filter(|name| name.contains("stopped"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
    // Whatever was left there would be refused.
    let file = sql_file(&deployment, "SELECT 1 AS one");
    let small = ["run", &file, "--output", &output, "--format", "csv"];
    let said = deployment.run("job", &small).await.expect_success();
    assert!(said.starts_with("1 rows in 1 files"), "{said}");
    drop(platform);
}

/// The configuration of the deployment with a job that is due every second.
fn with_job(deployment: &Deployment, output: &str) -> PathBuf {
    let sql = sql_file(
        deployment,
        "-- param n: integer\nSELECT $scheduled AS due, count(*) AS fixes, $n AS n FROM gps_data",
    );
    let common = match deployment.servers() {
        Some(_) => std::fs::read_to_string(project_root().join("infra/stack.toml"))
            .expect("the stack's settings"),
        None => String::new(),
    };
    let job = format!(
        "[[jobs]]\nname = \"often\"\nfile = \"{sql}\"\ncron = \"* * * * * *\"\nformat = \"csv\"\n\
         output = \"{output}/{{date}}-{{time}}\"\nparams = {{ n = 7 }}\n"
    );
    let path = deployment.scratch().join("with-job.toml");
    std::fs::write(&path, format!("{common}\n{job}")).expect("a file of our own");
    path
}

fn start(deployment: &Deployment, verb: &str, config: &PathBuf, arguments: &[&str]) -> Process {
    let mut command = std::process::Command::new(deployment.command(verb, &[]).get_program());
    command
        .env_clear()
        .envs(deployment.environment())
        .arg(verb)
        .arg("--config")
        .arg(config)
        .arg("--data-dir")
        .arg(deployment.data_folder())
        .args(arguments);
    Process::start(command, verb, deployment.scratch())
}

/// Due times with how often they began and succeeded, by `citypulse sql`.
async fn runs(deployment: &Deployment) -> Result<Vec<(String, u64, u64)>, String> {
    let sql = "SELECT scheduled, sum(CASE WHEN state = 'running' THEN 1 ELSE 0 END) AS began, \
               sum(CASE WHEN state = 'succeeded' THEN 1 ELSE 0 END) AS done, \
               sum(CASE WHEN state = 'failed' THEN 1 ELSE 0 END) AS failed \
               FROM job_runs WHERE job = 'often' GROUP BY 1 ORDER BY 1";
    let said = deployment.run("sql", &[sql, "--format", "json"]).await;
    if said.code() != 0 {
        return Err(said.stderr); // the instance is starting
    }
    let answer: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let rows = answer["rows"].as_array().expect("rows");
    let runs = rows
        .iter()
        .map(|row| {
            assert_eq!(row["failed"], 0, "{row}");
            let number = |name: &str| row[name].as_u64().expect("a number");
            (
                row["scheduled"].to_string(),
                number("began"),
                number("done"),
            )
        })
        .collect();
    Ok(runs)
}

async fn done(deployment: &Deployment, least: usize) -> Vec<(String, u64, u64)> {
    until(LONG, "runs that succeeded", || async {
        let runs = runs(deployment).await?;
        let done = runs.iter().filter(|(_, _, done)| *done > 0).count();
        (done >= least)
            .then_some(runs.clone())
            .ok_or(format!("{runs:?}"))
    })
    .await
}

/// An instance that has taken its data folder: a command that came first would.
async fn up(deployment: &Deployment, config: &PathBuf) -> Process {
    let process = start(
        deployment,
        "up",
        config,
        &["--port", "0", "--no-generators"],
    );
    until(LONG, "the instance", || {
        let said = process.output();
        async move { said.contains("dashboard:").then_some(()).ok_or(said) }
    })
    .await;
    process
}

/// The door of an instance that has said where it is.
fn api(process: &Process) -> Api {
    let said = process.output();
    let address = said.split("http://").nth(1).unwrap_or_default();
    let address = address.split_whitespace().next().unwrap_or_default();
    let port = address
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok());
    Api::new(port.unwrap_or_else(|| panic!("no address: {said}")))
}

async fn a_due_job_runs_and_its_runs_are_a_table(deployment: Deployment) {
    let output = place(&deployment, "often");
    let config = with_job(&deployment, &output);
    let platform = up(&deployment, &config).await;
    let before = done(&deployment, 3).await;
    platform.kill();
    let mut again = up(&deployment, &config).await;
    let after = done(&deployment, before.len() + 3).await;
    for (due, _, done) in &after {
        assert!(*done <= 1, "{due} ran twice: {after:?}");
    }
    let jobs = api(&again).get("/api/jobs").await.json();
    assert_eq!(jobs[0]["name"], "often", "{jobs}");
    assert!(jobs[0]["next_run"].is_string(), "{jobs}");
    assert!(jobs[0]["last_run"]["started"].is_string(), "{jobs}");
    let listed = deployment
        .run("job", &["history", "often", "--limit", "2"])
        .await;
    let listed = listed.expect_success();
    assert_eq!(listed.lines().count(), 3, "{listed}");
    again.signal(Signal::Terminate);
    assert!(again.wait(LONG).await.success(), "{}", again.output());
}

async fn of_two_batch_processes_one_runs_what_is_due(deployment: Deployment) {
    let config = with_job(&deployment, &place(&deployment, "shared"));
    let mut first = start(&deployment, "batch", &config, &[]);
    let mut second = start(&deployment, "batch", &config, &[]);
    done(&deployment, 8).await;
    for process in [&mut first, &mut second] {
        process.signal(Signal::Terminate);
        assert!(process.wait(LONG).await.success(), "{}", process.output());
    }
    for (due, began, done) in runs(&deployment).await.expect("the runs") {
        assert!(
            began == 1 && done <= 1,
            "{due} began {began} times and ended {done} times"
        );
    }
}
