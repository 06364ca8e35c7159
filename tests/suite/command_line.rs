//! What a person types.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use chrono::Utc;
use end_to_end::{Api, Deployment, Signal, fixtures, on_each_backend, until};
use serde_json::Value;

on_each_backend!(
    sql_prints_tables_csv_and_json,
    doctor_and_topics_tell_how_things_are
);

#[cfg(not(feature = "distributed"))]
#[tokio::test]
async fn a_binary_without_distributed_jobs_says_how_to_build_one() {
    let deployment = Deployment::embedded();
    let file = deployment.scratch().join("job.sql");
    std::fs::write(&file, "SELECT 1 AS one").expect("a file of our own");
    let file = file.display().to_string();
    let output = deployment.scratch().join("result").display().to_string();
    let address = "127.0.0.1:50050";
    for arguments in [
        &["run", &file, "--output", &output, "--distributed", address][..],
        &["scheduler", "--listen", address],
        &["executor", "--scheduler", address],
    ] {
        let ended = deployment.run("job", arguments).await;
        assert_eq!(ended.code(), 1, "{ended:?}");
        let how =
            "built without distributed jobs; build one with `cargo build --features distributed`";
        assert!(ended.stderr.contains(how), "{ended:?}");
    }
    assert!(!deployment.data_folder().exists(), "nothing was made");
}

async fn sql_prints_tables_csv_and_json(deployment: Deployment) {
    let platform = deployment.up(&["--no-generators"]).await;
    let events = [
        fixtures::gps(1, "taxi-1", Utc::now()),
        fixtures::gps(2, "taxi, \"2\"", Utc::now()),
    ];
    platform.api.ingest("gps_data", &events).await;
    let door = platform.api.url("");
    let sql = "SELECT device_id, speed FROM gps_data ORDER BY device_id";

    let table = deployment.run("sql", &[sql]).await.expect_success();
    for word in ["device_id", "speed", "taxi-1", "36"] {
        assert!(table.contains(word), "{word} is not in:\n{table}");
    }
    let csv = deployment
        .run("sql", &[sql, "--to", &door, "--format", "csv"])
        .await
        .expect_success();
    assert_eq!(
        csv.replace("\r\n", "\n"),
        "device_id,speed\n\"taxi, \"\"2\"\"\",36.0\ntaxi-1,36.0\n"
    );
    let json = deployment
        .run("sql", &[sql, "--to", &door, "--format", "json"])
        .await
        .expect_success();
    let json: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let rows = json.get("rows").unwrap_or(&json);
    assert_eq!(rows[1]["device_id"], "taxi-1", "{json}");

    let wrong = deployment
        .run("sql", &["SELECT nothing FROM gps_data", "--to", &door])
        .await;
    assert_eq!(wrong.code(), 1, "{wrong:?}");
    assert!(wrong.stderr.contains("nothing"), "{wrong:?}");
}

async fn doctor_and_topics_tell_how_things_are(deployment: Deployment) {
    let config = deployment.run("config", &[]).await.expect_success();
    let secrets = deployment.environment();
    for (name, value) in secrets.iter().filter(|(name, _)| name.contains("SECRET")) {
        assert!(
            !config.contains(value),
            "{name} is shown by `citypulse config`"
        );
    }
    deployment.run("doctor", &[]).await.expect_success();
    let topics = deployment.run("topics", &[]).await.expect_success();
    for topic in ["vehicle_data", "gps_data", "weather_data"] {
        assert!(topics.contains(topic), "{topic} is not in:\n{topics}");
    }
}

#[tokio::test]
async fn what_cannot_be_recomputed_is_said() {
    let deployment = Deployment::embedded();
    let running = deployment.up(&["--no-generators"]).await;
    drop(running);
    let backwards = [
        "--view",
        "all",
        "--from",
        "2026-03-02",
        "--to",
        "2026-03-01",
    ];
    let ended = deployment.run("recompute", &backwards).await;
    assert_eq!(ended.code(), 2, "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("--from 2026-03-02 is after --to 2026-03-01"),
        "{ended:?}"
    );
    for flag in ["--adopt", "--drop"] {
        let ended = deployment
            .run("recompute", &["--view", "traffic_hourly", flag])
            .await;
        assert_eq!(ended.code(), 1, "{ended:?}");
        assert!(
            ended.stderr.contains("traffic_hourly has no draft"),
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn doctor_finds_a_lake_that_cannot_be_written() {
    let deployment = Deployment::embedded();
    // Not even root writes there.
    let mut command = deployment.command("doctor", &[]);
    command.env("CITYPULSE_LAKE__URL", "/proc/sys");
    let output = command.output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("FAIL  lake at /proc/sys"), "{said}");
}

#[tokio::test]
async fn help_begins_with_what_to_do() {
    let deployment = Deployment::embedded();
    let mut command = deployment.command("up", &[]);
    command = {
        let mut plain = std::process::Command::new(command.get_program());
        plain.arg("--help");
        plain
    };
    let output = command.output().expect("the binary starts");
    assert!(output.status.success());
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    let first: Vec<&str> = help.lines().take(10).collect();
    assert!(first.join("\n").contains("citypulse up"), "{help}");
}

#[tokio::test]
async fn asking_where_nothing_is_makes_no_folder() {
    let deployment = Deployment::embedded();
    let finished = deployment.run("sql", &["SELECT 1"]).await;
    assert_eq!(finished.code(), 1, "{finished:?}");
    assert!(finished.stderr.contains("does not exist"), "{finished:?}");
    assert!(!deployment.data_folder().exists());
}

#[tokio::test]
async fn an_answer_that_breaks_off_says_why() {
    let platform = Deployment::embedded();
    let running = platform.up(&["--no-generators"]).await;
    let door = running.api.url("");
    let sql = "SELECT value FROM generate_series(1, 3000000) WHERE value % 2 = 0";
    for format in ["table", "csv", "json", "parquet"] {
        let finished = platform
            .run("sql", &[sql, "--to", &door, "--format", format])
            .await;
        assert_eq!(finished.code(), 1, "{format}");
        assert!(
            finished
                .stderr
                .contains("more than 1,000,000 rows; add a LIMIT"),
            "{format}: {}",
            finished.stderr
        );
    }
}

/// `citypulse up 2>&1 | head -1`
#[tokio::test]
async fn a_server_goes_on_when_nobody_reads_what_it_prints() {
    let deployment = Deployment::embedded();
    let arguments = ["--port", "0", "--no-generators", "--log", "debug"];
    let mut child = deployment
        .command("up", &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("its output"))
        .read_line(&mut first)
        .expect("a line");
    drop(child.stderr.take());
    let port = first
        .trim()
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok());
    let api = Api::new(port.unwrap_or_else(|| panic!("no address in {first:?}")));
    let limit = Duration::from_secs(60);
    until(limit, "readiness", || api.readiness()).await;
    api.ingest("gps_data", &[fixtures::gps(1, "taxi-1", Utc::now())])
        .await;
    Signal::Terminate.send(child.id());
    let ended = until(limit, "its end", || {
        let ended = child.try_wait().expect("our child");
        async move { ended.ok_or("it runs") }
    });
    assert_eq!(ended.await.code(), Some(0));
}

/// `citypulse config | true`
#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let deployment = Deployment::embedded();
    for verb in ["config", "topics"] {
        let mut command = deployment.command(verb, &[]);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = command
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .expect("the binary starts");
        assert!(output.status.success(), "{verb}: {output:?}");
        assert!(output.stderr.is_empty(), "{verb}: {output:?}");
    }
}
