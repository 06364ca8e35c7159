//! What a benchmark says at its end.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

/// What another program needs for the same, measured in the same run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its figure, in the unit of the measurement; none where it did not run.
    pub value: Option<f64>,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_run: Option<String>,
}

/// One figure against its target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measurement {
    /// What was measured.
    pub measure: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: String,
    /// What it is compared with.
    pub peer: Option<Peer>,
    /// The figure divided by the peer's.
    pub ratio: Option<f64>,
    /// What the figure is to be at least, or at most where less is better; none
    /// where it is only reported.
    pub target: Option<f64>,
    /// Whether it is; true where there is no target.
    pub met: bool,
}

impl Measurement {
    /// A rate, which is better the higher it is.
    pub fn rate(measure: &str, value: f64, unit: &str) -> Self {
        Self {
            measure: measure.into(),
            value,
            unit: unit.into(),
            peer: None,
            ratio: None,
            target: None,
            met: true,
        }
    }

    /// The figure is to be at least this.
    pub fn at_least(mut self, target: f64) -> Self {
        self.target = Some(target);
        self.met = self.value >= target;
        self
    }

    /// The figure is to be at most this: a delay, a size.
    pub fn at_most(mut self, target: f64) -> Self {
        self.target = Some(target);
        self.met = self.value <= target;
        self
    }

    /// Another program's figure for the same.
    pub fn against(mut self, peer: &str, value: f64) -> Self {
        self.ratio = Some(self.value / value);
        self.peer = Some(Peer {
            name: peer.into(),
            value: Some(value),
            not_run: None,
        });
        self
    }

    /// Another program was to do the same and did not run: nothing is shown then.
    pub fn without(mut self, peer: &str, reason: &str) -> Self {
        self.peer = Some(Peer {
            name: peer.into(),
            value: None,
            not_run: Some(reason.into()),
        });
        self.met = false;
        self
    }
}

/// The measurements of one benchmark.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    measurements: Vec<Measurement>,
}

impl Report {
    /// The report of the benchmark of that name.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            measurements: Vec::new(),
        }
    }

    /// Adds a line.
    pub fn add(&mut self, measurement: Measurement) {
        self.measurements.push(measurement);
    }

    /// Prints the table and writes `bench/results/<name>.json`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(self) -> Result<()> {
        print!("{}", self.table());
        let path = self.write_to(Path::new("results"))?;
        println!("written to {}", path.display());
        Ok(())
    }

    /// Prints the table and writes nothing: not all was measured.
    pub fn print(&self) {
        print!("{}", self.table());
    }

    fn write_to(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(format!("{}.json", self.name));
        let text = serde_json::to_string_pretty(&self.measurements)? + "\n";
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    fn table(&self) -> String {
        let mut table = format!(
            "{:44} {:>12} {:14} {:>7} {:28} {:>12}\n",
            "measure", "value", "unit", "ratio", "to", "target"
        );
        for line in &self.measurements {
            let peer = line.peer.as_ref().map_or(String::new(), |peer| {
                match (peer.value, &peer.not_run) {
                    (Some(value), _) => format!("{} ({})", peer.name, readable(value)),
                    (None, reason) => {
                        let reason = reason.as_deref().unwrap_or_default();
                        format!("{} NOT RUN: {reason}", peer.name)
                    }
                }
            });
            let target = match line.target {
                Some(target) if line.met => format!("{} met", readable(target)),
                Some(target) => format!("{} MISSED", readable(target)),
                None => String::new(),
            };
            let ratio = line
                .ratio
                .map_or(String::new(), |ratio| format!("{ratio:.2}"));
            let value = readable(line.value);
            table += &format!(
                "{:44} {value:>12} {:14} {ratio:>7} {peer:28} {target:>12}\n",
                line.measure, line.unit
            );
        }
        table
    }
}

/// A figure as people read it: `2.31 M`, `45.0 k`, `12.5`.
fn readable(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1e4 => format!("{:.1} k", value / 1e3),
        _ => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("example");
        report.add(
            Measurement::rate("decode", 3e6, "events/s")
                .at_least(1.5e6)
                .against("other", 1e6),
        );
        report.add(Measurement::rate("write", 10.0, "events/s").at_least(20.0));
        report.add(Measurement::rate("look", 20_500.0, "events/s"));
        report
    }

    #[test]
    fn less_is_better_of_delays() {
        let delay = |value| Measurement::rate("delay", value, "ms").at_most(150.0);
        assert!(delay(149.0).met && !delay(151.0).met);
    }

    #[test]
    fn the_table_says_what_was_missed() {
        let table = report().table();
        let lines: Vec<_> = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            lines[1],
            "decode 3.00 M events/s 3.00 other (1.00 M) 1.50 M met"
        );
        assert_eq!(lines[2], "write 10.0 events/s 20.0 MISSED");
        assert_eq!(lines[3], "look 20.5 k events/s");
    }

    #[test]
    fn a_peer_that_did_not_run_is_named() {
        let mut report = Report::new("example");
        let alone = Measurement::rate("decode", 3e6, "events/s").without("other", "no Java");
        assert!(!alone.met, "what was not compared is not shown");
        report.add(alone);
        assert!(report.table().contains("other NOT RUN: no Java"));
    }

    #[test]
    fn the_file_lists_every_measurement() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = report().write_to(folder.path()).expect("written");
        let read: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(path).expect("readable")).expect("JSON");
        assert_eq!(
            read[0],
            serde_json::json!({
                "measure": "decode", "value": 3e6, "unit": "events/s",
                "peer": {"name": "other", "value": 1e6}, "ratio": 3.0, "target": 1.5e6, "met": true
            })
        );
        assert_eq!(
            (read[1]["met"].as_bool(), read[2]["met"].as_bool()),
            (Some(false), Some(true))
        );
    }
}
