//! The S3 server that the environment names, and ways to be refused by it.

use std::io::Write;
use std::process::{Command, Stdio};

use lake::{LakeConfig, S3Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// The checksum that the protocol requires and curl leaves out before version 8.
const EMPTY_BODY: &str =
    "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// MinIO, or what speaks as it does.
pub struct Server {
    endpoint: String,
    key: String,
    secret: String,
    bucket: String,
}

impl Server {
    pub fn from_environment() -> Option<Self> {
        let variable = |name: &str| std::env::var(format!("CITYPULSE_TEST_S3_{name}")).ok();
        let Some(endpoint) = variable("ENDPOINT") else {
            println!("skipped: no S3 server (CITYPULSE_TEST_S3_ENDPOINT is not set)");
            return None;
        };
        Some(Self {
            endpoint,
            key: variable("KEY").expect("CITYPULSE_TEST_S3_KEY"),
            secret: variable("SECRET").expect("CITYPULSE_TEST_S3_SECRET"),
            bucket: variable("BUCKET").expect("CITYPULSE_TEST_S3_BUCKET"),
        })
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        self.endpoint.replacen("http://", "", 1)
    }

    /// At a prefix of its own.
    pub fn lake(&self) -> LakeConfig {
        self.lake_in(&self.bucket)
    }

    /// The same in a bucket that does not exist, and its name.
    pub fn lake_in_a_bucket_to_be(&self) -> (String, LakeConfig) {
        let bucket = format!("to-be-{}", Uuid::new_v4().simple());
        let lake = self.lake_in(&bucket);
        (bucket, lake)
    }

    fn lake_in(&self, bucket: &str) -> LakeConfig {
        LakeConfig {
            url: format!("s3://{bucket}/{}", Uuid::new_v4()),
            s3: S3Options {
                allow_http: true,
                endpoint: Some(self.endpoint.clone()),
                access_key_id: Some(self.key.clone()),
                secret_access_key: Some(self.secret.clone()),
                ..S3Options::default()
            },
        }
    }

    pub fn create_bucket(&self, bucket: &str) {
        let url = format!("{}/{bucket}", self.endpoint);
        self.ask("s3", &["-X", "PUT", "-H", EMPTY_BODY, &url]);
    }

    /// A key that may read everything and write nothing of `lake`.
    pub fn read_only(&self, lake: &LakeConfig) -> LakeConfig {
        let path = lake.url.replacen("s3://", "", 1);
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[
                {{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::*"]}},
                {{"Effect":"Deny","Action":["s3:PutObject"],"Resource":["arn:aws:s3:::{path}/*"]}}]}}"#
        );
        let policy = format!("Policy={policy}");
        let fields = ["Action=AssumeRole", "Version=2011-06-15", &policy];
        let fields = fields.iter().flat_map(|field| ["--data-urlencode", field]);
        let arguments: Vec<&str> = fields.chain([self.endpoint.as_str()]).collect();
        let answer = self.ask("sts", &arguments);
        let tagged = |tag: &str| {
            let text = answer.split(&format!("<{tag}>")).nth(1)?;
            Some(text.split('<').next()?.to_owned())
        };
        let mut read_only = lake.clone();
        read_only.s3.access_key_id = tagged("AccessKeyId");
        read_only.s3.secret_access_key = tagged("SecretAccessKey");
        read_only.s3.session_token = tagged("SessionToken");
        assert!(read_only.s3.session_token.is_some(), "{answer}");
        read_only
    }

    /// What the lake's client cannot ask. The key goes in on standard input, where no
    /// process list shows it.
    fn ask(&self, service: &str, arguments: &[&str]) -> String {
        let mut curl = Command::new("curl")
            .args(["-sS", "--fail-with-body", "--config", "-", "--noproxy", "*"])
            .args(["--aws-sigv4", &format!("aws:amz:us-east-1:{service}")])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is installed");
        let mut input = curl.stdin.take().expect("its input");
        writeln!(input, "user = \"{}:{}\"", self.key, self.secret).expect("it reads");
        drop(input);
        let answered = curl.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&answered.stdout).into_owned();
        assert!(answered.status.success(), "{said}");
        said
    }
}

/// An answer to whoever wants to write.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    status: &'static str,
    code: &'static str,
}

impl Refusal {
    /// As MinIO says it when its disk is full.
    pub const DISK_FULL: Self = Self {
        status: "507 Insufficient Storage",
        code: "XMinioStorageFull",
    };
    /// As every S3 server says it.
    pub const NO_RIGHT: Self = Self {
        status: "403 Forbidden",
        code: "AccessDenied",
    };
}

/// A way to the server on which writers can be refused.
pub struct FrontDoor {
    url: String,
    refusal: watch::Sender<Option<Refusal>>,
    _task: AbortOnDropHandle<()>,
}

impl FrontDoor {
    pub async fn open(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its number");
        let (refusal, current) = watch::channel(None);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, current) = (server.clone(), current.clone());
                tokio::spawn(async move {
                    if let Err(error) = let_through(client, &server, &current).await {
                        println!("at the front door: {error}");
                    }
                });
            }
        });
        Self {
            url: format!("http://{address}"),
            refusal,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// From the next request on.
    pub fn refuse(&self, refusal: Option<Refusal>) {
        self.refusal.send_replace(refusal);
    }
}

/// One request, so that each is looked at.
async fn let_through(
    mut client: TcpStream,
    server: &str,
    current: &watch::Receiver<Option<Refusal>>,
) -> std::io::Result<()> {
    const HEAD_END: &[u8] = b"\r\n\r\n";
    let mut request = Vec::new();
    let head_bytes = loop {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        let end = request
            .windows(HEAD_END.len())
            .position(|at| at == HEAD_END);
        if let Some(end) = end {
            break end + 2;
        }
    };
    let refusal = *current.borrow();
    let is_read = [&b"GET "[..], b"HEAD "]
        .iter()
        .any(|method| request.starts_with(method));
    match refusal {
        Some(Refusal { status, code }) if !is_read => {
            let body = format!("<Error><Code>{code}</Code></Error>");
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            client.write_all(answer.as_bytes()).await?;
            client.shutdown().await?;
            // What it still sends is taken in, or the answer might not arrive.
            tokio::io::copy(&mut client, &mut tokio::io::sink()).await?;
        }
        _ => {
            let mut server = TcpStream::connect(server).await?;
            server.write_all(&request[..head_bytes]).await?;
            server.write_all(b"Connection: close\r\n").await?;
            server.write_all(&request[head_bytes..]).await?;
            copy_bidirectional(&mut client, &mut server).await?;
        }
    }
    Ok(())
}
