//! Upkeep beside readers and writers, on every storage.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray};
use common::{NOON_US, Place, TABLE, advance, append, file_rows, places, places_in, rows};
use futures::StreamExt;
use lake::maintain::{CompactOptions, Compacted, Retention, VacuumOptions};
use lake::{Commit, Lake};
use object_store::ObjectStore;
use tokio_util::sync::CancellationToken;

const HOUR_MS: i64 = 3_600_000;

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// Merges everything there is, and returns what each piece of work came to.
async fn compact(lake: &Arc<Lake>, options: &CompactOptions) -> Vec<Option<Compacted>> {
    let plans = lake.compaction_plan(TABLE, options).await.expect("a plan");
    let mut done = Vec::new();
    for plan in plans {
        let stop = CancellationToken::new();
        done.push(
            lake.compact(&plan, options, |_| {}, &stop)
                .await
                .expect("compacted"),
        );
    }
    done
}

/// Ten commits of partition `number`, over two dates.
async fn ten_commits(lake: &Lake, number: i32) {
    for step in 0..10 {
        append(lake, number, step * 100, step * 100 + 100)
            .await
            .expect("a commit");
    }
}

async fn data_files(lake: &Lake) -> usize {
    let prefix = object_store::path::Path::from(TABLE.name());
    let listed = lake.store().list(Some(&prefix)).filter(|entry| {
        let path = entry.as_ref().expect("an entry").location.to_string();
        std::future::ready(path.ends_with(".parquet") && !path.contains("_delta_log"))
    });
    listed.count().await
}

async fn small_files_become_one_a_date_and_nothing_else_changes(place: &Place) {
    let lake = place.open().await;
    ten_commits(&lake, 0).await;
    let (before, version) = (
        places(&lake).await,
        lake.refresh(TABLE).await.expect("a snapshot"),
    );
    assert_eq!(before.len(), 1_000);
    assert_eq!(version.files.len(), 11, "one of the ten spans midnight");

    let done = compact(&lake, &CompactOptions::default()).await;
    assert_eq!(done.len(), 2, "one commit a date");
    assert!(
        done.iter().flatten().all(|done| done.files_after == 1),
        "{done:?}"
    );

    // As another process sees it.
    let other = place.open().await;
    let after = other.refresh(TABLE).await.expect("a snapshot");
    assert_eq!(after.files.len(), 2);
    assert_eq!(after.positions, version.positions);
    assert_eq!(after.marks, version.marks);
    assert_eq!(places(&other).await, before);
    assert!(
        compact(&lake, &CompactOptions::default()).await.is_empty(),
        "there is nothing left to do"
    );
    append(&lake, 0, 1_000, 1_010)
        .await
        .expect("ingest goes on");
}

async fn appends_in_the_middle_of_a_compaction_stay(place: &Place) {
    let (lake, writer) = (place.open().await, place.open().await);
    ten_commits(&lake, 1).await;
    let options = CompactOptions::default();
    let plans = lake.compaction_plan(TABLE, &options).await.expect("a plan");
    append(&writer, 1, 1_000, 1_100)
        .await
        .expect("a commit in between");
    let before = places(&writer).await;
    for plan in &plans {
        let done = lake
            .compact(plan, &options, |_| {}, &CancellationToken::new())
            .await;
        assert!(done.expect("compacted").is_some());
    }
    assert_eq!(places(&writer).await, before);
}

async fn of_two_compactions_of_the_same_files_one_changes_nothing(place: &Place) {
    let (one, other) = (place.open().await, place.open().await);
    ten_commits(&one, 2).await;
    let options = CompactOptions::default();
    let before = places(&one).await;
    let plan = one
        .compaction_plan(TABLE, &options)
        .await
        .expect("a plan")
        .remove(0);
    let same = other
        .compaction_plan(TABLE, &options)
        .await
        .expect("a plan")
        .remove(0);
    let stop = CancellationToken::new();
    let first = one
        .compact(&plan, &options, |_| {}, &stop)
        .await
        .expect("compacted");
    let files = data_files(&one).await;
    let second = other
        .compact(&same, &options, |_| {}, &stop)
        .await
        .expect("given up");
    assert!(first.is_some() && second.is_none());
    assert_eq!(places(&other).await, before);
    assert_eq!(data_files(&one).await, files, "its files are gone again");
}

