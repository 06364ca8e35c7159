//! Large batches, and many at once.

use super::*;

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
    store.apply(OWNER, &large("first")).await.expect("apply");
    store
        .apply(OWNER, &large("refused"))
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
                store.apply(OWNER, &batch).await.expect("apply");
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
                    store.apply(OWNER, &batch).await.expect("apply");
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
