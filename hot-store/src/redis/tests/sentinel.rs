use std::sync::Weak;

use super::shared::{Shared, Turn, turn};
use super::*;
use crate::testing::RedisWithSentinel;

static SERVERS: Mutex<Weak<Shared<RedisWithSentinel>>> = Mutex::new(Weak::new());

/// A turn with the servers, emptied.
struct Empty {
    turn: Turn<RedisWithSentinel>,
    store: Arc<RedisStore>,
}

impl Empty {
    async fn new() -> Self {
        let turn = turn(&SERVERS, RedisWithSentinel::start).await;
        let store = RedisStore::connect(turn.shared.servers.config()).expect("connect");
        raw(&store, redis::cmd("FLUSHDB")).await;
        Self { turn, store }
    }
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

/// The primary is killed under load: the next one is written, from where it stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_followed_by_the_next() {
    let mut servers = tokio::task::block_in_place(RedisWithSentinel::start);
    let store = RedisStore::connect(servers.config()).expect("connect");
    let mut watch = store.watch().await.expect("watch");
    let mut number = 0;
    while number < 200 {
        store
            .apply("speed", &batch(&number.to_string(), number, number + 1))
            .await
            .expect("apply");
        number += 1;
    }
    servers.primary().kill();
    let error = store
        .apply("speed", &batch("200", 200, 201))
        .await
        .expect_err("down");
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("Sentinel"), "{error}");
    // As a speed layer does: where the next primary does not stand where the last
    // one did, its position and not our own says what to fold again.
    let stored = until_ok(async || store.positions("speed").await).await;
    let mut number = stored[&TopicPartition::new("t", 0)];
    assert!((1..=200).contains(&number), "{number}");
    if number < 200 {
        let lost = store.apply("speed", &batch("200", 200, 201)).await;
        assert!(matches!(lost, Err(Error::Conflict { stored, .. }) if stored == number));
    }
    while number < 300 {
        until_ok(async || {
            store
                .apply("speed", &batch(&number.to_string(), number, number + 1))
                .await
        })
        .await;
        number += 1;
    }
    let last = store.get(Kind::Vehicle, "a").await.expect("get");
    assert_eq!(last.expect("a value").value, "299");
    let on_replica: String = servers
        .replica()
        .ask(&["GET", "vehicle:location:a"])
        .expect("the new primary");
    assert_eq!(on_replica, "299");
    // The watcher was told to read again, and sees what follows.
    let seen = async {
        let mut gap = false;
        loop {
            match watch.next().await {
                WatchEvent::Gap => gap = true,
                WatchEvent::Changed(notice) if notice.advances[0].to == 400 => return gap,
                WatchEvent::Changed(_) => {
                    // Keeps something to tell until the watch is there again.
                }
            }
        }
    };
    let writing = async {
        // Until the watch has found the new primary, nobody hears of this.
        while number < 400 {
            store
                .apply("speed", &batch("x", number, number + 1))
                .await
                .expect("apply");
            number += 1;
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    };
    let (gap, ()) = tokio::join!(
        async {
            tokio::time::timeout(LIMIT, seen)
                .await
                .expect("told in time")
        },
        writing
    );
    assert!(gap, "the watcher was not told of the gap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_no_sentinel_knows_is_said() {
    let turn = turn(&SERVERS, RedisWithSentinel::start).await;
    let mut config = turn.shared.servers.config();
    if let Layout::Sentinel { primary, .. } = &mut config.layout {
        *primary = "town".into();
    }
    let store = RedisStore::connect(config).expect("connect");
    let error = store.ping().await.expect_err("unknown");
    assert!(error.is_retryable());
    assert!(
        error.to_string().contains("knows no primary named town"),
        "{error}"
    );
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let refused = |primary: &str, nodes: &[&str]| {
        let config = RedisConfig {
            layout: Layout::Sentinel {
                primary: primary.into(),
                nodes: nodes.iter().map(ToString::to_string).collect(),
                password: Some("s3cr3t-of-theirs".into()),
            },
            ..RedisConfig::new("redis://h")
        };
        assert!(!format!("{config:?}").contains("s3cr3t"));
        RedisStore::connect(config)
            .err()
            .expect("refused")
            .to_string()
    };
    assert!(refused("city", &[]).contains("redis.sentinel"));
    assert!(refused("", &["h:1"]).contains("redis.sentinel"));
    assert!(refused("city", &["h"]).contains("host:port"));
}
