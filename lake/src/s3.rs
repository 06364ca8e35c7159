//! Access to S3: which settings there are, and the client that they make.

use std::path::Path;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key, S3ConditionalPut};
use object_store::{BackoffConfig, Certificate, ClientConfigKey, ClientOptions, RetryConfig};
use url::Url;

use crate::S3Options;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Short, because whoever called retries with a backoff of their own.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_RETRIES: usize = 3;

/// Keys for which the client has no public name.
const ENCRYPTION: &str = "aws_server_side_encryption";
const BUCKET_KEY: &str = "aws_sse_bucket_key_enabled";
const CUSTOMER_KEY: &str = "aws_sse_customer_key_base64";

/// Why a setting of [`S3Options::more`] is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSetting {
    /// The client knows no such setting.
    Unknown,
    /// It has a field of its own, of this name.
    HasField(&'static str),
    /// The value is not what this says.
    Expected(&'static str),
}

/// Looks at one setting of [`S3Options::more`].
///
/// # Errors
/// What is wrong with it.
pub fn check_setting(name: &str, value: &str) -> Result<(), BadSetting> {
    let key: Key = name.parse().map_err(|_| BadSetting::Unknown)?;
    if let Some(field) = field_of(key) {
        return Err(BadSetting::HasField(field));
    }
    let expected = match key {
        // Of two writers of one version one must be refused: without it both would win.
        Key::ConditionalPut => {
            let is_etag = value.trim().eq_ignore_ascii_case("etag");
            let expected = BadSetting::Expected("etag, which keeps writers of one table apart");
            return is_etag.then_some(()).ok_or(expected);
        }
        Key::Checksum => "sha256",
        Key::CopyIfNotExists => {
            "header:NAME:VALUE, header-with-status:NAME:VALUE:STATUS or multipart"
        }
        Key::Encryption(_) if key.as_ref() == ENCRYPTION => {
            "AES256, aws:kms, aws:kms:dsse or sse-c"
        }
        Key::Encryption(_) if key.as_ref() == BUCKET_KEY => "true or false",
        Key::ImdsV1Fallback
        | Key::UnsignedPayload
        | Key::SkipSignature
        | Key::DisableTagging
        | Key::S3Express
        | Key::RequestPayer => "true or false",
        Key::Client(key) => match key {
            ClientConfigKey::ConnectTimeout
            | ClientConfigKey::Timeout
            | ClientConfigKey::PoolIdleTimeout
            | ClientConfigKey::Http2KeepAliveInterval
            | ClientConfigKey::Http2KeepAliveTimeout => "a duration such as 30s",
            ClientConfigKey::PoolMaxIdlePerHost | ClientConfigKey::Http2MaxFrameSize => {
                "a whole number, 0 or more"
            }
            ClientConfigKey::ProxyUrl => "the address of a proxy, such as http://host:3128",
            ClientConfigKey::UserAgent | ClientConfigKey::DefaultContentType => {
                "text of ASCII letters"
            }
            ClientConfigKey::ProxyCaCertificate | ClientConfigKey::ProxyExcludes => return Ok(()),
            _ => "true or false",
        },
        _ => return Ok(()),
    };
    // Values are read when a client is made that has a use for them, and not before.
    let mut client = AmazonS3Builder::new().with_bucket_name("a--use1-az1--x-s3");
    if key.as_ref() == BUCKET_KEY {
        client = client.with_sse_kms_encryption("key");
    }
    let made = client.with_config(key, value).build();
    made.map(drop).map_err(|_| BadSetting::Expected(expected))
}

/// Whether the value of a setting must not be shown.
pub fn is_secret(name: &str) -> bool {
    match name.parse() {
        Ok(Key::AccessKeyId | Key::SecretAccessKey | Key::Token) => true,
        // May hold a password.
        Ok(Key::Client(ClientConfigKey::ProxyUrl)) => true,
        Ok(key) => key.as_ref() == CUSTOMER_KEY,
        Err(_) => false,
    }
}

/// The field of [`S3Options`], or whatever else says the same.
fn field_of(key: Key) -> Option<&'static str> {
    Some(match key {
        Key::AccessKeyId => "access_key_id",
        Key::SecretAccessKey => "secret_access_key",
        Key::Token => "session_token",
        Key::Region | Key::DefaultRegion => "region",
        Key::Endpoint | Key::S3Endpoint => "endpoint",
        Key::Bucket => "bucket",
        Key::VirtualHostedStyleRequest => "virtual_hosted_style",
        _ => return None,
    })
}

