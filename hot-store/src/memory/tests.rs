use std::sync::atomic::{AtomicI64, Ordering};

use events::Advance;
use proptest::prelude::*;

use super::*;
use crate::contract::Fixture;
use crate::{Cell, Update, contract_tests};

/// A city in memory only: a reopened store is the same one.
struct Volatile(Arc<MemoryStore>);

#[async_trait]
impl Fixture for Volatile {
    fn store(&self) -> Arc<dyn HotStore> {
        self.0.clone()
    }

    async fn reopen(&self) -> Arc<dyn HotStore> {
        self.0.clone()
    }
}

/// A city with a snapshot file: a reopened store reads it.
struct Kept {
    folder: tempfile::TempDir,
    store: Arc<MemoryStore>,
}

impl Kept {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let store = MemoryStore::open(folder.path().join("sub/hot.snapshot")).expect("open");
        Self { folder, store }
    }
}

#[async_trait]
impl Fixture for Kept {
    fn store(&self) -> Arc<dyn HotStore> {
        self.store.clone()
    }

    async fn reopen(&self) -> Arc<dyn HotStore> {
        self.store.close().await.expect("close");
        MemoryStore::open(self.folder.path().join("sub/hot.snapshot")).expect("open")
    }
}

mod volatile {
    use super::*;
    contract_tests!(Volatile(MemoryStore::new()));
}

mod kept {
    use super::*;
    contract_tests!(Kept::new());
}

fn batch(value: &'static str, from: Offset, to: Offset) -> HotBatch {
    let partition = TopicPartition::new("gps_data", 0);
    HotBatch {
        updates: vec![Update::new(
            Kind::Vehicle,
            "a",
            Some(value.as_bytes().into()),
        )],
        cells: vec![Cell {
            partition: partition.clone(),
            key: "c".into(),
            value: Some(value.as_bytes().into()),
        }],
        advances: vec![Advance {
            partition,
            from,
            to,
        }],
    }
}

fn fake_clock() -> (Arc<AtomicI64>, Clock) {
    let now_us = Arc::new(AtomicI64::new(1_700_000_000_000_000));
    let read = now_us.clone();
    (now_us, Box::new(move || read.load(Ordering::SeqCst)))
}

#[tokio::test]
async fn values_end_with_their_time_to_live_and_leave_memory() {
    let (now_us, clock) = fake_clock();
    let store = MemoryStore::with_clock(clock);
    store
        .apply("speed", &batch("1", 0, 1))
        .await
        .expect("apply");
    let time_to_live_us = Kind::Vehicle.time_to_live().as_micros() as i64;
    now_us.fetch_add(time_to_live_us - 1, Ordering::SeqCst);
    let left = store
        .get(Kind::Vehicle, "a")
        .await
        .expect("get")
        .expect("value")
        .expires_in;
    assert_eq!(left, Duration::from_micros(1));
    now_us.fetch_add(1, Ordering::SeqCst);
    assert_eq!(store.get(Kind::Vehicle, "a").await.expect("get"), None);
    assert!(store.scan(Kind::Vehicle).await.expect("scan").is_empty());
    assert_eq!(store.state.read().held(), 1);
    let other = HotBatch {
        updates: vec![Update::new(Kind::Road, "r", Some("1".into()))],
        ..HotBatch::default()
    };
    store.apply("speed", &other).await.expect("apply");
    assert_eq!(store.state.read().held(), 1, "only the road is left");
}

#[tokio::test]
async fn what_expired_while_the_process_was_down_is_not_read() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("hot.snapshot");
    let (now_us, clock) = fake_clock();
    let store = MemoryStore::open_with_clock(&path, clock).expect("open");
    store
        .apply("speed", &batch("1", 0, 1))
        .await
        .expect("apply");
    store.close().await.expect("close");
    let (later_us, clock) = fake_clock();
    later_us.store(
        now_us.load(Ordering::SeqCst) + 601_000_000,
        Ordering::SeqCst,
    );
    let store = MemoryStore::open_with_clock(&path, clock).expect("open");
    assert_eq!(store.get(Kind::Vehicle, "a").await.expect("get"), None);
    assert_eq!(store.positions("speed").await.expect("positions").len(), 1);
}

