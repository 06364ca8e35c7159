//! Where the lake is and how to get at it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::s3::is_secret;

/// Location and access. Reads nothing from the environment.
#[derive(Clone, Debug, Default)]
pub struct LakeConfig {
    /// A folder (plain path or `file:///...`) or `s3://bucket/prefix`.
    pub url: String,
    /// Used where `url` is `s3://`.
    pub s3: S3Options,
}

/// How to reach an S3 server. `Debug` shows no secret.
#[derive(Clone, Default)]
pub struct S3Options {
    /// `http(s)://host:port` of a server other than AWS.
    pub endpoint: Option<String>,
    /// Defaults to `us-east-1`.
    pub region: Option<String>,
    /// The key's name.
    pub access_key_id: Option<String>,
    /// The key's secret.
    pub secret_access_key: Option<String>,
    /// Session token of temporary credentials.
    pub session_token: Option<String>,
    /// Allows an `http://` endpoint.
    pub allow_http: bool,
    /// `http://bucket.host/key` instead of `http://host/bucket/key`.
    pub virtual_hosted_style: bool,
    /// Certificates (PEM) that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Everything else that the client takes, such as `server_side_encryption` or
    /// `role_arn`; see [`crate::s3::check_setting`]. The fields above win.
    pub more: BTreeMap<String, String>,
}

impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = |secret: &Option<String>| secret.as_ref().map(|_| "***");
        let more: BTreeMap<&str, &str> = self
            .more
            .iter()
            .map(|(name, value)| match is_secret(name) {
                true => (name.as_str(), "***"),
                false => (name.as_str(), value.as_str()),
            })
            .collect();
        f.debug_struct("S3Options")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key_id", &masked(&self.access_key_id))
            .field("secret_access_key", &masked(&self.secret_access_key))
            .field("session_token", &masked(&self.session_token))
            .field("allow_http", &self.allow_http)
            .field("virtual_hosted_style", &self.virtual_hosted_style)
            .field("ca_file", &self.ca_file)
            .field("more", &more)
            .finish()
    }
}
