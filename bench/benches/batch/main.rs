//! The batch layer: encoding, bytes a row, compaction, bytes read for two questions,
//! and, where `CITYPULSE_TEST_KAFKA` names a Kafka, from there into Delta against
//! reading alone and against Spark (on S3 where `CITYPULSE_TEST_S3_ENDPOINT` names a
//! server).
//!
//! And of the optimised binary that `CITYPULSE_BIN` names: how fast it imports the
//! taxis' file, its memory with many dates open, and how long it takes to compute
//! `traffic_hourly` over 100 M rows, against DuckDB. Spark and DuckDB are where
//! `CITYPULSE_PEERS` says: `make bench-peers`.
//!
//! Rates are per second of processor time (user and system, of the whole process):
//! what one core does, also on a machine that does other things meanwhile. Those that
//! say so are by the wall clock.

mod dates;
mod import;
mod kafka;
mod recompute;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bench::{CoreClock, Measurement, Report, median, recording, replayed};
use event_log::local::{LocalLog, LocalLogConfig};
use events::columns::{ColumnBuilder, Origin};
use events::{Advance, Event, Stream, TopicNames, TopicPartition, decode};
use futures::TryStreamExt;
use generators::city::City;
use generators::{Dirt, GeneratorConfig};
use lake::maintain::CompactOptions;
use lake::query::{Freshness, QueryConfig, SqlEngine};
use lake::{Commit, DatedFiles, Lake, LakeConfig, Table};
use streets::StreetNetwork;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The city's simulated time: 30 s a file, as the batch layer flushes.
const HOURS: i64 = 4;
const FLUSH_S: i64 = 30;
/// 8 June 2026, 06:00 UTC: a Monday morning.
const START_US: i64 = 1_780_898_400_000_000;
const PARTITIONS: i32 = 4;
const TABLE: Table = Table::Stream(Stream::VehicleData);
const ENCODE_EVENTS: usize = 400_000;
const ROUNDS: usize = 7;
const ENCODE_TARGET: f64 = 1.2e6;
const COMPACT_TARGET: f64 = 1.5e6;
/// Bytes of a row, no more than this: written as rows a byte to be a rate.
const ROW_BYTES_TARGET: f64 = 23.0;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut report = Report::new("batch");
    // `cargo bench --bench batch -- kafka` measures a part and writes no results.
    let named: Vec<_> = std::env::args()
        .skip(1)
        .filter(|name| !name.starts_with('-'))
        .collect();
    let is_asked = |name: &str| named.is_empty() || named.iter().any(|asked| asked == name);
    let taxis = match is_asked("lake") {
        // Read on a runtime of its own.
        true => recording("gps/cabspotting_2008-05-20_21.csv.gz").map(replayed),
        false => None,
    };
    let taxis = taxis.transpose()?;
    runtime.block_on(async {
        if is_asked("lake") || is_asked("kafka") {
            let folder = tempfile::tempdir()?;
            let lake = local_lake(&folder.path().join("lake")).await?;
            let sample = fill(&lake).await?;
            if is_asked("kafka") {
                kafka::measure(&mut report, &sample).await?;
            }
            if is_asked("lake") {
                encode(&mut report, &sample, taxis.as_deref())?;
                compact(&mut report, &lake).await?;
                questions(&mut report, lake, &folder.path().join("log"), &sample).await?;
            }
        }
        anyhow::Ok(())
    })?;
    match std::env::var_os("CITYPULSE_BIN").map(PathBuf::from) {
        None => println!("without import, dates and recompute: CITYPULSE_BIN is not set"),
        Some(binary) => {
            if is_asked("import") {
                import::measure(&mut report, &binary)?;
            }
            if is_asked("dates") {
                runtime.block_on(dates::measure(&mut report, &binary))?;
            }
            if is_asked("recompute") {
                runtime.block_on(recompute::measure(&mut report, &binary))?;
            }
        }
    }
    match named.is_empty() {
        true => report.finish(),
        false => {
            report.print();
            Ok(())
        }
    }
}