#[tokio::test]
async fn a_damaged_snapshot_is_an_empty_store() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("hot.snapshot");
    let store = MemoryStore::open(&path).expect("open");
    store
        .apply("speed", &batch("{\"v\":1}", 0, 1))
        .await
        .expect("apply");
    store.close().await.expect("close");
    let whole = std::fs::read(&path).expect("read");
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        assert!(snapshot::read(&flipped).is_err(), "byte {at} flipped");
        assert!(snapshot::read(&whole[..at]).is_err(), "cut off at {at}");
    }
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("write");
    let store = MemoryStore::open(&path).expect("open");
    assert!(
        store
            .positions("speed")
            .await
            .expect("positions")
            .is_empty()
    );
    assert!(store.scan(Kind::Vehicle).await.expect("scan").is_empty());
    store
        .apply("speed", &batch("{\"v\":2}", 0, 7))
        .await
        .expect("apply");
    store.close().await.expect("close");
    let store = MemoryStore::open(&path).expect("open");
    assert_eq!(store.positions("speed").await.expect("positions").len(), 1);
}

#[tokio::test]
async fn a_snapshot_is_only_written_after_a_change() {
    let folder = tempfile::tempdir().expect("folder");
    let store = MemoryStore::open(folder.path().join("hot.snapshot")).expect("open");
    assert!(store.save().await.expect("save").is_none());
    store
        .apply("speed", &batch("1", 0, 1))
        .await
        .expect("apply");
    assert!(store.save().await.expect("save").is_some());
    assert!(store.save().await.expect("save").is_none());
    store.reset("speed").await.expect("reset");
    assert!(store.save().await.expect("save").is_some());
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("hot.snapshot");
    let store = MemoryStore::open(&path).expect("open");
    store
        .apply("speed", &batch("1", 0, 1))
        .await
        .expect("apply");
    // A folder in the file's place: renaming onto it fails.
    std::fs::create_dir(&path).expect("folder");
    let error = store.close().await.expect_err("not written");
    assert!(error.is_retryable());
    assert!(error.to_string().contains("hot.snapshot"), "{error}");
}

#[tokio::test]
async fn a_large_buffer_is_not_kept_for_a_small_value() {
    let store = MemoryStore::new();
    let buffer = Bytes::from(vec![b'1'; 1 << 20]);
    let updates = vec![Update::new(Kind::Vehicle, "a", Some(buffer.slice(..10)))];
    store
        .apply(
            "speed",
            &HotBatch {
                updates,
                ..HotBatch::default()
            },
        )
        .await
        .expect("apply");
    assert!(buffer.is_unique(), "the store still holds the buffer");
}

/// One step of a random history, small enough that keys and positions repeat.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) updates: Vec<(usize, u8, Option<u16>)>,
    pub(crate) cells: Vec<(i32, u8, Option<u16>)>,
    pub(crate) advance: Option<(i32, Offset, Offset)>,
    pub(crate) reset: bool,
}

impl Step {
    pub(crate) fn batch(&self) -> HotBatch {
        let text = |value: u16| Bytes::from(value.to_string());
        let mut updates: Vec<Update> = Vec::new();
        for &(kind, id, value) in &self.updates {
            let kind = Kind::ALL[kind];
            let id = kind.normal_id(&format!("id {id}*")).to_owned();
            if !updates
                .iter()
                .any(|update| update.kind == kind && update.id == id)
            {
                updates.push(Update::new(kind, id, value.map(text)));
            }
        }
        let mut cells: Vec<Cell> = Vec::new();
        for &(partition, key, value) in &self.cells {
            let (partition, key) = (TopicPartition::new("t", partition), key.to_string());
            if !cells
                .iter()
                .any(|cell| cell.partition == partition && cell.key == key)
            {
                cells.push(Cell {
                    partition,
                    key,
                    value: value.map(text),
                });
            }
        }
        let advances = self.advance.map(|(partition, from, to)| Advance {
            partition: TopicPartition::new("t", partition),
            from,
            to,
        });
        HotBatch {
            updates,
            cells,
            advances: advances.into_iter().collect(),
        }
    }
}

