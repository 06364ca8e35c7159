//! Settings from the environment.

use figment::Figment;
use figment::value::{Dict, Map, Num, Tag, Value};
use figment::{Metadata, Profile, Provider};

use lake::s3::{BadSetting, check_setting};

use super::{ConfigError, profile};

/// Names of existing deployments and the settings that they mean.
const KNOWN: [(&str, &str); 24] = [
    ("KAFKA_BOOTSTRAP_SERVERS", "kafka.bootstrap_servers"),
    ("KAFKA_SECURITY_PROTOCOL", "kafka.security_protocol"),
    ("KAFKA_SSL_CA", "kafka.ssl_ca"),
    ("KAFKA_SSL_CERT", "kafka.ssl_cert"),
    ("KAFKA_SSL_KEY", "kafka.ssl_key"),
    ("VEHICLE_TOPIC", "topics.vehicle_data"),
    ("GPS_TOPIC", "topics.gps_data"),
    ("TRAFFIC_TOPIC", "topics.traffic_camera_data"),
    ("WEATHER_TOPIC", "topics.weather_data"),
    ("EMERGENCY_TOPIC", "topics.emergency_incident_data"),
    ("REDIS_HOST", "redis.host"),
    ("REDIS_PORT", "redis.port"),
    ("REDIS_PASSWORD", "redis.password"),
    ("REDIS_URL", "redis.url"),
    ("API_HOST", "server.host"),
    ("API_PORT", "server.port"),
    // Of two that mean the same the later wins.
    ("AWS_DEFAULT_REGION", "s3.region"),
    ("AWS_REGION", "s3.region"),
    ("AWS_ENDPOINT", "s3.endpoint"),
    ("AWS_ENDPOINT_URL", "s3.endpoint"),
    ("AWS_ENDPOINT_URL_S3", "s3.endpoint"),
    (
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
        "s3.virtual_hosted_style",
    ),
    ("AWS_CA_BUNDLE", "s3.ca_file"),
    ("S3_BUCKET", "s3.bucket"),
];
/// Apart from the others because their values are secret.
const SECRETS: [(&str, &str); 4] = [
    ("AWS_TOKEN", "s3.session_token"),
    ("AWS_ACCESS_KEY_ID", "s3.access_key_id"),
    ("AWS_SECRET_ACCESS_KEY", "s3.secret_access_key"),
    ("AWS_SESSION_TOKEN", "s3.session_token"),
];
const PREFIX: &str = "CITYPULSE_";
/// Parts of names that a setting of S3 may have.
const OF_S3: [&str; 13] = [
    "S3",
    "SSE",
    "KEY",
    "TOKEN",
    "CREDENTIAL",
    "ENDPOINT",
    "SIGN",
    "ROLE",
    "BUCKET",
    "CHECKSUM",
    "ATTEMPTS",
    "RETRY",
    "PROXY",
];

/// Lays the variables over `figment`: first the names of existing deployments,
/// then `CITYPULSE_<SECTION>__<KEY>`, which win. A value is read as the type
/// that the setting's default has.
pub(super) fn merge(
    figment: Figment,
    variables: &[(String, String)],
) -> Result<Figment, ConfigError> {
    let value_of = |name: &str| {
        variables
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    };
    let mut settings: Vec<(String, String, String)> = Vec::new();
    for (name, key) in KNOWN.into_iter().chain(SECRETS) {
        if let Some(value) = value_of(name).filter(|value| !value.is_empty()) {
            settings.push((name.to_string(), key.to_string(), value.clone()));
        }
    }
    settings.extend(of_the_s3_client(variables));
    for (name, value) in variables {
        // One word behind the prefix is no setting of ours: every key has a section.
        let Some(path) = name.strip_prefix(PREFIX).filter(|path| path.contains("__")) else {
            continue;
        };
        let key = path.to_lowercase().replace("__", ".");
        settings.push((name.clone(), key, value.clone()));
    }
    if let Some((_, value)) = variables
        .iter()
        .find(|(key, _)| key == "CITYPULSE_DATA_DIR")
    {
        settings.push((
            "CITYPULSE_DATA_DIR".into(),
            "data_dir".into(),
            value.clone(),
        ));
    }
    settings
        .into_iter()
        .try_fold(figment, |figment, (name, key, text)| {
            let value = typed(&figment, &name, &key, &text)?;
            Ok(figment.merge(Variable { name, key, value }))
        })
}

