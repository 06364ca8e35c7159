//! `citypulse job scheduler` and `citypulse job executor`.

use std::thread::available_parallelism;

use anyhow::Result;
use distributed::{ExecutorOptions, SchedulerOptions, run_executor, run_scheduler};

use crate::cli::{JobExecutorArgs, JobSchedulerArgs};
use crate::commands::replay::stop_on_signal;
use crate::config::Config;
use crate::platform::open_lake;

/// Runs until it is told to stop.
pub async fn scheduler(args: JobSchedulerArgs) -> Result<()> {
    let options = SchedulerOptions {
        listen: args.listen,
        advertise: args.advertise,
    };
    Ok(run_scheduler(options, stop_on_signal()?).await?)
}

/// The same.
pub async fn executor(config: Config, args: JobExecutorArgs) -> Result<()> {
    // Before the lake's folder is made.
    distributed::check_built()?;
    let cores = || available_parallelism().map_or(1, usize::from);
    let options = ExecutorOptions {
        scheduler: args.scheduler,
        listen: args.listen,
        work_dir: args.work_dir.unwrap_or_else(|| config.data_dir.join("tmp")),
        slots: args.slots.unwrap_or_else(cores),
        memory_bytes: args.memory << 20,
        spill_bytes: args.spill_limit << 20,
    };
    let lake = open_lake(&config).await?;
    Ok(run_executor(options, lake, stop_on_signal()?).await?)
}
