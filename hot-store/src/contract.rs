//! What every implementation of [`HotStore`] must do, as tests.
//!
//! [`contract_tests!`](crate::contract_tests) makes one `#[tokio::test]` of each
//! case, on a fresh, empty store.

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
            every_value_has_the_time_to_live_of_its_kind,
            only_a_newer_value_extends_the_time_to_live, an_absent_position_matches_any,
            a_conflict_changes_nothing, a_replayed_batch_is_refused, owners_are_apart,
            cells_belong_to_their_partition, cells_and_positions_survive_a_reopen,
            reset_forgets_positions_and_cells_but_no_values,
            a_watcher_sees_every_batch_in_order, a_watcher_sees_no_refused_batch,
            a_watcher_learns_that_positions_jumped, a_slow_watcher_learns_of_a_gap,
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
    Update {
        kind,
        id: id.to_owned(),
        value: Some(value.into()),
    }
}

fn delete(kind: Kind, id: &str) -> Update {
    Update {
        kind,
        id: id.to_owned(),
        value: None,
    }
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

/// What is written is read, by get and by scan.
pub async fn values_read_back(fixture: &dyn Fixture) {
    let store = fixture.store();
    store.ping().await.expect("ping");
    assert_eq!(store.get(Kind::Vehicle, "a").await.expect("get"), None);
    let batch = vec![
        set(Kind::Vehicle, "a", "{\"v\":1}"),
        set(Kind::Vehicle, "b", "{\"v\":2}"),
    ];
    store.apply(OWNER, updates(batch)).await.expect("apply");
    store
        .apply(OWNER, updates(vec![set(Kind::Vehicle, "a", "{\"v\":3}")]))
        .await
        .expect("apply");
    assert_eq!(
        value(&*store, Kind::Vehicle, "a").await.expect("a"),
        "{\"v\":3}"
    );
    let entries = sorted(&*store, Kind::Vehicle).await;
    let found: Vec<_> = entries
        .iter()
        .map(|entry| (entry.id.as_str(), &entry.value[..]))
        .collect();
    assert_eq!(found, [("a", &b"{\"v\":3}"[..]), ("b", b"{\"v\":2}")]);
}

/// A batch of nothing is no error and tells nobody.
pub async fn an_empty_batch_changes_nothing(fixture: &dyn Fixture) {
    let store = fixture.store();
    let mut watch = store.watch().await.expect("watch");
    store
        .apply(OWNER, HotBatch::default())
        .await
        .expect("apply");
    store
        .apply(OWNER, updates(vec![set(Kind::Road, "r", "1")]))
        .await
        .expect("apply");
    let WatchEvent::Changed(notice) = next(&mut watch).await else {
        panic!("a gap")
    };
    assert_eq!(notice.updates, [set(Kind::Road, "r", "1")]);
    assert!(store.positions(OWNER).await.expect("positions").is_empty());
}

/// `None` deletes, also what was never there.
pub async fn deleted_values_are_gone(fixture: &dyn Fixture) {
    let store = fixture.store();
    let batch = vec![set(Kind::Incident, "i", "1"), set(Kind::Incident, "j", "2")];
    store.apply(OWNER, updates(batch)).await.expect("apply");
    let batch = vec![delete(Kind::Incident, "i"), delete(Kind::Incident, "never")];
    store.apply(OWNER, updates(batch)).await.expect("apply");
    assert_eq!(value(&*store, Kind::Incident, "i").await, None);
    assert_eq!(sorted(&*store, Kind::Incident).await.len(), 1);
}

/// Ids are any text of up to 128 characters, values any bytes.
pub async fn odd_ids_read_back(fixture: &dyn Fixture) {
    let store = fixture.store();
    let long = "x".repeat(128);
    let wide = "ö".repeat(128);
    let ids = [
        "with space",
        "a:b:c",
        "*",
        "a*",
        "[ab]",
        "?",
        "\\",
        "quote\"'",
        "Göteborg 🚋",
        "\n\r\t",
        "{tag}",
        "0",
        "\u{0}",
        &long,
        &wide,
    ];
    let batch = ids
        .map(|id| set(Kind::Trail, id, format!("{{\"id\":{id:?}}}")))
        .to_vec();
    store.apply(OWNER, updates(batch)).await.expect("apply");
    store
        .apply(
            OWNER,
            updates(vec![set(Kind::Trail, "bytes", &b"\xff\x00\xfe"[..])]),
        )
        .await
        .expect("apply");
    for id in ids {
        let expected = format!("{{\"id\":{id:?}}}");
        assert_eq!(value(&*store, Kind::Trail, id).await.expect(id), expected);
    }
    assert_eq!(
        value(&*store, Kind::Trail, "bytes").await.expect("bytes"),
        &b"\xff\x00\xfe"[..]
    );
    let mut found: Vec<_> = sorted(&*store, Kind::Trail)
        .await
        .into_iter()
        .map(|e| e.id)
        .collect();
    let mut expected: Vec<_> = ids
        .iter()
        .map(|id| id.to_string())
        .chain(["bytes".into()])
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    store
        .apply(OWNER, updates(vec![delete(Kind::Trail, "*")]))
        .await
        .expect("apply");
    assert_eq!(sorted(&*store, Kind::Trail).await.len(), ids.len());
}

/// Weather, city and health have one value each, whatever the id says.
pub async fn kinds_of_one_have_one_value(fixture: &dyn Fixture) {
    let store = fixture.store();
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_single()) {
        let mut watch = store.watch().await.expect("watch");
        store
            .apply(OWNER, updates(vec![set(kind, "", "1")]))
            .await
            .expect("apply");
        store
            .apply(OWNER, updates(vec![set(kind, "other", "2")]))
            .await
            .expect("apply");
        let entries = sorted(&*store, kind).await;
        assert_eq!((entries.len(), entries[0].id.as_str()), (1, ""));
        assert_eq!(value(&*store, kind, "").await.expect("one"), "2");
        for _ in 0..2 {
            let WatchEvent::Changed(notice) = next(&mut watch).await else {
                panic!("a gap")
            };
            assert_eq!(notice.updates[0].id, "");
        }
    }
}