/// What the S3 client takes beside what has a key of its own.
fn of_the_s3_client(variables: &[(String, String)]) -> Vec<(String, String, String)> {
    let is_known = |name: &str| {
        let mut known = KNOWN.into_iter().chain(SECRETS);
        known.any(|(known, _)| known == name) || profile::NAMES.contains(&name)
    };
    let mut settings = Vec::new();
    let (mut unused, mut other) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        let Some(setting) = name.strip_prefix("AWS_") else {
            continue;
        };
        if value.is_empty() || is_known(name) {
            continue;
        }
        // With its prefix: what is of AWS only is not asked of the client's other names.
        match check_setting(&name.to_lowercase(), value) {
            Ok(()) | Err(BadSetting::Expected(_)) => {
                let key = format!("s3.aws.{}", setting.to_lowercase());
                settings.push((name.clone(), key, value.clone()));
            }
            Err(_) if OF_S3.iter().any(|part| setting.contains(part)) => unused.push(name.as_str()),
            Err(_) => other.push(name.as_str()),
        }
    }
    if !unused.is_empty() {
        tracing::warn!(
            names = unused.join(" "),
            "variables that look like settings of S3 are not understood and have no effect"
        );
    }
    if !other.is_empty() {
        tracing::debug!(
            names = other.join(" "),
            "variables of AWS without a meaning here"
        );
    }
    settings
}

/// As people and other programs write it.
fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" | "y" => Some(true),
        "0" | "false" | "off" | "no" | "n" => Some(false),
        _ => None,
    }
}

fn typed(figment: &Figment, name: &str, key: &str, text: &str) -> Result<Value, ConfigError> {
    let wrong = |expected: &str| ConfigError::Value {
        key: format!("{key} (from {name})"),
        value: text.to_string(),
        expected: expected.to_string(),
    };
    // Entries of these have no default that would tell their type.
    if key.starts_with("speed.lateness.") {
        let whole = text.parse::<i64>();
        return Ok(Value::from(whole.map_err(|_| wrong("a whole number"))?));
    }
    if key.starts_with("speed.teleport.by_type.") {
        let number = text.parse::<f64>();
        return Ok(Value::from(number.map_err(|_| wrong("a number"))?));
    }
    Ok(match figment.find_value(key) {
        Ok(Value::Bool(..)) => Value::from(flag(text).ok_or_else(|| wrong("true or false"))?),
        Ok(Value::Num(_, Num::F64(_) | Num::F32(_))) => {
            Value::from(text.parse::<f64>().map_err(|_| wrong("a number"))?)
        }
        Ok(Value::Num(..)) => {
            Value::from(text.parse::<i64>().map_err(|_| wrong("a whole number"))?)
        }
        Ok(Value::Array(..)) => Value::from(text.split(',').map(str::trim).collect::<Vec<_>>()),
        _ => Value::from(text),
    })
}

/// One variable as a source of settings, so that errors name it.
struct Variable {
    name: String,
    key: String,
    value: Value,
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("environment variable {}", self.name))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let nested = self
            .key
            .rsplit('.')
            .fold(self.value.clone(), |value, part| {
                Value::Dict(Tag::Default, Dict::from([(part.to_string(), value)]))
            });
        let dict = nested.into_dict().unwrap_or_default();
        Ok(Map::from([(Profile::Default, dict)]))
    }
}