/// Seconds that this process has computed, on all threads together.
fn processor_s() -> Result<f64> {
    const TICKS_PER_S: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").context("needs Linux")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok());
    // Fields 14 and 15 of the line, counted from 1; the name is the second.
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user + system) / TICKS_PER_S),
        _ => bail!("/proc/self/stat is not as expected: {stat}"),
    }
}

async fn local_lake(folder: &std::path::Path) -> Result<Arc<Lake>> {
    let url = folder.display().to_string();
    Ok(Lake::open(LakeConfig {
        url,
        ..LakeConfig::default()
    })
    .await?)
}

/// Writes hours of the default city's cars, a commit each 30 s, and returns the first
/// events.
async fn fill(lake: &Lake) -> Result<Vec<Event>> {
    let config = GeneratorConfig {
        dirt: Dirt::NONE,
        ..GeneratorConfig::default()
    };
    let mut city = City::new(StreetNetwork::gothenburg(), &config, START_US);
    let mut sample = Vec::new();
    let mut offsets = [0_i64; PARTITIONS as usize];
    for flush in 0..HOURS * 3600 / FLUSH_S {
        let before = offsets;
        let mut rows = ColumnBuilder::new(Stream::VehicleData);
        for second in 0..FLUSH_S {
            let now_us = START_US + (flush * FLUSH_S + second) * 1_000_000;
            for message in city.step(now_us) {
                if message.stream != Stream::VehicleData {
                    continue;
                }
                let event = decode(Stream::VehicleData, &message.value, now_us)?;
                let partition = partition_of(&event.device_id);
                let offset = &mut offsets[partition as usize];
                let origin = Origin {
                    partition,
                    offset: *offset,
                    // Appended with the others of its tick, soon after.
                    appended_at_us: now_us + 3_217,
                };
                *offset += 1;
                rows.push(&event, &origin);
                if sample.len() < ENCODE_EVENTS {
                    sample.push(event);
                }
            }
        }
        let files = lake.write_files(TABLE, vec![rows.finish()]).await?;
        let advances = (0..PARTITIONS).map(|partition| Advance {
            partition: TopicPartition::new(TABLE.name(), partition),
            from: before[partition as usize],
            to: offsets[partition as usize],
        });
        let commit = Commit {
            files,
            advances: advances.collect(),
            ..Commit::default()
        };
        lake.commit(TABLE, &commit).await?;
    }
    Ok(sample)
}

fn partition_of(device: &str) -> i32 {
    device.bytes().map(i32::from).sum::<i32>() % PARTITIONS
}

/// Events to the bytes of a Parquet file, sorting included.
fn encode(report: &mut Report, events: &[Event], taxis: Option<&[Event]>) -> Result<()> {
    let mut random_ids = events.to_vec();
    for event in &mut random_ids {
        event.id = Uuid::new_v4().to_string().into();
    }
    measure_encode(report, "vehicle_data", TABLE, events)?;
    measure_encode(
        report,
        "vehicle_data, random ids (UUID 4)",
        TABLE,
        &random_ids,
    )?;
    if let Some(taxis) = taxis {
        let table = Table::Stream(Stream::GpsData);
        measure_encode(report, "gps_data, San Francisco taxis", table, taxis)?;
    }
    Ok(())
}

fn measure_encode(report: &mut Report, what: &str, table: Table, events: &[Event]) -> Result<()> {
    let Table::Stream(stream) = table else {
        bail!("{table} has no events");
    };
    let clock = CoreClock::start();
    let (mut rates, mut row_bytes) = (Vec::new(), 0.0);
    for _ in 0..ROUNDS {
        let before = clock.seconds();
        let mut rows = ColumnBuilder::new(stream);
        for (offset, event) in (0..).zip(events) {
            let origin = Origin {
                partition: partition_of(&event.device_id),
                offset,
                appended_at_us: event.timestamp_us + 3_217,
            };
            rows.push(event, &origin);
        }
        let mut files = DatedFiles::new(table);
        files.add(&[rows.finish()])?;
        let files = files.finish()?;
        rates.push(events.len() as f64 / (clock.seconds() - before));
        let bytes: u64 = files.iter().map(|encoded| encoded.file.size_bytes).sum();
        row_bytes = bytes as f64 / events.len() as f64;
    }
    let rate = Measurement::rate(&format!("encode {what}"), median(rates), "rows/s, 1 core");
    report.add(rate.at_least(ENCODE_TARGET));
    report.add(Measurement::rate("  size of a row", row_bytes, "bytes"));
    Ok(())
}

