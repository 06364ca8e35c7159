use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use events::Location;
use proptest::prelude::*;

use super::*;
use crate::ws::filter::BoundingBox;

/// A client that does what it is told: id to value.
#[derive(Default)]
struct Client(BTreeMap<String, Bytes>);

impl Client {
    /// Values are `id=text`.
    fn apply(&mut self, difference: &Difference) {
        if difference.is_snapshot {
            self.0.clear();
        }
        for id in &difference.removed {
            self.0.remove(id.as_ref());
        }
        for value in &difference.data {
            self.0.insert(id_of(value), value.clone());
        }
    }
}

fn id_of(value: &Bytes) -> String {
    let text = std::str::from_utf8(value).unwrap();
    text.split_once('=').unwrap().0.to_owned()
}

fn expected(filter: &Filter, table: &Table) -> BTreeMap<String, Bytes> {
    let passing = table
        .changed_since(0)
        .filter(|(id, item)| filter.passes(id, item));
    passing
        .map(|(id, item)| (id.to_string(), item.value.clone()))
        .collect()
}

fn put(table: &mut Table, id: u8, step: usize, longitude: f64) {
    let value = Bytes::from(format!("{id}={step}"));
    let place = Location {
        latitude: 0.0,
        longitude,
    };
    table.put(
        &id.to_string(),
        value,
        Some(place),
        Instant::now() + Duration::from_secs(600),
    );
}

fn strip(west: f64, east: f64) -> Filter {
    let bbox = BoundingBox {
        west,
        south: -1.0,
        east,
        north: 1.0,
    };
    Filter {
        bbox: Some(bbox),
        ..Filter::default()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put { id: u8, longitude: f64 },
    Remove { id: u8 },
    Send,
    Change(Filter),
    Reconnect,
}

fn filters() -> impl Strategy<Value = Filter> {
    prop_oneof![
        Just(Filter::default()),
        (0.0..10.0, 0.0..10.0).prop_map(|(a, b): (f64, f64)| strip(a.min(b), a.max(b))),
        prop::collection::btree_set(0u8..8, 0..5).prop_map(|ids| Filter {
            ids: Some(ids.iter().map(u8::to_string).collect::<BTreeSet<_>>()),
            ..Filter::default()
        }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u8..8, 0.0..10.0).prop_map(|(id, longitude)| Step::Put { id, longitude }),
        2 => (0u8..8).prop_map(|id| Step::Remove { id }),
        3 => Just(Step::Send),
        1 => filters().prop_map(Step::Change),
        1 => Just(Step::Reconnect),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn client_has_exactly_what_its_filter_asks_for(first in filters(), steps in steps()) {
        let mut table = Table::default();
        let mut client = Client::default();
        let (mut subscription, snapshot) = Subscription::open(first, &table);
        client.apply(&snapshot);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Put { id, longitude } => { put(&mut table, id, number, longitude); continue }
                Step::Remove { id } => { table.remove(&id.to_string()); continue }
                Step::Send => {
                    if let Some(difference) = subscription.advance(&table) {
                        client.apply(&difference);
                    }
                }
                Step::Change(filter) => client.apply(&subscription.change_filter(filter, &table)),
                Step::Reconnect => {
                    let resumed = Subscription::resume(subscription.filter().clone(), subscription.sent(), &table);
                    let (resumed, difference) = resumed.expect("nothing is forgotten yet");
                    subscription = resumed;
                    client.apply(&difference);
                }
            }
            prop_assert_eq!(&client.0, &expected(subscription.filter(), &table));
            prop_assert_eq!(subscription.advance(&table), None);
        }
    }
}

#[test]
fn leaving_the_box_is_told_once() {
    let mut table = Table::default();
    put(&mut table, 1, 0, 5.0);
    let (mut subscription, snapshot) = Subscription::open(strip(4.0, 6.0), &table);
    assert_eq!(snapshot.data.len(), 1);
    put(&mut table, 1, 1, 8.0);
    let difference = subscription.advance(&table).expect("it left");
    assert_eq!(
        (difference.data.len(), difference.removed.as_slice()),
        (0, [Id::from("1")].as_slice())
    );
    put(&mut table, 1, 2, 9.0);
    assert_eq!(subscription.advance(&table), None);
}

#[test]
fn changed_box_sends_only_the_difference() {
    let mut table = Table::default();
    for id in 0..10 {
        put(&mut table, id, 0, f64::from(id));
    }
    let (mut subscription, _) = Subscription::open(strip(2.0, 5.0), &table);
    let difference = subscription.change_filter(strip(4.0, 7.0), &table);
    let came: BTreeSet<String> = difference.data.iter().map(id_of).collect();
    let went: BTreeSet<String> = difference.removed.iter().map(|id| id.to_string()).collect();
    assert_eq!(came, BTreeSet::from(["6".into(), "7".into()]));
    assert_eq!(went, BTreeSet::from(["2".into(), "3".into()]));
    assert!(!difference.is_snapshot);
}

#[test]
fn reader_that_is_too_far_behind_gets_a_snapshot() {
    let mut table = Table::default();
    put(&mut table, 1, 0, 5.0);
    let (mut subscription, _) = Subscription::open(Filter::default(), &table);
    let sent = subscription.sent();
    for number in 0..20_000 {
        put(&mut table, 2, number, 5.0);
        table.remove("2");
    }
    assert!(Subscription::resume(Filter::default(), sent, &table).is_none());
    let difference = subscription.advance(&table).expect("much has changed");
    assert!(difference.is_snapshot);
    assert_eq!(difference.data.len(), 1);
}
