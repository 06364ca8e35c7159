//! Opens the back ends that the configuration names.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use event_log::kafka::{KafkaConfig, KafkaLog};
use event_log::local::{LocalLog, LocalLogConfig};
use event_log::{EventLog, TopicSpec};
use events::backoff::Backoff;
use events::health::{Health, HealthBoard};
use events::{Stream, TopicNames};
use hot_store::HotStore;
use hot_store::memory::MemoryStore;
use hot_store::redis::RedisStore;
use lake::maintain::{CompactOptions, Retention, VacuumOptions};
use lake::query::{QueryConfig, SqlEngine};
use lake::{Lake, LakeConfig, Table};
use streets::StreetNetwork;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use views::ViewsConfig;
use views::audit::{AuditConfig, Auditor};

use crate::config::{Config, seconds};
use crate::instance::DataFolder;

/// The component that creates the topics, on the health board.
const TOPICS: &str = "topics";

/// A log that has not answered for this long is said to be away.
const PATIENCE: Duration = Duration::from_secs(3);

/// A topic of what people configure: the newest value per key, kept for good.
fn configured(name: &str) -> TopicSpec {
    TopicSpec {
        name: name.into(),
        partitions: 1,
        retention: None,
        retention_bytes: None,
        compacted: true,
    }
}