async fn little_memory_gives_the_same_rows(place: &Place) {
    let lake = place.open().await;
    ten_commits(&lake, 3).await;
    let before = places(&lake).await;
    let options = CompactOptions {
        memory_bytes: 20_000,
        ..CompactOptions::default()
    };
    let mut reported = Vec::new();
    for plan in lake.compaction_plan(TABLE, &options).await.expect("a plan") {
        let (sender, receiver) = std::sync::mpsc::channel();
        let progress = move |progress: lake::maintain::Progress| {
            sender.send(progress.rows).expect("somebody listens");
        };
        let done = lake
            .compact(&plan, &options, progress, &CancellationToken::new())
            .await;
        assert_eq!(done.expect("compacted").expect("done").rows, plan.rows());
        reported.push((receiver.iter().collect::<Vec<_>>(), plan.rows()));
    }
    assert_eq!(places(&lake).await, before);
    assert!(
        reported.iter().any(|(steps, _)| steps.len() > 3),
        "{reported:?}"
    );
    assert!(
        reported
            .iter()
            .all(|(steps, rows)| steps.last() == Some(rows)),
        "{reported:?}"
    );
}

async fn a_stopped_compaction_changes_nothing_and_can_begin_anew(place: &Place) {
    let lake = place.open().await;
    ten_commits(&lake, 4).await;
    let before = places(&lake).await;
    let options = CompactOptions::default();
    let files = data_files(&lake).await;
    let version = lake.refresh(TABLE).await.expect("a snapshot").version;
    for plan in lake.compaction_plan(TABLE, &options).await.expect("a plan") {
        let stop = CancellationToken::new();
        let cancel = stop.clone();
        let done = lake
            .compact(&plan, &options, move |_| cancel.cancel(), &stop)
            .await;
        assert_eq!(done.expect("stopped"), None);
    }
    assert_eq!(
        lake.refresh(TABLE).await.expect("a snapshot").version,
        version
    );
    assert_eq!(
        data_files(&lake).await,
        files,
        "what it wrote is gone again"
    );
    assert!(compact(&lake, &options).await.iter().all(Option::is_some));
    assert_eq!(places(&lake).await, before);
}

async fn vacuum_leaves_what_is_read_here_and_what_is_young(place: &Place) {
    let lake = place.open().await;
    ten_commits(&lake, 5).await;
    let held = lake.refresh(TABLE).await.expect("a snapshot");
    compact(&lake, &CompactOptions::default()).await;
    let before = places(&lake).await;
    let replaced = held.files.len();

    let at_once = VacuumOptions {
        retain: Duration::ZERO,
        retain_uncommitted: Duration::ZERO,
    };
    let vacuumed = lake
        .vacuum(TABLE, &at_once, now_ms(), false)
        .await
        .expect("vacuumed");
    assert!(vacuumed.in_use >= replaced, "{vacuumed:?}");
    assert_eq!(
        places_in(&lake, &held).await,
        before,
        "the held version can still be read"
    );

    // Another process knows nothing of that: there the age decides.
    let other = place.open().await;
    let vacuumed = other
        .vacuum(TABLE, &VacuumOptions::default(), now_ms(), false)
        .await
        .expect("vacuumed");
    assert!(vacuumed.removed.is_empty(), "{vacuumed:?}");
    assert!(vacuumed.too_young >= replaced, "{vacuumed:?}");

    drop(held);
    let later = now_ms() + 49 * HOUR_MS;
    let vacuumed = other
        .vacuum(TABLE, &VacuumOptions::default(), later, true)
        .await
        .expect("a dry run");
    assert!(
        vacuumed.removed.len() >= replaced && vacuumed.bytes > 0,
        "{vacuumed:?}"
    );
    let files = data_files(&lake).await;
    let again = other
        .vacuum(TABLE, &VacuumOptions::default(), later, false)
        .await
        .expect("vacuumed");
    assert_eq!(again, vacuumed);
    assert_eq!(
        data_files(&lake).await,
        files - again.removed.len(),
        "a dry run removes nothing"
    );
    assert_eq!(places(&lake).await, before);
}

async fn vacuum_removes_what_a_crash_left_once_nobody_can_commit_it(place: &Place) {
    let lake = place.open().await;
    ten_commits(&lake, 6).await;
    let live = data_files(&lake).await;
    let written = lake
        .write_files(TABLE, vec![rows(60, 0..10)])
        .await
        .expect("files");
    let options = VacuumOptions {
        retain: Duration::from_secs(3600),
        ..VacuumOptions::default()
    };
    lake.vacuum(TABLE, &options, now_ms() + 2 * HOUR_MS, false)
        .await
        .expect("vacuumed");
    assert_eq!(
        data_files(&lake).await,
        live + written.len(),
        "somebody may be about to commit them"
    );
    lake.vacuum(TABLE, &options, now_ms() + 25 * HOUR_MS, false)
        .await
        .expect("vacuumed");
    assert_eq!(data_files(&lake).await, live);
}

