//! Positions, fences and cells: what makes a restart exact.

use super::*;

/// A partition that was never seen starts anywhere.
pub async fn an_absent_position_matches_any(fixture: &dyn Fixture) {
    let store = fixture.store();
    // Larger than a double can count.
    let far = (1_i64 << 53) + 1;
    let batch = HotBatch {
        advances: vec![advance(0, far, far + 2), advance(1, 0, 7)],
        ..HotBatch::default()
    };
    store.apply(OWNER, &batch).await.expect("apply");
    let expected = HashMap::from([(partition(0), far + 2), (partition(1), 7)]);
    assert_eq!(store.positions(OWNER).await.expect("positions"), expected);
    let batch = HotBatch {
        advances: vec![advance(0, far + 2, far + 3)],
        ..HotBatch::default()
    };
    store.apply(OWNER, &batch).await.expect("apply");
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
    store.apply(OWNER, &batch).await.expect("apply");
    for from in [0, 9, 11, 20] {
        let batch = HotBatch {
            updates: vec![set(Kind::Vehicle, "a", "new"), delete(Kind::Vehicle, "b")],
            cells: vec![cell(0, "c", None), cell(1, "d", Some("new"))],
            advances: vec![advance(0, 10, 20), advance(1, from, 30)],
        };
        let error = store.apply(OWNER, &batch).await.expect_err("a conflict");
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
    store.apply(OWNER, &batch).await.expect("apply");
    let error = store.apply(OWNER, &batch).await.expect_err("a conflict");
    assert!(
        matches!(error, Error::Conflict { stored: 5, .. }),
        "{error}"
    );
    // Without positions the same absolute values change nothing.
    let again = HotBatch {
        advances: Vec::new(),
        ..batch
    };
    store.apply(OWNER, &again).await.expect("apply");
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
        store.apply(owner, &batch).await.expect("apply");
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
            &HotBatch {
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
            &HotBatch {
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
    store.apply(OWNER, &many(Some("x"))).await.expect("apply");
    assert_eq!(sorted_cells(&*store, 2).await.len(), 5001);
    store.apply(OWNER, &many(None)).await.expect("apply");
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
    fixture.store().apply(OWNER, &batch).await.expect("apply");
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
    let error = store.apply(OWNER, &batch).await.expect_err("a conflict");
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
    store.apply(OWNER, &batch).await.expect("apply");
    store.reset(OWNER).await.expect("reset");
    assert!(store.positions(OWNER).await.expect("positions").is_empty());
    assert!(sorted_cells(&*store, 0).await.is_empty());
    assert!(sorted_cells(&*store, 7).await.is_empty());
    assert_eq!(value(&*store, Kind::Vehicle, "a").await.expect("a"), "1");
    let batch = HotBatch {
        advances: vec![advance(0, 0, 1)],
        ..HotBatch::default()
    };
    store.apply(OWNER, &batch).await.expect("apply");
}

/// A fence refuses a batch where another moved on, and moves nothing itself.
pub async fn a_fence_holds_and_moves_nothing(fixture: &dyn Fixture) {
    let store = fixture.store();
    let fenced = |value: &'static str, position| HotBatch {
        updates: vec![set(Kind::CitySummary, "", value)],
        cells: vec![cell(0, "c", Some(value))],
        advances: vec![advance(0, position, position)],
    };
    // Where nothing stands yet, nothing stands afterwards.
    store.apply(OWNER, &fenced("1", 7)).await.expect("apply");
    assert!(store.positions(OWNER).await.expect("positions").is_empty());
    let moved = HotBatch {
        advances: vec![advance(0, 0, 10)],
        ..HotBatch::default()
    };
    store.apply(OWNER, &moved).await.expect("apply");
    // As often as one likes.
    for value in ["2", "3"] {
        store.apply(OWNER, &fenced(value, 10)).await.expect("apply");
    }
    for position in [0, 9, 11] {
        let refused = store.apply(OWNER, &fenced("wrong", position)).await;
        let error = refused.expect_err("a conflict");
        assert!(
            matches!(error, Error::Conflict { stored: 10, expected, .. } if expected == position),
            "{error}"
        );
    }
    assert_eq!(
        value(&*store, Kind::CitySummary, "").await.expect("city"),
        "3"
    );
    assert_eq!(
        sorted_cells(&*store, 0).await,
        [("c".to_owned(), Bytes::from("3"))]
    );
    let expected = HashMap::from([(partition(0), 10)]);
    assert_eq!(store.positions(OWNER).await.expect("positions"), expected);
    // A fence on one partition guards an advance of another.
    let both = |at, from, to| HotBatch {
        advances: vec![advance(0, at, at), advance(1, from, to)],
        ..HotBatch::default()
    };
    store.apply(OWNER, &both(10, 0, 5)).await.expect("apply");
    store
        .apply(OWNER, &both(9, 5, 6))
        .await
        .expect_err("a conflict");
    let expected = HashMap::from([(partition(0), 10), (partition(1), 5)]);
    assert_eq!(store.positions(OWNER).await.expect("positions"), expected);
}