/// One try; `Ok(Err(reason))` where a later one may work.
async fn try_to_create(
    log: &Arc<dyn EventLog>,
    specs: &[TopicSpec],
) -> Result<std::result::Result<(), String>> {
    // A broker that is down takes creation's whole time limit: ask it shortly first.
    match tokio::time::timeout(PATIENCE, log.ping()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.is_retryable() => return Ok(Err(error.to_string())),
        Ok(Err(error)) => return Err(error).context("cannot reach the event log"),
        Err(_) => return Ok(Err(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
    match log.create_topics(specs).await {
        Ok(()) => Ok(Ok(())),
        Err(error) if error.is_retryable() => Ok(Err(error.to_string())),
        Err(error) => Err(error).context("cannot create the topics"),
    }
}

/// Takes a port that `flag` chooses.
pub async fn bind(host: &str, port: u16, flag: &str) -> Result<TcpListener> {
    match TcpListener::bind((host, port)).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!(
                "port {port} on {host} is in use; stop what listens there or choose another with {flag}"
            )
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on {host}:{port}")),
    }
}

/// What every role shares.
pub struct Platform {
    pub config: Config,
    pub topics: TopicNames,
    pub health: HealthBoard,
    pub shutdown: CancellationToken,
    /// Held for as long as embedded back ends are open.
    pub folder: Option<DataFolder>,
    local_log: Option<Arc<LocalLog>>,
    memory: Option<Arc<MemoryStore>>,
}

impl Platform {
    /// Takes the data folder where an embedded back end needs it.
    pub fn new(config: Config) -> Result<Self> {
        let embedded = !config.uses_kafka() || !config.uses_redis();
        let folder = embedded
            .then(|| DataFolder::take(&config.data_dir))
            .transpose()?;
        Ok(Self {
            topics: config.topic_names(),
            config,
            health: HealthBoard::default(),
            shutdown: CancellationToken::new(),
            folder,
            local_log: None,
            memory: None,
        })
    }

    /// For a role that runs beside others: they must share a log and a store.
    pub fn for_one_role(config: Config, role: &str, needs_redis: bool) -> Result<Self> {
        if !config.uses_kafka() {
            bail!(
                "`citypulse {role}` runs one role beside others and needs Kafka; set kafka.bootstrap_servers \
                 (or KAFKA_BOOTSTRAP_SERVERS), or run everything in one process with `citypulse up`"
            );
        }
        if needs_redis && !config.uses_redis() {
            bail!(
                "`citypulse {role}` shares its state with other processes and needs Redis; set redis.url (or REDIS_URL)"
            );
        }
        Ok(Self {
            topics: config.topic_names(),
            config,
            health: HealthBoard::default(),
            shutdown: CancellationToken::new(),
            folder: None,
            local_log: None,
            memory: None,
        })
    }

    /// The event log. Kafka is connected in the background.
    pub fn open_log(&mut self) -> Result<Arc<dyn EventLog>> {
        if self.config.uses_kafka() {
            let section = &self.config.kafka;
            return Ok(KafkaLog::connect(KafkaConfig {
                security_protocol: section.security_protocol.to_lowercase(),
                ssl_ca: section.ssl_ca.clone(),
                ssl_cert: section.ssl_cert.clone(),
                ssl_key: section.ssl_key.clone(),
                replication_factor: section.replication_factor,
                ..KafkaConfig::new(section.bootstrap_servers.clone())
            })?);
        }
        let log = LocalLog::open(LocalLogConfig {
            fsync_interval: Duration::from_millis(self.config.log.fsync_ms.max(1)),
            ..LocalLogConfig::new(self.config.data_dir.join("log"))
        })?;
        self.local_log = Some(log.clone());
        Ok(log)
    }

    /// The hot store. Redis is connected in the background.
    pub fn open_hot(&mut self) -> Result<Arc<dyn HotStore>> {
        if self.config.uses_redis() {
            return Ok(RedisStore::connect(self.config.redis.access())?);
        }
        let memory = MemoryStore::open(self.config.data_dir.join("hot"))?;
        self.memory = Some(memory.clone());
        Ok(memory)
    }

    /// The lake, without reaching for it yet.
    pub async fn open_lake(&self) -> Result<Arc<Lake>> {
        open_lake(&self.config).await
    }

    /// SQL over lake and log.
    pub fn open_engine(&self, lake: Arc<Lake>, log: Arc<dyn EventLog>) -> Result<Arc<SqlEngine>> {
        let section = &self.config.query;
        let config = QueryConfig {
            memory_bytes: section.memory_mib << 20,
            tail_bytes: section.tail_mib << 20,
            timeout: Duration::from_secs(section.timeout_s),
            max_rows: section.max_rows,
            ..QueryConfig::default()
        };
        Ok(SqlEngine::new(lake, log, self.topics.clone(), config)?)
    }

    /// What compares the speed layer's word with the events, by its own settings.
    pub fn auditor(
        &self,
        engine: Arc<SqlEngine>,
        log: Arc<dyn EventLog>,
        hot: Arc<dyn HotStore>,
        streets: Arc<StreetNetwork>,
    ) -> Auditor {
        let speed = &self.config.speed;
        let config = AuditConfig {
            limits: speed.limits(),
            match_distance_m: speed.match_distance_m,
            lateness_us: Stream::ALL
                .into_iter()
                .map(|stream| (stream, speed.lateness_us(stream)))
                .collect(),
            idle: Duration::from_secs(u64::from(speed.idle_s)),
        };
        Auditor::new(engine, log, hot, self.topics.clone(), streets, config)
    }

    /// The city's streets.
    pub fn open_streets(&self) -> Result<Arc<StreetNetwork>> {
        open_streets(&self.config)
    }

    /// Settings of the batch layer; with views where `streets` are given and the
    /// configuration wants them.
    pub fn batch_config(
        &self,
        lake: &Arc<Lake>,
        streets: Arc<StreetNetwork>,
    ) -> Result<batch_layer::BatchConfig> {
        let section = &self.config.views;
        let views = match section.enabled {
            true => Some(batch_layer::ViewsUpkeep {
                every: Duration::from_secs(section.every_s),
                views: Arc::new(views(&self.config, lake.clone(), streets)?),
            }),
            false => None,
        };
        let section = &self.config.batch;
        Ok(batch_layer::BatchConfig {
            views,
            flush_bytes: section.flush_mib << 20,
            flush_age: seconds(section.flush_age_s),
            flush_idle: seconds(section.flush_idle_s),
            memory_bytes: section.memory_mib << 20,
            upkeep: self
                .config
                .maintenance
                .enabled
                .then(|| self.upkeep_config()),
        })
    }

    fn upkeep_config(&self) -> batch_layer::UpkeepConfig {
        let section = &self.config.maintenance;
        let defaults = batch_layer::UpkeepConfig::default();
        batch_layer::UpkeepConfig {
            compact_every: Duration::from_secs(section.compact_every_min * 60),
            clean_every: Duration::from_secs(section.clean_every_min * 60),
            compact: CompactOptions {
                min_files: section.compact_min_files,
                memory_bytes: section.compact_memory_mib << 20,
                ..defaults.compact
            },
            vacuum: VacuumOptions {
                retain: Duration::from_secs(section.vacuum_retain_hours * 3600),
                ..defaults.vacuum
            },
            retention: retention(&self.config),
        }
    }

    /// Every topic of the platform: the streams' and their dead letters.
    pub fn topic_specs(&self) -> Vec<TopicSpec> {
        let section = &self.config.log;
        let spec = |name| TopicSpec {
            name,
            partitions: section.partitions,
            retention: (section.retention_hours > 0)
                .then(|| Duration::from_secs(section.retention_hours * 3600)),
            retention_bytes: (section.retention_mib > 0).then_some(section.retention_mib << 20),
            compacted: false,
        };
        let streams = Stream::ALL.into_iter();
        streams
            .flat_map(|stream| {
                [
                    self.topics.topic(stream).clone(),
                    self.topics.dead_letters(stream),
                ]
            })
            .map(spec)
            .chain([configured(rules::TOPIC), configured(fences::TOPIC)])
            .collect()
    }

    /// Creates the missing topics; waits for a log that is away. `false` when
    /// the process is to stop first.
    pub fn topic_creation(
        &self,
        log: Arc<dyn EventLog>,
    ) -> impl Future<Output = Result<bool>> + Send + use<> {
        let (specs, health, shutdown) = (
            self.topic_specs(),
            self.health.clone(),
            self.shutdown.clone(),
        );
        let advice = match self.config.uses_kafka() {
            true => "is Kafka running there? see kafka.bootstrap_servers",
            false => "see the data folder",
        };
        health.report(TOPICS, Health::Starting);
        async move {
            let mut backoff = Backoff::new();
            while let Err(reason) = try_to_create(&log, &specs).await? {
                let sentence =
                    format!("cannot create the topics yet: {reason}; {advice}; retrying");
                if health.report(TOPICS, Health::Degraded(sentence.clone())) {
                    warn!("{sentence}");
                }
                tokio::select! {
                    () = tokio::time::sleep(backoff.next_delay()) => {}
                    () = shutdown.cancelled() => return Ok(false),
                }
            }
            health.report(TOPICS, Health::Ready);
            Ok(true)
        }
    }

    /// Makes what the embedded back ends hold durable.
    pub async fn close(&self) -> Result<()> {
        if let Some(memory) = &self.memory {
            memory.close().await?;
        }
        if let Some(log) = &self.local_log {
            log.close().await?;
        }
        Ok(())
    }
}

/// The lake, without reaching for it yet. Needs no data folder: any number of
/// processes may read and write the same lake.
pub async fn open_lake(config: &Config) -> Result<Arc<Lake>> {
    config.check_lake_keys()?;
    let url = config.lake_url();
    let lake = Lake::open(LakeConfig {
        url: url.clone(),
        s3: config.s3.access(),
    });
    lake.await
        .with_context(|| format!("cannot open the lake at {url}"))
}

/// What computes views, as the speed layer judges.
pub fn views(
    config: &Config,
    lake: Arc<Lake>,
    streets: Arc<StreetNetwork>,
) -> Result<views::Views> {
    let computed = ViewsConfig {
        limits: config.speed.limits(),
        match_distance_m: config.speed.match_distance_m,
        memory_bytes: config.views.memory_mib << 20,
        spill_dir: None,
    };
    Ok(views::Views::new(lake, streets, &computed)?)
}

/// The city's streets.
pub fn open_streets(config: &Config) -> Result<Arc<StreetNetwork>> {
    let source = &config.city.streets;
    StreetNetwork::load(source)
        .with_context(|| format!("cannot load the streets of {source:?} (city.streets)"))
}

/// How long each table's rows are kept.
pub fn retention(config: &Config) -> Retention {
    let section = &config.retention;
    let kept = |table| (table, section.days(table));
    Retention {
        days: Table::all()
            .map(kept)
            .filter(|(_, days)| *days > 0)
            .collect(),
        grace: Duration::from_secs(u64::from(section.grace_days) * 86_400),
    }
}
