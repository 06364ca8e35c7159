//! Shared pieces of the benchmarks.
//!
//! A benchmark measures its candidates alternately, takes medians, prints a table
//! and writes the same as JSON to `bench/results/<name>.json`: a list of
//! `{measure, value, unit, peer, ratio, target, met}`. A peer that did not run is in
//! the list too, with the reason.

mod drives;
mod peer;
mod recordings;
mod report;

pub use drives::{Drive, drives, with_noise};
pub use peer::{PeerProcess, PeerRun};
pub use recordings::{recording, replayed};
pub use report::{Measurement, Peer, Report};

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};
use event_log::{EventLog, TopicSpec};
use events::Topic;

/// Fewer runs leave a median to chance.
pub const RUNS_MIN: usize = 7;

/// Runs every candidate once per round, in turn, so that what disturbs the
/// machine meets all alike. Returns each one's median rate, items per second.
///
/// A candidate does its work and returns how many items it did. One round before
/// the first warms caches up and is not counted.
pub fn median_rates(rounds: usize, candidates: &mut [&mut dyn FnMut() -> u64]) -> Vec<f64> {
    let began = Instant::now();
    rates_by(&|| began.elapsed().as_secs_f64(), rounds, candidates)
}

/// The same by the time that this thread computed, for candidates that do
/// nothing but compute on it: what else runs on the machine counts less.
pub fn median_core_rates(rounds: usize, candidates: &mut [&mut dyn FnMut() -> u64]) -> Vec<f64> {
    let clock = CoreClock::start();
    rates_by(&|| clock.seconds(), rounds, candidates)
}

/// How long this thread has computed; the wall clock where the system does not
/// tell.
pub struct CoreClock {
    began: Instant,
}

impl CoreClock {
    /// Starts the clock.
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    /// Seconds, from an arbitrary point on.
    pub fn seconds(&self) -> f64 {
        // Linux: nanoseconds on the processor, nanoseconds waiting, turns.
        let on_core_ns = fs::read_to_string("/proc/thread-self/schedstat")
            .ok()
            .and_then(|text| text.split_ascii_whitespace().next()?.parse::<f64>().ok());
        on_core_ns.map_or_else(|| self.began.elapsed().as_secs_f64(), |ns| ns / 1e9)
    }
}

fn rates_by(
    seconds: &dyn Fn() -> f64,
    rounds: usize,
    candidates: &mut [&mut dyn FnMut() -> u64],
) -> Vec<f64> {
    let rounds = rounds.max(RUNS_MIN);
    let mut rates = vec![Vec::with_capacity(rounds); candidates.len()];
    for round in 0..=rounds {
        for (candidate, rates) in candidates.iter_mut().zip(&mut rates) {
            let start = seconds();
            let items = candidate();
            let rate = items as f64 / (seconds() - start);
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    rates.into_iter().map(median).collect()
}

/// The middle value; of an even number, the mean of the middle two.
///
/// # Panics
/// When there are no values.
pub fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "a median needs values");
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    if values.len() % 2 == 1 {
        values[upper]
    } else {
        (values[upper - 1] + values[upper]) / 2.0
    }
}

/// How much memory a process takes now (`VmRSS`) or took at most (`VmHWM`), MiB.
///
/// # Errors
/// When it does not run, or not on Linux.
pub fn memory_mib(process: u32, field: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    Ok(kib.with_context(|| format!("no {field}: it has ended"))? / 1024.0)
}

/// Topics of a run: nothing is ever dropped.
///
/// # Errors
/// When the log refuses them.
pub async fn create_topics(
    log: &dyn EventLog,
    partitions: i32,
    names: impl IntoIterator<Item = Topic>,
) -> Result<()> {
    let spec = |name| TopicSpec {
        name,
        partitions,
        retention: None,
        retention_bytes: None,
        compacted: false,
    };
    let specs: Vec<_> = names.into_iter().map(spec).collect();
    Ok(log.create_topics(&specs).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_does_not_follow_outliers() {
        assert_eq!(median(vec![3.0, 1.0, 1000.0]), 3.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 1000.0]), 3.0);
    }

    #[test]
    fn every_candidate_runs_once_a_round_and_once_before() {
        let (mut one, mut other) = (0_u64, 0_u64);
        let rates = median_rates(
            9,
            &mut [
                &mut || {
                    one += 1;
                    1
                },
                &mut || {
                    other += 1;
                    1
                },
            ],
        );
        assert_eq!((rates.len(), one, other), (2, 10, 10));
    }
}
