//! Runs roles as tasks until one fails or the process is told to stop.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// All roles together get this long to finish after a signal.
const GRACE: Duration = Duration::from_millis(4_500);

/// The roles of this process.
pub struct Roles {
    tasks: JoinSet<Result<()>>,
    shutdown: CancellationToken,
}

impl Roles {
    /// None yet. SIGTERM and SIGINT cancel `shutdown`.
    pub fn new(shutdown: CancellationToken) -> Result<Self> {
        let on_signal = shutdown.clone();
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .context("cannot listen for SIGTERM")?;
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => info!("told to stop (SIGTERM); finishing what is in flight"),
                _ = tokio::signal::ctrl_c() => info!("told to stop; finishing what is in flight"),
                () = on_signal.cancelled() => {}
            }
            on_signal.cancel();
        });
        Ok(Self {
            tasks: JoinSet::new(),
            shutdown,
        })
    }

    /// Starts a role.
    pub fn start<E>(
        &mut self,
        name: &'static str,
        role: impl Future<Output = std::result::Result<(), E>> + Send + 'static,
    ) where
        E: Into<anyhow::Error> + Send + 'static,
    {
        self.tasks.spawn(async move {
            role.await
                .map_err(Into::into)
                .with_context(|| format!("{name} stopped"))
        });
    }

    /// Waits until all have ended; the first failure ends the others.
    pub async fn finish(mut self) -> Result<()> {
        let mut outcome = Ok(());
        let mut deadline = None;
        loop {
            let next = self.tasks.join_next();
            let joined = tokio::select! {
                joined = next => joined,
                () = self.shutdown.cancelled(), if deadline.is_none() => {
                    deadline = Some(tokio::time::Instant::now() + GRACE);
                    continue;
                }
                () = until(deadline) => {
                    warn!(unfinished = self.tasks.len(), "did not finish in time; the next start repeats what was not saved");
                    return outcome;
                }
            };
            let Some(joined) = joined else { return outcome };
            let result = joined
                .unwrap_or_else(|panic| Err(anyhow::Error::new(panic).context("a role panicked")));
            if let Err(error) = result {
                self.shutdown.cancel();
                if outcome.is_ok() {
                    outcome = Err(error);
                }
            }
        }
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