async fn compact(report: &mut Report, lake: &Arc<Lake>) -> Result<()> {
    let options = CompactOptions::default();
    let (mut rows, mut files, mut bytes_after) = (0, 0, 0);
    let before = processor_s()?;
    for plan in lake.compaction_plan(TABLE, &options).await? {
        let done = lake
            .compact(&plan, &options, |_| {}, &CancellationToken::new())
            .await?
            .context("nobody else works on it")?;
        rows += done.rows;
        files += done.files_before;
        bytes_after += done.bytes_after;
    }
    let rate = rows as f64 / (processor_s()? - before);
    println!("compaction: {files} files, {rows} rows");
    report.add(Measurement::rate("compaction", rate, "rows/s, 1 core").at_least(COMPACT_TARGET));
    let row_bytes = bytes_after as f64 / rows as f64;
    report.add(Measurement::rate(
        "size of a row, compacted",
        row_bytes,
        "bytes",
    ));
    report.add(
        Measurement::rate("rows a kB, compacted", 1e3 / row_bytes, "rows")
            .at_least(1e3 / ROW_BYTES_TARGET),
    );
    Ok(())
}

/// How much is read of the table for one vehicle's day and for one area's hour.
async fn questions(
    report: &mut Report,
    lake: Arc<Lake>,
    log_folder: &std::path::Path,
    sample: &[Event],
) -> Result<()> {
    let log = LocalLog::open(LocalLogConfig::new(log_folder))?;
    let all = lake.refresh(TABLE).await?.size_bytes() as f64;
    let engine = SqlEngine::new(lake, log, TopicNames::default(), QueryConfig::default())?;
    let vehicle = sample.first().context("events")?.device_id.clone();
    let questions = [
        ("one vehicle's day", format!("device_id = '{vehicle}'")),
        (
            "one km2's hour",
            "timestamp >= TIMESTAMP '2026-06-08T07:00:00Z' AND timestamp < TIMESTAMP '2026-06-08T08:00:00Z' \
             AND latitude BETWEEN 57.70 AND 57.71 AND longitude BETWEEN 11.96 AND 11.98"
                .to_owned(),
        ),
    ];
    for (what, condition) in questions {
        let sql = format!(
            "EXPLAIN ANALYZE SELECT timestamp, device_id, latitude, longitude, speed FROM vehicle_data WHERE {condition}"
        );
        let (_, rows) = engine.query(&sql, Freshness::Relaxed).await?;
        let batches: Vec<_> = rows.try_collect().await?;
        let plan = arrow::util::pretty::pretty_format_batches(&batches)?.to_string();
        let read = bytes_scanned(&plan).with_context(|| format!("no bytes_scanned in {plan}"))?;
        report.add(Measurement::rate(
            &format!("read for {what}"),
            read / 1e3,
            "kB",
        ));
        report.add(Measurement::rate(
            "  share of the table",
            100.0 * read / all,
            "%",
        ));
    }
    Ok(())
}

/// `bytes_scanned=1.2 M` or `bytes_scanned=1234`.
fn bytes_scanned(plan: &str) -> Option<f64> {
    let text = plan.split("bytes_scanned=").nth(1)?;
    let text: String = text
        .chars()
        .take_while(|c| !matches!(c, ',' | ']' | '|'))
        .collect();
    let mut words = text.split_whitespace();
    let number: f64 = words.next()?.parse().ok()?;
    let factor = match words.next() {
        None => 1.0,
        Some("K") => 1e3,
        Some("M") => 1e6,
        Some("G") => 1e9,
        Some(_) => return None,
    };
    Some(number * factor)
}
