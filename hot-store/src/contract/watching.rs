//! What watchers are told.

use super::*;

/// From `watch` on, each batch is told once, in order, values and deletes.
pub async fn a_watcher_sees_every_batch_in_order(fixture: &dyn Fixture) {
    let store = fixture.store();
    store
        .apply(OWNER, &updates(vec![set(Kind::Vehicle, "before", "1")]))
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
        store.apply(OWNER, &batch).await.expect("apply");
    }
    for watch in &mut watches {
        let mut is_first = true;
        for number in 0..200 {
            let notice = loop {
                let WatchEvent::Changed(notice) = next(watch).await else {
                    panic!("a gap")
                };
                // In a cluster, word of what was before may still be on its way.
                let is_from_before = notice.advances.is_empty();
                if !(std::mem::take(&mut is_first) && is_from_before) {
                    break notice;
                }
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
    store.apply(OWNER, &batch("1", 0, 1)).await.expect("apply");
    store
        .apply(OWNER, &batch("refused", 0, 1))
        .await
        .expect_err("a conflict");
    store.apply(OWNER, &batch("2", 1, 2)).await.expect("apply");
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
    store.apply(OWNER, &moved(0, 5)).await.expect("apply");
    store.apply("other", &moved(90, 91)).await.expect("apply");
    store.apply(OWNER, &moved(5, 6)).await.expect("apply");
    for _ in 0..3 {
        assert!(matches!(next(&mut watch).await, WatchEvent::Changed(_)));
    }
    store.reset(OWNER).await.expect("reset");
    store.apply(OWNER, &moved(0, 1)).await.expect("apply");
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
        store.apply(OWNER, &batch).await.expect("apply");
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
        .apply(OWNER, &updates(vec![set(Kind::Vehicle, "a", "last")]))
        .await
        .expect("apply");
    let WatchEvent::Changed(notice) = next(&mut watch).await else {
        panic!("another gap")
    };
    assert_eq!(notice.updates, [set(Kind::Vehicle, "a", "last")]);
}

/// Windows are written and read like anything, and watchers are spared them.
pub async fn windows_are_not_told(fixture: &dyn Fixture) {
    let store = fixture.store();
    let mut watch = store.watch().await.expect("watch");
    let batch = HotBatch {
        updates: vec![
            set(Kind::Window, "city:speed:0", "1"),
            set(Kind::Alert, "a", "1"),
            set(Kind::Lag, "gps_data/0", "1"),
            delete(Kind::Window, "city:speed:60"),
        ],
        advances: vec![advance(0, 0, 1)],
        ..HotBatch::default()
    };
    store.apply(OWNER, &batch).await.expect("apply");
    let WatchEvent::Changed(notice) = next(&mut watch).await else {
        panic!("a gap")
    };
    assert_eq!(notice.advances, [advance(0, 0, 1)]);
    assert_eq!(
        notice.updates,
        [
            set(Kind::Alert, "a", "1"),
            set(Kind::Lag, "gps_data/0", "1")
        ]
    );
    assert_eq!(sorted(&*store, Kind::Window).await.len(), 1);
    let gone = vec![delete(Kind::Window, "city:speed:0")];
    store.apply(OWNER, &updates(gone)).await.expect("apply");
    assert_eq!(value(&*store, Kind::Window, "city:speed:0").await, None);
}
