//! Another program that does the same, told by lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tempfile::NamedTempFile;

/// Lines of its errors that are shown where it fails.
const ERROR_LINES: usize = 5;

/// A running peer: a script of `peers/` that says as JSON what it is (`{"name": ..}`)
/// or why it cannot run (`{"missing": ..}`), and then does its work once for each line,
/// answering `ITEMS SECONDS FOUND`. It goes on between the runs, so that it is warm.
pub struct PeerProcess {
    /// Its name and version, as it says.
    pub name: String,
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    errors: NamedTempFile,
}

/// One run of a peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeerRun {
    /// How many things it did.
    pub items: u64,
    /// How long that took, as the peer's own clock says.
    pub seconds: f64,
    /// What came out: hits, windows, files, groups.
    pub found: u64,
}

impl PeerRun {
    /// Items a second.
    pub fn rate(&self) -> f64 {
        self.items as f64 / self.seconds
    }
}

impl PeerProcess {
    /// Starts a script of `peers/` with its arguments.
    ///
    /// # Errors
    /// When it cannot run, and why: not installed, or what itself says it misses.
    pub fn start(python: &std::path::Path, script: &str, arguments: &[&str]) -> Result<Self> {
        ensure!(python.is_file(), "it is not installed");
        let errors = NamedTempFile::new()?;
        let mut process = Command::new(python)
            .arg(PathBuf::from("peers").join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.reopen()?)
            .spawn()
            .with_context(|| format!("{script} does not start"))?;
        let input = process.stdin.take();
        let output = process.stdout.take().context("its output")?;
        let mut peer = Self {
            name: script.to_owned(),
            process,
            input,
            output: BufReader::new(output),
            errors,
        };
        let told: serde_json::Value = serde_json::from_str(&peer.read_line()?)?;
        match (told["name"].as_str(), told["missing"].as_str()) {
            (Some(name), _) => name.clone_into(&mut peer.name),
            (None, Some(missing)) => bail!("{missing}"),
            _ => bail!("{script} says {told}"),
        }
        Ok(peer)
    }

    /// Does its work once.
    ///
    /// # Errors
    /// When it failed, with the end of what it said.
    pub fn run(&mut self) -> Result<PeerRun> {
        let input = self.input.as_mut().context("it is running")?;
        input.write_all(b"run\n")?;
        input.flush()?;
        let line = self.read_line()?;
        parse(&line).with_context(|| format!("{} says {line}", self.name))
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(
            !line.is_empty(),
            "{} ended early: {}",
            self.name,
            self.last_errors()
        );
        Ok(line)
    }

    fn last_errors(&self) -> String {
        let lines = File::open(self.errors.path()).map(|file| BufReader::new(file).lines());
        let lines: Vec<String> = lines.into_iter().flatten().map_while(Result::ok).collect();
        lines[lines.len().saturating_sub(ERROR_LINES)..].join(" | ")
    }
}

impl Drop for PeerProcess {
    fn drop(&mut self) {
        // The end of its input ends it, and lets it end what it started.
        self.input.take();
        if let Err(error) = self.process.wait() {
            eprintln!("{} could not be awaited: {error}", self.name);
        }
    }
}

fn parse(line: &str) -> Result<PeerRun> {
    let mut words = line.split_whitespace();
    let mut next = || words.next().context("expected ITEMS SECONDS FOUND");
    Ok(PeerRun {
        items: next()?.parse()?,
        seconds: next()?.parse()?,
        found: next()?.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_items_seconds_and_what_was_found() {
        let run = parse("400 0.5 7\n").expect("an answer");
        assert_eq!((run.items, run.found, run.rate()), (400, 7, 800.0));
        assert!(parse("400 0.5").is_err());
    }

    #[test]
    fn a_peer_that_is_not_installed_says_so() {
        let nowhere = std::path::Path::new("nowhere/python");
        let error = PeerProcess::start(nowhere, "a.py", &[])
            .err()
            .expect("not there");
        assert_eq!(error.to_string(), "it is not installed");
    }
}
