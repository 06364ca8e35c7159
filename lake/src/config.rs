//! Where the lake is and how to get at it.

use std::fmt;

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
}

impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = |secret: &Option<String>| secret.as_ref().map(|_| "***");
        f.debug_struct("S3Options")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key_id", &masked(&self.access_key_id))
            .field("secret_access_key", &masked(&self.secret_access_key))
            .field("session_token", &masked(&self.session_token))
            .field("allow_http", &self.allow_http)
            .field("virtual_hosted_style", &self.virtual_hosted_style)
            .finish()
    }
}
