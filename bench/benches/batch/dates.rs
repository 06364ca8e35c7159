//! The memory of one `citypulse batch`, as it is after installation, while events of many
//! dates come in any order: all of the process, from its start on. Its lake is on S3 where
//! the environment names a server, else in a folder.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bench::{Measurement, Report, create_topics, memory_mib};
use event_log::kafka::{KafkaConfig, KafkaLog};
use event_log::{EventLog, NewRecord};
use events::time::format_rfc3339;
use events::{Stream, TopicNames};
use lake::{Lake, LakeConfig};
use uuid::Uuid;

use crate::TABLE;
use crate::kafka::Place;

const DATES: u64 = 30;
const EVENTS: u64 = 3_000_000;
const MIB_MAX: f64 = 512.0;
const LIMIT: Duration = Duration::from_secs(300);
const DAY_US: i64 = 86_400_000_000;
/// 2026-05-01.
const FIRST_US: i64 = 1_777_593_600_000_000;

pub async fn measure(report: &mut Report, binary: &Path) -> Result<()> {
    let Ok(brokers) = std::env::var("CITYPULSE_TEST_KAFKA") else {
        println!("without the memory of {DATES} dates: CITYPULSE_TEST_KAFKA is not set");
        return Ok(());
    };
    let log = KafkaLog::connect(KafkaConfig::new(brokers.clone()))?;
    let run = Uuid::new_v4().simple().to_string();
    let topic = format!("bench-dates-{run}");
    fill(log.as_ref(), &topic).await?;
    let folder = tempfile::tempdir()?;
    let place = Place::from_environment(folder.path(), &run);
    let lake = place.lake("lake");
    let access = [
        ("CITYPULSE_S3__ENDPOINT", &lake.s3.endpoint),
        ("AWS_ACCESS_KEY_ID", &lake.s3.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", &lake.s3.secret_access_key),
    ];
    let access = access.into_iter();
    let access = access.filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let output = std::fs::File::create(folder.path().join("output"))?;
    let mut batch = Command::new(binary)
        .env_clear()
        .envs(["PATH", "HOME"].map(|name| (name, std::env::var(name).unwrap_or_default())))
        .envs(access)
        .env("KAFKA_BOOTSTRAP_SERVERS", &brokers)
        .env("CITYPULSE_TOPICS__VEHICLE_DATA", &topic)
        .env("CITYPULSE_LAKE__URL", &lake.url)
        .args(["batch", "--log", "warn", "--data-dir"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("{} does not start", binary.display()))?;
    let peak = until_all_are_in(lake, batch.id()).await;
    // Fails only where it has ended.
    let _ = batch.kill();
    let _ = batch.wait();
    let said = std::fs::read_to_string(folder.path().join("output")).unwrap_or_default();
    let peak = peak.with_context(|| said)?;
    let measure = format!("most memory while ingesting {DATES} dates at once");
    report.add(Measurement::rate(&measure, peak, "MiB").at_most(MIB_MAX));
    Ok(())
}

/// Events of all dates one after the other, so that all are open at once.
async fn fill(log: &dyn EventLog, topic: &str) -> Result<()> {
    let names = TopicNames::default();
    let dead_letters = names.dead_letters(Stream::VehicleData);
    create_topics(log, 4, [topic.into(), dead_letters]).await?;
    for first in (0..EVENTS).step_by(10_000) {
        let records = (first..first + 10_000).map(|number| {
            let (device, day) = (number % 500, number % DATES);
            let at_us = FIRST_US + day as i64 * DAY_US + (number / 500) as i64 * 1_000_000;
            let value = format!(
                r#"{{"id":"{}","device_id":"car-{device:03}","timestamp":"{}","location":[57.7{device:03},11.9{device:03}],"speed":{}.5,"direction":{},"make":"Volvo","model":"V60","year":2021,"fuel_type":"Electric"}}"#,
                Uuid::new_v4(),
                format_rfc3339(at_us),
                number % 70,
                number % 360,
            );
            NewRecord {
                key: Some(format!("car-{device:03}").into()),
                value: value.into(),
                ..NewRecord::default()
            }
        });
        log.append(&topic.into(), records.collect()).await?;
    }
    Ok(())
}

/// The most memory that the process ever held until then, MiB.
async fn until_all_are_in(lake: LakeConfig, process: u32) -> Result<f64> {
    let began = Instant::now();
    let lake = Lake::open(lake).await?;
    loop {
        let rows = lake.refresh(TABLE).await?.rows().unwrap_or(0);
        let peak = memory_mib(process, "VmHWM:")?;
        if rows >= EVENTS {
            return Ok(peak);
        }
        if began.elapsed() > LIMIT {
            bail!("{rows} of {EVENTS} events are in the lake after {LIMIT:?}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
