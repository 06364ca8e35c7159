use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};

use super::shared::{Shared, Turn, turn};
use super::*;
use crate::redis::slots::slot_of;
use crate::testing::RedisCluster;

static CLUSTER: Mutex<Weak<Shared<RedisCluster>>> = Mutex::new(Weak::new());

/// A turn with the cluster, emptied.
struct Empty {
    turn: Turn<RedisCluster>,
    store: Arc<RedisStore>,
}

impl Empty {
    async fn new() -> Self {
        let turn = turn(&CLUSTER, RedisCluster::start).await;
        turn.shared.servers.flush();
        let store = RedisStore::connect(turn.shared.servers.config()).expect("connect");
        // Notices of the turn before may still be on their way between the nodes.
        for owner in ["speed", "batch", "other"] {
            pass_notices(&store, owner).await;
        }
        turn.shared.servers.flush();
        Self { turn, store }
    }
}

/// Waits for a notice that this call causes: what the owner's node published
/// before it has arrived by then.
async fn pass_notices(store: &RedisStore, owner: &str) {
    let mut watch = store.watch().await.expect("watch");
    let batch = HotBatch {
        updates: vec![Update::new(Kind::Camera, owner, Some("passed".into()))],
        ..HotBatch::default()
    };
    store.apply(owner, &batch).await.expect("apply");
    let arrived = async {
        loop {
            if let crate::WatchEvent::Changed(notice) = watch.next().await
                && notice.updates == batch.updates
            {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), arrived)
        .await
        .expect("the notice arrives");
}

#[async_trait]
impl Fixture for Empty {
    fn store(&self) -> Arc<dyn HotStore> {
        self.store.clone()
    }

    async fn reopen(&self) -> Arc<dyn HotStore> {
        RedisStore::connect(self.turn.shared.servers.config()).expect("connect")
    }
}

contract_tests!(Empty::new().await);

/// A step of the speed layer: some vehicles, a cell and a position.
fn step(number: i64) -> HotBatch {
    let partition = TopicPartition::new("t", 0);
    let value = Bytes::from(number.to_string());
    HotBatch {
        updates: (0..100)
            .map(|id| Update::new(Kind::Vehicle, format!("car-{id}"), Some(value.clone())))
            .collect(),
        cells: vec![Cell {
            partition: partition.clone(),
            key: "c".into(),
            value: Some(value),
        }],
        advances: vec![Advance {
            partition,
            from: number - 1,
            to: number,
        }],
    }
}

/// Every value, the cell and the position are those of step `number`.
async fn assert_at(store: &RedisStore, number: i64) {
    let partition = TopicPartition::new("t", 0);
    assert_eq!(
        store.positions("speed").await.expect("positions")[&partition],
        number
    );
    let expected = Bytes::from(number.to_string());
    let cells = store.cells("speed", &partition).await.expect("cells");
    assert_eq!(cells, [("c".to_owned(), expected.clone())]);
    let entries = store.scan(Kind::Vehicle).await.expect("scan");
    assert_eq!(entries.len(), 100);
    assert!(entries.iter().all(|entry| entry.value == expected));
}

#[test]
fn any_history_is_as_in_memory() {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let spawned = runtime.spawn(Empty::new());
    let empty = runtime.block_on(spawned).expect("a cluster");
    let mut runner = TestRunner::new(ProptestConfig::with_cases(15));
    let outcome = runner.run(&history(), |history| {
        runtime.block_on(async {
            empty.turn.shared.servers.flush();
            let memory = MemoryStore::new();
            for step in &history {
                prop_assert_eq!(take(&*empty.store, step).await, take(&*memory, step).await);
                prop_assert_eq!(seen(&*empty.store).await, seen(&*memory).await);
            }
            Ok(())
        })
    });
    outcome.expect("the cluster is as memory");
}

/// Values are spread over the nodes, and a plain client finds each on its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_has_its_share() {
    let mut cluster = tokio::task::block_in_place(RedisCluster::start);
    let store = RedisStore::connect(cluster.config()).expect("connect");
    store.apply("speed", &step(1)).await.expect("apply");
    for node in cluster.nodes() {
        let keys: usize = node.ask(&["DBSIZE"]).expect("a size");
        assert!(keys > 10, "{keys}");
    }
    for (key, slot) in [
        ("foo", 12_182),
        ("citypulse:{speed}:positions", slot_of(b"speed")),
    ] {
        let said: u16 = cluster.nodes()[0]
            .ask(&["CLUSTER", "KEYSLOT", key])
            .expect("a slot");
        assert_eq!((said, slot_of(key.as_bytes())), (slot, slot));
    }
    // A store that was told of one server says what is missing.
    let config = RedisConfig::new(cluster.nodes()[0].url());
    let single = RedisStore::connect(config).expect("connect");
    let mut errors = Vec::new();
    for number in 0..100 {
        errors.extend(
            single
                .get(Kind::Vehicle, &format!("car-{number}"))
                .await
                .err(),
        );
    }
    let text = errors.first().expect("an error").to_string();
    assert!(text.contains("redis.cluster = true"), "{text}");
}

