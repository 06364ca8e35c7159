//! Events of a fleet that is spread over Gothenburg.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use bench::create_topics;
use event_log::kafka::KafkaLog;
use event_log::{EventLog, NewRecord};
use events::Topic;
use events::time::format_rfc3339;
use tokio::task::JoinSet;

pub const PARTITIONS: i32 = 4;
/// Events of one append.
const BATCH: u64 = 1000;
const CALLERS: u64 = 8;

const SPEED_MPS: f64 = 10.0;
/// Once around, metres, and as a radius in degrees of latitude.
const ROUND_M: f64 = 400.0;
const RADIUS_DEG: f64 = ROUND_M / std::f64::consts::TAU / 111_195.0;

/// Vehicles at places of their own in a rectangle around the city's centre.
#[derive(Clone, Copy, Debug)]
pub struct City {
    pub vehicles: u64,
    /// Width and height of the rectangle, degrees of longitude and latitude.
    pub span: (f64, f64),
}

impl City {
    /// About 2,000 H3 cells of resolution 8 (0.74 km2 each).
    pub const CELLS_2000: City = City {
        vehicles: 10_000,
        span: (0.64, 0.35),
    };

    /// Event `number`, which happened at `timestamp_us`.
    pub fn event(&self, number: u64, timestamp_us: i64) -> NewRecord {
        let vehicle = number % self.vehicles;
        let home = scramble(vehicle);
        let dice = scramble(number ^ 0x5bd1_e995_0000_0000);
        let unit = |bits: u64| (bits & 0xff_ffff) as f64 / f64::from(0x100_0000);
        // Around its block: a fix follows from the one before, as on a street.
        let turned = unit(home >> 40) + timestamp_us as f64 / 1e6 * SPEED_MPS / ROUND_M;
        let (north, east) = (turned * std::f64::consts::TAU).sin_cos();
        let latitude = 57.70 + self.span.1 * (unit(home >> 24) - 0.5) + RADIUS_DEG * north;
        let longitude = 11.97 + self.span.0 * (unit(home) - 0.5) + 1.87 * RADIUS_DEG * east;
        let device = format!("car-{vehicle:06}");
        let value = format!(
            r#"{{"id":"{number:08x}-0000-4000-8000-{:012x}","device_id":"{device}","timestamp":"{}","location":[{latitude:.6},{longitude:.6}],"speed":{}.{},"direction":{},"vehicle_type":"taxi"}}"#,
            dice & 0xffff_ffff_ffff,
            format_rfc3339(timestamp_us),
            30 + dice % 11,
            dice % 10,
            (360.0 - 360.0 * turned.fract()) as u32 % 360,
        );
        NewRecord {
            key: Some(device.into()),
            value: value.into(),
            ..NewRecord::default()
        }
    }

    /// Fills a topic with `count` events over `minutes` of event time before now.
    pub async fn fill(
        self,
        log: &Arc<KafkaLog>,
        topic: &str,
        count: u64,
        minutes: i64,
    ) -> Result<()> {
        let topic = create(log, topic).await?;
        let began_us = now_us() - (minutes + 2) * 60_000_000;
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let (log, topic) = (log.clone(), topic.clone());
            callers.spawn(async move {
                for batch in (caller..count / BATCH).step_by(CALLERS as usize) {
                    let event = |number: u64| {
                        let passed = number as i64 * (minutes * 60_000_000) / count as i64;
                        self.event(number, began_us + passed)
                    };
                    let numbers = batch * BATCH..(batch + 1) * BATCH;
                    log.append(&topic, numbers.map(event).collect()).await?;
                }
                event_log::Result::Ok(())
            });
        }
        while let Some(done) = callers.join_next().await {
            done??;
        }
        Ok(())
    }
}

/// Makes a topic and gives its name.
pub async fn create(log: &Arc<KafkaLog>, name: &str) -> Result<Topic> {
    let name = Topic::from(name);
    create_topics(log.as_ref(), PARTITIONS, [name.clone()]).await?;
    Ok(name)
}

/// Microseconds since the epoch.
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as i64)
}

/// SplitMix64 (Steele et al. 2014).
fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
