//! How to reach the brokers, and every limit of the clients.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::ClientConfig;

use crate::{Error, Result};

/// How to reach Kafka.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `host:port` pairs, separated by commas.
    pub bootstrap_servers: String,
    /// How this program calls itself in the broker's logs.
    pub client_id: String,
    /// `plaintext` or `ssl`.
    pub security_protocol: String,
    /// PEM file of the authority that signed the brokers' certificates.
    pub ssl_ca: Option<PathBuf>,
    /// PEM file of this client's certificate.
    pub ssl_cert: Option<PathBuf>,
    /// PEM file of this client's key.
    pub ssl_key: Option<PathBuf>,
    /// How many copies new topics get.
    pub replication_factor: i32,
    /// How long one call may wait for the brokers, delivery of an append included.
    pub timeout: Duration,
    /// How long a silent consumer keeps its partitions.
    pub session_timeout: Duration,
}

impl KafkaConfig {
    /// The defaults, without encryption.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            client_id: "citypulse".into(),
            security_protocol: "plaintext".into(),
            ssl_ca: None,
            ssl_cert: None,
            ssl_key: None,
            replication_factor: 1,
            timeout: Duration::from_secs(10),
            session_timeout: Duration::from_secs(10),
        }
    }

    fn common(&self) -> Result<ClientConfig> {
        if !["plaintext", "ssl"].contains(&self.security_protocol.as_str()) {
            let got = &self.security_protocol;
            return Err(Error::Invalid(format!(
                "security_protocol: got {got:?}, expected plaintext or ssl"
            )));
        }
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.client_id)
            .set("security.protocol", &self.security_protocol)
            // A misspelled topic is an error, not a new topic.
            .set("allow.auto.create.topics", "false")
            .set("log.connection.close", "false")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000");
        let files = [
            ("ssl.ca.location", &self.ssl_ca),
            ("ssl.certificate.location", &self.ssl_cert),
            ("ssl.key.location", &self.ssl_key),
        ];
        for (name, file) in files {
            if let Some(file) = file {
                config.set(name, utf8(file)?);
            }
        }
        Ok(config)
    }

    /// At most 32 MiB or 100,000 records wait in the producer.
    pub(super) fn producer(&self) -> Result<ClientConfig> {
        let mut config = self.common()?;
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "5")
            .set("compression.type", "zstd")
            .set("compression.level", "1")
            // What Kafka's Java producer does.
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "32768")
            // The broker's own limit decides.
            .set("message.max.bytes", "16777216")
            .set("message.timeout.ms", self.timeout.as_millis().to_string());
        Ok(config)
    }

    /// What is fetched comes in small parts: packed, they grow tenfold, and each record
    /// takes some hundred bytes besides. So about 40 MiB wait in a consumer at most.
    pub(super) fn consumer(&self, group: &str) -> Result<ClientConfig> {
        let mut config = self.common()?;
        config
            .set("group.id", group)
            // Partitions that stay with a consumer are read on during a rebalance.
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            // An error instead of a silent jump: the loss is counted and logged.
            .set("auto.offset.reset", "error")
            .set(
                "session.timeout.ms",
                self.session_timeout.as_millis().to_string(),
            )
            .set(
                "heartbeat.interval.ms",
                (self.session_timeout.as_millis() / 3).to_string(),
            )
            .set("queued.max.messages.kbytes", "8192")
            .set("queued.min.messages", "20000")
            .set("fetch.max.bytes", "2097152")
            .set("fetch.message.max.bytes", "262144")
            .set("fetch.wait.max.ms", "250")
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.error.backoff.ms", "200");
        Ok(config)
    }
}

fn utf8(file: &Path) -> Result<&str> {
    file.to_str()
        .ok_or_else(|| Error::Invalid(format!("{}: the file's name is not UTF-8", file.display())))
}
