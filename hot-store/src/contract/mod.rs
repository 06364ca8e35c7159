//! What every implementation of [`HotStore`] must do, as tests.
//!
//! [`contract_tests!`](crate::contract_tests) makes one `#[tokio::test]` of each
//! case, on a fresh, empty store.

mod load;
mod positions;
mod values;
mod watching;

pub use self::load::*;
pub use self::positions::*;
pub use self::values::*;
pub use self::watching::*;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use events::{Advance, Offset, TopicPartition};

use crate::{Cell, Entry, Error, HotBatch, HotStore, Kind, Update, Watch, WatchEvent};

/// A store under test.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn HotStore>;
    /// The same data through a new store, as after a restart of the process.
    async fn reopen(&self) -> Arc<dyn HotStore>;
}

/// One test per case; `$fixture` is an expression that makes a [`Fixture`].
#[macro_export]
macro_rules! contract_tests {
    ($fixture:expr) => {
        $crate::contract_tests!(@cases $fixture,
            values_read_back, an_empty_batch_changes_nothing, deleted_values_are_gone,
            odd_ids_read_back, kinds_of_one_have_one_value, scan_returns_only_its_kind,
            every_value_has_the_time_to_live_of_its_kind, an_old_value_ends_sooner,
            only_a_newer_value_extends_the_time_to_live, many_are_read_in_order,
            ids_are_found_by_their_beginning,
            an_absent_position_matches_any, a_fence_holds_and_moves_nothing,
            a_conflict_changes_nothing, a_replayed_batch_is_refused, owners_are_apart,
            cells_belong_to_their_partition, cells_and_positions_survive_a_reopen,
            reset_forgets_positions_and_cells_but_no_values,
            a_watcher_sees_every_batch_in_order, a_watcher_sees_no_refused_batch,
            a_watcher_learns_that_positions_jumped, windows_are_not_told, a_slow_watcher_learns_of_a_gap,
            large_batches_are_whole, a_reader_never_sees_a_position_before_its_value,
            concurrent_partitions_all_arrive,
        );
    };
    (@cases $fixture:expr, $($case:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let fixture = $fixture;
            $crate::contract::$case(&fixture).await;
        }
    )*};
}

/// Longest wait for something that must come.
const LIMIT: Duration = Duration::from_secs(20);

const OWNER: &str = "speed";

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("gps_data", number)
}

fn set(kind: Kind, id: &str, value: impl Into<Bytes>) -> Update {
    Update::new(kind, id, Some(value.into()))
}

fn delete(kind: Kind, id: &str) -> Update {
    Update::new(kind, id, None)
}

fn cell(number: i32, key: &str, value: Option<&str>) -> Cell {
    let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    Cell {
        partition: partition(number),
        key: key.to_owned(),
        value,
    }
}

fn advance(number: i32, from: Offset, to: Offset) -> Advance {
    Advance {
        partition: partition(number),
        from,
        to,
    }
}

fn updates(updates: Vec<Update>) -> HotBatch {
    HotBatch {
        updates,
        ..HotBatch::default()
    }
}

async fn value(store: &dyn HotStore, kind: Kind, id: &str) -> Option<Bytes> {
    store
        .get(kind, id)
        .await
        .expect("get")
        .map(|entry| entry.value)
}

async fn sorted(store: &dyn HotStore, kind: Kind) -> Vec<Entry> {
    let mut entries = store.scan(kind).await.expect("scan");
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    entries
}

async fn sorted_cells(store: &dyn HotStore, number: i32) -> Vec<(String, Bytes)> {
    let mut cells = store.cells(OWNER, &partition(number)).await.expect("cells");
    cells.sort();
    cells
}

async fn next(watch: &mut Box<dyn Watch>) -> WatchEvent {
    tokio::time::timeout(LIMIT, watch.next())
        .await
        .expect("a watch event in time")
}
