//! Keeps the views up to date beside ingest, in the process that keeps their tables.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lake::{Table, View};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use views::Views;

use crate::now_us;

/// A turn that took long makes the next one wait: views take at most this share of the
/// time, one in so many.
const SHARE: u32 = 10;
/// A draft that was written longer ago is dropped; it takes as much room as its view.
const DRAFTS_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// What computes the views, and how often.
#[derive(Clone, Debug)]
pub struct ViewsUpkeep {
    /// Dates whose rows have changed are computed this often, or less often where that
    /// would take more than a tenth of the time.
    pub every: Duration,
    /// What computes them.
    pub views: Arc<Views>,
}

/// Works until `stop`. A failure is logged, and made good at the next turn.
pub(crate) async fn run(
    kept: watch::Receiver<BTreeSet<Table>>,
    config: ViewsUpkeep,
    stop: CancellationToken,
) {
    let mut wait = config.every;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
        wait = config.every;
        if !kept.borrow().contains(&Table::View(View::ALL[0])) {
            continue;
        }
        let began = Instant::now();
        match config.views.refresh(&stop).await {
            Ok(done) => {
                for done in done {
                    metrics::counter!("citypulse_view_dates_total", "view" => done.view.name())
                        .increment(done.dates as u64);
                    tracing::debug!(view = %done.view, dates = done.dates, rows = done.rows, "view computed");
                }
            }
            Err(_) if stop.is_cancelled() => return,
            Err(error) => {
                tracing::warn!(%error, "the views could not be computed; it is tried again at the next turn");
            }
        }
        for view in View::ALL {
            match config
                .views
                .drop_old_draft(view, DRAFTS_KEPT, now_us())
                .await
            {
                Ok(0) => {}
                Ok(dates) => tracing::info!(
                    table = view.draft_name(),
                    dates,
                    "draft that nobody adopted removed"
                ),
                Err(error) => {
                    tracing::warn!(%view, %error, "cannot tell whether there is an old draft")
                }
            }
        }
        let took = began.elapsed();
        metrics::gauge!("citypulse_views_turn_seconds").set(took.as_secs_f64());
        wait = wait.max(took * SHARE);
    }
}