/// A scan is of one kind, also where another's key begins alike.
pub async fn scan_returns_only_its_kind(fixture: &dyn Fixture) {
    let store = fixture.store();
    let mut batch = Vec::new();
    for kind in Kind::ALL {
        for id in ["a", "b", "location:a"] {
            if !kind.is_single() || id == "a" {
                batch.push(set(
                    kind,
                    if kind.is_single() { "" } else { id },
                    format!("{kind:?}{id}"),
                ));
            }
        }
    }
    let batch = HotBatch {
        updates: batch,
        cells: vec![cell(0, "c", Some("1"))],
        advances: vec![advance(0, 0, 1)],
    };
    store.apply(OWNER, batch).await.expect("apply");
    for kind in Kind::ALL {
        let entries = sorted(&*store, kind).await;
        assert_eq!(
            entries.len(),
            if kind.is_single() { 1 } else { 3 },
            "{kind:?}"
        );
        for entry in entries {
            assert!(entry.value.starts_with(format!("{kind:?}").as_bytes()));
        }
    }
}

/// What is left is at most the kind's time to live, and nearly that.
pub async fn every_value_has_the_time_to_live_of_its_kind(fixture: &dyn Fixture) {
    let store = fixture.store();
    let began = Instant::now();
    let batch = Kind::ALL.map(|kind| set(kind, "", "1")).to_vec();
    store.apply(OWNER, updates(batch)).await.expect("apply");
    for kind in Kind::ALL {
        let entry = store.get(kind, "").await.expect("get").expect("value");
        let scanned = sorted(&*store, kind).await.remove(0);
        for left in [entry.expires_in, scanned.expires_in] {
            let passed = began.elapsed() + Duration::from_millis(5);
            assert!(left <= kind.time_to_live(), "{kind:?}: {left:?}");
            assert!(left + passed >= kind.time_to_live(), "{kind:?}: {left:?}");
        }
    }
}

