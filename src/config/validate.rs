//! Values that are well formed and still make no sense.

use lake::s3::{BadSetting, ENDPOINT_EXPECTED, check_setting, is_secret, parse_endpoint};

use super::{Config, ConfigError};

impl Config {
    /// # Errors
    /// Names the first setting that is out of its range.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        self.validate_lateness()?;
        self.validate_numbers()?;
        self.validate_vacuum()?;
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
        self.validate_redis()?;
        self.validate_s3()?;
        super::jobs::validate(&self.jobs)?;
        self.generators.validate().map_err(ConfigError::Senseless)
    }

    /// One layout, wholly described.
    fn validate_redis(&self) -> Result<(), ConfigError> {
        let redis = &self.redis;
        let sentinel = &redis.sentinel;
        let refuse = |key: &str, value: String, expected: &str| {
            Err(ConfigError::Value {
                key: key.into(),
                value,
                expected: expected.into(),
            })
        };
        let has_sentinel = !sentinel.master.is_empty() || !sentinel.nodes.is_empty();
        if redis.cluster && has_sentinel {
            return refuse(
                "redis.cluster",
                "true".into(),
                "false, because redis.sentinel is set; a cluster replaces its nodes itself",
            );
        }
        if !redis.nodes.is_empty() && !redis.cluster {
            return refuse(
                "redis.nodes",
                redis.nodes.join(","),
                "no nodes, or redis.cluster = true beside them",
            );
        }
        if has_sentinel && sentinel.master.is_empty() {
            return refuse(
                "redis.sentinel.master",
                String::new(),
                "the name under which the Sentinels watch the primary",
            );
        }
        if has_sentinel && sentinel.nodes.is_empty() {
            return refuse(
                "redis.sentinel.nodes",
                String::new(),
                "host:port of at least one Sentinel",
            );
        }
        if has_sentinel && !redis.host.is_empty() {
            return refuse(
                "redis.host",
                redis.host.clone(),
                "nothing, because redis.sentinel names the server",
            );
        }
        for (key, nodes) in [
            ("redis.nodes", &redis.nodes),
            ("redis.sentinel.nodes", &sentinel.nodes),
        ] {
            let is_address = |node: &&String| {
                node.rsplit_once(':')
                    .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
            };
            if let Some(node) = nodes.iter().find(|node| !is_address(node)) {
                return refuse(key, node.clone(), "host:port of each");
            }
        }
        Ok(())
    }

    fn validate_s3(&self) -> Result<(), ConfigError> {
        let refuse = |key: &str, value: &str, expected: &str| {
            Err(ConfigError::Value {
                key: key.into(),
                value: value.into(),
                expected: expected.into(),
            })
        };
        if let Some(endpoint) = &self.s3.endpoint
            && parse_endpoint(endpoint).is_none()
        {
            return refuse("s3.endpoint", endpoint, ENDPOINT_EXPECTED);
        }
        for (name, value) in &self.s3.aws {
            let key = format!("s3.aws.{name} (AWS_{})", name.to_uppercase());
            let shown = if is_secret(name) { "********" } else { value };
            match check_setting(name, value) {
                Ok(()) => {}
                Err(BadSetting::Expected(expected)) => return refuse(&key, shown, expected),
                Err(BadSetting::HasField(field)) => {
                    return refuse(&key, shown, &format!("it as s3.{field}"));
                }
                Err(BadSetting::Unknown) => {
                    return refuse(&key, shown, "a setting that the S3 client knows");
                }
            }
        }
        Ok(())
    }

    fn validate_lateness(&self) -> Result<(), ConfigError> {
        for (stream, lateness_s) in &self.speed.lateness {
            if events::Stream::from_name(stream).is_none() {
                let names = events::Stream::ALL.map(events::Stream::name).join(", ");
                let expected = format!("the name of a stream: {names}");
                let key = format!("speed.lateness.{stream}");
                return Err(refused(&key, lateness_s, &expected));
            }
        }
        Ok(())
    }

    fn validate_vacuum(&self) -> Result<(), ConfigError> {
        let hours = self.maintenance.vacuum_retain_hours;
        let least = self.longest_job_hours();
        match (least..=8_760).contains(&hours) {
            true => Ok(()),
            false => Err(refused(
                "maintenance.vacuum_retain_hours",
                hours,
                &format!("{least} to 8760 hours: a job may read an old version for {least} h"),
            )),
        }
    }

    /// How long a job may run that is configured or started by hand, in whole hours:
    /// so long it may read files that were replaced meanwhile.
    pub fn longest_job_hours(&self) -> u64 {
        let by_hand = super::JobSection::default().timeout_s;
        let configured = self.jobs.iter().map(|job| job.timeout_s).max();
        configured.unwrap_or(0).max(by_hand).div_ceil(3600)
    }

    /// Whether the object store of the lake can be asked at all. A server other
    /// than AWS knows no roles and profiles: without keys it refuses, or worse,
    /// credentials are looked for on the network first.
    ///
    /// # Errors
    /// Says which variables are missing and where those of `make stack` are.
    pub fn check_lake_keys(&self) -> Result<(), ConfigError> {
        let url = self.lake_url();
        if !url.starts_with("s3://") || self.s3.access().needs_no_key() {
            return Ok(());
        }
        let missing = match (&self.s3.access_key_id, &self.s3.secret_access_key) {
            (Some(_), Some(_)) => return Ok(()),
            (Some(_), None) => "AWS_SECRET_ACCESS_KEY",
            (None, Some(_)) => "AWS_ACCESS_KEY_ID",
            (None, None) => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        };
        let is_aws = |endpoint: &str| endpoint.contains("amazonaws.com");
        let endpoint = match self.s3.endpoint.as_deref() {
            Some(endpoint) if !is_aws(endpoint) => format!(" at {endpoint}"),
            _ if missing.contains(" and ") => return Ok(()),
            _ => String::new(),
        };
        Err(ConfigError::NoKeys {
            url,
            endpoint,
            missing,
        })
    }
}

pub(super) fn refused(key: &str, value: impl ToString, expected: &str) -> ConfigError {
    ConfigError::Value {
        key: key.into(),
        value: value.to_string(),
        expected: expected.into(),
    }
}
