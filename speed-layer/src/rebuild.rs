//! Starting over from the log.

use events::backoff::Backoff;
use events::{Advance, Stream, TopicPartition};
use hot_store::{Cell, HotBatch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::error::Error;
use crate::outbox::{self, OUTBOX};
use crate::session::{Deps, OWNER, degrade, first_partition, streams};
use crate::state::{SHOWN, combined_cells_of, learned_cells_of};

/// Makes the speed layer forget its positions and its state, so that the next
/// [`run`](crate::run) folds the log's retained part anew. Closed windows stay
/// closed. Other speed processes may be running: they are refused their next
/// write, start over as well and share the work. A back end that is away is
/// waited for, until `shutdown`.
pub async fn rebuild(deps: &Deps, shutdown: &CancellationToken) -> Result<(), Error> {
    let mut backoff = Backoff::new();
    while let Err(error) = try_to_rebuild(deps).await {
        if !error.is_retryable() {
            return Err(error);
        }
        degrade(deps, &error);
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
    Ok(())
}

async fn try_to_rebuild(deps: &Deps) -> Result<(), Error> {
    let mut advances = Vec::new();
    for topic in streams(&deps.topics).keys() {
        for bounds in deps.log.bounds(topic).await? {
            // From a position that nothing is stored at: whoever still writes
            // from where it was is refused.
            advances.push(Advance {
                partition: bounds.partition,
                from: bounds.start - 1,
                to: bounds.start,
            });
        }
    }
    let first = first_partition(&deps.topics);
    let city = combined_cells_of(&first);
    let mut cells = keep(deps, &city).await?;
    // What was closed is closed once more: what the log says of it is read again.
    let windows = deps.topics.topic(Stream::Windows);
    cells.push(Cell {
        partition: city,
        key: OUTBOX.to_owned(),
        value: Some(outbox::rewound(&deps.log.bounds(windows).await?)),
    });
    cells.extend(keep(deps, &learned_cells_of(&first)).await?);
    deps.hot.reset(OWNER).await?;
    let partitions = advances.len();
    let batch = HotBatch {
        cells,
        advances,
        ..HotBatch::default()
    };
    // A conflict is another process that wrote between the two: tried again.
    deps.hot.apply(OWNER, &batch).await?;
    info!(
        partitions,
        "the hot store is rebuilt from the log's retained part"
    );
    Ok(())
}

async fn keep(deps: &Deps, city: &TopicPartition) -> Result<Vec<Cell>, Error> {
    let kept = deps.hot.cells(OWNER, city).await?;
    // What was shown has to be shown again.
    let kept = kept
        .into_iter()
        .filter(|(key, _)| !key.starts_with(SHOWN) && key != OUTBOX);
    let cells = kept.map(|(key, value)| Cell {
        partition: city.clone(),
        key,
        value: Some(value),
    });
    Ok(cells.collect())
}
