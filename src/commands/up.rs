//! `citypulse up`: everything in one process.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use tokio::net::TcpListener;

use crate::cli::UpArgs;
use crate::commands::generate;
use crate::config::Config;
use crate::jobs;
use crate::layers::Layers;
use crate::platform::{Platform, bind};
use crate::terminal;

/// Runs until told to stop.
pub async fn run(mut config: Config, args: UpArgs) -> Result<()> {
    generate::apply(&args.generate, &mut config)?;
    let jobs = jobs::scheduled(&config)?;
    let listener = listen(&config).await?;
    let address = address(&listener)?;
    let mut platform = Platform::new(config)?;
    if let Some(folder) = &mut platform.folder {
        folder.announce(&address)?;
    }
    // First what a missing setting makes impossible, then what may be away for a while.
    let lake = platform.open_lake().await?;
    let (log, hot) = (platform.open_log()?, platform.open_hot()?);
    let streets = platform.open_streets()?;

    let mut layers = Layers::new(&platform, log)?;
    layers.serving(listener, hot.clone(), lake.clone(), streets.clone())?;
    layers.speed(hot, streets.clone(), false);
    layers.batch(lake.clone(), streets.clone())?;
    layers.jobs(lake, jobs);
    if !args.no_generators {
        layers.generators(streets);
    }
    announce(&address);
    layers.finish().await
}

/// Takes the HTTP port.
pub async fn listen(config: &Config) -> Result<TcpListener> {
    bind(&config.server.host, config.server.port, "--port").await
}

/// Where a browser on this machine reaches it.
pub fn address(listener: &TcpListener) -> Result<String> {
    let mut local = listener
        .local_addr()
        .context("the listener has no address")?;
    if local.ip().is_unspecified() {
        local = SocketAddr::from((Ipv4Addr::LOCALHOST, local.port()));
    }
    Ok(format!("http://{local}"))
}

/// Tells people where to look. A server goes on although nobody listens.
pub fn announce(address: &str) {
    let _ = terminal::print(format!("dashboard: {address}\napi docs:  {address}/docs\n"));
}
