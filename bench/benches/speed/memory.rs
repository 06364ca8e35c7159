//! How much memory a speed layer takes for many devices.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench::{Measurement, Report};
use hot_store::testing::RedisServer;
use hot_store::{HotStore, Kind};
use tokio::runtime::Runtime;

use super::city::City;
use super::process::{Stand, done, store};

const EVENTS: u64 = 1_000_000;
const MIB_MAX: f64 = 300.0;
const LIMIT: Duration = Duration::from_secs(300);

pub fn measure(runtime: &Runtime, stand: &Stand, report: &mut Report) -> Result<()> {
    // All over the streets of the city, ten fixes each.
    let city = City {
        vehicles: 100_000,
        span: (0.12, 0.06),
    };
    let (now_mib, most_mib, segments) = runtime.block_on(async {
        let topic = stand.topic("memory");
        city.fill(&stand.log, &topic, EVENTS, 4).await?;
        let redis = RedisServer::start();
        let store = store(&redis)?;
        let role = stand.start("speed", &redis, &topic)?;
        let mut segments = 0;
        let began = Instant::now();
        loop {
            let now = done(&store, &topic).await?;
            if now >= EVENTS {
                break;
            }
            ensure!(
                began.elapsed() < LIMIT,
                "{now} of {EVENTS} events: {}",
                role.output()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // They are written once a second, after the vehicles.
        let done = Instant::now();
        while done.elapsed() < Duration::from_secs(5) {
            segments = segments.max(store.scan(Kind::Road).await?.len());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let (now, most) = role.memory_mib()?;
        role.stop()?;
        Ok::<_, anyhow::Error>((now, most, segments))
    })?;
    println!("memory: {segments} segments with traffic");
    let measure = "memory at 100,000 devices";
    // At its most, which may last a moment: the last checkpoints, one after the other.
    report.add(Measurement::rate(measure, most_mib, "MiB").at_most(MIB_MAX));
    report.add(Measurement::rate("  when all is written", now_mib, "MiB"));
    report.add(Measurement::rate(
        "segments with traffic meanwhile",
        segments as f64,
        "segments",
    ));
    Ok(())
}
