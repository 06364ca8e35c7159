//! Jobs on several machines: the result of one process, whatever happens to executors.
//! Needs a binary built with the feature of the same name (`make test-distributed`).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use end_to_end::{Deployment, JobExecutor, JobScheduler, Signal, fixtures, on_each_backend, until};
use serde_json::{Value, json};

use crate::exactly_once::lake_is_complete;

on_each_backend!(
    executors_give_the_result_of_one_process,
    an_executor_that_is_killed_costs_no_row,
    what_is_missing_is_said_and_what_is_cancelled_ends,
);

const LONG: Duration = Duration::from_secs(180);
/// Each date is a file of its own, and so a part of the work.
const DATES: u64 = 12;
const FIXES_A_DATE: u64 = 300;

fn noon(day: u64) -> DateTime<Utc> {
    let first: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().expect("a time");
    first + chrono::Duration::days(day as i64)
}

fn fixes(day: u64) -> Vec<Value> {
    (0..FIXES_A_DATE)
        .map(|second| {
            let number = day * FIXES_A_DATE + second;
            let time = noon(day) + chrono::Duration::milliseconds(second as i64 * 1_037);
            fixtures::gps(number, &format!("taxi-{}", number % 10), time)
        })
        .collect()
}

fn vehicles(day: u64) -> Vec<Value> {
    (0..10)
        .map(|number| {
            json!({
                "id": fixtures::event_id(1_000_000 + day * 10 + number),
                "device_id": format!("taxi-{number}"),
                "timestamp": fixtures::rfc3339(noon(day)),
                "location": [57.7, 11.97],
                "speed": 30.0 + number as f64,
                "make": (number % 3 != 0).then(|| format!("make-{}", number % 3)),
                "colour": "green",
            })
        })
        .collect()
}

/// A lake with all tables, and events that only the log has.
async fn city(deployment: &Deployment) -> Deployment {
    let slow = deployment
        .clone()
        .with("CITYPULSE_BATCH__FLUSH_AGE_S", 600)
        .with("CITYPULSE_BATCH__FLUSH_IDLE_S", 600);
    let platform = deployment.up(&["--no-generators"]).await;
    for day in 0..DATES {
        platform.api.ingest("gps_data", &fixes(day)).await;
        platform.api.ingest("vehicle_data", &vehicles(day)).await;
    }
    lake_is_complete(&platform.api).await;
    assert_eq!(platform.terminate(LONG).await, 0);
    let dates = ["--from", "2026-03-01", "--to", "2026-03-12"];
    let views = [&["--view", "vehicle_daily"][..], &dates].concat();
    deployment.run("recompute", &views).await.expect_success();
    let behind = slow.up(&["--no-generators"]).await;
    behind.api.ingest("gps_data", &fixes(DATES)).await;
    behind.kill();
    slow
}

fn sql_file(deployment: &Deployment, name: &str, sql: &str) -> String {
    let path = deployment.scratch().join(format!("{name}.sql"));
    std::fs::write(&path, sql).expect("a file of our own");
    path.display().to_string()
}

/// Every file of a result with its lines; those of one without an order are sorted.
fn result(folder: &Path, is_ordered: bool) -> BTreeMap<String, Vec<String>> {
    fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<String>>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                collect(root, &path, found);
            } else if path.extension().is_some_and(|extension| extension == "csv") {
                let within = path.parent().expect("a parent").strip_prefix(root);
                let name = within.expect("within").display().to_string();
                let text = std::fs::read_to_string(&path).expect("text");
                found
                    .entry(name)
                    .or_default()
                    .extend(text.lines().map(str::to_owned));
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(folder, folder, &mut found);
    if !is_ordered {
        found.values_mut().for_each(|lines| lines.sort());
    }
    found
}

struct Case {
    name: &'static str,
    sql: &'static str,
    flags: &'static [&'static str],
    rows: usize,
    is_ordered: bool,
}

