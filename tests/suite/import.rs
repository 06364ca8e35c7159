//! `citypulse import`: history straight into the lake, each file once.

use std::io::Write;
use std::path::PathBuf;

use end_to_end::{Deployment, Finished, on_each_backend};

on_each_backend!(
    a_file_is_in_once_however_it_is_written_and_read,
    a_file_that_cannot_be_read_keeps_no_other_out,
    parquet_files_of_one_name_are_different_files,
    of_two_imports_of_a_file_one_adds_it,
    what_a_file_does_not_say_is_set_and_what_is_no_event_is_kept,
);

/// Fixes of some taxis, a row each second; one row in `bad_every` has no latitude.
fn taxis(rows: u64, bad_every: u64) -> String {
    let mut text = String::from("taxi,when,lat,lon,kmh\n");
    for row in 0..rows {
        let latitude = match row % bad_every == bad_every - 1 {
            true => "north".to_owned(),
            false => format!("57.{:05}", 70_000 + row % 1_000),
        };
        let (taxi, when) = (row % 7, 1_700_000_000 + row);
        text.push_str(&format!("t{taxi},{when},{latitude},11.97,{}\n", row % 60));
    }
    text
}

fn file(deployment: &Deployment, name: &str, content: &[u8]) -> String {
    let path: PathBuf = deployment.scratch().join(name);
    std::fs::write(&path, content).expect("a file of our own");
    path.display().to_string()
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}

const TAXIS: [&str; 10] = [
    "--stream",
    "gps_data",
    "--map",
    "device_id=taxi",
    "--map",
    "timestamp=when",
    "--map",
    "speed=kmh",
    "--map",
    "latitude=lat",
];

async fn import(deployment: &Deployment, files: &[&str], flags: &[&str]) -> Finished {
    deployment.run("import", &[files, flags].concat()).await
}

/// Rows and different ids of the table, as `citypulse sql` says.
async fn rows(deployment: &Deployment) -> (u64, u64) {
    let sql = "SELECT count(*) AS rows, count(DISTINCT id) AS ids FROM gps_data";
    let told = deployment.run("sql", &[sql, "--format", "json"]).await;
    let told: serde_json::Value = serde_json::from_str(&told.expect_success()).expect("JSON");
    let row = &told["rows"][0];
    let number = |name: &str| row[name].as_u64().expect("a number");
    (number("rows"), number("ids"))
}

async fn a_file_is_in_once_however_it_is_written_and_read(deployment: Deployment) {
    let text = taxis(5_000, 1_000);
    let plain = file(&deployment, "taxis.csv", text.as_bytes());
    let said = import(&deployment, &[&plain], &TAXIS)
        .await
        .expect_success();
    assert!(
        said.contains("taxis.csv: 4995 rows added, 5 not readable"),
        "{said}"
    );
    assert_eq!(rows(&deployment).await, (4_995, 4_995));

    let again = import(&deployment, &[&plain], &TAXIS)
        .await
        .expect_success();
    assert!(again.contains("already in; nothing added"), "{again}");
    // The same content: compressed, its format told, the map in another order.
    let packed = file(&deployment, "other-name.csv.gz", &gzipped(&text));
    let mut told = vec!["--format", "csv"];
    told.extend(TAXIS[..2].iter().chain(&TAXIS[4..]).chain(&TAXIS[2..4]));
    let said = import(&deployment, &[&packed], &told)
        .await
        .expect_success();
    assert!(said.contains("0 rows added, 4995 already in"), "{said}");
    assert_eq!(rows(&deployment).await, (4_995, 4_995));
}

async fn a_file_that_cannot_be_read_keeps_no_other_out(deployment: Deployment) {
    let good = file(&deployment, "good.csv", taxis(3_000, 5_000).as_bytes());
    let missing = deployment
        .scratch()
        .join("missing.csv")
        .display()
        .to_string();
    let refused = import(&deployment, &[&good, &missing], &TAXIS).await;
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(
        format!("{refused:?}").contains("nothing was imported"),
        "{refused:?}"
    );

    // Cut off in the middle.
    let whole = gzipped(&taxis(4_000, 5_000));
    let broken = file(&deployment, "broken.csv.gz", &whole[..whole.len() / 2]);
    let empty = file(&deployment, "empty.csv", b"");
    let open = format!(
        "{}t1,1700000000,57.7,\"11.97,5\n{}",
        taxis(3, 5),
        taxis(900, 5_000)
    );
    let open = file(&deployment, "open.csv", open.as_bytes());
    let other = file(&deployment, "other.csv", taxis(4_000, 5_000).as_bytes());
    let files = [&good, &broken, &empty, &open, &other].map(String::as_str);
    let failed = import(&deployment, &files, &TAXIS).await;
    assert_eq!(failed.code(), 1, "{failed:?}");
    let said = format!("{failed:?}");
    for expected in [
        "good.csv: 3000 rows added",
        "other.csv: 4000 rows added",
        "broken.csv.gz was not imported",
        "empty.csv is empty",
        "line 5, column",
        "3 of 5 files were not imported",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // Rows that both files have are told by what they say and where.
    assert_eq!(rows(&deployment).await.0, 7_000);
}

/// A Parquet file of the rows of that query, in a folder of its own.
async fn parquet(deployment: &Deployment, folder: &str, sql: &str) -> String {
    let query = file(deployment, &format!("{folder}.sql"), sql.as_bytes());
    let output = deployment.scratch().join(format!("{folder}-job"));
    let output_text = output.display().to_string();
    let arguments = [
        "run",
        &query,
        "--output",
        &output_text,
        "--format",
        "parquet",
    ];
    deployment.run("job", &arguments).await.expect_success();
    let written = std::fs::read_dir(&output)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    let part = written
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "parquet"));
    let folder = deployment.scratch().join(folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("part-0.parquet");
    std::fs::copy(part.expect("a file"), &path).expect("copied");
    path.display().to_string()
}

