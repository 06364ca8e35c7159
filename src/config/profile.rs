//! Keys that are kept in files beside the tools of AWS, by profile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{ConfigError, S3Section};

/// Variables that are read here.
pub(super) const NAMES: [&str; 4] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
];
/// Ways to keys that only the tools of AWS know.
const FOREIGN: [&str; 5] = [
    "credential_process",
    "role_arn",
    "source_profile",
    "sso_session",
    "sso_start_url",
];

type Section = BTreeMap<String, String>;

/// What a profile says of `[s3]`. Any other source wins.
#[derive(Clone, Default, Serialize)]
pub(super) struct Profile {
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_access_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<String>,
}

impl Profile {
    /// The token of the profile is of no use beside another's key.
    pub(super) fn keep_apart(&self, s3: &mut S3Section) {
        if s3.access_key_id != self.access_key_id && s3.session_token == self.session_token {
            s3.session_token = None;
        }
    }
}

/// The profile that the environment names; `None` where it names none.
///
/// # Errors
/// Where it cannot be read, or has keys in a way that is not understood.
pub(super) fn read(variables: &[(String, String)]) -> Result<Option<Profile>, ConfigError> {
    let value_of = |name: &str| {
        let mut named = variables.iter().filter(|(key, _)| key == name);
        named
            .next()
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    };
    let named = value_of("AWS_PROFILE").or_else(|| value_of("AWS_DEFAULT_PROFILE"));
    let file = value_of("AWS_SHARED_CREDENTIALS_FILE");
    if named.is_none() && file.is_none() {
        return Ok(None);
    }
    let name = named.unwrap_or("default");
    let in_home = |file: &str| {
        let home = value_of("HOME").unwrap_or(".");
        Path::new(home).join(".aws").join(file)
    };
    let file = file.map_or_else(|| in_home("credentials"), PathBuf::from);
    let config = value_of("AWS_CONFIG_FILE").map_or_else(|| in_home("config"), PathBuf::from);
    let refuse = |key: &str, value: String, expected: String| ConfigError::Value {
        key: key.into(),
        value,
        expected,
    };
    let credentials = std::fs::read_to_string(&file);
    // Often there is none.
    let config = std::fs::read_to_string(&config).unwrap_or_default();
    let mut section = match name {
        "default" => section(&config, "default"),
        name => section(&config, &format!("profile {name}")),
    };
    match (&credentials, &mut section) {
        (Ok(text), found) => {
            if let Some(keys) = self::section(text, name) {
                found.get_or_insert_default().extend(keys);
            }
        }
        (Err(error), None) => {
            let expected = format!("a file that can be read ({error})");
            let shown = file.display().to_string();
            return Err(refuse("AWS_SHARED_CREDENTIALS_FILE", shown, expected));
        }
        (Err(_), Some(_)) => {}
    }
    let Some(mut section) = section else {
        let expected = format!("a profile in {}", file.display());
        return Err(refuse("AWS_PROFILE", name.to_owned(), expected));
    };
    let foreign = FOREIGN.iter().find(|key| section.contains_key(**key));
    let has_key = section.contains_key("aws_access_key_id");
    let has_other_key = ["AWS_ACCESS_KEY_ID", "CITYPULSE_S3__ACCESS_KEY_ID"]
        .iter()
        .any(|name| value_of(name).is_some());
    if let (Some(foreign), false, false) = (foreign, has_key, has_other_key) {
        let expected = format!(
            "a profile with aws_access_key_id and aws_secret_access_key; {foreign} is not followed here, \
             `aws configure export-credentials --profile {name} --format env` prints keys to set instead"
        );
        return Err(refuse("AWS_PROFILE", name.to_owned(), expected));
    }
    Ok(Some(Profile {
        access_key_id: section.remove("aws_access_key_id"),
        secret_access_key: section.remove("aws_secret_access_key"),
        session_token: section.remove("aws_session_token"),
        region: section.remove("region"),
        endpoint: section.remove("endpoint_url"),
        ca_file: section.remove("ca_bundle"),
    }))
}

/// The `key = value` lines below `[name]`; `None` where there is no such line.
fn section(text: &str, name: &str) -> Option<Section> {
    let mut found = None;
    let mut is_inside = false;
    for line in text.lines() {
        // Keys of a nested section are set in.
        let is_nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(title) = line.strip_prefix('[') {
            let title = title.split(']').next().unwrap_or_default();
            is_inside = title.split_whitespace().eq(name.split_whitespace());
            if is_inside {
                found.get_or_insert_with(Section::new);
            }
        } else if let (true, false, Some((key, value))) =
            (is_inside, is_nested, line.split_once('='))
            && let Some(found) = &mut found
        {
            found.insert(key.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const FILE: &str = "# keys\n[default]\naws_access_key_id = first\naws_secret_access_key=hunter1\n\n\
        [city]\nAWS_ACCESS_KEY_ID = second\naws_secret_access_key = a=b\naws_session_token = t\n\
        region = eu-north-1\ns3 =\n  region = nested\n\
        [ sso ]\nsso_start_url = https://example.org\n";

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        std::fs::write(&file, FILE).unwrap();
        let file = file.display().to_string();
        let mut all = vec![
            ("S3_BUCKET", "city"),
            ("HOME", "/nowhere"),
            ("AWS_SHARED_CREDENTIALS_FILE", file.as_str()),
        ];
        all.extend(variables);
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Config::read(None, all.into_iter().map(owned))
    }

    #[test]
    fn the_named_profile_is_read_and_everything_else_wins() {
        let s3 = read(&[]).unwrap().s3;
        assert_eq!(s3.access_key_id.as_deref(), Some("first"));
        assert_eq!(s3.region, "us-east-1");

        let s3 = read(&[("AWS_PROFILE", "city")]).unwrap().s3;
        assert_eq!(s3.access_key_id.as_deref(), Some("second"));
        assert_eq!(s3.secret_access_key.as_deref(), Some("a=b"));
        assert_eq!(s3.session_token.as_deref(), Some("t"));
        assert_eq!(s3.region, "eu-north-1");

        let s3 = read(&[
            ("AWS_PROFILE", "city"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "third"),
            ("AWS_SECRET_ACCESS_KEY", "hunter3"),
        ]);
        let s3 = s3.unwrap().s3;
        assert_eq!(s3.access_key_id.as_deref(), Some("third"));
        assert_eq!(s3.session_token, None, "a token of another key");
        assert_eq!(s3.region, "eu-west-1");
    }

    #[test]
    fn a_profile_that_is_missing_or_of_no_use_is_named() {
        for (profile, said) in [("town", "town"), ("sso", "export-credentials")] {
            let error = read(&[("AWS_PROFILE", profile)]).unwrap_err().to_string();
            assert!(
                error.contains("AWS_PROFILE") && error.contains(said),
                "{error}"
            );
        }
        let missing = ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials");
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let error = Config::read(
            None,
            [("S3_BUCKET", "city"), missing].into_iter().map(owned),
        );
        let error = error.unwrap_err().to_string();
        assert!(error.contains("/nowhere/credentials"), "{error}");
        // Where the lake is a folder, or has keys, nobody needs it.
        let key = ("AWS_ACCESS_KEY_ID", "first");
        for others in [&[][..], &[("S3_BUCKET", "city"), key]] {
            let all = others.iter().copied().chain([missing]);
            assert!(Config::read(None, all.map(owned)).is_ok());
        }
    }
}
