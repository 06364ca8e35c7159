//! Redis servers of one's own, for tests and benchmarks: one, a cluster of three,
//! or a primary with its replica and Sentinels.

mod cluster;
mod sentinel;

pub use self::cluster::RedisCluster;
pub use self::sentinel::RedisWithSentinel;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long the server may take to listen.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A `redis-server` child on loopback, without persistence; ends when dropped.
pub struct RedisServer {
    child: Option<Child>,
    port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts a server on a free port. Panics where Redis is not installed.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with further command line arguments.
    pub fn start_with(arguments: &[&str]) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("citypulse-redis-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder for redis-server");
        let mut server = Self {
            child: None,
            port: 0,
            folder,
            arguments: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
        };
        // Another process may take the free port first: then try the next one.
        for _ in 0..5 {
            server.port = free_port();
            if server.spawn() {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    /// The server's address for [`crate::RedisConfig`].
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process number.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Ends the server at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("redis-server ends");
            child.wait().expect("redis-server has ended");
        }
    }

    /// Runs one command, past any store.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut connection = redis::Client::open(self.url())?.get_connection()?;
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query(&mut connection)
    }

    /// Starts the killed server again on the same port, empty.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.spawn(), "redis-server does not start again");
    }

    fn spawn(&mut self) -> bool {
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(&self.folder)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed (Debian: apt-get install redis-server)");
        let child = self.child.insert(child);
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if child.try_wait().expect("state of redis-server").is_some() {
                self.child = None;
                return false;
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        false
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        // Left over at worst: a log file in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Repeats `attempt` until it is true.
fn wait_until(what: &str, mut attempt: impl FnMut() -> bool) {
    let deadline = Instant::now() + START_LIMIT;
    while !attempt() {
        assert!(
            Instant::now() < deadline,
            "{what}: not within {START_LIMIT:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
