//! The whole configuration: one plain struct, read from defaults, a TOML file,
//! the environment and flags, in this order. The only place that reads the
//! environment.

mod environment;
mod problems;

use std::path::{Path, PathBuf};
use std::time::Duration;

use events::{Stream, TopicNames};
use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use generators::GeneratorConfig;
use serde::{Deserialize, Serialize};
use serving_api::HttpConfig;
use speed_layer::SpeedConfig;

pub use problems::ConfigError;

/// Everything that can be set. Field names are the keys of the TOML file and,
/// as `CITYPULSE_<SECTION>__<KEY>`, of the environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the embedded back ends keep their data.
    pub data_dir: PathBuf,
    pub log: LogSection,
    pub kafka: KafkaSection,
    pub topics: TopicsSection,
    pub hot: HotSection,
    pub redis: RedisSection,
    pub lake: LakeSection,
    pub s3: S3Section,
    pub city: CitySection,
    pub generators: GeneratorConfig,
    pub speed: SpeedConfig,
    pub batch: BatchSection,
    pub query: QuerySection,
    pub server: ServerSection,
    pub http: HttpConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "data".into(),
            log: LogSection::default(),
            kafka: KafkaSection::default(),
            topics: TopicsSection::default(),
            hot: HotSection::default(),
            redis: RedisSection::default(),
            lake: LakeSection::default(),
            s3: S3Section::default(),
            city: CitySection::default(),
            generators: GeneratorConfig::default(),
            speed: SpeedConfig::default(),
            batch: BatchSection::default(),
            query: QuerySection::default(),
            server: ServerSection::default(),
            http: HttpConfig::default(),
        }
    }
}

/// Which log; `auto` is Kafka where `kafka.bootstrap_servers` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogBackend {
    Auto,
    Local,
    Kafka,
}

/// Which hot store; `auto` is Redis where `redis.url` or `redis.host` is set.
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
}