impl S3Options {
    fn more(&self, key: Key) -> Option<&str> {
        let mut settings = self.more.iter();
        settings
            .find(|(name, _)| name.parse().is_ok_and(|named: Key| named == key))
            .map(|(_, value)| value.as_str())
    }

    /// Whether requests are signed with something else than a key that is given, or not
    /// at all: a web identity, the credentials of a container, no signature.
    pub fn needs_no_key(&self) -> bool {
        let has = |key| self.more(key).is_some();
        self.more(Key::SkipSignature).is_some_and(is_true)
            || (has(Key::WebIdentityTokenFile) && has(Key::RoleArn))
            || has(Key::ContainerCredentialsRelativeUri)
            || (has(Key::ContainerCredentialsFullUri) && has(Key::ContainerAuthorizationTokenFile))
    }

    /// What makes the client of `bucket`.
    ///
    /// # Errors
    /// In words, what cannot be.
    pub(crate) fn client(&self, bucket: &str) -> Result<AmazonS3Builder, String> {
        let mut builder = AmazonS3Builder::new()
            .with_client_options(self.client_options()?)
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(100),
                    max_backoff: Duration::from_secs(2),
                    base: 2.0,
                },
                max_retries: MAX_RETRIES,
                retry_timeout: RETRY_TIMEOUT,
            });
        for (name, value) in &self.more {
            let key = name
                .parse()
                .map_err(|_| format!("the S3 client knows no setting {name}"))?;
            builder = builder.with_config(key, value);
        }
        builder = builder
            .with_bucket_name(bucket)
            .with_region(self.region.as_deref().unwrap_or("us-east-1"))
            .with_virtual_hosted_style_request(self.virtual_hosted_style)
            // Delta's mutual exclusion: of two writers of one version one is refused.
            .with_conditional_put(S3ConditionalPut::ETagMatch);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(self.address(endpoint, bucket)?);
        }
        match (&self.access_key_id, &self.secret_access_key) {
            (Some(key), Some(secret)) => {
                builder = builder
                    .with_access_key_id(key)
                    .with_secret_access_key(secret);
                if let Some(token) = &self.session_token {
                    builder = builder.with_token(token);
                }
            }
            // The instance's own role on AWS.
            (None, None) if self.endpoint.is_none() || self.needs_no_key() => {}
            _ => return Err("needs both an access key id and a secret access key".to_owned()),
        }
        Ok(builder)
    }

    fn client_options(&self) -> Result<ClientOptions, String> {
        let options = ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_timeout(REQUEST_TIMEOUT)
            .with_allow_http(self.allow_http);
        let Some(file) = &self.ca_file else {
            return Ok(options);
        };
        // Beside the system's.
        let certificates = certificates(file)?;
        Ok(certificates
            .into_iter()
            .fold(options, ClientOptions::with_root_certificate))
    }

    /// Where the bucket is: the client takes the address as it is where the bucket is
    /// part of the host's name.
    fn address(&self, endpoint: &str, bucket: &str) -> Result<String, String> {
        let mut url = parse_endpoint(endpoint)
            .ok_or_else(|| format!("endpoint is {endpoint:?}; expected {ENDPOINT_EXPECTED}"))?;
        if url.scheme() == "http" && !self.allows_http() {
            return Err(format!(
                "endpoint {endpoint} is not encrypted; use https:// or set allow_http = true"
            ));
        }
        let host = url.host_str().unwrap_or_default();
        if self.virtual_hosted_style && !host.starts_with(&format!("{bucket}.")) {
            let host = format!("{bucket}.{host}");
            url.set_host(Some(&host))
                .map_err(|_| format!("bucket {bucket} cannot be part of a host's name; set s3.virtual_hosted_style = false"))?;
        }
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }

    fn allows_http(&self) -> bool {
        let more = self.more(Key::Client(ClientConfigKey::AllowHttp));
        more.map_or(self.allow_http, is_true)
    }
}