async fn parquet_files_of_one_name_are_different_files(deployment: Deployment) {
    let good = file(&deployment, "good.csv", taxis(10, 5_000).as_bytes());
    import(&deployment, &[&good], &TAXIS).await.expect_success();
    let fixes = |latitude: &str| {
        format!(
            "SELECT concat('p', value % 3) AS \"Device_ID\", 1700000000 + 60 * value AS \"Time\", \
             {latitude} + value / 1000.0 AS lat, CAST('11.97' AS DOUBLE) AS \"Lon\" FROM generate_series(1, 100)"
        )
    };
    let one = parquet(&deployment, "d1", &fixes("57.0")).await;
    let other = parquet(&deployment, "d2", &fixes("58.0")).await;
    let said = import(&deployment, &[&one, &other], &TAXIS[..2])
        .await
        .expect_success();
    assert_eq!(
        said.matches("part-0.parquet: 100 rows added").count(),
        2,
        "{said}"
    );
    assert_eq!(rows(&deployment).await, (210, 210));
    // The same content under another name adds nothing.
    let copy = deployment
        .scratch()
        .join("copy.parquet")
        .display()
        .to_string();
    std::fs::copy(&one, &copy).expect("copied");
    let again = import(&deployment, &[&copy], &TAXIS[..2])
        .await
        .expect_success();
    assert!(again.contains("already in; nothing added"), "{again}");
    // From fix to fix, as in CSV.
    let sql = "SELECT count(*) AS moving FROM gps_data WHERE device_id LIKE 'p%' AND speed > 1";
    let told = deployment
        .run("sql", &[sql, "--format", "csv"])
        .await
        .expect_success();
    assert!(told.contains("194"), "{told}");
    // One sentence, not one a row.
    let none = parquet(
        &deployment,
        "d3",
        "SELECT 'a' AS device_id, 1700000000 AS time",
    )
    .await;
    let refused = import(&deployment, &[&none], &TAXIS[..2]).await;
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("no column for latitude, which gps_data requires"),
        "{refused:?}"
    );
}

async fn of_two_imports_of_a_file_one_adds_it(deployment: Deployment) {
    let path = file(&deployment, "taxis.csv", taxis(20_000, 50_000).as_bytes());
    let files = [path.as_str()];
    let (one, other) = tokio::join!(
        import(&deployment, &files, &TAXIS),
        import(&deployment, &files, &TAXIS)
    );
    one.expect_success();
    other.expect_success();
    assert_eq!(rows(&deployment).await, (20_000, 20_000));
}

async fn what_a_file_does_not_say_is_set_and_what_is_no_event_is_kept(deployment: Deployment) {
    let text = "No,year,month,day,hour,PM2.5,station\n\
                1,2013,3,1,0,4,Dongsi\n2,2013,3,1,1,NA,Dongsi\n3,2013,2,30,0,5,Dongsi\n";
    let path = file(&deployment, "station.csv", text.as_bytes());
    let flags = [
        "--stream",
        "weather_data",
        "--map",
        "timestamp=year,month,day,hour,+08:00",
        "--set",
        "latitude=39.929",
        "--set",
        "longitude=116.417",
    ];
    let said = import(&deployment, &[&path], &flags).await;
    let said = said.expect_success();
    assert!(
        said.contains("station.csv: 2 rows added, 1 not readable (them in dead_letters)"),
        "{said}"
    );
    let asked = async |sql: &str| {
        let told = deployment.run("sql", &[sql, "--format", "csv"]).await;
        told.expect_success().replace("\r\n", "\n")
    };
    let station = asked(
        "SELECT device_id, min(timestamp) AS first, min(latitude) AS latitude, count(pm25) AS readings \
         FROM weather_data GROUP BY 1",
    )
    .await;
    assert!(
        station.contains("Dongsi,2013-02-28T16:00:00") && station.ends_with(",39.929,1\n"),
        "{station}"
    );
    let letters = asked("SELECT stage, message, value FROM dead_letters").await;
    assert!(
        letters.contains("import,")
            && letters.contains("station.csv:4: ")
            && letters.contains("3,2013,2,30,0,5,Dongsi"),
        "{letters}"
    );
}
