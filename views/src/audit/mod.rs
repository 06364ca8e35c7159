//! The audit: what the speed layer said of each minute, beside what the batch layer
//! computes of the same minute from the raw rows.
//!
//! A window is as the batch layer has it (*equal*), or as it is without the events
//! that came after their minute was closed (*late*: the speed layer was right to leave
//! them out), or with repeated messages counted (*duplicate*), or otherwise (*bug*). It
//! can be *missing*, or said and without events (*extra*). Windows that need not be
//! closed yet are *open*, and are not judged.

mod fold;
mod heal;
mod report;
mod verdict;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::Array;
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use event_log::EventLog;
use events::window::{PANE_US, Pane, WindowKind};
use events::{Stream, TopicNames};
use futures::StreamExt;
use hot_store::HotStore;
use lake::query::{QueryError, SqlEngine};
use streets::StreetNetwork;
use tracks::{Limits, Streets};

pub use self::report::{Finding, Healed, KindReport, Report, Said};

use self::fold::Fold;
use crate::source::{BEFORE_US, FIX_ORDER, date_text, fixes_sql, instant, numbers, text};
use crate::{Error, Result};

/// What a window that is due may still be on its way for: the speed layer writes and
/// appends within moments.
const GRACE_US: i64 = 5_000_000;

/// How the speed layer judges; must be its own settings.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    /// When a fix is not believed.
    pub limits: Limits,
    /// A fix farther than this from every street is on no street, metres.
    pub match_distance_m: f64,
    /// How long the windows of each stream wait, microseconds; 60 s where absent.
    pub lateness_us: HashMap<Stream, i64>,
    /// A partition that had nothing for this long holds no window open.
    pub idle: Duration,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            match_distance_m: 30.0,
            lateness_us: HashMap::new(),
            idle: Duration::from_secs(10),
        }
    }
}

impl AuditConfig {
    /// How long the windows of a stream wait, microseconds.
    pub fn lateness_us(&self, stream: Stream) -> i64 {
        self.lateness_us.get(&stream).copied().unwrap_or(60_000_000)
    }
}

/// Audits over lake and log. One at a time.
pub struct Auditor {
    engine: Arc<SqlEngine>,
    log: Arc<dyn EventLog>,
    hot: Arc<dyn HotStore>,
    topics: TopicNames,
    streets: Streets,
    config: AuditConfig,
    turn: tokio::sync::Mutex<()>,
}

/// What was found, and what would mend it.
pub struct Audit {
    /// For people and metrics.
    pub report: Report,
    corrections: Vec<Pane>,
}

