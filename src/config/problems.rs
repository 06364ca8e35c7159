//! What can be wrong with a configuration, said so that it can be mended.

use figment::error::Kind;

/// A configuration that is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `--config` names nothing.
    #[error("configuration file {0} does not exist")]
    NoFile(String),
    /// A key that is not known.
    #[error("unknown setting {key} in {source_name}{hint}")]
    UnknownKey {
        /// With its section.
        key: String,
        /// File or variable.
        source_name: String,
        /// `; did you mean x?` or the known names.
        hint: String,
    },
    /// A value of the wrong kind or out of range.
    #[error("setting {key} is {value:?}; expected {expected}")]
    Value {
        /// With its section.
        key: String,
        /// As given.
        value: String,
        /// In words.
        expected: String,
    },
    /// Not TOML, or anything else.
    #[error("configuration cannot be read: {0}")]
    Unreadable(String),
}

/// The first problem that figment found, in our words.
pub(super) fn explain(errors: figment::Error) -> ConfigError {
    let Some(error) = errors.into_iter().next() else {
        return ConfigError::Unreadable("no cause was given".into());
    };
    let source_name = error
        .metadata
        .as_ref()
        .map_or(
            "the configuration".to_string(),
            |metadata| match &metadata.source {
                Some(source) => source.to_string(),
                None => metadata.name.to_string(),
            },
        );
    let path = error.path.join(".");
    match error.kind {
        Kind::UnknownField(field, known) => {
            let key = match path.is_empty() || path.ends_with(&field) {
                true if path.is_empty() => field.clone(),
                true => path,
                false => format!("{path}.{field}"),
            };
            ConfigError::UnknownKey {
                key,
                source_name,
                hint: hint(&field, known),
            }
        }
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            ConfigError::Value {
                key: path,
                value: actual.to_string(),
                expected,
            }
        }
        Kind::UnknownVariant(value, known) => ConfigError::Value {
            key: path,
            value,
            expected: known.join(" or "),
        },
        kind => ConfigError::Unreadable(format!("{source_name}: {kind}")),
    }
}

fn hint(field: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(field, name), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().max(field.len()).div_ceil(2));
    match nearest {
        Some((_, name)) => format!("; did you mean {name}?"),
        None => format!("; known are {}", known.join(", ")),
    }
}