const CASES: [Case; 8] = [
    Case {
        name: "aggregate",
        sql: "-- param from: timestamp = 2026-03-03\n-- param not: text\n\
              SELECT date, device_id, count(*) AS fixes, max(timestamp) AS last, min(latitude) AS south, \
              count(DISTINCT id) AS ids FROM gps_data \
              WHERE timestamp >= $from AND device_id <> $not GROUP BY 1, 2",
        flags: &["--param", "not=taxi-3"],
        rows: 11 * 9,
        is_ordered: false,
    },
    Case {
        name: "join",
        sql: "SELECT g.id, g.timestamp, v.make, v.speed, v.extra FROM gps_data g \
              JOIN vehicle_data v ON g.device_id = v.device_id AND g.date = v.date \
              WHERE v.make IS NOT NULL",
        flags: &[],
        rows: 12 * 180,
        is_ordered: false,
    },
    Case {
        name: "order",
        sql: "SELECT device_id, timestamp, date, accuracy_m, upper(repeat(device_id, 2)) AS twice \
              FROM gps_data ORDER BY timestamp DESC, device_id LIMIT 500",
        flags: &[],
        rows: 500,
        is_ordered: true,
    },
    Case {
        name: "window",
        sql: "SELECT device_id, timestamp, row_number() OVER (PARTITION BY device_id ORDER BY timestamp) AS nth, \
              lag(timestamp) OVER (PARTITION BY device_id ORDER BY timestamp) AS before FROM gps_data",
        flags: &[],
        rows: 13 * 300,
        is_ordered: false,
    },
    Case {
        name: "folders",
        sql: "SELECT date, device_id, id, timestamp FROM gps_data ORDER BY timestamp",
        flags: &["--partition-by", "date,device_id"],
        rows: 13 * 300,
        is_ordered: true,
    },
    Case {
        name: "subqueries",
        sql: "SELECT device_id, count(*) AS n, (SELECT count(*) FROM vehicle_data) AS vehicles FROM gps_data \
              WHERE device_id NOT IN (SELECT device_id FROM vehicle_data WHERE make IS NULL) \
              AND latitude > (SELECT min(latitude) FROM gps_data) GROUP BY 1",
        flags: &[],
        rows: 6,
        is_ordered: false,
    },
    Case {
        name: "view",
        sql: "SELECT * FROM vehicle_daily ORDER BY date, device_id",
        flags: &[],
        rows: 120,
        is_ordered: true,
    },
    Case {
        name: "empty",
        sql: "SELECT u.n, array_length(make_array(u.n, 2)) AS two, (SELECT count(*) FROM weather_data) AS weather \
              FROM (VALUES (1), (2), (3)) AS u(n) ORDER BY 1",
        flags: &[],
        rows: 3,
        is_ordered: true,
    },
];

async fn executors_give_the_result_of_one_process(deployment: Deployment) {
    let deployment = city(&deployment).await;
    let scheduler = JobScheduler::start(&deployment).await;
    let executors = [
        JobExecutor::start(&deployment, &scheduler, "first").await,
        JobExecutor::start(&deployment, &scheduler, "second").await,
    ];
    for case in &CASES {
        let file = sql_file(&deployment, case.name, case.sql);
        let mut results = Vec::new();
        for (place, over_there) in [("here", None), ("there", Some(&scheduler.address))] {
            let output = deployment.scratch().join(place).join(case.name);
            let shown = output.display().to_string();
            let mut arguments = vec!["run", &file, "--output", &shown, "--format", "csv"];
            arguments.extend(case.flags);
            if let Some(address) = over_there {
                arguments.extend(["--distributed", address]);
            }
            let said = deployment.run("job", &arguments).await.expect_success();
            let rows = format!("{} rows in ", case.rows);
            assert!(said.starts_with(&rows), "{} {place}: {said}", case.name);
            results.push(result(&output, case.is_ordered));
        }
        assert_eq!(results[0], results[1], "{}", case.name);
    }
    // What nobody needs any more goes at once.
    for executor in &executors {
        until(LONG, "an executor without rows", || async {
            match executor.files() {
                0 => Ok(()),
                files => Err(format!("{files} files")),
            }
        })
        .await;
    }
    for mut executor in executors {
        executor.process.signal(Signal::Terminate);
        assert!(executor.process.wait(LONG).await.success());
    }
}

/// Seconds of work for two executors, in a dozen parts.
const HEAVY: &str = "SELECT date, device_id, count(*) AS n, max(md5(concat(id, CAST(value AS TEXT)))) AS hash \
                     FROM gps_data CROSS JOIN generate_series(1, 4000) GROUP BY 1, 2";

