//! Where a platform lives (its data and its servers) and the processes started on it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Api, Finished, Process, Servers, Signal, project_root, skipped, until};

/// How long a platform may take until it is ready. The aim is 3 s; two busy cores and
/// a debug build need air.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A data folder and, on real servers, the stack. Outlives the processes on it, so that
/// a test can kill them and start them again.
#[derive(Clone, Debug)]
pub struct Deployment {
    folder: Arc<TempDir>,
    servers: Option<Arc<Servers>>,
    settings: Vec<(String, String)>,
}

impl Deployment {
    /// Everything in one process, nothing else needed.
    pub fn embedded() -> Deployment {
        Deployment {
            folder: Arc::new(tempfile::tempdir().expect("a temporary folder")),
            servers: None,
            settings: Vec::new(),
        }
    }

    /// On Kafka, Redis and MinIO of its own; `None`, with a plain word about it, unless
    /// `CITYPULSE_TEST_REAL_SERVERS` says that they may be started.
    pub fn on_real_servers() -> Option<Deployment> {
        Deployment::with_servers("minio")
    }

    /// The same with VersityGW, an S3 server of other make.
    pub fn on_versitygw() -> Option<Deployment> {
        Deployment::with_servers("versitygw")
    }

    fn with_servers(s3: &str) -> Option<Deployment> {
        if std::env::var_os("CITYPULSE_TEST_REAL_SERVERS").is_none() {
            skipped("real servers are started by `make test` only");
            return None;
        }
        let servers = Some(Arc::new(Servers::start(s3)));
        Some(Deployment {
            servers,
            ..Deployment::embedded()
        })
    }

    /// The same with one more setting, as environment.
    pub fn with(mut self, name: &str, value: impl ToString) -> Deployment {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// Its servers, where it is on real ones.
    pub fn servers(&self) -> Option<&Servers> {
        self.servers.as_deref()
    }

    /// Where its data is.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for what a test writes itself.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// Where a table of the lake is: a path, or an `s3://` address.
    pub fn table(&self, name: &str) -> String {
        match self.servers() {
            None => self
                .data_folder()
                .join("lake")
                .join(name)
                .display()
                .to_string(),
            Some(_) => format!("s3://citypulse/lake/{name}"),
        }
    }

    /// The environment of its processes: nothing of the test's own but what programs
    /// need, then the back ends, then the settings.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut environment: Vec<(String, String)> = ["PATH", "HOME", "TMPDIR"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
            .collect();
        environment.extend(self.servers().map(Servers::environment).unwrap_or_default());
        environment.extend(self.settings.iter().cloned());
        environment
    }

    /// `citypulse VERB` on this deployment.
    pub fn command(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.env_clear().envs(self.environment()).arg(verb);
        if self.servers.is_some() {
            command
                .arg("--config")
                .arg(project_root().join("infra/stack.toml"));
        }
        command.arg("--data-dir").arg(self.data_folder());
        command.args(arguments);
        command
    }

    /// Runs `citypulse VERB` to its end.
    pub async fn run(&self, verb: &str, arguments: &[&str]) -> Finished {
        let mut command = tokio::process::Command::from(self.command(verb, arguments));
        let output = command
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .expect("the binary starts");
        Finished {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts a long-running `citypulse VERB` without waiting for anything.
    pub fn start(&self, verb: &str, arguments: &[&str]) -> Process {
        Process::start(self.command(verb, arguments), verb, self.folder.path())
    }

    /// Starts everything in one process and waits until it is ready.
    pub async fn up(&self, arguments: &[&str]) -> Platform {
        let platform = self.up_unready("up", arguments);
        platform.ready().await
    }

    /// Starts the serving role and waits until it is ready.
    pub async fn serve(&self, arguments: &[&str]) -> Platform {
        let platform = self.up_unready("serve", arguments);
        platform.ready().await
    }

    /// Starts a role that has an HTTP door, without waiting.
    pub fn up_unready(&self, verb: &str, arguments: &[&str]) -> Platform {
        let port = free_ports(1)[0];
        let number = port.to_string();
        let mut all = vec!["--port", &number, "--pg-port", "0", "--flight-port", "0"];
        all.extend(arguments);
        Platform {
            process: self.start(verb, &all),
            api: Api::new(port),
        }
    }
}

/// A running process with an HTTP door.
#[derive(Debug)]
pub struct Platform {
    /// The process.
    pub process: Process,
    /// Its door.
    pub api: Api,
}

impl Platform {
    /// Waits for `/readyz`.
    pub async fn ready(mut self) -> Platform {
        until(READY_WITHIN, "readiness", || {
            if let Some(status) = self.process.ended() {
                panic!("the process ended before it was ready: {status}");
            }
            let api = self.api.clone();
            async move { api.readiness().await }
        })
        .await;
        self
    }

    /// SIGTERM; waits for its end, at most `limit`, and returns its exit code.
    pub async fn terminate(mut self, limit: Duration) -> i32 {
        self.process.signal(Signal::Terminate);
        self.process.wait(limit).await.code().unwrap_or(-1)
    }

    /// `kill -9`.
    pub fn kill(self) {
        self.process.kill();
    }
}

/// Ports that nothing listens on, held together while they are chosen so that they differ.
pub fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
        .collect();
    held.iter()
        .map(|listener| listener.local_addr().expect("a bound address").port())
        .collect()
}

/// The built binary: `CITYPULSE_BIN`, or `citypulse` in the folder above the test's own
/// executable, where Cargo puts it.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("CITYPULSE_BIN") {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().expect("the test has a path");
    let path = test
        .ancestors()
        .nth(2)
        .expect("tests lie in target/PROFILE/deps")
        .join("citypulse");
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build --workspace --bins`, or set CITYPULSE_BIN",
        path.display()
    );
    path
}
