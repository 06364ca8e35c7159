//! The storage below the tables: a folder or a bucket, and what its errors mean.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use object_store::ObjectStore;
use object_store::limit::LimitStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use url::Url;

use crate::{Error, LakeConfig, Result, S3Options, Table};

/// Requests in flight at once, of all readers and writers of this process.
const MAX_REQUESTS: usize = 64;

/// As a file system says it.
const READ_ONLY: &str = "(os error 30)";
const NO_RIGHT: &str = "(os error 13)";

/// The place where the lake lies.
#[derive(Clone)]
pub(crate) struct Storage {
    /// As people know it; has no secret.
    pub(crate) url: Arc<str>,
    /// The whole folder tree or bucket.
    root: Arc<dyn ObjectStore>,
    /// The lake alone: paths begin with a table's name.
    pub(crate) lake: Arc<dyn ObjectStore>,
    location: Url,
    /// Of a local lake.
    folder: Option<PathBuf>,
}

impl Storage {
    /// Prepares access; a local folder is created, a bucket is not contacted.
    pub(crate) fn open(config: &LakeConfig) -> Result<Self> {
        match Url::parse(&config.url) {
            Ok(url) if url.scheme() == "s3" || url.scheme() == "s3a" => {
                Self::open_s3(&url, &config.s3)
            }
            Ok(url) if url.scheme() == "file" => {
                let path = url.to_file_path().map_err(|()| {
                    configuration(
                        &config.url,
                        "is no local file URL; write file:///absolute/folder",
                    )
                })?;
                Self::open_local(&path)
            }
            Ok(url) if url.scheme().len() > 1 => Err(configuration(
                &config.url,
                "has a scheme that is not supported; use a folder, file:///folder or s3://bucket/prefix",
            )),
            _ => Self::open_local(FilePath::new(&config.url)),
        }
    }

    fn open_local(folder: &FilePath) -> Result<Self> {
        let shown = folder.display().to_string();
        let failed = |error: std::io::Error| {
            configuration(
                &shown,
                format!(
                    "the folder cannot be created or opened: {error}; choose another or mend its rights"
                ),
            )
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let folder = folder.canonicalize().map_err(failed)?;
        let location = Url::from_directory_path(&folder)
            .map_err(|()| configuration(&shown, "the folder has no absolute path"))?;
        let base = Path::from_absolute_path(&folder)
            .map_err(|error| configuration(&shown, error.to_string()))?;
        let root: Arc<dyn ObjectStore> =
            Arc::new(LimitStore::new(LocalFileSystem::new(), MAX_REQUESTS));
        Ok(Self {
            url: folder.display().to_string().into(),
            lake: Arc::new(PrefixStore::new(root.clone(), base)),
            root,
            location,
            folder: Some(folder),
        })
    }

    fn open_s3(url: &Url, options: &S3Options) -> Result<Self> {
        let shown = url.as_str().trim_end_matches('/');
        let bucket = url
            .host_str()
            .filter(|bucket| !bucket.is_empty())
            .ok_or_else(|| configuration(shown, "names no bucket; write s3://bucket/prefix"))?;
        let store = options
            .client(bucket)
            .map_err(|reason| configuration(shown, reason))?
            .build()
            .map_err(|error| configuration(shown, error.to_string()))?;
        let prefix = url.path().trim_matches('/');
        let base = Path::parse(prefix).map_err(|error| configuration(shown, error.to_string()))?;
        let location = Url::parse(&format!("s3://{bucket}/{}", with_slash(prefix)))
            .map_err(|error| configuration(shown, error.to_string()))?;
        let root: Arc<dyn ObjectStore> = Arc::new(LimitStore::new(store, MAX_REQUESTS));
        let lake = Arc::new(PrefixStore::new(root.clone(), base));
        Ok(Self {
            url: shown.into(),
            root,
            lake,
            location,
            folder: None,
        })
    }

    /// Objects as a bucket has them, for tests.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        let root: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
        Self {
            url: "memory".into(),
            lake: Arc::clone(&root),
            root,
            location: Url::parse("memory:///").expect("a URL"),
            folder: None,
        }
    }

    /// Delta's view of one table.
    pub(crate) fn log_store(&self, table: Table) -> Result<LogStoreRef> {
        let location = self
            .location
            .join(&with_slash(table.name()))
            .map_err(|error| configuration(&self.url, error.to_string()))?;
        let prefixed = self.table_store(table);
        Ok(default_logstore(
            prefixed,
            self.root.clone(),
            &location,
            &StorageConfig::default(),
        ))
    }

    /// One table's folder: paths are as in its Delta log.
    pub(crate) fn table_store(&self, table: Table) -> Arc<dyn ObjectStore> {
        Arc::new(PrefixStore::new(self.lake.clone(), table.name()))
    }