async fn retention_removes_old_dates_and_no_positions(place: &Place) {
    let lake = place.open().await;
    ten_commits(&lake, 7).await;
    let before = lake.refresh(TABLE).await.expect("a snapshot");
    // Kept to the first day but not to the second.
    let now_us = NOON_US + 10 * 86_400_000_000;
    let retention = |days, grace| Retention {
        days: BTreeMap::from([(TABLE, days)]),
        grace,
    };
    let day = Duration::from_secs(86_400);

    let none = lake
        .expire(TABLE, &retention(10, Duration::ZERO), now_us, false)
        .await
        .expect("expired");
    assert!(none.dates.is_empty(), "{none:?}");
    let fresh = lake
        .expire(TABLE, &retention(9, day), now_us, false)
        .await
        .expect("expired");
    assert!(fresh.dates.is_empty(), "it arrived a moment ago: {fresh:?}");

    let dry = lake
        .expire(TABLE, &retention(9, Duration::ZERO), now_us, true)
        .await
        .expect("a dry run");
    assert_eq!(dry.dates.len(), 1);
    assert_eq!(
        lake.refresh(TABLE).await.expect("a snapshot").version,
        before.version
    );
    let wet = lake
        .expire(TABLE, &retention(9, Duration::ZERO), now_us, false)
        .await
        .expect("expired");
    assert_eq!(wet, dry);
    let after = place.open().await.refresh(TABLE).await.expect("a snapshot");
    assert_eq!(after.positions, before.positions);
    assert_eq!(after.rows(), before.rows().map(|rows| rows - wet.rows));
    let first_day = events::columns::date_of(NOON_US);
    assert!(after.files.values().all(|file| file.date > Some(first_day)));
    append(&lake, 7, 1_000, 1_010)
        .await
        .expect("ingest goes on");
}

async fn removed_files_are_remembered_beyond_a_checkpoint(place: &Place) {
    let lake = place.open().await;
    append(&lake, 8, 0, 10).await.expect("a commit");
    append(&lake, 8, 10, 20).await.expect("a commit");
    compact(&lake, &CompactOptions::default()).await;
    for step in 2..60 {
        append(&lake, 8, step * 10, step * 10 + 10)
            .await
            .expect("a commit");
    }
    // Remembered as removed, it is kept for 48 h; as unknown, only for 24 h.
    let other = place.open().await;
    let options = VacuumOptions::default();
    let vacuumed = other
        .vacuum(TABLE, &options, now_ms() + 40 * HOUR_MS, true)
        .await
        .expect("a dry run");
    assert!(
        vacuumed.removed.is_empty() && vacuumed.too_young >= 2,
        "{vacuumed:?}"
    );
}

async fn files_older_than_a_column_are_merged_with_newer_ones(place: &Place) {
    let lake = place.open().await;
    let full = rows(9, 0..100);
    let mut old = full.clone();
    for name in ["make", "model", "fuel_type"] {
        old.remove_column(old.schema().index_of(name).expect("a column"));
    }
    for (batch, from) in [(old, 0), (rows(9, 100..200), 100)] {
        let files = lake.write_files(TABLE, vec![batch]).await.expect("files");
        let commit = Commit {
            files,
            advances: vec![advance(9, from, from + 100)],
            ..Commit::default()
        };
        lake.commit(TABLE, &commit).await.expect("a commit");
    }
    let before = places(&lake).await;
    compact(&lake, &CompactOptions::default()).await;
    assert_eq!(places(&lake).await, before);
    let snapshot = lake.snapshot(TABLE).await.expect("a snapshot");
    let path = snapshot.files.keys().next().expect("a file");
    let (mut known, mut unknown) = (0, 0);
    for batch in file_rows(&lake, path).await {
        let makes = batch["make"].as_string::<i32>();
        unknown += makes.null_count();
        known += makes
            .iter()
            .flatten()
            .filter(|make| *make == "Volvo")
            .count();
    }
    assert_eq!((known, unknown), (100, 100));
}

macro_rules! on_every_storage {
    ($($test:ident),* $(,)?) => {
        mod local {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() { super::$test(&super::Place::local()).await; })*
        }
        mod s3 {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                if let Some(place) = super::Place::s3() { super::$test(&place).await; }
            })*
        }
        mod other_s3 {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                if let Some(place) = super::Place::other_s3() { super::$test(&place).await; }
            })*
        }
    };
}

on_every_storage!(
    small_files_become_one_a_date_and_nothing_else_changes,
    appends_in_the_middle_of_a_compaction_stay,
    of_two_compactions_of_the_same_files_one_changes_nothing,
    little_memory_gives_the_same_rows,
    a_stopped_compaction_changes_nothing_and_can_begin_anew,
    vacuum_leaves_what_is_read_here_and_what_is_young,
    vacuum_removes_what_a_crash_left_once_nobody_can_commit_it,
    retention_removes_old_dates_and_no_positions,
    removed_files_are_remembered_beyond_a_checkpoint,
    files_older_than_a_column_are_merged_with_newer_ones,
);
