//! The same doors in a binary without Ballista.

use std::sync::Arc;

use lake::Lake;
use lake::query::Cluster;
use tokio_util::sync::CancellationToken;

use crate::{Address, Error, ExecutorOptions, Result, SchedulerOptions};

/// Ends with [`Error::NotBuilt`].
///
/// # Errors
/// Always.
pub async fn connect(_scheduler: &Address) -> Result<Arc<dyn Cluster>> {
    Err(Error::NotBuilt)
}

/// Ends with [`Error::NotBuilt`].
///
/// # Errors
/// Always.
pub async fn run_scheduler(_options: SchedulerOptions, _stop: CancellationToken) -> Result<()> {
    Err(Error::NotBuilt)
}

/// Ends with [`Error::NotBuilt`].
///
/// # Errors
/// Always.
pub async fn run_executor(
    _options: ExecutorOptions,
    _lake: Arc<Lake>,
    _stop: CancellationToken,
) -> Result<()> {
    Err(Error::NotBuilt)
}
