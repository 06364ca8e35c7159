//! The configuration as people see it.

use super::Config;

impl Config {
    /// The effective configuration as TOML, secrets masked.
    pub fn masked(&self) -> String {
        let mut shown = self.clone();
        for secret in [
            &mut shown.redis.password,
            &mut shown.redis.sentinel.password,
            &mut shown.s3.access_key_id,
            &mut shown.s3.secret_access_key,
            &mut shown.s3.session_token,
        ] {
            if secret.is_some() {
                *secret = Some("********".into());
            }
        }
        for (name, value) in &mut shown.s3.aws {
            if lake::s3::is_secret(name) {
                *value = "********".into();
            }
        }
        shown.redis.url = mask_url_password(&shown.redis.url);
        toml::to_string_pretty(&shown).unwrap_or_else(|error| format!("# cannot be shown: {error}"))
    }
}

/// `scheme://user:secret@host` without the secret.
fn mask_url_password(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            // Cannot fail: a URL that has a password can have another.
            let _ = parsed.set_password(Some("********"));
            parsed.to_string()
        }
        _ => url.to_string(),
    }
}