/// Reading or writing others does not keep a value alive; writing it does.
pub async fn only_a_newer_value_extends_the_time_to_live(fixture: &dyn Fixture) {
    let store = fixture.store();
    let left = async || {
        store
            .get(Kind::Vehicle, "a")
            .await
            .expect("get")
            .expect("value")
            .expires_in
    };
    store
        .apply(OWNER, updates(vec![set(Kind::Vehicle, "a", "1")]))
        .await
        .expect("apply");
    let first = left().await;
    let deadline = Instant::now() + LIMIT;
    let mut last = first;
    while last + Duration::from_millis(30) > first {
        assert!(Instant::now() < deadline, "the time to live does not run");
        store
            .apply(OWNER, updates(vec![set(Kind::Vehicle, "b", "1")]))
            .await
            .expect("apply");
        store.scan(Kind::Vehicle).await.expect("scan");
        tokio::task::yield_now().await;
        last = left().await;
    }
    store
        .apply(OWNER, updates(vec![set(Kind::Vehicle, "a", "1")]))
        .await
        .expect("apply");
    assert!(left().await > last);
}

/// A partition that was never seen starts anywhere.
pub async fn an_absent_position_matches_any(fixture: &dyn Fixture) {
    let store = fixture.store();
    // Larger than a double can count.
    let far = (1_i64 << 53) + 1;
    let batch = HotBatch {
        advances: vec![advance(0, far, far + 2), advance(1, 0, 7)],
        ..HotBatch::default()
    };
    store.apply(OWNER, batch).await.expect("apply");
    let expected = HashMap::from([(partition(0), far + 2), (partition(1), 7)]);
    assert_eq!(store.positions(OWNER).await.expect("positions"), expected);
    let batch = HotBatch {
        advances: vec![advance(0, far + 2, far + 3)],
        ..HotBatch::default()
    };
    store.apply(OWNER, batch).await.expect("apply");
    assert_eq!(
        store.positions(OWNER).await.expect("positions")[&partition(0)],
        far + 3
    );
}