/// What [`parse_endpoint`] takes, in words.
pub const ENDPOINT_EXPECTED: &str = "http:// or https:// and a host, such as http://127.0.0.1:9000";

/// The address of a server, where it is one.
pub fn parse_endpoint(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain).then_some(url)
}

/// As the client reads it.
fn is_true(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["1", "true", "on", "yes", "y"].contains(&text.as_str())
}

fn certificates(file: &Path) -> Result<Vec<Certificate>, String> {
    let shown = file.display();
    let pem = std::fs::read(file).map_err(|error| {
        format!("the CA's certificate {shown} (ca_file) cannot be read: {error}")
    })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!(
            "{shown} (ca_file) has no certificate; expected PEM, which begins with -----BEGIN CERTIFICATE-----"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use object_store::aws::AmazonS3;
    use object_store::client::{HttpRequest, HttpRequestBody};
    use object_store::path::Path;
    use object_store::signer::Signer;

    use super::*;

    fn options(more: &[(&str, &str)]) -> S3Options {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        S3Options {
            access_key_id: Some("key".to_owned()),
            secret_access_key: Some("secret".to_owned()),
            more: more.iter().map(owned).collect::<BTreeMap<_, _>>(),
            ..S3Options::default()
        }
    }

    fn on(endpoint: &str) -> S3Options {
        S3Options {
            endpoint: Some(endpoint.to_owned()),
            allow_http: endpoint.starts_with("http://"),
            ..options(&[])
        }
    }

    /// What a request for `a/b` in the bucket `city` asks.
    async fn url(options: &S3Options) -> Url {
        let client: AmazonS3 = options
            .client("city")
            .expect("options")
            .build()
            .expect("a client");
        let get = HttpRequest::new(HttpRequestBody::empty()).method().clone();
        let second = Duration::from_secs(1);
        client
            .signed_url(get, &Path::from("a/b"), second)
            .await
            .expect("a URL")
    }

    #[tokio::test]
    async fn the_bucket_is_in_the_path_or_in_the_hosts_name() {
        for (endpoint, virtual_hosted_style, expected) in [
            (None, false, "https://s3.us-east-1.amazonaws.com/city/a/b"),
            (None, true, "https://city.s3.us-east-1.amazonaws.com/a/b"),
            (
                Some("http://127.0.0.1:9000/"),
                false,
                "http://127.0.0.1:9000/city/a/b",
            ),
            (
                Some("https://s3.example.org"),
                true,
                "https://city.s3.example.org/a/b",
            ),
            (
                Some("https://city.s3.example.org"),
                true,
                "https://city.s3.example.org/a/b",
            ),
        ] {
            let options = S3Options {
                virtual_hosted_style,
                ..endpoint.map_or_else(|| options(&[]), on)
            };
            let mut url = url(&options).await;
            url.set_query(None);
            assert_eq!(url.as_str(), expected);
        }
    }

    #[test]
    fn every_setting_of_the_client_reaches_it() {
        let settings = [
            ("server_side_encryption", "aws:kms"),
            ("aws_sse_kms_key_id", "arn:key"),
            ("sse_bucket_key_enabled", "true"),
            ("request_payer", "true"),
            ("unsigned_payload", "true"),
            ("skip_signature", "true"),
            ("checksum_algorithm", "sha256"),
            ("disable_tagging", "true"),
            ("web_identity_token_file", "/token"),
            ("role_arn", "arn:role"),
            ("role_session_name", "session"),
            ("endpoint_url_sts", "https://sts.example.org"),
            ("container_credentials_relative_uri", "/v2/x"),
            ("container_credentials_full_uri", "http://localhost/x"),
            ("container_authorization_token_file", "/token"),
            ("metadata_endpoint", "http://localhost"),
            ("imdsv1_fallback", "true"),
            ("proxy_url", "http://localhost:3128"),
            ("proxy_excludes", "localhost"),
            ("timeout", "7s"),
            ("connect_timeout", "7s"),
            ("pool_max_idle_per_host", "3"),
            ("user_agent", "city"),
            ("allow_invalid_certificates", "false"),
        ];
        let builder = options(&settings).client("city").expect("options");
        for (name, value) in settings {
            assert_eq!(check_setting(name, value), Ok(()), "{name}");
            let key: Key = name.parse().expect(name);
            assert_eq!(
                builder.get_config_value(&key).as_deref(),
                Some(value),
                "{name}"
            );
        }
        builder.build().expect("a client");
    }

    #[test]
    fn what_the_client_would_refuse_or_overrule_is_refused() {
        for (name, value, expected) in [
            ("request_payer", "perhaps", "true or false"),
            ("timeout", "long", "a duration such as 30s"),
            ("pool_max_idle_per_host", "-1", "a whole number, 0 or more"),
            (
                "server_side_encryption",
                "rot13",
                "AES256, aws:kms, aws:kms:dsse or sse-c",
            ),
            ("sse_bucket_key_enabled", "perhaps", "true or false"),
            ("checksum_algorithm", "md5", "sha256"),
            (
                "conditional_put",
                "disabled",
                "etag, which keeps writers of one table apart",
            ),
        ] {
            let refused = check_setting(name, value);
            assert_eq!(refused, Err(BadSetting::Expected(expected)), "{name}");
        }
        assert_eq!(check_setting("aws_pager", "less"), Err(BadSetting::Unknown));
        let own = check_setting("aws_token", "x");
        assert_eq!(own, Err(BadSetting::HasField("session_token")));
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!(
            "{:?}",
            options(&[
                ("aws_sse_customer_key_base64", "hunter2"),
                ("proxy_url", "http://me:hunter3@localhost"),
                ("request_payer", "true"),
            ])
        );
        assert!(
            !shown.contains("hunter") && !shown.contains("\"secret\""),
            "{shown}"
        );
        assert!(shown.contains("request_payer"), "{shown}");
    }

    #[test]
    fn a_key_may_be_missing_where_requests_are_signed_otherwise() {
        let without = |more: &[(&str, &str)]| S3Options {
            endpoint: Some("https://s3.example.org".to_owned()),
            access_key_id: None,
            secret_access_key: None,
            ..options(more)
        };
        for more in [
            &[("aws_skip_signature", "true")][..],
            &[
                ("aws_web_identity_token_file", "/t"),
                ("aws_role_arn", "arn:r"),
            ],
            &[("aws_container_credentials_relative_uri", "/v2/x")],
            &[
                ("aws_container_credentials_full_uri", "http://localhost"),
                ("aws_container_authorization_token_file", "/t"),
            ],
        ] {
            let client = without(more).client("city");
            client.expect("options").build().expect("a client");
        }
        for more in [
            &[][..],
            &[("aws_skip_signature", "false")],
            &[("aws_role_arn", "arn:r")],
        ] {
            let refused = without(more).client("city").expect_err("no key");
            assert!(refused.contains("access key id"), "{refused}");
        }
    }

    #[test]
    fn an_endpoint_is_the_address_of_a_server() {
        for endpoint in [
            "127.0.0.1:9000",
            "localhost:9000",
            "ftp://host",
            "http://",
            "https://me@host",
            "",
        ] {
            let refused = on(endpoint).client("city").expect_err(endpoint);
            assert!(
                refused.contains(endpoint) && refused.contains("https://"),
                "{refused}"
            );
        }
        let plain = S3Options {
            more: BTreeMap::from([("aws_allow_http".to_owned(), "false".to_owned())]),
            ..on("http://127.0.0.1:9000")
        };
        let refused = plain.client("city").expect_err("not encrypted");
        assert!(refused.contains("not encrypted"), "{refused}");
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("ca.pem");
        let options = S3Options {
            ca_file: Some(file.clone()),
            ..options(&[])
        };
        let said = || options.client("city").expect_err("no certificate");
        assert!(said().contains("cannot be read"), "{}", said());
        std::fs::write(&file, "no certificate").expect("written");
        assert!(said().contains("BEGIN CERTIFICATE"), "{}", said());
        assert!(said().contains(&file.display().to_string()), "{}", said());
    }
}
