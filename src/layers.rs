//! Starts each layer on the back ends of this process. `citypulse up` starts
//! all of them, the role commands one each.

use std::sync::Arc;

use anyhow::{Context, Result};
use batch_layer::jobs::Scheduled;
use event_log::EventLog;
use event_log::registry::Registry;
use fences::Fence;
use hot_store::HotStore;
use lake::Lake;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use rules::StoredRule;
use streets::StreetNetwork;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::jobs;
use crate::platform::{Platform, bind};
use crate::roles::Roles;

/// A process's layers, and the log that they share.
pub struct Layers<'a> {
    platform: &'a Platform,
    roles: Roles,
    log: Arc<dyn EventLog>,
    rules: Arc<Registry<StoredRule>>,
    fences: Arc<Registry<Fence>>,
    topics_exist: watch::Receiver<bool>,
}

impl<'a> Layers<'a> {
    /// Creates the missing topics beside; layers begin once they exist.
    pub fn new(platform: &'a Platform, log: Arc<dyn EventLog>) -> Result<Self> {
        let mut roles = Roles::new(platform.shutdown.clone())?;
        let (exist, topics_exist) = watch::channel(false);
        let creation = platform.topic_creation(log.clone());
        roles.start("creation of topics", async move {
            if creation.await? {
                exist.send_replace(true);
            }
            anyhow::Ok(())
        });
        let fences = Registry::new(log.clone(), fences::TOPIC.into(), Fence::from_record);
        let mut layers = Self {
            platform,
            roles,
            rules: Arc::new(rules_of(log.clone())),
            fences: Arc::new(fences),
            log,
            topics_exist,
        };
        let (fences, shutdown) = (layers.fences.clone(), platform.shutdown.clone());
        layers.start("fences", async move {
            fences.run(shutdown).await;
            anyhow::Ok(())
        });
        let (rules, shutdown) = (layers.rules.clone(), platform.shutdown.clone());
        layers.start("rules", async move {
            rules.run(shutdown).await;
            anyhow::Ok(())
        });
        Ok(layers)
    }

    /// Starts `layer` when the topics exist.
    fn start<F, E>(&mut self, name: &'static str, layer: F)
    where
        F: Future<Output = std::result::Result<(), E>> + Send + 'static,
        E: Into<anyhow::Error> + Send + 'static,
    {
        let mut exist = self.topics_exist.clone();
        self.roles.start(name, async move {
            match exist.wait_for(|exist| *exist).await {
                Ok(_) => {}
                // The creation ended without topics: the process is stopping.
                Err(_) => return anyhow::Ok(()),
            }
            layer.await.map_err(Into::into)
        });
    }

    /// Log to hot store; with `rebuild` all over again.
    pub fn speed(&mut self, hot: Arc<dyn HotStore>, streets: Arc<StreetNetwork>, rebuild: bool) {
        let deps = speed_layer::Deps {
            log: self.log.clone(),
            hot,
            streets,
            fences: self.fences.clone(),
            rules: self.rules.clone(),
            topics: self.platform.topics.clone(),
            config: self.platform.config.speed.clone(),
            health: self.platform.health.clone(),
        };
        let shutdown = self.platform.shutdown.clone();
        self.start("speed layer", async move {
            if rebuild {
                speed_layer::rebuild(&deps, &shutdown).await?;
            }
            speed_layer::run(deps, shutdown).await
        });
    }

    /// Log to lake.
    pub fn batch(&mut self, lake: Arc<Lake>, streets: Arc<StreetNetwork>) -> Result<()> {
        let config = self.platform.batch_config(&lake, streets)?;
        let run = batch_layer::run(
            self.log.clone(),
            lake,
            self.platform.topics.clone(),
            config,
            self.platform.health.clone(),
            self.platform.shutdown.clone(),
        );
        self.start("batch layer", run);
        Ok(())
    }

    /// Results of SQL as files, when they are due.
    pub fn jobs(&mut self, lake: Arc<Lake>, jobs: Vec<Scheduled>) {
        if jobs.is_empty() {
            return;
        }
        let deps = jobs::deps(&self.platform.config, lake, Some(self.log.clone()));
        let shutdown = self.platform.shutdown.clone();
        self.start("jobs", async move {
            batch_layer::jobs::scheduler::run(deps, jobs, shutdown).await;
            anyhow::Ok(())
        });
    }

    /// The simulated city to the log.
    pub fn generators(&mut self, streets: Arc<StreetNetwork>) {
        let run = generators::run(
            self.log.clone(),
            self.platform.topics.clone(),
            streets,
            self.platform.config.generators.clone(),
            self.platform.health.clone(),
            self.platform.shutdown.clone(),
        );
        self.start("generators", run);
    }

    /// Hot store, lake and log to clients. Listens at once, whether or not the
    /// back ends can be reached yet.
    pub fn serving(
        &mut self,
        listener: TcpListener,
        hot: Arc<dyn HotStore>,
        lake: Arc<Lake>,
        streets: Arc<StreetNetwork>,
    ) -> Result<()> {
        let engine = self.platform.open_engine(lake.clone(), self.log.clone())?;
        let audit = self.platform.auditor(
            engine.clone(),
            self.log.clone(),
            hot.clone(),
            streets.clone(),
        );
        let jobs = jobs::Board::new(&self.platform.config, lake.clone())?;
        let deps = serving_api::Deps {
            audit: Arc::new(audit),
            hot,
            log: self.log.clone(),
            engine: engine.clone(),
            jobs: Arc::new(jobs),
            lake,
            streets,
            rules: self.rules.clone(),
            fences: self.fences.clone(),
            topics: self.platform.topics.clone(),
            health: self.platform.health.clone(),
            metrics: install_metrics()?,
            config: self.platform.config.http.clone(),
            version: env!("CARGO_PKG_VERSION"),
        };
        let shutdown = self.platform.shutdown.clone();
        self.roles.start(
            "serving layer",
            serving_api::serve(listener, deps, shutdown.clone()),
        );
        self.start("log tail", async move {
            engine.run(shutdown).await;
            anyhow::Ok(())
        });
        Ok(())
    }

    /// Liveness, readiness and metrics of a process that serves nothing else, where
    /// the configuration names a port for them.
    pub async fn operations(&mut self) -> Result<()> {
        let server = &self.platform.config.server;
        if server.metrics_port == 0 {
            return Ok(());
        }
        let listener = bind(&server.host, server.metrics_port, "--metrics-port").await?;
        let serving = serving_api::serve_operations(
            listener,
            self.platform.health.clone(),
            install_metrics()?,
            self.platform.shutdown.clone(),
        );
        self.roles.start("operations", serving);
        Ok(())
    }

    /// Waits for the end of all.
    pub async fn finish(self) -> Result<()> {
        let outcome = self.roles.finish().await;
        self.platform.close().await?;
        outcome
    }
}

/// The rules that people wrote, as the log has them.
fn rules_of(log: Arc<dyn EventLog>) -> Registry<StoredRule> {
    Registry::new(log, rules::TOPIC.into(), |_, value| {
        StoredRule::from_json(value).map_err(|invalid| invalid.to_string())
    })
}

/// Collects this process's metrics.
fn install_metrics() -> Result<PrometheusHandle> {
    // Seconds, from 1 ms to 10 s: a request, a write, a commit.
    const BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0];
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .context("cannot collect metrics")
}
