//! Values that are well formed and still make no sense.

use lake::s3::{BadSetting, ENDPOINT_EXPECTED, check_setting, is_secret, parse_endpoint};

use super::{Config, ConfigError};

impl Config {
    /// # Errors
    /// Names the first setting that is out of its range.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let range = in_range;
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
        self.validate_maintenance()?;
        let checkpoint = self.speed.checkpoint_interval_ms;
        range(
            "speed.checkpoint_interval_ms",
            checkpoint as f64,
            (100..=600_000).contains(&checkpoint),
            "100 to 600000 milliseconds",
        )?;
        self.validate_speed_limits()?;
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

    fn validate_speed_limits(&self) -> Result<(), ConfigError> {
        let speed = &self.speed;
        let value = |key: String, value: String, expected: &str| ConfigError::Value {
            key,
            value,
            expected: expected.into(),
        };
        for (stream, lateness_s) in &speed.lateness {
            if events::Stream::from_name(stream).is_none() {
                let names = events::Stream::ALL.map(events::Stream::name).join(", ");
                return Err(value(
                    format!("speed.lateness.{stream}"),
                    lateness_s.to_string(),
                    &format!("the name of a stream: {names}"),
                ));
            }
        }
        let teleport = &speed.teleport;
        let limits = [
            ("speed.teleport.speed_kmh".to_owned(), teleport.speed_kmh),
            ("speed.teleport.distance_m".to_owned(), teleport.distance_m),
            ("speed.accuracy_max_m".to_owned(), speed.accuracy_max_m),
        ];
        let by_type = teleport
            .by_type
            .iter()
            .map(|(name, limit)| (format!("speed.teleport.by_type.{name}"), *limit));
        for (key, limit) in limits.into_iter().chain(by_type) {
            if !(limit.is_finite() && limit > 0.0) {
                return Err(value(key, limit.to_string(), "a number above 0"));
            }
        }
        Ok(())
    }

    fn validate_maintenance(&self) -> Result<(), ConfigError> {
        for (key, minutes) in [
            (
                "maintenance.compact_every_min",
                self.maintenance.compact_every_min,
            ),
            (
                "maintenance.clean_every_min",
                self.maintenance.clean_every_min,
            ),
        ] {
            let ok = (1..=10_080).contains(&minutes);
            in_range(key, minutes as f64, ok, "1 to 10080 minutes")?;
        }
        let hours = self.maintenance.vacuum_retain_hours;
        let least = self.longest_job_hours();
        in_range(
            "maintenance.vacuum_retain_hours",
            hours as f64,
            (least..=8_760).contains(&hours),
            &format!("{least} to 8760 hours: a job may read an old version for {least} h"),
        )?;
        let memory = self.maintenance.compact_memory_mib;
        in_range(
            "maintenance.compact_memory_mib",
            memory as f64,
            (16..=65_536).contains(&memory),
            "16 to 65536 MiB",
        )?;
        let views = &self.views;
        in_range(
            "views.every_s",
            views.every_s as f64,
            (1..=86_400).contains(&views.every_s),
            "1 to 86400 seconds",
        )?;
        in_range(
            "views.memory_mib",
            views.memory_mib as f64,
            (16..=65_536).contains(&views.memory_mib),
            "16 to 65536 MiB",
        )?;
        Ok(())
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

pub(super) fn in_range(key: &str, value: f64, ok: bool, expected: &str) -> Result<(), ConfigError> {
    match ok {
        true => Ok(()),
        false => Err(ConfigError::Value {
            key: key.into(),
            value: value.to_string(),
            expected: expected.into(),
        }),
    }
}