/// One advance that does not fit refuses the whole batch.
pub async fn a_conflict_changes_nothing(fixture: &dyn Fixture) {
    let store = fixture.store();
    let batch = HotBatch {
        updates: vec![
            set(Kind::Vehicle, "a", "old"),
            set(Kind::Vehicle, "b", "old"),
        ],
        cells: vec![cell(0, "c", Some("old"))],
        advances: vec![advance(0, 0, 10), advance(1, 0, 10)],
    };
    store.apply(OWNER, batch).await.expect("apply");
    for from in [0, 9, 11, 20] {
        let batch = HotBatch {
            updates: vec![set(Kind::Vehicle, "a", "new"), delete(Kind::Vehicle, "b")],
            cells: vec![cell(0, "c", None), cell(1, "d", Some("new"))],
            advances: vec![advance(0, 10, 20), advance(1, from, 30)],
        };
        let error = store.apply(OWNER, batch).await.expect_err("a conflict");
        assert!(!error.is_retryable());
        let Error::Conflict {
            partition: at,
            expected,
            stored,
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!((at, expected, stored), (partition(1), from, 10));
    }
    assert_eq!(value(&*store, Kind::Vehicle, "a").await.expect("a"), "old");
    assert_eq!(value(&*store, Kind::Vehicle, "b").await.expect("b"), "old");
    assert_eq!(
        sorted_cells(&*store, 0).await,
        [("c".to_owned(), Bytes::from("old"))]
    );
    assert!(sorted_cells(&*store, 1).await.is_empty());
    let expected = HashMap::from([(partition(0), 10), (partition(1), 10)]);
    assert_eq!(store.positions(OWNER).await.expect("positions"), expected);
}

/// The same batch again, acknowledged the first time, is another's position.
pub async fn a_replayed_batch_is_refused(fixture: &dyn Fixture) {
    let store = fixture.store();
    let batch = HotBatch {
        updates: vec![set(Kind::Vehicle, "a", "1")],
        cells: vec![cell(0, "c", Some("1"))],
        advances: vec![advance(0, 3, 5)],
    };
    store.apply(OWNER, batch.clone()).await.expect("apply");
    let error = store
        .apply(OWNER, batch.clone())
        .await
        .expect_err("a conflict");
    assert!(
        matches!(error, Error::Conflict { stored: 5, .. }),
        "{error}"
    );
    // Without positions the same absolute values change nothing.
    let again = HotBatch {
        advances: Vec::new(),
        ..batch
    };
    store.apply(OWNER, again).await.expect("apply");
    assert_eq!(value(&*store, Kind::Vehicle, "a").await.expect("a"), "1");
    assert_eq!(sorted_cells(&*store, 0).await.len(), 1);
    assert_eq!(
        store.positions(OWNER).await.expect("positions")[&partition(0)],
        5
    );
}

/// Each owner has positions and cells of its own.
pub async fn owners_are_apart(fixture: &dyn Fixture) {
    let store = fixture.store();
    let owners = ["speed", "speed:2", "sp*", "other"];
    for (number, owner) in (1..).zip(owners) {
        let batch = HotBatch {
            cells: vec![cell(0, "c", Some(owner))],
            advances: vec![advance(0, 0, number)],
            ..HotBatch::default()
        };
        store.apply(owner, batch).await.expect("apply");
    }
    store.reset("sp*").await.expect("reset");
    for (number, owner) in (1..).zip(owners) {
        let positions = store.positions(owner).await.expect("positions");
        let cells = store.cells(owner, &partition(0)).await.expect("cells");
        if owner == "sp*" {
            assert!(positions.is_empty() && cells.is_empty());
        } else {
            assert_eq!(positions[&partition(0)], number);
            assert_eq!(cells, [("c".to_owned(), Bytes::from(owner))]);
        }
    }
}

/// Cells are read per partition; a delete takes one.
pub async fn cells_belong_to_their_partition(fixture: &dyn Fixture) {
    let store = fixture.store();
    let cells = vec![
        cell(1, "b", Some("1b")),
        cell(0, "a", Some("0a")),
        cell(1, "a", Some("1a")),
        cell(11, "a", Some("11a")),
        cell(0, "odd *\n\"key\"", Some("")),
    ];
    store
        .apply(
            OWNER,
            HotBatch {
                cells,
                ..HotBatch::default()
            },
        )
        .await
        .expect("apply");
    let cells = vec![
        cell(1, "a", None),
        cell(0, "never", None),
        cell(1, "b", Some("new")),
    ];
    store
        .apply(
            OWNER,
            HotBatch {
                cells,
                ..HotBatch::default()
            },
        )
        .await
        .expect("apply");
    assert_eq!(
        sorted_cells(&*store, 1).await,
        [("b".to_owned(), Bytes::from("new"))]
    );
    let expected = [
        ("a".to_owned(), Bytes::from("0a")),
        ("odd *\n\"key\"".to_owned(), Bytes::new()),
    ];
    assert_eq!(sorted_cells(&*store, 0).await, expected);
    assert_eq!(sorted_cells(&*store, 11).await.len(), 1);
    assert!(sorted_cells(&*store, 2).await.is_empty());
    // More cells than one server command takes, written and deleted.
    let many = |value: Option<&str>| HotBatch {
        cells: (0..5001)
            .map(|number| cell(2, &number.to_string(), value))
            .collect(),
        ..HotBatch::default()
    };
    store.apply(OWNER, many(Some("x"))).await.expect("apply");
    assert_eq!(sorted_cells(&*store, 2).await.len(), 5001);
    store.apply(OWNER, many(None)).await.expect("apply");
    assert!(sorted_cells(&*store, 2).await.is_empty());
}

/// A new store on the same data resumes where the old one was.
pub async fn cells_and_positions_survive_a_reopen(fixture: &dyn Fixture) {
    let batch = HotBatch {
        updates: vec![
            set(Kind::Vehicle, "a", "{\"v\":1}"),
            set(Kind::Weather, "", "{}"),
        ],
        cells: vec![cell(0, "c", Some("1")), cell(1, "d", Some("2"))],
        advances: vec![advance(0, 0, 4), advance(1, 0, 5)],
    };
    fixture.store().apply(OWNER, batch).await.expect("apply");
    let store = fixture.reopen().await;
    assert_eq!(
        value(&*store, Kind::Vehicle, "a").await.expect("a"),
        "{\"v\":1}"
    );
    assert_eq!(
        value(&*store, Kind::Weather, "").await.expect("weather"),
        "{}"
    );
    assert_eq!(
        sorted_cells(&*store, 0).await,
        [("c".to_owned(), Bytes::from("1"))]
    );
    assert_eq!(
        sorted_cells(&*store, 1).await,
        [("d".to_owned(), Bytes::from("2"))]
    );
    let batch = HotBatch {
        advances: vec![advance(0, 0, 9)],
        ..HotBatch::default()
    };
    let error = store.apply(OWNER, batch).await.expect_err("a conflict");
    assert!(
        matches!(error, Error::Conflict { stored: 4, .. }),
        "{error}"
    );
}

/// After a reset the layer starts over; readers keep what they saw.
pub async fn reset_forgets_positions_and_cells_but_no_values(fixture: &dyn Fixture) {
    let store = fixture.store();
    let batch = HotBatch {
        updates: vec![set(Kind::Vehicle, "a", "1")],
        cells: vec![cell(0, "c", Some("1")), cell(7, "orphan", Some("1"))],
        advances: vec![advance(0, 0, 4)],
    };
    store.apply(OWNER, batch).await.expect("apply");
    store.reset(OWNER).await.expect("reset");
    assert!(store.positions(OWNER).await.expect("positions").is_empty());
    assert!(sorted_cells(&*store, 0).await.is_empty());
    assert!(sorted_cells(&*store, 7).await.is_empty());
    assert_eq!(value(&*store, Kind::Vehicle, "a").await.expect("a"), "1");
    let batch = HotBatch {
        advances: vec![advance(0, 0, 1)],
        ..HotBatch::default()
    };
    store.apply(OWNER, batch).await.expect("apply");
}

/// From `watch` on, each batch is told once, in order, values and deletes.
pub async fn a_watcher_sees_every_batch_in_order(fixture: &dyn Fixture) {
    let store = fixture.store();
    store
        .apply(OWNER, updates(vec![set(Kind::Vehicle, "before", "1")]))
        .await
        .expect("apply");
    let mut watches = [
        store.watch().await.expect("watch"),
        store.watch().await.expect("watch"),
    ];
    for number in 0..200 {
        let batch = HotBatch {
            updates: vec![
                set(Kind::Vehicle, "a", number.to_string()),
                set(Kind::CitySummary, "", number.to_string()),
                delete(Kind::Incident, "i"),
            ],
            cells: vec![cell(0, "private", Some("1"))],
            advances: vec![advance(0, number, number + 1)],
        };
        store.apply(OWNER, batch).await.expect("apply");
    }
    for watch in &mut watches {
        for number in 0..200 {
            let WatchEvent::Changed(notice) = next(watch).await else {
                panic!("a gap")
            };
            assert_eq!(notice.advances, [advance(0, number, number + 1)]);
            assert_eq!(notice.updates.len(), 3);
            assert!(
                notice
                    .updates
                    .contains(&set(Kind::Vehicle, "a", number.to_string()))
            );
            assert!(
                notice
                    .updates
                    .contains(&set(Kind::CitySummary, "", number.to_string()))
            );
            assert!(notice.updates.contains(&delete(Kind::Incident, "i")));
        }
    }
}

/// What was refused did not happen.
pub async fn a_watcher_sees_no_refused_batch(fixture: &dyn Fixture) {
    let store = fixture.store();
    let mut watch = store.watch().await.expect("watch");
    let batch = |value: &'static str, from, to| HotBatch {
        updates: vec![set(Kind::Vehicle, "a", value)],
        advances: vec![advance(0, from, to)],
        ..HotBatch::default()
    };
    store.apply(OWNER, batch("1", 0, 1)).await.expect("apply");
    store
        .apply(OWNER, batch("refused", 0, 1))
        .await
        .expect_err("a conflict");
    store.apply(OWNER, batch("2", 1, 2)).await.expect("apply");
    for expected in ["1", "2"] {
        let WatchEvent::Changed(notice) = next(&mut watch).await else {
            panic!("a gap")
        };
        assert_eq!(notice.updates, [set(Kind::Vehicle, "a", expected)]);
    }
}

