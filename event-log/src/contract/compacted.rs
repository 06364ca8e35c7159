//! Promises about compacted topics, and about a registry of one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use events::{Topic, TopicPartition};
use tokio_util::sync::CancellationToken;

use super::{DEADLINE, new_compacted_topic, read};
use crate::registry::{Edit, Registry};
use crate::{Error, EventLog, NewRecord};

fn keyed(key: &str, value: &str) -> NewRecord {
    NewRecord {
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ..NewRecord::default()
    }
}

pub(super) async fn records_without_a_key_are_refused(log: &dyn EventLog) {
    let topic = new_compacted_topic(log, "keyless", 1).await;
    let keyless = NewRecord {
        value: Bytes::from_static(b"x"),
        ..NewRecord::default()
    };
    let refused = log.append(&topic, vec![keyless]).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "got {refused:?}");
    log.append(&topic, vec![keyed("k", "x")])
        .await
        .expect("one with a key is taken");
}

pub(super) async fn the_newest_value_of_each_key_is_read(log: &dyn EventLog) {
    let topic = new_compacted_topic(log, "newest", 1).await;
    let records = (0..30).map(|number| keyed(&format!("k{}", number % 3), &number.to_string()));
    log.append(&topic, records.collect()).await.expect("works");
    log.append(&topic, vec![keyed("k1", "")])
        .await
        .expect("works");
    let start = log.bounds(&topic).await.expect("bounds")[0].start;
    let mut reader = log
        .read_from(&[(TopicPartition::new(topic, 0), start)])
        .await
        .expect("reading works");
    let mut newest = BTreeMap::new();
    let started = Instant::now();
    while newest.get("k1") != Some(&String::new()) {
        assert!(started.elapsed() < DEADLINE, "the tombstone did not come");
        for record in read(&mut *reader, 1)
            .await
            .records
            .remove(&0)
            .unwrap_or_default()
        {
            let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
            newest.insert(text(&record.key.unwrap_or_default()), text(&record.value));
        }
    }
    assert_eq!(newest["k0"], "27");
    assert_eq!(newest["k2"], "29");
}

/// A running registry of texts; stops when the guard goes.
fn registry(
    log: &Arc<dyn EventLog>,
    topic: &Topic,
) -> (Arc<Registry<String>>, tokio_util::sync::DropGuard) {
    let decode = |_: &str, bytes: &[u8]| {
        String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string())
    };
    let registry = Arc::new(Registry::new(log.clone(), topic.clone(), decode));
    let stop = CancellationToken::new();
    tokio::spawn(registry.clone().run(stop.clone()));
    (registry, stop.drop_guard())
}

fn texts(registry: &Registry<String>) -> Vec<(String, String)> {
    let entries = registry.entries();
    let text = |(key, entry): &(Arc<str>, crate::registry::Entry<String>)| {
        (key.to_string(), entry.value.to_string())
    };
    entries.iter().map(text).collect()
}

async fn loaded(registry: &Registry<String>) {
    tokio::time::timeout(DEADLINE, registry.loaded())
        .await
        .expect("it loads in time");
}

pub(super) async fn a_registry_shows_what_was_written(log: &Arc<dyn EventLog>) {
    let topic = new_compacted_topic(&**log, "written", 2).await;
    let (registry, _stop) = registry(log, &topic);
    loaded(&registry).await;
    for round in 0..5 {
        let edits = (0..4).map(|n| Edit::put(format!("k{n}"), format!("{round}")));
        registry.write(edits.collect()).await.expect("written");
        // At once, without waiting: what was written is there.
        assert_eq!(
            registry.get("k3").map(|entry| entry.value.to_string()),
            Some(round.to_string())
        );
    }
    registry
        .write(vec![Edit::remove("k2")])
        .await
        .expect("removed");
    assert!(registry.get("k2").is_none());
    assert_eq!(registry.len(), 3);
}

pub(super) async fn a_registry_follows_what_others_write(log: &Arc<dyn EventLog>) {
    let topic = new_compacted_topic(&**log, "follows", 1).await;
    let (reading, _stop) = registry(log, &topic);
    let (writing, _stop_writing) = registry(log, &topic);
    loaded(&reading).await;
    let before = reading.version();
    writing
        .write(vec![Edit::put("a", "1"), Edit::put("b", "2")])
        .await
        .expect("written");
    writing
        .write(vec![Edit::remove("a")])
        .await
        .expect("written");
    let mut changed = reading.subscribe();
    let started = Instant::now();
    while texts(&reading) != [("b".to_owned(), "2".to_owned())] {
        assert!(started.elapsed() < DEADLINE, "the change did not come");
        let _ = tokio::time::timeout(super::WAIT, changed.changed()).await;
    }
    let changes = reading.changes_since(before);
    assert!(!changes.is_reset);
    let mut keys: Vec<_> = changes
        .changed
        .iter()
        .map(|(key, entry)| (key.to_string(), entry.is_some()))
        .collect();
    keys.sort();
    assert_eq!(keys, [("a".to_owned(), false), ("b".to_owned(), true)]);
    assert!(reading.changes_since(changes.version).changed.is_empty());
}

pub(super) async fn a_registry_that_starts_later_holds_the_same(log: &Arc<dyn EventLog>) {
    let topic = new_compacted_topic(&**log, "later", 3).await;
    let (first, _stop) = registry(log, &topic);
    for number in 0..200 {
        let key = format!("k{}", number % 7);
        let edit = match number % 11 {
            0 => Edit::remove(key),
            _ => Edit::put(key, number.to_string()),
        };
        // One key's edits keep their order in one call; so do these, one by one.
        log.append(&topic, vec![edit.into_record()])
            .await
            .expect("works");
    }
    first
        .write(vec![Edit::put("last", "x")])
        .await
        .expect("written");
    let (second, _stop_second) = registry(log, &topic);
    loaded(&second).await;
    let started = Instant::now();
    while texts(&first) != texts(&second) {
        assert!(
            started.elapsed() < DEADLINE,
            "{:?} is not {:?}",
            texts(&first),
            texts(&second)
        );
        tokio::task::yield_now().await;
    }
    assert_eq!(
        second.get("last").map(|entry| entry.value.to_string()),
        Some("x".to_owned())
    );
}