pub(crate) fn history() -> impl Strategy<Value = Vec<Step>> {
    let value = || proptest::option::weighted(0.7, any::<u16>());
    let updates = proptest::collection::vec((0..Kind::ALL.len(), 0..4_u8, value()), 0..8);
    let cells = proptest::collection::vec((0..2_i32, 0..3_u8, value()), 0..5);
    let advance = proptest::option::of((0..2_i32, 0..3_i64, 0..3_i64));
    let step = (updates, cells, advance, proptest::bool::weighted(0.05)).prop_map(
        |(updates, cells, advance, reset)| Step {
            updates,
            cells,
            advance,
            reset,
        },
    );
    proptest::collection::vec(step, 1..25)
}

/// What any reader can see, in one order.
pub(crate) type Seen = (
    Vec<(Kind, String, Bytes)>,
    Vec<(String, Offset)>,
    Vec<(i32, String, Bytes)>,
);

pub(crate) async fn seen(store: &dyn HotStore) -> Seen {
    let mut values = Vec::new();
    for kind in Kind::ALL {
        let entries = store.scan(kind).await.expect("scan");
        values.extend(
            entries
                .into_iter()
                .map(|entry| (kind, entry.id, entry.value)),
        );
    }
    values.sort();
    let positions = store.positions("speed").await.expect("positions");
    let mut positions: Vec<_> = positions
        .iter()
        .map(|(at, to)| (at.to_string(), *to))
        .collect();
    positions.sort();
    let mut cells = Vec::new();
    for number in 0..2 {
        let found = store
            .cells("speed", &TopicPartition::new("t", number))
            .await
            .expect("cells");
        cells.extend(found.into_iter().map(|(key, value)| (number, key, value)));
    }
    cells.sort();
    (values, positions, cells)
}

/// Applies a step; whether it was accepted.
pub(crate) async fn take(store: &dyn HotStore, step: &Step) -> bool {
    if step.reset {
        store.reset("speed").await.expect("reset");
    }
    match store.apply("speed", &step.batch()).await {
        Ok(()) => true,
        Err(Error::Conflict { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// The same semantics once more, as simply as they can be said.
#[derive(Default)]
struct Model {
    values: HashMap<(Kind, String), Bytes>,
    positions: HashMap<String, Offset>,
    cells: HashMap<(i32, String), Bytes>,
}

impl Model {
    fn take(&mut self, step: &Step) -> bool {
        if step.reset {
            self.positions.clear();
            self.cells.clear();
        }
        let batch = step.batch();
        for advance in &batch.advances {
            let stored = self.positions.get(&advance.partition.to_string());
            if stored.is_some_and(|stored| *stored != advance.from) {
                return false;
            }
        }
        for Update {
            kind, id, value, ..
        } in batch.updates
        {
            match value {
                Some(value) => self.values.insert((kind, id), value),
                None => self.values.remove(&(kind, id)),
            };
        }
        for Cell {
            partition,
            key,
            value,
        } in batch.cells
        {
            match value {
                Some(value) => self.cells.insert((partition.partition, key), value),
                None => self.cells.remove(&(partition.partition, key)),
            };
        }
        for advance in batch
            .advances
            .into_iter()
            .filter(|advance| !advance.is_fence())
        {
            self.positions
                .insert(advance.partition.to_string(), advance.to);
        }
        true
    }

    fn seen(&self) -> Seen {
        let values = self
            .values
            .iter()
            .map(|((kind, id), value)| (*kind, id.clone(), value.clone()));
        let cells = self
            .cells
            .iter()
            .map(|((at, key), value)| (*at, key.clone(), value.clone()));
        let mut seen: Seen = (
            values.collect(),
            self.positions
                .iter()
                .map(|(at, to)| (at.clone(), *to))
                .collect(),
            cells.collect(),
        );
        seen.0.sort();
        seen.1.sort();
        seen.2.sort();
        seen
    }
}

proptest! {
    #[test]
    fn any_history_is_as_in_a_plain_map(history in history()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(async {
            let store = MemoryStore::new();
            let mut model = Model::default();
            for step in &history {
                prop_assert_eq!(take(&*store, step).await, model.take(step));
                prop_assert_eq!(seen(&*store).await, model.seen());
            }
            let image = store.state.read().image();
            let folder = tempfile::tempdir().expect("folder");
            let path = folder.path().join("hot.snapshot");
            snapshot::write(&path, &image).expect("write");
            let back = snapshot::read(&std::fs::read(&path).expect("read")).expect("whole");
            prop_assert_eq!(back.values, image.values);
            prop_assert_eq!(back.owners, image.owners);
            Ok(())
        })?;
    }
}
