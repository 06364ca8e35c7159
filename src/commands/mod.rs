//! One file per subcommand.

mod audit;
mod config;
mod doctor;
mod generate;
mod import;
mod job;
mod layers;
mod maintain;
mod recompute;
mod replay;
mod sql;
mod topics;
mod up;

use anyhow::Result;
use tracing::warn;

use crate::cli::{Cli, Command, Common};
use crate::config::Config;
use crate::terminal;

/// Runs the command.
pub async fn run(cli: Cli) -> Result<()> {
    terminal::start_logging(&cli.common.log);
    let config = effective(&cli.common)?;
    match cli.command {
        Command::Up(args) => {
            warn_about_missing_doors(&cli.common);
            up::run(config, args).await
        }
        Command::Generate(args) => generate::run(config, args).await,
        Command::Replay(args) => replay::run(config, args).await,
        Command::Import(args) => import::run(config, args).await,
        Command::Speed(args) => layers::speed(config, &args).await,
        Command::Batch => layers::batch(config).await,
        Command::Serve => {
            warn_about_missing_doors(&cli.common);
            layers::serve(config).await
        }
        Command::Sql(args) => sql::run(config, args).await,
        Command::Job(job) => job::run(config, job).await,
        Command::Compact(args) => maintain::compact(config, args).await,
        Command::Vacuum(args) => maintain::vacuum(config, args).await,
        Command::Retention(args) => maintain::retention(config, args).await,
        Command::Recompute(args) => recompute::run(config, args).await,
        Command::Audit(args) => audit::run(config, args).await,
        Command::Topics => topics::run(config).await,
        Command::Config => config::run(&config),
        Command::Doctor => doctor::run(config).await,
    }
}

fn effective(common: &Common) -> Result<Config> {
    let mut config = Config::load(common.config.as_deref())?;
    if let Some(folder) = &common.data_dir {
        config.data_dir = folder.clone();
    }
    if let Some(port) = common.port {
        config.server.port = port;
    }
    if let Some(port) = common.metrics_port {
        config.server.metrics_port = port;
    }
    if let Some(host) = &common.host {
        config.server.host = host.clone();
    }
    Ok(config)
}

fn warn_about_missing_doors(common: &Common) {
    for (flag, port) in [
        ("--pg-port", common.pg_port),
        ("--flight-port", common.flight_port),
    ] {
        if port.is_some_and(|port| port != 0) {
            warn!("{flag} has no effect: this version answers SQL over HTTP only (POST /api/sql)");
        }
    }
}
