//! Flink and Spark on the same topic: count, mean, minimum and maximum of the speed in
//! windows of 10 s over about 2,000 cells, in their own SQL. They write the result
//! nowhere and keep no state of vehicles, so they have less to do.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::process::Stand;

/// Another stream processor.
pub struct Peer {
    pub name: String,
    /// We are to be at least so many times as fast.
    pub times: f64,
    python: PathBuf,
    script: PathBuf,
    jars: PathBuf,
    brokers: String,
    topic: String,
    events: u64,
}

/// What a script prints as its last line.
#[derive(Deserialize)]
struct Outcome {
    events: u64,
    /// From the job's start in a running engine to its end.
    seconds: f64,
    windows: u64,
}

/// Those that `CITYPULSE_PEERS` has installed; none where it is not set.
pub fn all(stand: &Stand, topic: &str, events: u64) -> Result<Vec<Peer>> {
    let Some(folder) = std::env::var_os("CITYPULSE_PEERS") else {
        println!("without Flink and Spark: CITYPULSE_PEERS is not set (make bench-peers)");
        return Ok(Vec::new());
    };
    let folder = PathBuf::from(folder);
    let scripts = PathBuf::from("peers");
    let versions = [("flink", "Flink 2.3", 5.0), ("spark", "Spark 4.2", 10.0)];
    Ok(versions
        .into_iter()
        .map(|(id, name, times)| Peer {
            name: name.to_owned(),
            times,
            python: folder.join(id).join("bin/python"),
            script: scripts.join(format!("{id}_windows.py")),
            jars: folder.join(format!("{id}-jars")),
            brokers: stand.brokers.clone(),
            topic: topic.to_owned(),
            events,
        })
        .collect())
}

impl Peer {
    /// One run; events a second.
    pub fn run(&self) -> Result<f64> {
        let output = Command::new(&self.python)
            .arg(&self.script)
            .args([&self.brokers, &self.topic, &self.events.to_string()])
            .arg(&self.jars)
            .output()
            .with_context(|| format!("{} does not start", self.python.display()))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<_> = errors.lines().rev().take(5).collect();
        ensure!(output.status.success(), "{}", tail.join(" | "));
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().last().context("it printed nothing")?;
        let outcome: Outcome = serde_json::from_str(last).context(last.to_owned())?;
        ensure!(
            outcome.events == self.events && outcome.windows > 0,
            "it read {} of {} events",
            outcome.events,
            self.events
        );
        let rate = outcome.events as f64 / outcome.seconds;
        println!(
            "{}: {rate:.0} events/s, {} windows",
            self.name, outcome.windows
        );
        Ok(rate)
    }
}
