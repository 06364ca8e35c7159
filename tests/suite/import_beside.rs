//! History from files, past the log: each file once, whatever is interrupted.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use end_to_end::{Api, Deployment, fixtures, on_each_backend, until};

on_each_backend!(a_file_adds_its_rows_once_beside_a_running_instance);

/// How long an instance may take to see what another process has committed.
const SEEN_WITHIN: Duration = Duration::from_secs(20);

/// The columns of `csv` by the fields that they hold.
const MAP: [&str; 14] = [
    "--stream",
    "gps_data",
    "--map",
    "id=row",
    "--map",
    "device_id=cab",
    "--map",
    "timestamp=t",
    "--map",
    "latitude=lat",
    "--map",
    "longitude=lon",
    "--map",
    "speed=kmh",
];

/// Rows of `count` fixes from number `first` on, one every ten seconds of 40 days ago.
fn csv(first: u64, count: u64) -> String {
    let mut text = String::from("row,cab,t,lat,lon,kmh\n");
    for number in first..first + count {
        let time = time(number);
        writeln!(
            text,
            "h-{number},cab-{},{time},57.7,11.97,{}",
            number % 7,
            number % 100
        )
        .expect("text grows");
    }
    text
}

fn time(number: u64) -> String {
    let began: DateTime<Utc> = Utc::now() - TimeDelta::days(40);
    fixtures::rfc3339(began + TimeDelta::seconds(10 * number as i64))
}

async fn import(deployment: &Deployment, file: &Path) -> String {
    let file = file.display().to_string();
    let arguments: Vec<&str> = [&file[..]].into_iter().chain(MAP).collect();
    deployment.run("import", &arguments).await.expect_success()
}

/// Waits until the table has so many rows, each of an id of its own.
async fn holds(api: &Api, rows: u64) {
    until(SEEN_WITHIN, &format!("{rows} rows"), || async {
        let sql = "SELECT count(*) AS n, count(DISTINCT id) AS ids FROM gps_data";
        let row = api.sql_row(sql).await;
        match row["n"] == rows && row["ids"] == rows {
            true => Ok(()),
            false => Err(row),
        }
    })
    .await;
}

async fn a_file_adds_its_rows_once_beside_a_running_instance(deployment: Deployment) {
    let platform = deployment.up(&["--no-generators"]).await;
    let api = &platform.api;
    api.ingest("gps_data", &fixtures::gps_batch(0, 100)).await;

    let file = |name: &str| deployment.scratch().join(name);
    let mut text = csv(0, 3_000);
    text.push_str(&format!("h-bad,cab-1,{},95.0,11.97,30\n", time(0)));
    std::fs::write(file("a.csv"), &text).expect("a file of our own");
    let said = import(&deployment, &file("a.csv")).await;
    assert!(
        said.contains("a.csv: 3000 rows added, 1 not readable"),
        "{said}"
    );
    holds(api, 3_100).await;

    // What is in it counts, not what it is called.
    std::fs::rename(file("a.csv"), file("b.csv")).expect("our own");
    let said = import(&deployment, &file("b.csv")).await;
    assert!(said.contains("b.csv: already in; nothing added"), "{said}");
    std::fs::write(file("c.csv"), csv(3_000, 500)).expect("a file of our own");
    import(&deployment, &file("c.csv")).await;
    holds(api, 3_600).await;

    // Out as Parquet and in again under other ids.
    let sql = "SELECT concat(id, '-again') AS row, device_id AS cab, timestamp AS t, latitude AS lat, \
               longitude AS lon, speed AS kmh FROM gps_data WHERE id LIKE 'h-%'";
    std::fs::write(file("again.sql"), sql).expect("a file of our own");
    let [job, result] = ["again.sql", "again"].map(|name| file(name).display().to_string());
    let arguments = ["run", &job, "--output", &result, "--format", "parquet"];
    deployment.run("job", &arguments).await.expect_success();
    let parts = std::fs::read_dir(&result).expect("a folder");
    let parts = parts.map(|entry| entry.expect("an entry").path());
    for part in parts.filter(|path| path.extension().is_some_and(|is| is == "parquet")) {
        import(&deployment, &part).await;
        import(&deployment, &part).await;
    }
    holds(api, 7_100).await;
}

/// Killed when the first of its rows are written, and not yet committed or just so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_is_killed_and_repeated_adds_each_row_once() {
    const ROWS: u64 = 100_000;
    let deployment = Deployment::embedded();
    let file = deployment.scratch().join("history.csv");
    std::fs::write(&file, csv(0, ROWS)).expect("a file of our own");
    let path = file.display().to_string();
    let arguments: Vec<&str> = [&path[..]].into_iter().chain(MAP).collect();
    let mut import_process = deployment.start("import", &arguments);
    until(Duration::from_secs(60), "rows in the lake's folder", || {
        let ended = import_process.ended();
        let is_written = has_parquet(&deployment.data_folder().join("lake/gps_data"));
        async move {
            (is_written || ended.is_some())
                .then_some(())
                .ok_or("nothing yet")
        }
    })
    .await;
    import_process.kill();

    import(&deployment, &file).await;
    let platform = deployment.up(&["--no-generators"]).await;
    holds(&platform.api, ROWS).await;
    let said = import(&deployment, &file).await;
    assert!(said.contains("already in; nothing added"), "{said}");
    holds(&platform.api, ROWS).await;
}

/// Whether a Parquet file is anywhere below.
fn has_parquet(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        path.is_dir() && has_parquet(&path) || path.extension().is_some_and(|is| is == "parquet")
    })
}