/// The owner's slot and vehicles' slots move to other nodes under load.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn slots_that_move_lose_nothing() {
    let cluster = tokio::task::block_in_place(RedisCluster::start);
    let store = RedisStore::connect(cluster.config()).expect("connect");
    let stop = Arc::new(AtomicBool::new(false));
    let writing = async {
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            until_ok(async || store.apply("speed", &step(number)).await).await;
        }
        number
    };
    let moved = tokio::task::spawn_blocking({
        let stop = stop.clone();
        move || {
            let keys: Vec<String> = (0..10)
                .map(|id| format!("vehicle:location:car-{id}"))
                .collect();
            let mut slots: Vec<u16> = keys.iter().map(|key| slot_of(key.as_bytes())).collect();
            slots.push(slot_of(b"speed"));
            for slot in slots {
                let to = (usize::from(slot) * 3 / 16_384 + 1) % 3;
                cluster.move_slot(slot, to, || std::thread::sleep(Duration::from_millis(5)));
            }
            stop.store(true, Ordering::Relaxed);
            cluster
        }
    });
    let (last, cluster) = tokio::join!(writing, moved);
    let cluster = cluster.expect("slots move");
    assert!(last > 1, "{last} steps under way");
    assert_at(&store, last).await;
    // Another client that starts now finds the same.
    let fresh = RedisStore::connect(cluster.config()).expect("connect");
    assert_at(&fresh, last).await;
}

/// A node dies. Its replica takes over, and writing goes on where that stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over_from_a_node_that_dies() {
    // The owner's slot is on node 2, 1 or 0: that node dies.
    let owner = usize::from(slot_of(b"speed")) * 3 / 16_384;
    let mut cluster = tokio::task::block_in_place(|| {
        let mut cluster = RedisCluster::start();
        cluster.add_replica(owner);
        cluster
    });
    let store = RedisStore::connect(cluster.config()).expect("connect");
    for number in 1..=50 {
        store.apply("speed", &step(number)).await.expect("apply");
    }
    let port = cluster.nodes()[owner].port();
    cluster.nodes()[owner].kill();
    let error = store.apply("speed", &step(51)).await.expect_err("down");
    assert!(error.is_retryable(), "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
    let stored = until_ok(async || store.positions("speed").await).await;
    // What the replica did not get in time is refused and folded again.
    let mut number = stored[&TopicPartition::new("t", 0)];
    assert!((1..=50).contains(&number), "{number}");
    while number < 60 {
        number += 1;
        until_ok(async || store.apply("speed", &step(number)).await).await;
    }
    assert_at(&store, 60).await;
    store.ping().await.expect("ping");
}

#[test]
fn a_cluster_has_one_database() {
    let config = RedisConfig {
        layout: Layout::Cluster { nodes: Vec::new() },
        ..RedisConfig::new("redis://127.0.0.1:1/3")
    };
    let error = RedisStore::connect(config).err().expect("refused");
    assert!(error.to_string().contains("database 0 only"), "{error}");
}