impl Auditor {
    /// Contacts nobody yet.
    pub fn new(
        engine: Arc<SqlEngine>,
        log: Arc<dyn EventLog>,
        hot: Arc<dyn HotStore>,
        topics: TopicNames,
        streets: Arc<StreetNetwork>,
        config: AuditConfig,
    ) -> Self {
        let streets = Streets::new(streets, config.match_distance_m);
        Self {
            engine,
            log,
            hot,
            topics,
            streets,
            config,
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// How the speed layer judges.
    pub fn config(&self) -> &AuditConfig {
        &self.config
    }

    /// Compares the windows of the last `hours`, back from the newest event that is
    /// not after `now_us`. With `heal` those that differ are said anew.
    ///
    /// # Errors
    /// [`Error::Busy`] while another audit runs.
    pub async fn run(&self, hours: u32, heal: bool, now_us: i64) -> Result<Report> {
        let _turn = self.turn.try_lock().map_err(|_| Error::Busy)?;
        let mut audit = self.audit(hours, now_us).await?;
        if heal {
            audit.report.healed = Some(self.heal(&audit.corrections).await?);
        }
        audit.report.publish();
        Ok(audit.report)
    }

    async fn audit(&self, hours: u32, now_us: i64) -> Result<Audit> {
        let newest_us = self.newest_us(now_us).await?;
        let Some(newest_us) = newest_us else {
            return Ok(Audit {
                report: Report::default(),
                corrections: Vec::new(),
            });
        };
        let from_us = newest_us - i64::from(hours) * 3_600_000_000;
        let from_us = from_us - from_us.rem_euclid(PANE_US);
        let mut fold = Fold::new(from_us, now_us - GRACE_US, &self.config, &self.streets);
        // Events before windows: what they make due was said before it is asked for.
        let mut rows = self.engine.scan(&fixes(from_us)).await?;
        while let Some(batch) = rows.next().await {
            fold.take_fixes(&batch.map_err(QueryError::from)?)?;
            tokio::task::yield_now().await;
        }
        drop(rows);
        let mut rows = self.engine.scan(&weather(from_us)).await?;
        while let Some(batch) = rows.next().await {
            fold.take_weather(&batch.map_err(QueryError::from)?)?;
        }
        drop(rows);
        let mut rows = self.engine.scan(&said(from_us)).await?;
        while let Some(batch) = rows.next().await {
            take_said(&mut fold, &batch.map_err(QueryError::from)?)?;
        }
        Ok(fold.finish())
    }

    /// The newest event that a window can be of.
    async fn newest_us(&self, now_us: i64) -> Result<Option<i64>> {
        let mut newest = None;
        for after in [now_us - 7 * events::time::DAY_US, 0] {
            for table in ["vehicle_data", "gps_data", "weather_data"] {
                let sql = format!(
                    "SELECT max(timestamp) AS newest FROM {table} WHERE date >= DATE '{}' \
                     AND timestamp >= {} AND timestamp <= {}",
                    date_text(after),
                    instant(after),
                    instant(now_us)
                );
                let mut rows = self.engine.scan(&sql).await?;
                while let Some(batch) = rows.next().await {
                    let batch = batch.map_err(QueryError::from)?;
                    let found = numbers::<TimestampMicrosecondType>(&batch, "newest")?;
                    newest = newest.max(arrow::compute::max(found));
                }
            }
            if newest.is_some() {
                break;
            }
        }
        Ok(newest)
    }
}

/// With each row how far its partition was: an event is late by that.
const REACHED: &str = "max(timestamp) OVER so_far AS max_event, \
                       max(appended_at) OVER so_far AS max_appended";

fn since(from_us: i64) -> String {
    format!(
        "date >= DATE '{}' AND timestamp >= {}",
        date_text(from_us),
        instant(from_us)
    )
}

fn fixes(from_us: i64) -> String {
    format!(
        "SELECT *, {REACHED} FROM ({}) AS fixes WHERE log_offset IS NOT NULL \
         WINDOW so_far AS (PARTITION BY stream, log_partition ORDER BY log_offset \
         ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) ORDER BY {FIX_ORDER}",
        fixes_sql(|_| since(from_us - BEFORE_US))
    )
}

fn weather(from_us: i64) -> String {
    format!(
        "SELECT device_id, id, timestamp, appended_at, log_partition, log_offset, extra, {}, {REACHED} \
         FROM weather_data WHERE {} AND log_offset IS NOT NULL AND device_id IS NOT NULL \
         AND id IS NOT NULL WINDOW so_far AS (PARTITION BY log_partition ORDER BY log_offset \
         ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) \
         ORDER BY device_id, log_partition, log_offset",
        events::Weather::READINGS.join(", "),
        since(from_us - BEFORE_US)
    )
}

/// Of a window that was said several times the last one counts.
fn said(from_us: i64) -> String {
    format!(
        "SELECT kind, key, timestamp, count, mean, min, max, p50, p90, p99, vehicles \
         FROM windows WHERE {} ORDER BY log_partition, log_offset",
        since(from_us)
    )
}

fn take_said(fold: &mut Fold<'_>, rows: &arrow::array::RecordBatch) -> Result<()> {
    let (kinds, keys) = (text(rows, "kind")?, text(rows, "key")?);
    let times = numbers::<TimestampMicrosecondType>(rows, "timestamp")?;
    let whole = |name| numbers::<Int64Type>(rows, name);
    let number = |name| numbers::<Float64Type>(rows, name);
    let (count, vehicles) = (whole("count")?, whole("vehicles")?);
    let figures = ["mean", "min", "max", "p50", "p90", "p99"].map(number);
    let [mean, min, max, p50, p90, p99] = figures;
    let figures = [mean?, min?, max?, p50?, p90?, p99?];
    for row in 0..rows.num_rows() {
        let Ok(kind) = kinds.value(row).parse::<WindowKind>() else {
            continue;
        };
        let at =
            |column: &arrow::array::Float64Array| column.is_valid(row).then(|| column.value(row));
        let [mean, min, max, p50, p90, p99] = figures.map(at);
        let said = Said {
            count: count.value(row),
            mean,
            min,
            max,
            p50,
            p90,
            p99,
            vehicles: vehicles.is_valid(row).then(|| vehicles.value(row)),
        };
        fold.take_said(kind, keys.value(row), times.value(row), said);
    }
    Ok(())
}