impl Default for RedisSection {
    fn default() -> Self {
        Self {
            url: String::new(),
            host: String::new(),
            port: 6379,
            password: None,
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
    pub virtual_hosted_style: bool,
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
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CitySection {
    /// `gothenburg`, an `.osm.pbf` extract, or a folder with `*_nodes.csv` and
    /// `*_edges.csv`.
    pub streets: String,
}

impl Default for CitySection {
    fn default() -> Self {
        Self {
            streets: "gothenburg".into(),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchSection {
    /// Rows of a table are committed when they take this much memory, MiB,
    pub flush_mib: usize,
    /// or when the oldest has waited this long, seconds,
    pub flush_age_s: f64,
    /// or when nothing has come for this long, seconds.
    pub flush_idle_s: f64,
    /// All rows in memory never take more than this, MiB.
    pub memory_mib: usize,
}

impl Default for BatchSection {
    fn default() -> Self {
        Self {
            flush_mib: 128,
            flush_age_s: 30.0,
            flush_idle_s: 2.0,
            memory_mib: 512,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuerySection {
    /// Memory of all running statements, MiB; beyond it they spill to disk.
    pub memory_mib: usize,
    /// The log's tail in memory, MiB; beyond it statements read the log.
    pub tail_mib: usize,
    /// Longest run of a statement, seconds.
    pub timeout_s: u64,
    /// Most rows of one answer.
    pub max_rows: usize,
}

impl Default for QuerySection {
    fn default() -> Self {
        Self {
            memory_mib: 512,
            tail_mib: 128,
            timeout_s: 60,
            max_rows: 1_000_000,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSection {
    /// Address to listen on; only this machine by default.
    pub host: String,
    pub port: u16,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 8000,
        }
    }
}

impl Config {
    /// Reads defaults, `file` and the environment, then lets `overrides` change
    /// what flags say.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::read(file, std::env::vars())
    }

    fn read(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        if let Some(file) = file {
            if !file.is_file() {
                return Err(ConfigError::NoFile(file.display().to_string()));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        let variables: Vec<_> = variables.collect();
        figment = environment::merge(figment, &variables)?;
        let config: Config = figment.extract().map_err(problems::explain)?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let range = |key: &str, value: f64, ok: bool, expected: &str| match ok {
            true => Ok(()),
            false => Err(ConfigError::Value {
                key: key.into(),
                value: value.to_string(),
                expected: expected.into(),
            }),
        };
        let partitions = self.log.partitions;
        range(
            "log.partitions",
            partitions.into(),
            (1..=1024).contains(&partitions),
            "1 to 1024",
        )?;
        let age = self.batch.flush_age_s;
        range(
            "batch.flush_age_s",
            age,
            (0.1..=86_400.0).contains(&age),
            "0.1 to 86400 seconds",
        )?;
        let idle = self.batch.flush_idle_s;
        range(
            "batch.flush_idle_s",
            idle,
            (0.1..=86_400.0).contains(&idle),
            "0.1 to 86400 seconds",
        )?;
        let flush = self.batch.flush_mib;
        range(
            "batch.flush_mib",
            flush as f64,
            (1..=4096).contains(&flush),
            "1 to 4096 MiB",
        )?;
        let window = self.speed.traffic_window_s;
        range(
            "speed.traffic_window_s",
            window.into(),
            (1..=3600).contains(&window),
            "1 to 3600 seconds",
        )?;
        let protocol = self.kafka.security_protocol.to_uppercase();
        if !["PLAINTEXT", "SSL"].contains(&protocol.as_str()) {
            return Err(ConfigError::Value {
                key: "kafka.security_protocol".into(),
                value: self.kafka.security_protocol.clone(),
                expected: "PLAINTEXT or SSL".into(),
            });
        }
        if self.uses_kafka() && self.kafka.bootstrap_servers.is_empty() {
            return Err(ConfigError::Value {
                key: "kafka.bootstrap_servers".into(),
                value: String::new(),
                expected: "host:port of a broker, because log.backend is kafka".into(),
            });
        }
        Ok(())
    }

    /// Whether the log is Kafka.
    pub fn uses_kafka(&self) -> bool {
        match self.log.backend {
            LogBackend::Auto => !self.kafka.bootstrap_servers.is_empty(),
            backend => backend == LogBackend::Kafka,
        }
    }

    /// Whether the hot store is Redis.
    pub fn uses_redis(&self) -> bool {
        match self.hot.backend {
            HotBackend::Auto => !self.redis.url.is_empty() || !self.redis.host.is_empty(),
            backend => backend == HotBackend::Redis,
        }
    }

    /// The lake's folder or `s3://` address.
    pub fn lake_url(&self) -> String {
        match (&self.lake.url, &self.s3.bucket) {
            (url, _) if !url.is_empty() => url.clone(),
            (_, Some(bucket)) => format!("s3://{bucket}/lake"),
            _ => self.data_dir.join("lake").display().to_string(),
        }
    }

    /// Which topic carries which stream.
    pub fn topic_names(&self) -> TopicNames {
        let mut names = TopicNames::default();
        for (stream, topic) in [
            (Stream::VehicleData, &self.topics.vehicle_data),
            (Stream::GpsData, &self.topics.gps_data),
            (Stream::TrafficCameraData, &self.topics.traffic_camera_data),
            (Stream::WeatherData, &self.topics.weather_data),
            (
                Stream::EmergencyIncidentData,
                &self.topics.emergency_incident_data,
            ),
            (Stream::Alerts, &self.topics.alerts),
        ] {
            names.rename(stream, topic.as_str());
        }
        names
    }

    /// The effective configuration as TOML, secrets masked.
    pub fn masked(&self) -> String {
        let mut shown = self.clone();
        for secret in [
            &mut shown.redis.password,
            &mut shown.s3.access_key_id,
            &mut shown.s3.secret_access_key,
            &mut shown.s3.session_token,
        ] {
            if secret.is_some() {
                *secret = Some("********".into());
            }
        }
        shown.redis.url = mask_url_password(&shown.redis.url);
        toml::to_string_pretty(&shown).unwrap_or_else(|error| format!("# cannot be shown: {error}"))
    }
}

/// `scheme://user:secret@host` without the secret.
fn mask_url_password(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            // Cannot fail: a URL that has a password can have another.
            let _ = parsed.set_password(Some("********"));
            parsed.to_string()
        }
        _ => url.to_string(),
    }
}

/// Seconds as a duration.
pub fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(
            None,
            variables
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string())),
        )
    }

    fn file(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("citypulse.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(Some(&path), std::iter::empty())
    }

    #[test]
    fn without_settings_everything_is_embedded() {
        let config = read(&[]).unwrap();
        assert!(!config.uses_kafka() && !config.uses_redis());
        assert_eq!(config.lake_url(), "data/lake");
        assert_eq!(config.server.host, "127.0.0.1");
    }

    #[test]
    fn names_of_existing_deployments_are_read_and_ours_win() {
        let config = read(&[
            ("KAFKA_BOOTSTRAP_SERVERS", "k:9092"),
            ("REDIS_HOST", "r"),
            ("REDIS_PORT", "6400"),
            ("REDIS_PASSWORD", "0123"),
            ("S3_BUCKET", "city"),
            ("VEHICLE_TOPIC", "cars"),
            ("API_PORT", "8001"),
            ("CITYPULSE_SERVER__PORT", "8002"),
        ])
        .unwrap();
        assert!(config.uses_kafka() && config.uses_redis());
        assert_eq!(config.redis.port, 6400);
        assert_eq!(config.redis.password.as_deref(), Some("0123"));
        assert_eq!(config.lake_url(), "s3://city/lake");
        assert_eq!(
            config.topic_names().topic(Stream::VehicleData).as_ref(),
            "cars"
        );
        assert_eq!(config.server.port, 8002);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_name() {
        let error = file("[speed]\nlatenes_s = 5\n").unwrap_err().to_string();
        assert!(
            error.contains("speed.latenes_s") && error.contains("lateness_s"),
            "{error}"
        );
        let error = read(&[("CITYPULSE_SERVER__PROT", "1")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("prot") && error.contains("port"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_refused_with_what_was_expected() {
        let error = read(&[("CITYPULSE_SERVER__PORT", "many")])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("server.port") && error.contains("many"),
            "{error}"
        );
        let error = file("[log]\npartitions = 0\n").unwrap_err().to_string();
        assert!(
            error.contains("log.partitions") && error.contains("1 to 1024"),
            "{error}"
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = read(&[
            ("REDIS_URL", "redis://me:hunter2@localhost:6379"),
            ("AWS_SECRET_ACCESS_KEY", "hunter3"),
            ("REDIS_PASSWORD", "hunter4"),
        ])
        .unwrap();
        assert!(!config.masked().contains("hunter"), "{}", config.masked());
        assert!(config.masked().contains("********"));
    }
}