/// Positions that do not follow on each other are a gap; owners do not mix.
pub async fn a_watcher_learns_that_positions_jumped(fixture: &dyn Fixture) {
    let store = fixture.store();
    let mut watch = store.watch().await.expect("watch");
    let moved = |from, to| HotBatch {
        advances: vec![advance(0, from, to)],
        ..HotBatch::default()
    };
    store.apply(OWNER, moved(0, 5)).await.expect("apply");
    store.apply("other", moved(90, 91)).await.expect("apply");
    store.apply(OWNER, moved(5, 6)).await.expect("apply");
    for _ in 0..3 {
        assert!(matches!(next(&mut watch).await, WatchEvent::Changed(_)));
    }
    store.reset(OWNER).await.expect("reset");
    store.apply(OWNER, moved(0, 1)).await.expect("apply");
    assert!(matches!(next(&mut watch).await, WatchEvent::Gap));
    let WatchEvent::Changed(notice) = next(&mut watch).await else {
        panic!("two gaps")
    };
    assert_eq!(notice.advances, [advance(0, 0, 1)]);
}

/// A watcher that does not read is told so, and is well afterwards.
pub async fn a_slow_watcher_learns_of_a_gap(fixture: &dyn Fixture) {
    let store = fixture.store();
    let mut watch = store.watch().await.expect("watch");
    for number in 0..3000 {
        let batch = updates(vec![set(Kind::Vehicle, "a", number.to_string())]);
        store.apply(OWNER, batch).await.expect("apply");
    }
    let mut gaps = 0;
    let mut told = 0;
    loop {
        match next(&mut watch).await {
            WatchEvent::Gap => gaps += 1,
            WatchEvent::Changed(notice) => {
                told += 1;
                if notice.updates == [set(Kind::Vehicle, "a", "2999")] {
                    break;
                }
            }
        }
    }
    assert!(gaps >= 1, "no gap");
    assert!(told < 3000, "kept everything");
    store
        .apply(OWNER, updates(vec![set(Kind::Vehicle, "a", "last")]))
        .await
        .expect("apply");
    let WatchEvent::Changed(notice) = next(&mut watch).await else {
        panic!("another gap")
    };
    assert_eq!(notice.updates, [set(Kind::Vehicle, "a", "last")]);
}

