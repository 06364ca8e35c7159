//! What every handler shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use event_log::EventLog;
use event_log::registry::Registry;
use events::TopicNames;
use events::health::HealthBoard;
use fences::Fence;
use hot_store::HotStore;
use metrics_exporter_prometheus::PrometheusHandle;
use rules::StoredRule;
use streets::StreetNetwork;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use views::audit::Auditor;

use crate::config::HttpConfig;
use crate::jobs::ScheduledJobs;
use crate::lag::LagCache;
use crate::mirror::Mirror;
use crate::probe::Reachability;
use crate::rest::city::City;
use crate::sql::{LakePositions, QueryEngine};

/// What the server needs from the rest of the platform.
#[derive(Clone)]
pub struct Deps {
    /// Now: mirrored in this process.
    pub hot: Arc<dyn HotStore>,
    /// Where ingested events go.
    pub log: Arc<dyn EventLog>,
    /// Ever: answers SQL.
    pub engine: Arc<dyn QueryEngine>,
    /// How far the lake is, for the lag display.
    pub lake: Arc<dyn LakePositions>,
    /// Compares what the speed layer said with what the batch layer computes.
    pub audit: Arc<Auditor>,
    /// How the scheduled jobs stand.
    pub jobs: Arc<dyn ScheduledJobs>,
    /// The city's streets.
    pub streets: Arc<StreetNetwork>,
    /// The rules that people wrote, kept in the log.
    pub rules: Arc<Registry<StoredRule>>,
    /// The fences that people drew, kept in the log.
    pub fences: Arc<Registry<Fence>>,
    /// Which topic carries which stream.
    pub topics: TopicNames,
    /// Where all components report; read by `/readyz` and `/api/health`.
    pub health: HealthBoard,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
    /// Limits.
    pub config: HttpConfig,
    /// The program's version, as shown to people.
    pub version: &'static str,
}

/// Shared by all handlers and tasks of one server.
pub(crate) struct Shared {
    pub deps: Deps,
    pub mirror: Arc<Mirror>,
    pub city: City,
    pub reachability: Reachability,
    pub lag: LagCache,
    /// Held while a fence is written: its id must be free, and the number of all
    /// bounded, when it is.
    pub fence_writes: tokio::sync::Mutex<()>,
    /// The same while a rule is written.
    pub rule_writes: tokio::sync::Mutex<()>,
    /// One permit per KiB of ingest being worked on.
    pub ingest_room: Arc<Semaphore>,
    pub websockets: Arc<WebSocketCount>,
    /// Open WebSocket sessions, awaited at the end.
    pub sessions: TaskTracker,
    pub shutdown: CancellationToken,
}

pub(crate) type App = Arc<Shared>;

impl Shared {
    pub fn new(deps: Deps, mirror: Arc<Mirror>, shutdown: CancellationToken) -> App {
        let config = &deps.config;
        // One request must fit, or it would wait for ever.
        let room_bytes = config
            .ingest_in_flight_bytes_max
            .max(config.ingest_body_bytes_max);
        Arc::new(Self {
            mirror,
            city: City::new(deps.streets.clone(), deps.version),
            reachability: Reachability::default(),
            lag: LagCache::default(),
            fence_writes: tokio::sync::Mutex::default(),
            rule_writes: tokio::sync::Mutex::default(),
            ingest_room: Arc::new(Semaphore::new(room_bytes.div_ceil(1024))),
            websockets: Arc::new(WebSocketCount::new(config.websockets_max)),
            sessions: TaskTracker::new(),
            shutdown,
            deps,
        })
    }

    pub fn config(&self) -> &HttpConfig {
        &self.deps.config
    }
}

/// How many WebSockets are open, and room for how many.
pub(crate) struct WebSocketCount {
    open: AtomicUsize,
    limit: usize,
}

impl WebSocketCount {
    fn new(limit: usize) -> Self {
        Self {
            open: AtomicUsize::new(0),
            limit,
        }
    }

    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A place, given back on drop; `None` when all are taken.
    pub fn enter(self: &Arc<Self>) -> Option<WebSocketPlace> {
        let taken = self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                (open < self.limit).then_some(open + 1)
            });
        let open = taken.ok()? + 1;
        metrics::gauge!("citypulse_websocket_connections").set(open as f64);
        Some(WebSocketPlace {
            count: self.clone(),
        })
    }
}

/// One open WebSocket.
pub(crate) struct WebSocketPlace {
    count: Arc<WebSocketCount>,
}

impl Drop for WebSocketPlace {
    fn drop(&mut self) {
        let open = self.count.open.fetch_sub(1, Ordering::Relaxed) - 1;
        metrics::gauge!("citypulse_websocket_connections").set(open as f64);
    }
}
