//! Child processes of the binary, with their output in a file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::until;

/// What a process can be told.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// End in good order.
    Terminate,
    /// End at once, as in a power cut.
    Kill,
    /// Stand still.
    Stop,
    /// Go on.
    Continue,
}

impl Signal {
    fn flag(self) -> &'static str {
        match self {
            Signal::Terminate => "-TERM",
            Signal::Kill => "-KILL",
            Signal::Stop => "-STOP",
            Signal::Continue => "-CONT",
        }
    }

    /// Sends this to the process with this id, which must be one that the test started.
    pub fn send(self, pid: u32) {
        let status = Command::new("kill")
            .args([self.flag(), &pid.to_string()])
            .status()
            .expect("the kill command runs");
        assert!(status.success(), "{self:?} could not be sent to {pid}");
    }
}

/// A process that ran to its end.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// The exit code; -1 where a signal ended it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// Its standard output, after making sure that the exit code was 0.
    pub fn expect_success(self) -> String {
        assert_eq!(
            self.code(),
            0,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self.stdout
    }
}

/// A running process. Dropping it kills it; when that happens because a test failed,
/// the end of its output is printed first.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output in a new file in `log_folder`.
    pub fn start(mut command: Command, name: &str, log_folder: &Path) -> Process {
        let log = (0..)
            .map(|number| log_folder.join(format!("{name}-{number}.log")))
            .find(|path| !path.exists())
            .expect("there is a free file name");
        let output = File::create(&log).expect("the log file can be made");
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("the log file can be shared"))
            .stderr(output);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {command:?}: {error}"));
        Process {
            child,
            name: name.to_owned(),
            log,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How much memory it has now, bytes (`VmRSS` of `/proc/PID/status`).
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the process runs on Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.expect("its size").parse().expect("a number");
        kib * 1024
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        signal.send(self.pid());
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the process is our child")
    }

    /// Waits for its end.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        let started = Instant::now();
        until(limit, &what, || {
            let ended = self.ended();
            async move { ended.ok_or_else(|| format!("still running after {:?}", started.elapsed())) }
        })
        .await
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Failing here means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.output();
            let lines: Vec<&str> = output.lines().collect();
            let tail = &lines[lines.len().saturating_sub(40)..];
            eprintln!(
                "--- end of the output of {}:\n{}\n---",
                self.name,
                tail.join("\n")
            );
        }
        self.end();
    }
}