/// Ten thousand values at once.
pub async fn large_batches_are_whole(fixture: &dyn Fixture) {
    let store = fixture.store();
    let mut watch = store.watch().await.expect("watch");
    let large = |value: &str| HotBatch {
        updates: (0..10_000)
            .map(|number| {
                set(
                    Kind::Vehicle,
                    &format!("car-{number:05}"),
                    format!("{{\"value\":\"{value}\",\"number\":{number}}}"),
                )
            })
            .collect(),
        cells: (0..10_000)
            .map(|number| cell(0, &format!("{number}"), Some(value)))
            .collect(),
        advances: vec![advance(0, 0, 10_000)],
    };
    store.apply(OWNER, large("first")).await.expect("apply");
    store
        .apply(OWNER, large("refused"))
        .await
        .expect_err("a conflict");
    let entries = sorted(&*store, Kind::Vehicle).await;
    assert_eq!(entries.len(), 10_000);
    for (number, entry) in entries.iter().enumerate() {
        assert_eq!(entry.id, format!("car-{number:05}"));
        assert_eq!(
            entry.value,
            format!("{{\"value\":\"first\",\"number\":{number}}}")
        );
    }
    assert_eq!(sorted_cells(&*store, 0).await.len(), 10_000);
    let WatchEvent::Changed(notice) = next(&mut watch).await else {
        panic!("a gap")
    };
    assert_eq!(notice.updates.len(), 10_000);
}

