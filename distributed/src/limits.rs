//! Every wait and size of the cluster in one place.

use std::time::Duration;

/// Largest message between its processes, bytes: a plan with the names of its files and
/// rows of the log.
pub(crate) const MESSAGE_BYTES_MAX: usize = 128 << 20;

/// Pieces that a plan's work is cut into, per step.
pub(crate) const PIECES: usize = 16;

/// How long until somebody who does not answer is given up.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The same for one request.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// How long until the next rows of a result.
pub(crate) const ROWS_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a job waits for the first executor.
pub(crate) const EXECUTOR_WAIT: Duration = Duration::from_secs(30);

/// How often an executor says that it lives,
pub(crate) const HEARTBEAT_S: u64 = 3;
/// without which its work is given to others after this,
pub(crate) const EXECUTOR_TIMEOUT_S: u64 = 12;
/// looked at so often: work of a killed executor is taken over within 15 s.
pub(crate) const EXPIRY_CHECK_S: u64 = 3;
/// Once no executor is left, a running job fails after this.
pub(crate) const NO_EXECUTORS_S: u64 = 30;
/// An executor that was told to stop ends after this, whatever it works on.
pub(crate) const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Failures of one part of a job, and of one step, until the job fails.
pub(crate) const MAX_FAILURES: usize = 8;

/// What a job left behind goes after this where its client did not say that it has all:
/// no run is longer (see `--timeout`).
pub(crate) const LEFT_BEHIND_S: u64 = 172_800;
