//! A running server for tests, on a free port, with embedded back ends.

mod socket;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use event_log::local::{LocalLog, LocalLogConfig};
use event_log::registry::Registry;
use event_log::{EventLog, TopicSpec};
use events::TopicNames;
use events::health::HealthBoard;
use fences::Fence;
use futures::future::BoxFuture;
use hot_store::memory::MemoryStore;
use hot_store::{HotBatch, HotStore, Kind, Update};
use lake::Lake;
use lake::query::{QueryConfig, QueryResult, SqlEngine};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rules::StoredRule;
use serde_json::Value;
use serving_api::{Deps, HttpConfig, ScheduledJob, ScheduledJobs, serve};
use streets::StreetNetwork;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use views::audit::{AuditConfig, Auditor};

pub use socket::{Socket, vehicle_ids};

/// The longest that a test waits for anything.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A server and what stands behind it.
pub struct Server {
    pub address: std::net::SocketAddr,
    pub http: reqwest::Client,
    pub hot: Arc<dyn HotStore>,
    pub log: Arc<dyn EventLog>,
    pub health: HealthBoard,
    pub shutdown: CancellationToken,
    pub running: Option<JoinHandle<serving_api::Result<()>>>,
    _folder: TempDir,
}

/// What a test wants different.
#[derive(Default)]
pub struct Setup {
    pub config: HttpConfig,
    pub hot: Option<Arc<dyn HotStore>>,
    pub log: Option<Arc<dyn EventLog>>,
    pub query: QueryConfig,
    pub jobs: Jobs,
}

/// What is said about scheduled jobs.
#[derive(Default)]
pub struct Jobs(pub Vec<ScheduledJob>);

impl ScheduledJobs for Jobs {
    fn list(&self) -> BoxFuture<'_, QueryResult<Vec<ScheduledJob>>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

/// A server with all defaults.
pub async fn start() -> Server {
    start_with(Setup::default()).await
}

pub async fn start_with(setup: Setup) -> Server {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let topics = TopicNames::default();
    let log = match setup.log {
        Some(log) => log,
        None => local_log(&folder, &topics).await,
    };
    let hot = setup.hot.unwrap_or_else(|| MemoryStore::new());
    let lake_config = lake::LakeConfig {
        url: folder.path().join("lake").display().to_string(),
        ..Default::default()
    };
    let lake = Lake::open(lake_config).await.expect("a lake");
    let engine =
        SqlEngine::new(lake.clone(), log.clone(), topics.clone(), setup.query).expect("an engine");
    let shutdown = CancellationToken::new();
    tokio::spawn(engine.clone().run(shutdown.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let health = HealthBoard::default();
    let rules = Registry::new(log.clone(), rules::TOPIC.into(), |_, value| {
        StoredRule::from_json(value).map_err(|invalid| invalid.to_string())
    });
    let rules = Arc::new(rules);
    tokio::spawn(rules.clone().run(shutdown.clone()));
    let fences = Registry::new(log.clone(), fences::TOPIC.into(), Fence::from_record);
    let fences = Arc::new(fences);
    tokio::spawn(fences.clone().run(shutdown.clone()));
    let audit = Auditor::new(
        engine.clone(),
        log.clone(),
        hot.clone(),
        topics.clone(),
        StreetNetwork::gothenburg(),
        AuditConfig::default(),
    );
    let deps = Deps {
        audit: Arc::new(audit),
        jobs: Arc::new(setup.jobs),
        fences,
        rules,
        hot: hot.clone(),
        log: log.clone(),
        engine,
        lake,
        streets: StreetNetwork::gothenburg(),
        topics,
        health: health.clone(),
        metrics: metrics(),
        config: setup.config,
        version: "0.0.0-test",
    };
    let running = tokio::spawn(serve(listener, deps, shutdown.clone()));
    let http = reqwest::Client::builder()
        .timeout(DEADLINE)
        .build()
        .expect("a client");
    Server {
        address,
        http,
        hot,
        log,
        health,
        shutdown,
        running: Some(running),
        _folder: folder,
    }
}

/// One recorder for the whole test program, as in the real one.
fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            PrometheusBuilder::new()
                .install_recorder()
                .expect("the first recorder")
        })
        .clone()
}