/// A reader that sees a position sees everything that it stands for.
pub async fn a_reader_never_sees_a_position_before_its_value(fixture: &dyn Fixture) {
    const BATCHES: i64 = 300;
    let store = fixture.store();
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 0..BATCHES {
                let batch = HotBatch {
                    updates: (0..50)
                        .map(|id| set(Kind::Vehicle, &id.to_string(), (number + 1).to_string()))
                        .collect(),
                    cells: vec![cell(0, "c", Some(&(number + 1).to_string()))],
                    advances: vec![advance(0, number, number + 1)],
                };
                store.apply(OWNER, batch).await.expect("apply");
            }
        }
    });
    let number = |bytes: &Bytes| -> i64 {
        std::str::from_utf8(bytes)
            .expect("text")
            .parse()
            .expect("a number")
    };
    let mut position = 0;
    let mut reads = 0;
    while position < BATCHES {
        let positions = store.positions(OWNER).await.expect("positions");
        position = positions.get(&partition(0)).copied().unwrap_or(0);
        // The last written value first: it must not be older than the position.
        for id in ["49", "0"] {
            let seen = value(&*store, Kind::Vehicle, id)
                .await
                .map_or(0, |value| number(&value));
            assert!(seen >= position, "position {position} but value {seen}");
        }
        let cells = sorted_cells(&*store, 0).await;
        let seen = cells.first().map_or(0, |(_, value)| number(value));
        assert!(seen >= position, "position {position} but cell {seen}");
        reads += 1;
    }
    assert!(reads > 1);
    writer.await.expect("writer");
}

/// Several partitions are applied at once without disturbing each other.
pub async fn concurrent_partitions_all_arrive(fixture: &dyn Fixture) {
    let store = fixture.store();
    let mut watch = store.watch().await.expect("watch");
    let writers: Vec<_> = (0..8)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                for step in 0..50 {
                    let id = format!("{number}-{step}");
                    let batch = HotBatch {
                        updates: vec![set(Kind::Vehicle, &id, "1")],
                        cells: vec![cell(number, "c", Some(&step.to_string()))],
                        advances: vec![advance(number, step, step + 1)],
                    };
                    store.apply(OWNER, batch).await.expect("apply");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("writer");
    }
    assert_eq!(store.scan(Kind::Vehicle).await.expect("scan").len(), 400);
    let positions = store.positions(OWNER).await.expect("positions");
    for number in 0..8 {
        assert_eq!(positions[&partition(number)], 50);
        assert_eq!(sorted_cells(&*store, number).await[0].1, "49");
    }
    for _ in 0..400 {
        assert!(matches!(next(&mut watch).await, WatchEvent::Changed(_)));
    }
}
