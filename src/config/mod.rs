//! The whole configuration: one plain struct, read from defaults, a TOML file,
//! the environment and flags, in this order. The only place that reads the
//! environment.

mod backends;
mod environment;
mod jobs;
mod masked;
mod numbers;
mod problems;
mod profile;
mod validate;
mod work;

use std::path::{Path, PathBuf};
use std::time::Duration;

use events::{Stream, TopicNames};
use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use generators::GeneratorConfig;
use serde::{Deserialize, Serialize};
use serving_api::HttpConfig;
use speed_layer::SpeedConfig;

pub use backends::{
    HotBackend, HotSection, KafkaSection, LakeSection, LogBackend, LogSection, RedisSection,
    S3Section, TopicsSection,
};
pub use jobs::JobSection;
pub use problems::ConfigError;
pub use work::{
    BatchSection, CitySection, MaintenanceSection, QuerySection, RetentionSection, ServerSection,
    ViewsSection,
};

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
    pub maintenance: MaintenanceSection,
    pub views: ViewsSection,
    pub retention: RetentionSection,
    pub query: QuerySection,
    pub server: ServerSection,
    pub http: HttpConfig,
    /// `[[jobs]]`: SQL whose result goes to files on a schedule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<JobSection>,
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
            maintenance: MaintenanceSection::default(),
            views: ViewsSection::default(),
            retention: RetentionSection::default(),
            query: QuerySection::default(),
            server: ServerSection::default(),
            http: HttpConfig::default(),
            jobs: Vec::new(),
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
        let variables: Vec<_> = variables.collect();
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        let profile = profile::read(&variables);
        if let Ok(Some(profile)) = &profile {
            figment = figment.merge(Serialized::default("s3", profile));
        }
        if let Some(file) = file {
            if !file.is_file() {
                return Err(ConfigError::NoFile(file.display().to_string()));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        figment = environment::merge(figment, &variables)?;
        let mut config: Config = figment.extract().map_err(problems::explain)?;
        match profile {
            Ok(Some(profile)) => profile.keep_apart(&mut config.s3),
            Ok(None) => {}
            // Else it is of no account: it may be there for other programs.
            Err(error)
                if config.lake_url().starts_with("s3") && config.s3.access_key_id.is_none() =>
            {
                return Err(error);
            }
            Err(_) => {}
        }
        config.validate()?;
        Ok(config)
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
            HotBackend::Auto => self.redis.is_set(),
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
            (Stream::Windows, &self.topics.windows),
        ] {
            names.rename(stream, topic.as_str());
        }
        names
    }
}

/// Seconds as a duration.
pub fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}
#[cfg(test)]
mod tests;
