//! Many small files into few large ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::lake::Rewrite;
use crate::maintain::plan::{PartitionPlan, plan};
use crate::maintain::rewrite::{Limits, rewrite};
use crate::{Error, Lake, Result, Table};

/// What is merged, and at what cost.
#[derive(Clone, Debug)]
pub struct CompactOptions {
    /// Files of at least this size are left alone, bytes.
    pub min_bytes: u64,
    /// A new file ends when it has about this size, bytes.
    pub target_bytes: u64,
    /// Files up to this size together are one piece of work and one commit, bytes.
    pub part_bytes: u64,
    /// A date with fewer small files is left for later; at least 2.
    pub min_files: usize,
    /// Memory of the rows in work, bytes.
    pub memory_bytes: usize,
    /// How much of the time is spent working.
    pub pace: Pace,
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self {
            min_bytes: 128 << 20,
            target_bytes: 256 << 20,
            part_bytes: 2 << 30,
            min_files: 2,
            memory_bytes: 256 << 20,
            pace: Pace::Full,
        }
    }
}

/// How much of one core upkeep may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// All of it.
    Full,
    /// Half of it: after each step it rests as long as the step took.
    Half,
}

/// How far a compaction is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Rows written of this plan.
    pub rows: u64,
    /// Rows of this plan.
    pub total_rows: u64,
}

/// What a compaction came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files before.
    pub files_before: usize,
    /// Files after.
    pub files_after: usize,
    /// Size before, bytes.
    pub bytes_before: u64,
    /// Size after, bytes.
    pub bytes_after: u64,
    /// Rows in them.
    pub rows: u64,
}

impl Lake {
    /// What there is to merge in the newest version of `table`.
    pub async fn compaction_plan(
        &self,
        table: Table,
        options: &CompactOptions,
    ) -> Result<Vec<PartitionPlan>> {
        Ok(plan(table, &self.refresh(table).await?, options))
    }

    /// Merges the plan's files: the new ones take their place in one commit, rows and
    /// positions unchanged. Appends of others meanwhile are no obstacle. `None` when
    /// `stop` came first, or when somebody else has touched the files: nothing has
    /// changed then. An interrupted run leaves files that no version names; vacuum
    /// removes them.
    pub async fn compact(
        self: &Arc<Self>,
        plan: &PartitionPlan,
        options: &CompactOptions,
        progress: impl FnMut(Progress) + Send + 'static,
        stop: &CancellationToken,
    ) -> Result<Option<Compacted>> {
        let (lake, stop) = (self.clone(), stop.clone());
        let (work, options) = (plan.clone(), options.clone());
        let runtime = tokio::runtime::Handle::current();
        // A thread of its own: decoding and encoding would hold up others.
        let task = tokio::task::spawn_blocking(move || {
            runtime.block_on(compact(&lake, &work, &options, progress, &stop))
        });
        task.await.map_err(|error| {
            crate::lake::refused(plan.table, format!("the compaction failed: {error}"))
        })?
    }
}

async fn compact(
    lake: &Lake,
    plan: &PartitionPlan,
    options: &CompactOptions,
    mut progress: impl FnMut(Progress),
    stop: &CancellationToken,
) -> Result<Option<Compacted>> {
    let mut done = Progress {
        rows: 0,
        total_rows: plan.rows(),
    };
    let mut step_began = Instant::now();
    let pace = options.pace;
    let step_done = |step: crate::maintain::rewrite::Done| {
        done.rows += step.rows;
        progress(done);
        let rest = match pace {
            Pace::Full => Duration::ZERO,
            Pace::Half => step_began.elapsed(),
        };
        step_began = Instant::now() + rest;
        async move {
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = stop.cancelled() => {}
            }
            match stop.is_cancelled() {
                // Not an outcome that anybody sees: see below.
                true => Err(stopped(plan.table)),
                false => Ok(()),
            }
        }
    };
    let limits = Limits {
        file_bytes: file_bytes(plan.bytes(), options),
        memory_bytes: options.memory_bytes,
    };
    let files = match rewrite(lake, plan, &limits, step_done).await {
        Ok(files) => files,
        Err(_) if stop.is_cancelled() => return Ok(None),
        Err(error) => return Err(error),
    };
    let compacted = Compacted {
        files_before: plan.files.len(),
        files_after: files.len(),
        bytes_before: plan.bytes(),
        bytes_after: files.iter().map(|file| file.size_bytes).sum(),
        rows: files.iter().map(|file| file.rows).sum(),
    };
    let rewrite = Rewrite {
        remove: plan.files.clone(),
        add: files,
        data_change: false,
        operation: "OPTIMIZE",
    };
    match lake.replace(plan.table, &rewrite).await {
        Ok(_) => Ok(Some(compacted)),
        Err(Error::FilesChanged { .. }) => {
            tracing::info!(table = %plan.table, "somebody else has merged or removed the same files; nothing was changed");
            lake.discard_files(plan.table, &rewrite.add).await;
            Ok(None)
        }
        // The commit may have got through: the files stay, and vacuum decides.
        Err(error) => Err(error),
    }
}

fn stopped(table: Table) -> Error {
    crate::lake::refused(table, "the compaction was stopped".to_owned())
}

/// Files of equal size, none of them small where that can be.
fn file_bytes(total_bytes: u64, options: &CompactOptions) -> u64 {
    let files = (total_bytes as f64 / options.target_bytes.max(1) as f64)
        .round()
        .max(1.0);
    (total_bytes as f64 / files * 1.02) as u64 + 1
}
