use std::process::{Child, Command, Stdio};

use super::{RedisServer, free_port, wait_until};
use crate::{Layout, RedisConfig};

/// The name under which the Sentinels watch the primary.
const PRIMARY: &str = "city";

/// A primary, a replica, and Sentinels that watch them, on loopback.
pub struct RedisWithSentinel {
    primary: RedisServer,
    replica: RedisServer,
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl RedisWithSentinel {
    /// Starts a primary, its replica and three Sentinels, and waits until all know
    /// each other. Panics where Redis is not installed.
    pub fn start() -> Self {
        Self::start_with(3)
    }

    /// The same with as many Sentinels; a majority of them decides.
    pub fn start_with(sentinels: usize) -> Self {
        let primary = RedisServer::start();
        let port = primary.port();
        let replica = RedisServer::start_with(&[
            "--replicaof",
            &format!("127.0.0.1 {port}"),
            "--repl-diskless-sync-delay",
            "0",
        ]);
        wait_until("the replica follows", || {
            let info: String = replica.ask(&["INFO", "replication"]).unwrap_or_default();
            info.contains("master_link_status:up")
        });
        let quorum = sentinels / 2 + 1;
        let sentinels: Vec<_> = (0..sentinels)
            .map(|_| Sentinel::start(port, quorum))
            .collect();
        let others = sentinels.len() - 1;
        for sentinel in &sentinels {
            wait_until("the Sentinels know each other and the replica", || {
                sentinel.knows("num-slaves", 1) && sentinel.knows("num-other-sentinels", others)
            });
        }
        Self {
            primary,
            replica,
            sentinels,
        }
    }

    /// How to reach it. The URL names no server: the Sentinels do.
    pub fn config(&self) -> RedisConfig {
        let nodes = self
            .sentinels
            .iter()
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.port));
        RedisConfig {
            layout: Layout::Sentinel {
                primary: PRIMARY.to_owned(),
                nodes: nodes.collect(),
                password: None,
            },
            ..RedisConfig::new("redis://sentinel.invalid:1/0")
        }
    }

    /// The server that is the primary at the start.
    pub fn primary(&mut self) -> &mut RedisServer {
        &mut self.primary
    }

    /// The server that follows it.
    pub fn replica(&mut self) -> &mut RedisServer {
        &mut self.replica
    }
}

impl Sentinel {
    fn start(primary_port: u16, quorum: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder for Sentinel");
        let file = folder.path().join("sentinel.conf");
        let port = free_port();
        let text = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\n\
             sentinel monitor {PRIMARY} 127.0.0.1 {primary_port} {quorum}\n\
             sentinel down-after-milliseconds {PRIMARY} 1000\n\
             sentinel failover-timeout {PRIMARY} 3000\n",
            folder.path().display()
        );
        std::fs::write(&file, text).expect("Sentinel's file");
        let child = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed (Debian: apt-get install redis-server)");
        Self {
            child,
            port,
            _folder: folder,
        }
    }

    /// Whether it says `number` in the field `name` about the primary.
    fn knows(&self, name: &str, number: usize) -> bool {
        let ask = || -> redis::RedisResult<Vec<String>> {
            let client = redis::Client::open(("127.0.0.1", self.port))?;
            let mut connection = client.get_connection()?;
            let mut command = redis::cmd("SENTINEL");
            command.arg("MASTER").arg(PRIMARY).query(&mut connection)
        };
        let fields = ask().unwrap_or_default();
        fields
            .chunks(2)
            .any(|field| field[0] == name && field[1] == number.to_string())
    }
}
