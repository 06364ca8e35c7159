//! `traffic_hourly` over a lake of many dates: `citypulse recompute` against DuckDB,
//! which reads the same files of the same snapshot and writes an aggregate with the
//! same columns to Parquet. DuckDB cannot match fixes to streets: it groups by a cell
//! of a grid, and judges nothing (repeated messages, jumps, parked vehicles).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bench::{Measurement, PeerProcess, Report, median};
use events::columns::{ColumnBuilder, Origin};
use events::{Advance, Stream, TopicPartition, decode};
use generators::city::City;
use generators::{Dirt, GeneratorConfig};
use lake::maintain::CompactOptions;
use lake::{Commit, Lake};
use streets::StreetNetwork;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{TABLE, local_lake};

/// Rows of the lake; `CITYPULSE_BENCH_ROWS` takes its place while developing.
const ROWS: u64 = 100_000_000;
/// 8 June 2026, a Monday, in days since the epoch; and how many dates from then on.
const FIRST_DATE: i64 = 20_612;
const DATES: i64 = 4;
/// So many that a day has more messages of cars than are taken.
const VEHICLES: usize = 800;
/// Of the city's time, in one commit.
const COMMIT_S: i64 = 1800;
const DAY_US: i64 = 86_400_000_000;
/// Each takes minutes at full size.
const ROUNDS: usize = 3;
/// Our time to DuckDB's.
const TIMES_MAX: f64 = 1.3;

pub async fn measure(report: &mut Report, binary: &Path) -> Result<()> {
    let rows = match std::env::var("CITYPULSE_BENCH_ROWS") {
        Ok(text) => text.parse().context("CITYPULSE_BENCH_ROWS")?,
        Err(_) => ROWS,
    };
    let folder = tempfile::tempdir()?;
    // A lake that is kept: filled by the first run, and read by those after it.
    let kept = std::env::var_os("CITYPULSE_BENCH_LAKE").map(PathBuf::from);
    let lake_folder = kept.unwrap_or_else(|| folder.path().join("lake"));
    let lake = local_lake(&lake_folder).await?;
    if lake.refresh(TABLE).await?.rows() != Some(rows) {
        fill(&lake, rows).await?;
    }
    let mut duckdb = duckdb(&lake, folder.path()).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let took_s = recompute(binary, &lake_folder, folder.path())?;
        println!("run {round}: recompute {took_s:.1} s");
        ours.push(took_s);
        match duckdb.as_mut().map(PeerProcess::run) {
            Ok(Ok(run)) => {
                ensure!(
                    run.items == rows,
                    "DuckDB read {} of {rows} rows",
                    run.items
                );
                println!("DuckDB: {:.1} s, {} groups", run.seconds, run.found);
                theirs.push(run.seconds);
            }
            Ok(Err(error)) => duckdb = Err(error),
            Err(_) => {}
        }
    }
    let name = format!("recompute traffic_hourly, {} M rows", rows / 1_000_000);
    let line = Measurement::rate(&name, median(ours), "s, wall clock");
    report.add(match duckdb {
        Ok(duckdb) => {
            let seconds = median(theirs);
            let name = format!("{} by grid cell, nothing judged", duckdb.name);
            line.at_most(TIMES_MAX * seconds).against(&name, seconds)
        }
        Err(error) => line.without("DuckDB", &format!("{error:#}")),
    });
    Ok(())
}

/// Days of the city's cars, compacted as the batch layer leaves them.
async fn fill(lake: &Arc<Lake>, rows: u64) -> Result<()> {
    let began = Instant::now();
    let mut days = JoinSet::new();
    for day in 0..DATES as u64 {
        let (lake, rows) = (lake.clone(), rows / DATES as u64);
        let runtime = tokio::runtime::Handle::current();
        days.spawn_blocking(move || runtime.block_on(fill_date(&lake, day as i32, rows)));
    }
    while let Some(done) = days.join_next().await {
        done??;
    }
    let options = CompactOptions::default();
    for plan in lake.compaction_plan(TABLE, &options).await? {
        lake.compact(&plan, &options, |_| {}, &CancellationToken::new())
            .await?
            .context("nobody else works on it")?;
    }
    println!("{rows} rows in {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// One date's rows; each date is a log partition, so that dates are filled side by side.
async fn fill_date(lake: &Lake, day: i32, count: u64) -> Result<()> {
    let start_us = (FIRST_DATE + i64::from(day)) * DAY_US;
    let config = GeneratorConfig {
        dirt: Dirt::NONE,
        vehicles: VEHICLES,
        seed: u64::from(day.unsigned_abs()),
        cameras: 0,
        stations: 0,
        ..GeneratorConfig::default()
    };
    let mut city = City::new(StreetNetwork::gothenburg(), &config, start_us);
    let mut next = 0_i64;
    for commit in 0..DAY_US / 1_000_000 / COMMIT_S {
        let from = next;
        let mut rows = ColumnBuilder::new(Stream::VehicleData);
        for second in commit * COMMIT_S..(commit + 1) * COMMIT_S {
            let now_us = start_us + second * 1_000_000;
            for message in city.step(now_us) {
                if message.stream != Stream::VehicleData || next as u64 == count {
                    continue;
                }
                let event = decode(Stream::VehicleData, &message.value, now_us)?;
                let origin = Origin {
                    partition: day,
                    offset: next,
                    appended_at_us: now_us + 3_217,
                };
                rows.push(&event, &origin);
                next += 1;
            }
        }
        if next == from {
            break;
        }
        let commit = Commit {
            files: lake.write_files(TABLE, vec![rows.finish()]).await?,
            advances: vec![Advance {
                partition: TopicPartition::new(TABLE.name(), day),
                from,
                to: next,
            }],
            ..Commit::default()
        };
        lake.commit(TABLE, &commit).await?;
    }
    ensure!(
        next as u64 == count,
        "a day of the city has {next} rows, not {count}"
    );
    Ok(())
}

/// The command as people run it, start included; seconds.
fn recompute(binary: &Path, lake_folder: &Path, data_folder: &Path) -> Result<f64> {
    let date = |day: i64| {
        let text = events::time::format_rfc3339((FIRST_DATE + day) * DAY_US);
        text[..10].to_owned()
    };
    let began = Instant::now();
    let output = Command::new(binary)
        .env_clear()
        .envs(["PATH", "HOME"].map(|name| (name, std::env::var(name).unwrap_or_default())))
        .env("CITYPULSE_LAKE__URL", lake_folder)
        .args(["recompute", "--view", "traffic_hourly"])
        .args(["--from", &date(0), "--to", &date(DATES - 1), "--data-dir"])
        .arg(data_folder)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} does not start", binary.display()))?;
    let took_s = began.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}{errors}");
    print!("{said}");
    Ok(took_s)
}

/// On the files of the newest snapshot.
async fn duckdb(lake: &Lake, folder: &Path) -> Result<PeerProcess> {
    let peers = std::env::var_os("CITYPULSE_PEERS").map(PathBuf::from);
    let peers = peers.context("CITYPULSE_PEERS is not set (make bench-peers)")?;
    let snapshot = lake.refresh(TABLE).await?;
    let root = Path::new(lake.url()).join(TABLE.name());
    let files: Vec<_> = snapshot.files.keys().map(|path| root.join(path)).collect();
    let list = folder.join("files.json");
    std::fs::write(&list, serde_json::to_vec(&files)?)?;
    let python = peers.join("duckdb/bin/python");
    let arguments = [list.display().to_string(), folder.display().to_string()];
    PeerProcess::start(
        &python,
        "duckdb_traffic.py",
        &[&arguments[0], &arguments[1]],
    )
}
