//! Redis as a cluster, and behind Sentinels, of one test; in place of the stack's.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::deployment::free_ports;
use crate::{Deployment, Process, until};

/// How long servers may take until they know each other, or one takes another's place.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// The name under which the Sentinels watch the primary.
const PRIMARY: &str = "city";

/// A cluster of three nodes.
#[derive(Debug)]
pub struct RedisCluster {
    ports: Vec<u16>,
    _nodes: Vec<Process>,
    _folder: TempDir,
}

impl RedisCluster {
    /// Starts it and waits until it serves every slot.
    pub async fn start() -> RedisCluster {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ports = free_ports(6);
        // The usual bus port, 10,000 above, may not exist.
        let (ports, bus_ports) = ports.split_at(3);
        let mut nodes = Vec::new();
        let mut create = Command::new("redis-cli");
        create.args(["--cluster-yes", "--cluster", "create"]);
        for (port, bus) in ports.iter().zip(bus_ports) {
            let bus_port = bus.to_string();
            let settings = [("cluster-enabled", "yes"), ("cluster-port", &*bus_port)];
            nodes.push(start_server(folder.path(), *port, &settings).await);
            create.arg(format!("127.0.0.1:{port}@{bus}"));
        }
        let created = create.output().expect("redis-cli is installed with Redis");
        assert!(created.status.success(), "{created:?}");
        for port in ports {
            says(*port, &["CLUSTER", "INFO"], "cluster_state:ok").await;
        }
        RedisCluster {
            ports: ports.to_vec(),
            _nodes: nodes,
            _folder: folder,
        }
    }

    /// `deployment` with its hot values here.
    pub fn serve(&self, deployment: Deployment) -> Deployment {
        let url = format!("redis://127.0.0.1:{}", self.ports[0]);
        deployment
            .with("CITYPULSE_REDIS__URL", url)
            .with("CITYPULSE_REDIS__CLUSTER", true)
            .with("CITYPULSE_REDIS__NODES", addresses(&self.ports[1..]))
    }
}

/// A primary, its replica, and three Sentinels that put the one in the other's place.
#[derive(Debug)]
pub struct RedisWithSentinels {
    primary: Option<Process>,
    replica_port: u16,
    sentinel_ports: Vec<u16>,
    _others: Vec<Process>,
    _folder: TempDir,
}

impl RedisWithSentinels {
    /// Starts all and waits until they know each other.
    pub async fn start() -> RedisWithSentinels {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ports = free_ports(5);
        let [primary_port, replica_port, sentinel_ports @ ..] = &ports[..] else {
            unreachable!("five ports");
        };
        let primary = start_server(folder.path(), *primary_port, &[]).await;
        let place = format!("127.0.0.1 {primary_port}");
        let follow = [("replicaof", &*place), ("repl-diskless-sync-delay", "0")];
        let mut others = vec![start_server(folder.path(), *replica_port, &follow).await];
        let follows = "master_link_status:up";
        says(*replica_port, &["INFO", "replication"], follows).await;
        for port in sentinel_ports {
            others.push(start_sentinel(folder.path(), *port, *primary_port));
        }
        for port in sentinel_ports {
            says(*port, &["INFO", "sentinel"], "slaves=1,sentinels=3").await;
        }
        RedisWithSentinels {
            primary: Some(primary),
            replica_port: *replica_port,
            sentinel_ports: sentinel_ports.to_vec(),
            _others: others,
            _folder: folder,
        }
    }

    /// `deployment` with its hot values here.
    pub fn serve(&self, deployment: Deployment) -> Deployment {
        let sentinels = addresses(&self.sentinel_ports);
        deployment
            // Nothing is there: the Sentinels must be asked.
            .with("CITYPULSE_REDIS__URL", "redis://sentinel.invalid:1/0")
            .with("CITYPULSE_REDIS__SENTINEL__MASTER", PRIMARY)
            .with("CITYPULSE_REDIS__SENTINEL__NODES", sentinels)
    }

    /// `kill -9` of the primary, for good; waits until its replica is in its place.
    pub async fn fail_over(&mut self) {
        self.primary.take().expect("it runs").kill();
        says(self.replica_port, &["INFO", "replication"], "role:master").await;
    }
}

fn addresses(ports: &[u16]) -> String {
    let all = ports.iter().map(|port| format!("127.0.0.1:{port}"));
    all.collect::<Vec<_>>().join(",")
}

/// Starts a server with these settings beside its own, and waits until it answers.
async fn start_server(folder: &Path, port: u16, settings: &[(&str, &str)]) -> Process {
    let data = folder.join(port.to_string());
    std::fs::create_dir(&data).expect("a folder of our own");
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", ""]);
    command.args(["--port", &port.to_string()]);
    command.arg("--dir").arg(&data);
    for (name, value) in settings {
        command.args([&format!("--{name}"), *value]);
    }
    let server = Process::start(command, "redis", folder);
    says(port, &["PING"], "PONG").await;
    server
}

fn start_sentinel(folder: &Path, port: u16, primary_port: u16) -> Process {
    let file = folder.join(format!("sentinel-{port}.conf"));
    let text = format!(
        "bind 127.0.0.1\nport {port}\ndir {}\n\
         sentinel monitor {PRIMARY} 127.0.0.1 {primary_port} 2\n\
         sentinel down-after-milliseconds {PRIMARY} 2000\n\
         sentinel failover-timeout {PRIMARY} 5000\n",
        folder.display()
    );
    std::fs::write(&file, text).expect("a file of our own");
    let mut command = Command::new("redis-server");
    command.arg(file).arg("--sentinel");
    Process::start(command, "sentinel", folder)
}

/// Waits until a server's answer has these words in it.
async fn says(port: u16, question: &[&str], words: &str) {
    let what = format!("{words} as the answer to {question:?}");
    until(SETTLED_WITHIN, &what, || async {
        let output = Command::new("redis-cli")
            .args(["-p", &port.to_string()])
            .args(question)
            .output()
            .expect("redis-cli is installed with Redis");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.contains(words).then_some(()).ok_or(said)
    })
    .await;
}