    /// Makes a file that was just put survive a loss of power. Object stores
    /// promise that themselves; a local file system does not.
    pub(crate) async fn sync(&self, path: &str) -> Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let file = folder.join(path);
        let synced = tokio::task::spawn_blocking(move || {
            std::fs::File::open(&file)?.sync_all()?;
            match file.parent() {
                Some(parent) => std::fs::File::open(parent)?.sync_all(),
                None => Ok(()),
            }
        });
        match synced.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.classify(format!("{path}: {error}"))),
            Err(error) => Err(self.unavailable(error.to_string())),
        }
    }

    /// Says what a failed request means for the one who runs the platform.
    pub(crate) fn error(&self, error: &object_store::Error) -> Error {
        let text = chain(error);
        match error {
            object_store::Error::Unauthenticated { .. }
            | object_store::Error::PermissionDenied { .. } => {
                configuration(&self.url, self.denied(&text))
            }
            _ => self.classify(text),
        }
    }

    /// The same for errors of the Delta library, which wrap the storage's.
    pub(crate) fn delta_error(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        let mut cause = Some(error);
        while let Some(current) = cause {
            if let Some(inner) = current.downcast_ref::<object_store::Error>() {
                return self.error(inner);
            }
            cause = current.source();
        }
        self.classify(chain(error))
    }

    fn classify(&self, text: String) -> Error {
        if text.contains("NoSuchBucket") {
            return configuration(
                &self.url,
                "the bucket does not exist; create it or name another",
            );
        }
        let refused = [
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "AccessDenied",
            "403 Forbidden",
            "401 Unauthorized",
        ];
        if refused.iter().any(|code| text.contains(code)) {
            return configuration(&self.url, self.denied(&text));
        }
        if text.contains("No space left on device") || text.contains("XMinioStorageFull") {
            return self.unavailable(
                "the disk is full; free some space, writing resumes by itself".into(),
            );
        }
        if text.contains("UnknownIssuer") {
            return configuration(
                &self.url,
                "the server's certificate is of an authority that this machine does not know; name the \
                 authority's own certificate, a PEM file, with s3.ca_file (AWS_CA_BUNDLE)",
            );
        }
        if text.contains("invalid peer certificate") {
            return configuration(
                &self.url,
                format!(
                    "the server's certificate is not valid for s3.endpoint; mend the certificate or the \
                     address ({})",
                    short(&text)
                ),
            );
        }
        if self.folder.is_some() {
            if text.contains(READ_ONLY) {
                return self.unavailable(
                    "its file system is mounted read-only; mount it to be written, writing resumes by itself"
                        .into(),
                );
            }
            if text.contains(NO_RIGHT) {
                return configuration(&self.url, self.denied(&text));
            }
        }
        self.unavailable(short(&text))
    }

    fn denied(&self, text: &str) -> String {
        if self.folder.is_some() {
            format!(
                "no right to read or write in the folder; give it to the user who runs this, work \
                 resumes by itself ({})",
                short(text)
            )
        } else if text.contains("AccessDenied") {
            format!(
                "the access key has no right to do this; allow it in the policy of key and bucket, work \
                 resumes by itself ({})",
                short(text)
            )
        } else {
            format!(
                "the server refuses the access key; check key, secret and the bucket's policy ({})",
                short(text)
            )
        }
    }

    pub(crate) fn unavailable(&self, reason: String) -> Error {
        Error::Unavailable {
            url: self.url.to_string(),
            reason,
        }
    }
}

fn configuration(url: &str, reason: impl Into<String>) -> Error {
    Error::Configuration {
        url: url.to_owned(),
        reason: reason.into(),
    }
}

fn with_slash(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!("{path}/")
    }
}

/// An error with its causes in one line; causes already named are not repeated.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        let part = current.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = current.source();
    }
    text
}

fn short(text: &str) -> String {
    const MAX_CHARS: usize = 400;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_refuses_is_said_in_a_sentence_and_waited_for() {
        let config = LakeConfig {
            url: "s3://bucket/lake".to_owned(),
            s3: S3Options {
                access_key_id: Some("key".to_owned()),
                secret_access_key: Some("secret".to_owned()),
                ..S3Options::default()
            },
        };
        let storage = Storage::open(&config).expect("a bucket");
        for (said, expected) in [
            (
                "507 Insufficient Storage: XMinioStorageFull",
                "disk is full",
            ),
            ("404 Not Found: NoSuchBucket", "does not exist"),
            ("403 Forbidden: AccessDenied", "no right"),
            (
                "403 Forbidden: SignatureDoesNotMatch",
                "refuses the access key",
            ),
            ("503 Service Unavailable", "503 Service Unavailable"),
        ] {
            let error = storage.error(&object_store::Error::Generic {
                store: "S3",
                source: said.into(),
            });
            assert!(error.is_retryable(), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn a_file_system_that_refuses_is_said_in_a_sentence_and_waited_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let storage = Storage::open_local(folder.path()).expect("a folder");
        for (code, expected) in [
            (30, "mounted read-only"),
            (13, "no right"),
            (28, "disk is full"),
        ] {
            let source = std::io::Error::from_raw_os_error(code);
            let error = storage.error(&object_store::Error::Generic {
                store: "LocalFileSystem",
                source: source.into(),
            });
            assert!(error.is_retryable(), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
