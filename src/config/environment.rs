//! Settings from the environment.

use figment::Figment;
use figment::value::{Dict, Map, Num, Tag, Value};
use figment::{Metadata, Profile, Provider};

use super::ConfigError;

/// Names of existing deployments and the settings that they mean.
const KNOWN: [(&str, &str); 19] = [
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
    ("AWS_REGION", "s3.region"),
    ("AWS_ENDPOINT_URL", "s3.endpoint"),
    ("S3_BUCKET", "s3.bucket"),
];
/// Apart from the others because their values are secret.
const SECRETS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "s3.access_key_id"),
    ("AWS_SECRET_ACCESS_KEY", "s3.secret_access_key"),
    ("AWS_SESSION_TOKEN", "s3.session_token"),
];
const PREFIX: &str = "CITYPULSE_";

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
        Ok(Value::Bool(..)) => {
            Value::from(text.parse::<bool>().map_err(|_| wrong("true or false"))?)
        }
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
