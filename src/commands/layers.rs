//! `citypulse speed`, `batch` and `serve`: one role per process.

use anyhow::Result;

use crate::cli::SpeedArgs;
use crate::commands::up;
use crate::config::Config;
use crate::jobs;
use crate::layers::Layers;
use crate::platform::Platform;

/// Log to hot store.
pub async fn speed(config: Config, args: &SpeedArgs) -> Result<()> {
    let mut platform = Platform::for_one_role(config, "speed", true)?;
    let (log, hot) = (platform.open_log()?, platform.open_hot()?);
    let streets = platform.open_streets()?;
    let mut layers = Layers::new(&platform, log)?;
    layers.operations().await?;
    layers.speed(hot, streets, args.rebuild);
    layers.finish().await
}

/// Log to lake.
pub async fn batch(config: Config) -> Result<()> {
    let mut platform = Platform::for_one_role(config, "batch", false)?;
    let jobs = jobs::scheduled(&platform.config)?;
    let lake = platform.open_lake().await?;
    let log = platform.open_log()?;
    let streets = platform.open_streets()?;
    let mut layers = Layers::new(&platform, log)?;
    layers.operations().await?;
    layers.batch(lake.clone(), streets)?;
    layers.jobs(lake, jobs);
    layers.finish().await
}

/// To clients.
pub async fn serve(config: Config) -> Result<()> {
    let mut platform = Platform::for_one_role(config, "serve", true)?;
    let listener = up::listen(&platform.config).await?;
    let lake = platform.open_lake().await?;
    let (log, hot) = (platform.open_log()?, platform.open_hot()?);
    let streets = platform.open_streets()?;
    let address = up::address(&listener)?;
    let mut layers = Layers::new(&platform, log)?;
    layers.serving(listener, hot, lake, streets)?;
    up::announce(&address);
    layers.finish().await
}
