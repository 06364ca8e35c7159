//! `citypulse up`: everything in one process.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;

use crate::cli::UpArgs;
use crate::commands::generate;
use crate::config::Config;
use crate::jobs;
use crate::layers::Layers;
use crate::platform::Platform;
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
    let (host, port) = (config.server.host.as_str(), config.server.port);
    match TcpListener::bind((host, port)).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!(
                "port {port} on {host} is in use; stop what listens there or choose another with --port"
            )
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on {host}:{port}")),
    }
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
