//! Values: written, read, gone.

use super::*;

/// What is written is read, by get and by scan.
pub async fn values_read_back(fixture: &dyn Fixture) {
    let store = fixture.store();
    store.ping().await.expect("ping");
    assert_eq!(store.get(Kind::Vehicle, "a").await.expect("get"), None);
    let batch = vec![
        set(Kind::Vehicle, "a", "{\"v\":1}"),
        set(Kind::Vehicle, "b", "{\"v\":2}"),
    ];
    store.apply(OWNER, &updates(batch)).await.expect("apply");
    store
        .apply(OWNER, &updates(vec![set(Kind::Vehicle, "a", "{\"v\":3}")]))
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
        .apply(OWNER, &HotBatch::default())
        .await
        .expect("apply");
    store
        .apply(OWNER, &updates(vec![set(Kind::Road, "r", "1")]))
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
    store.apply(OWNER, &updates(batch)).await.expect("apply");
    let batch = vec![delete(Kind::Incident, "i"), delete(Kind::Incident, "never")];
    store.apply(OWNER, &updates(batch)).await.expect("apply");
    assert_eq!(value(&*store, Kind::Incident, "i").await, None);
    assert_eq!(sorted(&*store, Kind::Incident).await.len(), 1);
}

/// Ids are found by what they begin with, also where that looks like a pattern.
pub async fn ids_are_found_by_their_beginning(fixture: &dyn Fixture) {
    let store = fixture.store();
    let ids = ["cell:a:60", "cell:a:120", "cell:b:60", "c*ll:a:60", "city"];
    let batch = ids.map(|id| set(Kind::Window, id, "1")).to_vec();
    store.apply(OWNER, &updates(batch)).await.expect("apply");
    let other = set(Kind::Alert, "cell:a:180", "1");
    store
        .apply(OWNER, &updates(vec![other]))
        .await
        .expect("apply");
    let cases = [
        ("cell:a:", &["cell:a:120", "cell:a:60"][..]),
        ("c*", &["c*ll:a:60"]),
        ("city", &["city"]),
        ("x", &[]),
    ];
    for (prefix, expected) in cases {
        let mut found = store.ids(Kind::Window, prefix).await.expect("ids");
        found.sort();
        assert_eq!(found, expected, "{prefix}");
    }
    let all = store.ids(Kind::Window, "").await.expect("ids");
    assert_eq!(all.len(), ids.len());
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
    store.apply(OWNER, &updates(batch)).await.expect("apply");
    store
        .apply(
            OWNER,
            &updates(vec![set(Kind::Trail, "bytes", &b"\xff\x00\xfe"[..])]),
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
        .apply(OWNER, &updates(vec![delete(Kind::Trail, "*")]))
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
            .apply(OWNER, &updates(vec![set(kind, "", "1")]))
            .await
            .expect("apply");
        store
            .apply(OWNER, &updates(vec![set(kind, "other", "2")]))
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
    store.apply(OWNER, &batch).await.expect("apply");
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
    store.apply(OWNER, &updates(batch)).await.expect("apply");
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

/// What is written long after it was said lives no longer for it.
pub async fn an_old_value_ends_sooner(fixture: &dyn Fixture) {
    let store = fixture.store();
    let age = Duration::from_secs(400);
    let old = set(Kind::Vehicle, "a", "1").aged(age);
    store
        .apply(OWNER, &updates(vec![old, set(Kind::Vehicle, "b", "1")]))
        .await
        .expect("apply");
    let left = async |id| {
        let entry = store.get(Kind::Vehicle, id).await.expect("get");
        entry.expect("value").expires_in
    };
    assert!(left("a").await <= Kind::Vehicle.time_to_live() - age);
    assert!(left("b").await > Kind::Vehicle.time_to_live() - age);
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
        .apply(OWNER, &updates(vec![set(Kind::Vehicle, "a", "1")]))
        .await
        .expect("apply");
    let first = left().await;
    let deadline = Instant::now() + LIMIT;
    let mut last = first;
    while last + Duration::from_millis(30) > first {
        assert!(Instant::now() < deadline, "the time to live does not run");
        store
            .apply(OWNER, &updates(vec![set(Kind::Vehicle, "b", "1")]))
            .await
            .expect("apply");
        store.scan(Kind::Vehicle).await.expect("scan");
        tokio::task::yield_now().await;
        last = left().await;
    }
    store
        .apply(OWNER, &updates(vec![set(Kind::Vehicle, "a", "1")]))
        .await
        .expect("apply");
    assert!(left().await > last);
}

/// Many at once come back in the order in which they were asked for.
pub async fn many_are_read_in_order(fixture: &dyn Fixture) {
    let store = fixture.store();
    let id = |number: usize| format!("segment:w{number}:1767600000");
    let batch = (0..2500)
        .filter(|number| number % 2 == 0)
        .map(|number| set(Kind::Window, &id(number), number.to_string()))
        .collect();
    store.apply(OWNER, &updates(batch)).await.expect("apply");
    let mut ids: Vec<_> = (0..2500).rev().map(id).collect();
    ids.push(id(4));
    let entries = store.get_many(Kind::Window, &ids).await.expect("get_many");
    assert_eq!(entries.len(), ids.len());
    for (number, entry) in (0..2500).rev().chain([4]).zip(entries) {
        let found = entry.map(|entry| (entry.id, entry.value));
        let expected = (number % 2 == 0).then(|| (id(number), number.to_string().into()));
        assert_eq!(found, expected);
    }
    let none = store.get_many(Kind::Window, &[]).await.expect("get_many");
    assert_eq!(none, []);
}
