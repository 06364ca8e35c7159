//! The speed layer as a process: `citypulse speed` on Kafka and Redis.
//!
//! - Kafka to Redis: events a second, with state and windows (of a minute) over 2,000
//!   cells, and with map matching and roads besides, against the same Kafka client
//!   reading the same topic and doing nothing. With
//!   `CITYPULSE_PEERS` also against Flink and Spark, which compute windows as long
//!   over as many cells, and write them nowhere: `make bench-peers`.
//! - From the append of an event until a watcher of Redis has it, at 50,000 events/s.
//! - From the append until a WebSocket subscriber has it, or the alert that it raises,
//!   at 10,000 events/s.
//! - Memory with 100,000 devices.
//!
//! Needs `CITYPULSE_BIN` (an optimised `citypulse`) and `CITYPULSE_TEST_KAFKA`;
//! `make bench-speed` sets both. Everything runs on this machine, so producer, Kafka,
//! Redis and the speed layer share its cores.

mod city;
mod delay;
mod memory;
mod peers;
mod process;
mod throughput;

use anyhow::{Context, Result};
use bench::Report;
use tokio::runtime::Runtime;

use process::Stand;

fn main() -> Result<()> {
    let stand = Stand::from_environment()?;
    let runtime = Runtime::new().context("no runtime")?;
    let mut report = Report::new("speed");
    // `cargo bench --bench speed -- delay` measures a part and writes no results.
    let named: Vec<_> = std::env::args()
        .skip(1)
        .filter(|name| !name.starts_with('-'))
        .collect();
    let is_asked = |name: &str| named.is_empty() || named.iter().any(|asked| asked == name);
    if is_asked("throughput") {
        throughput::measure(&runtime, &stand, &mut report)?;
    }
    if is_asked("delay") {
        delay::until_redis(&runtime, &stand, &mut report)?;
        delay::until_websocket(&runtime, &stand, &mut report)?;
    }
    if is_asked("memory") {
        memory::measure(&runtime, &stand, &mut report)?;
    }
    match named.is_empty() {
        true => report.finish(),
        false => {
            report.print();
            Ok(())
        }
    }
}
