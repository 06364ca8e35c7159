//! Kafka, Redis and an S3 server of one test, through `infra/stack.sh`.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::deployment::free_ports;
use crate::{Signal, project_root};

/// A server of the stack.
#[derive(Clone, Copy, Debug)]
pub enum Server {
    /// The log.
    Kafka,
    /// The hot store.
    Redis,
    /// The object store.
    Minio,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Server::Kafka => "kafka",
            Server::Redis => "redis",
            Server::Minio => "minio",
        }
    }
}

/// A stack of its own: own ports, own data, stopped when dropped.
#[derive(Debug)]
pub struct Servers {
    folder: TempDir,
    /// What the stack is told: its ports, and which S3 server.
    settings: Vec<(&'static str, String)>,
}

impl Servers {
    /// Starts all three, S3 by `minio` or `versitygw`, and waits until they are healthy.
    pub fn start(s3: &str) -> Servers {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let names = [
            "KAFKA_PORT",
            "KAFKA_CONTROLLER_PORT",
            "REDIS_PORT",
            "S3_PORT",
        ];
        let ports = names.into_iter().zip(
            free_ports(names.len())
                .into_iter()
                .map(|port| port.to_string()),
        );
        let settings = ports.chain([("STACK_S3", s3.to_owned())]).collect();
        let servers = Servers { folder, settings };
        servers.stack(&["start"]);
        servers
    }

    /// The address of the Kafka broker.
    pub fn kafka(&self) -> String {
        format!("127.0.0.1:{}", self.port("KAFKA_PORT"))
    }

    /// Empties Redis, as if its disk were lost.
    pub fn flush_redis(&self) {
        let output = Command::new("redis-cli")
            .args(["-p", self.port("REDIS_PORT"), "FLUSHALL"])
            .output()
            .expect("redis-cli is installed with Redis");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), "OK", "{output:?}");
    }

    /// What `stack.sh` tells a shell to set: names and values.
    pub fn environment(&self) -> Vec<(String, String)> {
        std::fs::read_to_string(self.folder.path().join("env"))
            .expect("the stack has written its environment")
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Ends one server in good order.
    pub fn stop(&self, server: Server) {
        self.stack(&["stop", server.name()]);
    }

    /// Starts one server again, on its data.
    pub fn start_again(&self, server: Server) {
        self.stack(&["start", server.name()]);
    }

    /// Sends a signal to one server.
    pub fn signal(&self, server: Server, signal: Signal) {
        let path = self.folder.path().join(format!("{}.pid", server.name()));
        let text = std::fs::read_to_string(path).expect("the server has a pid file");
        let pid = text.split(' ').next().and_then(|pid| pid.parse().ok());
        signal.send(pid.expect("the pid file begins with the pid"));
    }

    fn port(&self, name: &str) -> &str {
        let port = self.settings.iter().find(|(known, _)| *known == name);
        &port.expect("a port of the stack").1
    }

    fn stack(&self, arguments: &[&str]) {
        let script: PathBuf = project_root().join("infra/stack.sh");
        let output = Command::new(&script)
            .args(arguments)
            .env("STACK_DIR", self.folder.path())
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", script.display()));
        assert!(
            output.status.success(),
            "stack.sh {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A second panic would abort the test run and leave the other servers.
            let script = project_root().join("infra/stack.sh");
            let _ = Command::new(script)
                .arg("stop")
                .env("STACK_DIR", self.folder.path())
                .output();
        } else {
            self.stack(&["stop"]);
        }
    }
}