async fn local_log(folder: &TempDir, topics: &TopicNames) -> Arc<dyn EventLog> {
    let log = LocalLog::open(LocalLogConfig::new(folder.path().join("log"))).expect("a log");
    let names = topics
        .iter()
        .flat_map(|(stream, name)| [name.clone(), topics.dead_letters(stream)]);
    let specs: Vec<TopicSpec> = names
        .map(|name| TopicSpec {
            name,
            partitions: 4,
            retention: None,
            retention_bytes: None,
            compacted: false,
        })
        .chain([rules::TOPIC, fences::TOPIC].map(|name| TopicSpec {
            name: name.into(),
            partitions: 1,
            retention: None,
            retention_bytes: None,
            compacted: true,
        }))
        .collect();
    log.create_topics(&specs).await.expect("topics");
    log
}

impl Server {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.http
            .get(self.url(path))
            .send()
            .await
            .expect("an answer")
    }

    /// Status and JSON body.
    pub async fn get_json(&self, path: &str) -> (u16, Value) {
        json_of(self.get(path).await).await
    }

    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        json_of(
            self.http
                .post(self.url(path))
                .body(body)
                .send()
                .await
                .expect("an answer"),
        )
        .await
    }

    /// Asks until the answer is as wanted.
    pub async fn get_until(&self, path: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        let asking = async {
            let mut pause = tokio::time::interval(Duration::from_millis(10));
            loop {
                pause.tick().await;
                let (status, body) = self.get_json(path).await;
                if wanted(status, &body) {
                    return body;
                }
            }
        };
        tokio::time::timeout(DEADLINE, asking)
            .await
            .unwrap_or_else(|_| panic!("{path} does not become as wanted"))
    }

    pub async fn put(&self, kind: Kind, id: &str, value: Value) {
        self.apply(vec![update(kind, id, Some(value))]).await;
    }

    pub async fn remove(&self, kind: Kind, id: &str) {
        self.apply(vec![update(kind, id, None)]).await;
    }

    pub async fn apply(&self, updates: Vec<Update>) {
        self.hot
            .apply(
                "speed",
                &HotBatch {
                    updates,
                    ..HotBatch::default()
                },
            )
            .await
            .expect("applied");
    }

    /// Puts a vehicle and waits until it is served.
    pub async fn vehicle(&self, id: &str, longitude: f64) {
        self.put(Kind::Vehicle, id, vehicle(id, longitude)).await;
        self.get_until(&format!("/api/vehicles/{id}"), |_, body| {
            body["longitude"] == longitude
        })
        .await;
    }

    pub async fn socket(&self) -> Socket {
        Socket::connect(self.address).await
    }

    /// Ends the server in its own order.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let running = self.running.take().expect("it runs");
        let ended = tokio::time::timeout(DEADLINE, running)
            .await
            .expect("it ends in time");
        ended.expect("no panic").expect("no error");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub async fn json_of(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.text().await.expect("a body");
    let json =
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {status} {body:?}"));
    (status, json)
}

pub fn update(kind: Kind, id: &str, value: Option<Value>) -> Update {
    Update::new(kind, id, value.map(|value| Bytes::from(value.to_string())))
}

pub fn vehicle(id: &str, longitude: f64) -> Value {
    serde_json::json!({
        "vehicle_id": id, "latitude": 57.7, "longitude": longitude, "speed": 30.0, "direction": 90.0,
        "timestamp": "2026-03-01T08:15:00Z", "stream": "vehicle_data"
    })
}

/// A valid `vehicle_data` event.
pub fn event(number: usize) -> Value {
    serde_json::json!({
        "id": format!("00000000-0000-4000-8000-{number:012}"), "device_id": format!("car-{:04}", number % 50),
        "timestamp": "2026-03-01T08:15:00Z", "location": [57.7, 11.97], "speed": 42.5, "direction": 10
    })
}