async fn an_executor_that_is_killed_costs_no_row(deployment: Deployment) {
    let deployment = city(&deployment).await;
    let scheduler = JobScheduler::start(&deployment).await;
    let staying = JobExecutor::start(&deployment, &scheduler, "staying").await;
    let dying = JobExecutor::start(&deployment, &scheduler, "dying").await;
    let file = sql_file(&deployment, "heavy", HEAVY);
    let outputs = ["here", "there"].map(|name| deployment.scratch().join(name));
    let places = outputs.each_ref().map(|path| path.display().to_string());
    let common = ["run", &file, "--format", "csv", "--output"];
    let over_there = [
        &common[..],
        &[
            places[1].as_str(),
            "--distributed",
            scheduler.address.as_str(),
        ],
    ]
    .concat();
    let mut job = deployment.start("job", &over_there);
    // Some of its parts are done, so that their rows die with it, and it works on more.
    until(LONG, "rows on the executor", || {
        assert!(job.ended().is_none(), "{}", job.output());
        let files = dying.files();
        async move { (files >= 2).then_some(()).ok_or(format!("{files} files")) }
    })
    .await;
    dying.process.kill();
    let killed = Instant::now();
    assert!(job.ended().is_none(), "it was killed in the middle");
    assert!(job.wait(LONG).await.success(), "{}", job.output());
    println!(
        "the job ended {:.1} s after the kill",
        killed.elapsed().as_secs_f64()
    );
    let here = [&common[..], &[places[0].as_str()]].concat();
    deployment.run("job", &here).await.expect_success();
    assert_eq!(result(&outputs[0], false), result(&outputs[1], false));
    assert!(
        !job.output().contains("begins again"),
        "the cluster itself made it good: {}",
        job.output()
    );
    let history = deployment
        .run("job", &["history", "heavy"])
        .await
        .expect_success();
    assert_eq!(history.matches("succeeded").count(), 2, "{history}");
    drop(staying);
}

async fn what_is_missing_is_said_and_what_is_cancelled_ends(deployment: Deployment) {
    let deployment = city(&deployment).await;
    let file = sql_file(&deployment, "heavy", HEAVY);
    let output = deployment.scratch().join("result").display().to_string();
    let run = |scheduler: &str| {
        [
            "run",
            &file,
            "--output",
            &output,
            "--distributed",
            scheduler,
        ]
        .map(str::to_owned)
    };
    let nobody = deployment
        .run("job", &run("127.0.0.1:9").each_ref().map(String::as_str))
        .await;
    assert_eq!(nobody.code(), 1, "{nobody:?}");
    let said = "the scheduler at 127.0.0.1:9 does not answer: nobody listens there; start one with";
    assert!(nobody.stderr.contains(said), "{nobody:?}");
    let lonely = deployment
        .run("job", &["executor", "--scheduler", "127.0.0.1:9"])
        .await;
    assert_eq!(lonely.code(), 1, "{lonely:?}");
    assert!(lonely.stderr.contains(said), "{lonely:?}");

    let scheduler = JobScheduler::start(&deployment).await;
    let arguments = run(&scheduler.address);
    let arguments = arguments.each_ref().map(String::as_str);
    let without = deployment.run("job", &arguments).await;
    assert_eq!(without.code(), 1, "{without:?}");
    assert!(
        without
            .stderr
            .contains("has no executor, and none came within 30 s"),
        "{without:?}"
    );
    let twice = deployment
        .run("job", &["scheduler", "--listen", &scheduler.address])
        .await;
    assert_eq!(twice.code(), 1, "{twice:?}");
    assert!(twice.stderr.contains("cannot listen on"), "{twice:?}");

    let executor = JobExecutor::start(&deployment, &scheduler, "executor").await;
    let mut job = deployment.start("job", &arguments);
    until(LONG, "rows on the executor", || {
        assert!(job.ended().is_none(), "{}", job.output());
        let files = executor.files();
        async move { (files >= 1).then_some(()).ok_or(format!("{files} files")) }
    })
    .await;
    job.signal(Signal::Terminate);
    assert_eq!(job.wait(LONG).await.code(), Some(1), "{}", job.output());
    assert!(
        job.output().contains("cancelled; nothing was written"),
        "{}",
        job.output()
    );
    until(LONG, "an executor that forgets it", || async {
        match executor.files() {
            0 => Ok(()),
            files => Err(format!("{files} files")),
        }
    })
    .await;

    // Faults of the statement are told as here, and the next job finds the slot free.
    let wrong = sql_file(
        &deployment,
        "wrong",
        "SELECT 1 / (CAST(speed AS INT) - 36) AS one FROM gps_data",
    );
    let places =
        ["wrong", "right"].map(|name| deployment.scratch().join(name).display().to_string());
    let divided = [
        "run",
        &wrong,
        "--output",
        &places[0],
        "--distributed",
        &scheduler.address,
        "--timeout",
        "60",
    ];
    let divided = deployment.run("job", &divided).await;
    assert_eq!(divided.code(), 2, "{divided:?}");
    assert!(divided.stderr.contains("division by zero"), "{divided:?}");
    let light = sql_file(&deployment, "light", "SELECT count(*) AS n FROM gps_data");
    let light = [
        "run",
        &light,
        "--output",
        &places[1],
        "--distributed",
        &scheduler.address,
    ];
    let said = deployment.run("job", &light).await.expect_success();
    assert!(said.starts_with("1 rows in 1 files"), "{said}");
}
