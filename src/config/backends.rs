//! Which servers or embedded back ends, and how they are reached.

use std::collections::BTreeMap;
use std::path::PathBuf;

use events::Stream;
use hot_store::{Layout, RedisConfig};
use lake::S3Options;
use serde::{Deserialize, Serialize};

/// Which log; `auto` is Kafka where `kafka.bootstrap_servers` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogBackend {
    Auto,
    Local,
    Kafka,
}

/// Which hot store; `auto` is Redis where any of its addresses is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HotBackend {
    Auto,
    Memory,
    Redis,
}

/// The event log, whichever it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    pub backend: LogBackend,
    /// Partitions of topics that the platform creates.
    pub partitions: i32,
    /// Records older than this are deleted, hours; 0 keeps them.
    pub retention_hours: u64,
    /// The oldest records beyond this size are deleted, MiB per partition; 0 keeps them.
    pub retention_mib: u64,
    /// The embedded log is forced to disk this often, milliseconds. A crash of
    /// the process loses nothing either way; a power failure up to this much.
    pub fsync_ms: u64,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            backend: LogBackend::Auto,
            partitions: 4,
            retention_hours: 168,
            retention_mib: 4096,
            fsync_ms: 500,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSection {
    /// `host:port,host:port`; empty means no Kafka.
    pub bootstrap_servers: String,
    /// PLAINTEXT or SSL.
    pub security_protocol: String,
    pub ssl_ca: Option<PathBuf>,
    pub ssl_cert: Option<PathBuf>,
    pub ssl_key: Option<PathBuf>,
    /// Copies of topics that the platform creates.
    pub replication_factor: i32,
}

impl Default for KafkaSection {
    fn default() -> Self {
        Self {
            bootstrap_servers: String::new(),
            security_protocol: "PLAINTEXT".into(),
            ssl_ca: None,
            ssl_cert: None,
            ssl_key: None,
            replication_factor: 1,
        }
    }
}

/// The topic of each stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicsSection {
    pub vehicle_data: String,
    pub gps_data: String,
    pub traffic_camera_data: String,
    pub weather_data: String,
    pub emergency_incident_data: String,
    pub alerts: String,
    pub windows: String,
}

impl Default for TopicsSection {
    fn default() -> Self {
        let name = |stream: Stream| stream.name().to_string();
        Self {
            vehicle_data: name(Stream::VehicleData),
            gps_data: name(Stream::GpsData),
            traffic_camera_data: name(Stream::TrafficCameraData),
            weather_data: name(Stream::WeatherData),
            emergency_incident_data: name(Stream::EmergencyIncidentData),
            alerts: name(Stream::Alerts),
            windows: name(Stream::Windows),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HotSection {
    pub backend: HotBackend,
}

impl Default for HotSection {
    fn default() -> Self {
        Self {
            backend: HotBackend::Auto,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisSection {
    /// `redis://host:port/db` or `rediss://`; wins over host and port.
    pub url: String,
    /// Empty means no Redis.
    pub host: String,
    pub port: u16,
    /// Secret.
    pub password: Option<String>,
    /// Whether it is a Redis Cluster, of which the address above is one node.
    pub cluster: bool,
    /// Further nodes of the cluster, `host:port`, asked when the first is away.
    pub nodes: Vec<String>,
    pub sentinel: SentinelSection,
}

impl Default for RedisSection {
    fn default() -> Self {
        Self {
            url: String::new(),
            host: String::new(),
            port: 6379,
            password: None,
            cluster: false,
            nodes: Vec::new(),
            sentinel: SentinelSection::default(),
        }
    }
}

/// Sentinels, which know the primary. Of `redis.url` only database, user, password
/// and TLS are used then.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SentinelSection {
    /// The name under which they watch the primary; empty means no Sentinel.
    pub master: String,
    /// `host:port` of each.
    pub nodes: Vec<String>,
    /// Secret. Their own password, where they have one.
    pub password: Option<String>,
}

impl RedisSection {
    /// Whether any address is set.
    pub fn is_set(&self) -> bool {
        let sentinel = &self.sentinel;
        let texts = [&self.url, &self.host, &sentinel.master];
        texts.into_iter().any(|text| !text.is_empty())
            || !self.nodes.is_empty()
            || !sentinel.nodes.is_empty()
    }

    /// How to reach it.
    pub fn access(&self) -> RedisConfig {
        let first_node = self.nodes.iter().chain(&self.sentinel.nodes).next();
        let url = match first_node {
            _ if !self.url.is_empty() => self.url.clone(),
            Some(node) if self.host.is_empty() => format!("redis://{node}"),
            _ => format!("redis://{}:{}", self.host, self.port),
        };
        let layout = if self.cluster {
            Layout::Cluster {
                nodes: self.nodes.clone(),
            }
        } else if self.sentinel.master.is_empty() {
            Layout::Single
        } else {
            Layout::Sentinel {
                primary: self.sentinel.master.clone(),
                nodes: self.sentinel.nodes.clone(),
                password: self.sentinel.password.clone(),
            }
        };
        RedisConfig {
            password: self.password.clone(),
            layout,
            ..RedisConfig::new(url)
        }
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LakeSection {
    /// A folder or `s3://bucket/prefix`; empty means `lake` in the data folder,
    /// or in the bucket where `s3.bucket` is set.
    pub url: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Section {
    pub bucket: Option<String>,
    /// `http(s)://host:port` of a server other than AWS.
    pub endpoint: Option<String>,
    pub region: String,
    /// Secret.
    pub access_key_id: Option<String>,
    /// Secret.
    pub secret_access_key: Option<String>,
    /// Secret.
    pub session_token: Option<String>,
    /// `http://bucket.host/key` instead of `http://host/bucket/key`.
    pub virtual_hosted_style: bool,
    /// Certificates (PEM) that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Everything else that the S3 client takes, each under the name that it has in the
    /// environment behind `AWS_`, in lower case: `server_side_encryption`, `role_arn`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub aws: BTreeMap<String, String>,
}

impl Default for S3Section {
    fn default() -> Self {
        Self {
            bucket: None,
            endpoint: None,
            region: "us-east-1".into(),
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            virtual_hosted_style: false,
            ca_file: None,
            aws: BTreeMap::new(),
        }
    }
}

impl S3Section {
    /// How buckets are reached, the lake's and others.
    pub fn access(&self) -> S3Options {
        let endpoint = self.endpoint.as_deref();
        S3Options {
            endpoint: self.endpoint.clone(),
            region: Some(self.region.clone()),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
            session_token: self.session_token.clone(),
            // Who writes http:// means it.
            allow_http: endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")),
            virtual_hosted_style: self.virtual_hosted_style,
            ca_file: self
                .ca_file
                .clone()
                .filter(|file| !file.as_os_str().is_empty()),
            more: self.aws.clone(),
        }
    }
}
