//! Flink and Spark on the same topic: count, mean, minimum and maximum of the speed in
//! windows of a minute, as ours are, over about 2,000 cells, in their own SQL. They
//! write the result nowhere, keep no state of vehicles and no quantiles, and do not
//! look for repeated messages, so they have less to do.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use bench::{Measurement, PeerProcess, Report, median};

use super::process::Stand;

const WINDOW_SECONDS: &str = "60";
/// Folder, name, and how many times as fast we are to be at least.
const PEERS: [(&str, &str, f64); 2] = [("flink", "Flink", 5.0), ("spark", "Spark", 10.0)];

/// Another stream processor, or why it does not run.
pub struct Peer {
    name: String,
    times: f64,
    process: Result<PeerProcess>,
    rates: Vec<f64>,
}

/// Those that `CITYPULSE_PEERS` has installed.
pub fn all(stand: &Stand, topic: &str) -> Vec<Peer> {
    let start = |id: &str| {
        let Some(folder) = std::env::var_os("CITYPULSE_PEERS").map(PathBuf::from) else {
            anyhow::bail!("CITYPULSE_PEERS is not set (make bench-peers)");
        };
        let jars = folder.join(format!("{id}-jars")).display().to_string();
        let python = folder.join(id).join("bin/python");
        let script = format!("{id}_windows.py");
        PeerProcess::start(
            &python,
            &script,
            &[&stand.brokers, topic, WINDOW_SECONDS, &jars],
        )
    };
    PEERS
        .into_iter()
        .map(|(id, name, times)| {
            let process = start(id);
            let told = process.as_ref().map(|process| process.name.clone());
            Peer {
                name: told.unwrap_or_else(|_| name.to_owned()),
                times,
                process,
                rates: Vec::new(),
            }
        })
        .collect()
}

impl Peer {
    /// Reads the topic once; the first run warms it up and is not counted.
    pub fn run(&mut self, events: u64, is_counted: bool) {
        let Ok(process) = &mut self.process else {
            return;
        };
        let run = process.run().and_then(|run| {
            let all = run.items == events && run.found > 0;
            ensure!(all, "it read {} of {events} events", run.items);
            Ok(run)
        });
        match run {
            Ok(run) => {
                println!(
                    "{}: {:.0} events/s, {} windows",
                    self.name,
                    run.rate(),
                    run.found
                );
                if is_counted {
                    self.rates.push(run.rate());
                }
            }
            Err(error) => {
                println!("{} does not run: {error:#}", self.name);
                self.process = Err(error);
            }
        }
    }

    /// Our rate against its own.
    pub fn report(self, measure: &str, ours: f64, report: &mut Report) {
        let line = Measurement::rate(measure, ours, "events/s");
        report.add(match self.process {
            Err(error) => line.without(&self.name, &format!("{error:#}")),
            Ok(_) => {
                let rate = median(self.rates);
                line.at_least(self.times * rate).against(&self.name, rate)
            }
        });
    }
}
