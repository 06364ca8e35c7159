//! What a person types.

use chrono::Utc;
use end_to_end::{Deployment, fixtures, on_each_backend};
use serde_json::Value;

on_each_backend!(
    sql_prints_tables_csv_and_json,
    doctor_and_topics_tell_how_things_are
);

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
