//! The processes under test, and the servers that they run on.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bench::memory_mib;
use event_log::kafka::{KafkaConfig, KafkaLog};
use hot_store::testing::RedisServer;
use hot_store::{HotStore, RedisConfig, RedisStore};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(30);

/// The optimised binary and Kafka.
pub struct Stand {
    binary: PathBuf,
    pub brokers: String,
    pub log: Arc<KafkaLog>,
    /// Tells this run's topics from those of another on the same Kafka.
    pub run: String,
}

impl Stand {
    pub fn from_environment() -> Result<Self> {
        let variable = |name: &str| {
            std::env::var(name)
                .with_context(|| format!("{name} is not set; run `make bench-speed`"))
        };
        let binary = PathBuf::from(variable("CITYPULSE_BIN")?);
        ensure!(binary.is_file(), "{} is missing", binary.display());
        let brokers = variable("CITYPULSE_TEST_KAFKA")?;
        Ok(Self {
            binary,
            log: KafkaLog::connect(KafkaConfig::new(brokers.clone()))?,
            brokers,
            run: format!("{:x}", super::city::now_us()),
        })
    }

    /// The name of a topic of this run.
    pub fn topic(&self, name: &str) -> String {
        format!("bench-{name}-{}", self.run)
    }

    /// Starts `citypulse ROLE` on `redis`, with its GPS events in `topic`.
    pub fn start(&self, role: &str, redis: &RedisServer, topic: &str) -> Result<Role> {
        self.start_with(role, redis, topic, &[])
    }

    /// The same with settings by their environment variables.
    pub fn start_with(
        &self,
        role: &str,
        redis: &RedisServer,
        topic: &str,
        settings: &[(&str, &str)],
    ) -> Result<Role> {
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let output = std::fs::File::create(folder.path().join("output"))?;
        let child = Command::new(&self.binary)
            .env_clear()
            .envs(["PATH", "HOME"].map(|name| (name, std::env::var(name).unwrap_or_default())))
            .env("KAFKA_BOOTSTRAP_SERVERS", &self.brokers)
            .env("REDIS_URL", redis.url())
            .env("CITYPULSE_TOPICS__GPS_DATA", topic)
            .envs(settings.iter().copied())
            .args([role, "--log", "warn"])
            // `serve` has its metrics on the former.
            .args([
                "--port",
                &port.to_string(),
                "--metrics-port",
                &port.to_string(),
            ])
            .args(["--pg-port", "0", "--flight-port", "0", "--data-dir"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{} does not start", self.binary.display()))?;
        Ok(Role {
            child,
            port,
            folder,
        })
    }
}

/// A running process.
pub struct Role {
    child: Child,
    pub port: u16,
    folder: TempDir,
}

impl Role {
    /// Its memory now, and the most that it has had, MiB.
    pub fn memory_mib(&self) -> Result<(f64, f64)> {
        let of = |field| memory_mib(self.child.id(), field);
        Ok((of("VmRSS:")?, of("VmHWM:")?))
    }

    /// What it has printed, for a failure.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }

    /// SIGTERM and its end, so that its partitions are free at once.
    pub fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        ensure!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()?
                .success()
        );
        let deadline = Instant::now() + START_LIMIT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("{pid} does not end: {}", self.output());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // Fails only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads what a speed layer has done in a Redis.
pub fn store(redis: &RedisServer) -> Result<Arc<RedisStore>> {
    Ok(RedisStore::connect(RedisConfig::new(redis.url()))?)
}

/// How many records of `topic` the speed layer has done.
pub async fn done(store: &RedisStore, topic: &str) -> Result<u64> {
    let positions = store.positions("speed").await?;
    let of_topic = positions.iter().filter(|(at, _)| &*at.topic == topic);
    Ok(of_topic.map(|(_, position)| *position as u64).sum())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
