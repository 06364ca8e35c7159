//! The batch layer: every event of the log into the lake, exactly once.
//!
//! Enters: records of every stream topic and its dead-letter topic. Leaves: one
//! Delta commit per table of Parquet files and the positions they cover.
//! Promises: each record is in its table once, whatever crashes when; a record
//! that cannot be decoded is in the dead-letter topic before the position moves
//! past it. Never: holds more than its memory limit; it stops reading instead.
//!
//! - `buffer`: what was read and not yet written, and when to write it (pure).
//! - `flush`: files, then one commit of files and positions.
//! - `dead_letters`: what cannot be decoded goes beside its topic.
//! - `worker`: the loop around them: poll, rebalance, outages, shutdown.
//! - `upkeep`: small files into large ones, old dates and unneeded files away.
//! - `views_upkeep`: views of dates whose rows have changed.
//! - [`import`]: files of history, past the log.
//! - [`jobs`]: results of SQL as files, by hand or on a schedule.

mod buffer;
mod dead_letters;
mod flush;
pub mod import;
pub mod jobs;
mod problems;
mod upkeep;
mod views_upkeep;
mod worker;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use event_log::EventLog;
use events::TopicNames;
use events::health::HealthBoard;
use lake::Lake;
use tokio_util::sync::CancellationToken;

pub use crate::upkeep::UpkeepConfig;
pub use crate::views_upkeep::ViewsUpkeep;

use crate::problems::Problems;
use crate::worker::Worker;

/// When files are written and how much is held until then.
#[derive(Clone, Debug)]
pub struct BatchConfig {
    /// A table is flushed when its rows take this much memory, bytes.
    pub flush_bytes: usize,
    /// A table is flushed when its oldest row has waited this long.
    pub flush_age: Duration,
    /// A table is flushed when nothing has come for this long.
    pub flush_idle: Duration,
    /// The whole process takes at most about this while it ingests, bytes: three eighths of
    /// it are for rows, so not less than 256 MiB is of use.
    pub memory_bytes: usize,
    /// How the tables are kept in order meanwhile; `None` leaves that to others.
    pub upkeep: Option<UpkeepConfig>,
    /// How the views are kept up to date; `None` leaves that to others.
    pub views: Option<ViewsUpkeep>,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            flush_bytes: 128 << 20,
            flush_age: Duration::from_secs(30),
            flush_idle: Duration::from_secs(2),
            memory_bytes: 512 << 20,
            upkeep: None,
            views: None,
        }
    }
}

/// Why the batch layer ended other than by shutdown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log failed in a way that waiting does not mend.
    #[error(transparent)]
    Log(#[from] event_log::Error),
    /// The lake failed in a way that waiting does not mend.
    #[error(transparent)]
    Lake(#[from] lake::Error),
    /// A fault of ours.
    #[error("the batch layer failed: {0}")]
    Internal(String),
}

/// Name of the consumer group, and of the component on the health board.
pub const GROUP: &str = "batch";

/// The clock, microseconds since the epoch.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Moves the log into the lake until `shutdown`. Outages are waited out; an error
/// returned is one that somebody has to mend.
pub async fn run(
    log: Arc<dyn EventLog>,
    lake: Arc<Lake>,
    topics: TopicNames,
    config: BatchConfig,
    health: HealthBoard,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let problems = Problems::new(health);
    let (keeps, kept) = tokio::sync::watch::channel(BTreeSet::new());
    // Ends with the worker, also where that fails.
    let stop = shutdown.child_token();
    let end = stop.clone().drop_guard();
    let upkeep = config.upkeep.clone().map(|upkeep| {
        tokio::spawn(upkeep::run(
            lake.clone(),
            kept.clone(),
            upkeep,
            stop.clone(),
        ))
    });
    let views = config
        .views
        .clone()
        .map(|views| tokio::spawn(views_upkeep::run(kept, views, stop)));
    let worked = Worker::new(log, lake, topics, &config, problems, keeps, shutdown)
        .run()
        .await;
    drop(end);
    // What they were about changes nothing by halves: they are not waited for.
    for task in upkeep.into_iter().chain(views) {
        task.abort();
    }
    worked
}
