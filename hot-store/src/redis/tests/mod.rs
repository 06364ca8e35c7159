mod cluster;
mod sentinel;
mod shared;
mod transaction;

use std::env;

use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::*;
use crate::contract::Fixture;
use crate::memory::MemoryStore;
use crate::memory::tests::{history, seen, take};
use crate::testing::RedisServer;
use crate::{Cell, Update, WatchEvent, contract_tests};

const LIMIT: Duration = Duration::from_secs(20);

/// A server of one's own, or the database that `CITYPULSE_TEST_REDIS` names,
/// emptied, for one test at a time.
struct Server {
    url: String,
    store: Arc<RedisStore>,
    _child: Option<RedisServer>,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Server {
    async fn new() -> Self {
        static TURN: Mutex<Option<Arc<AsyncMutex<()>>>> = Mutex::new(None);
        let (url, child, turn) = match env::var("CITYPULSE_TEST_REDIS") {
            Ok(url) => {
                let turn = TURN.lock().get_or_insert_default().clone();
                (url, None, Some(turn.lock_owned().await))
            }
            Err(_) => {
                let child = RedisServer::start();
                (child.url(), Some(child), None)
            }
        };
        let store = RedisStore::connect(RedisConfig::new(url.as_str())).expect("connect");
        raw(&store, redis::cmd("FLUSHDB")).await;
        Self {
            url,
            store,
            _child: child,
            _turn: turn,
        }
    }
}

#[async_trait]
impl Fixture for Server {
    fn store(&self) -> Arc<dyn HotStore> {
        self.store.clone()
    }

    async fn reopen(&self) -> Arc<dyn HotStore> {
        RedisStore::connect(RedisConfig::new(self.url.as_str())).expect("connect")
    }
}

contract_tests!(Server::new().await);

/// Any command, past the port.
async fn raw(store: &RedisStore, command: redis::Cmd) -> redis::Value {
    let answer = store.servers.ask("", command).await;
    answer.expect("the server answers")
}

fn arguments(words: &[&str]) -> redis::Cmd {
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    command
}

fn batch(value: &str, from: Offset, to: Offset) -> HotBatch {
    HotBatch {
        updates: vec![Update::new(
            Kind::Vehicle,
            "a",
            Some(Bytes::copy_from_slice(value.as_bytes())),
        )],
        advances: vec![Advance {
            partition: TopicPartition::new("t", 0),
            from,
            to,
        }],
        ..HotBatch::default()
    }
}

/// Repeats `attempt` until it succeeds; every failure must be retryable.
async fn until_ok<T>(mut attempt: impl AsyncFnMut() -> Result<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                assert!(Instant::now() < deadline, "still {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

#[tokio::test]
async fn keys_are_plain_strings_for_any_client() {
    let server = Server::new().await;
    server
        .store
        .apply("speed", &batch("{\"speed\":3.5}", 0, 7))
        .await
        .expect("apply");
    let bulk = |text: &str| redis::Value::BulkString(text.into());
    let value = raw(&server.store, arguments(&["GET", "vehicle:location:a"])).await;
    assert_eq!(value, bulk("{\"speed\":3.5}"));
    let value = raw(
        &server.store,
        arguments(&["HGET", "citypulse:{speed}:positions", "t/0"]),
    )
    .await;
    assert_eq!(value, bulk("7"));
}

#[tokio::test]
async fn expired_values_are_gone() {
    let server = Server::new().await;
    server
        .store
        .apply("speed", &batch("1", 0, 1))
        .await
        .expect("apply");
    raw(
        &server.store,
        arguments(&["PEXPIRE", "vehicle:location:a", "0"]),
    )
    .await;
    assert_eq!(
        server.store.get(Kind::Vehicle, "a").await.expect("get"),
        None
    );
    assert!(
        server
            .store
            .scan(Kind::Vehicle)
            .await
            .expect("scan")
            .is_empty()
    );
}

#[tokio::test]
async fn values_of_other_programs_do_no_harm() {
    let server = Server::new().await;
    for command in [
        &["SET", "vehicle:location:theirs", "{}"][..],
        &["RPUSH", "vehicle:location:list", "1"],
    ] {
        raw(&server.store, arguments(command)).await;
    }
    let mut binary = redis::cmd("SET");
    binary.arg(&b"vehicle:location:\xff"[..]).arg("{}");
    raw(&server.store, binary).await;
    let entries = server.store.scan(Kind::Vehicle).await.expect("scan");
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].id, "theirs");
    assert_eq!(entries[0].expires_in, Kind::Vehicle.time_to_live());
}

#[tokio::test]
async fn keys_of_another_type_are_an_error_that_changes_nothing() {
    let server = Server::new().await;
    raw(
        &server.store,
        arguments(&["SET", "citypulse:{speed}:positions", "x"]),
    )
    .await;
    let error = server
        .store
        .apply("speed", &batch("1", 0, 1))
        .await
        .expect_err("refused");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_eq!(
        server.store.get(Kind::Vehicle, "a").await.expect("get"),
        None
    );
    raw(
        &server.store,
        arguments(&["DEL", "citypulse:{speed}:positions"]),
    )
    .await;
    raw(
        &server.store,
        arguments(&["HSET", "citypulse:{speed}:positions", "t/0", "x"]),
    )
    .await;
    let error = server.store.positions("speed").await.expect_err("damaged");
    assert!(
        error.to_string().contains("citypulse:{speed}:positions"),
        "{error}"
    );
}

#[tokio::test]
async fn a_script_that_the_server_forgot_is_loaded_again() {
    let server = Server::new().await;
    server
        .store
        .apply("speed", &batch("1", 0, 1))
        .await
        .expect("apply");
    raw(&server.store, arguments(&["SCRIPT", "FLUSH"])).await;
    server
        .store
        .apply("speed", &batch("2", 1, 2))
        .await
        .expect("apply");
}

#[tokio::test]
async fn databases_of_one_server_have_channels_of_their_own() {
    let server = RedisServer::start();
    let connect = |number| {
        let url = format!("redis://127.0.0.1:{}/{number}", server.port());
        RedisStore::connect(RedisConfig::new(url)).expect("connect")
    };
    let (first, second) = (connect(0), connect(1));
    let mut watch = first.watch().await.expect("watch");
    second
        .apply("speed", &batch("second", 0, 1))
        .await
        .expect("apply");
    first
        .apply("speed", &batch("first", 5, 6))
        .await
        .expect("apply");
    let WatchEvent::Changed(notice) = watch.next().await else {
        panic!("a gap")
    };
    assert_eq!(notice.advances[0].from, 5);
}

#[test]
fn any_history_is_as_in_memory() {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let server = runtime.block_on(Server::new());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(40));
    let outcome = runner.run(&history(), |history| {
        runtime.block_on(async {
            raw(&server.store, redis::cmd("FLUSHDB")).await;
            let memory = MemoryStore::new();
            for step in &history {
                prop_assert_eq!(take(&*server.store, step).await, take(&*memory, step).await);
                prop_assert_eq!(seen(&*server.store).await, seen(&*memory).await);
            }
            Ok(())
        })
    });
    outcome.expect("redis is as memory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_means_retries_and_a_gap_and_then_goes_on() {
    let mut server = RedisServer::start();
    let store = RedisStore::connect(RedisConfig::new(server.url())).expect("connect");
    let mut watch = store.watch().await.expect("watch");
    for step in 0..20 {
        store
            .apply("speed", &batch(&step.to_string(), step, step + 1))
            .await
            .expect("apply");
    }
    server.kill();
    let error = store
        .apply("speed", &batch("20", 20, 21))
        .await
        .expect_err("down");
    assert!(error.is_retryable(), "{error}");
    let error = store.ping().await.expect_err("down");
    let text = error.to_string();
    assert!(
        text.contains(&format!("127.0.0.1:{}", server.port())),
        "{text}"
    );
    assert!(text.contains("start Redis there"), "{text}");
    assert!(store.watch().await.is_err_and(|error| error.is_retryable()));
    server.restart();
    until_ok(async || store.apply("speed", &batch("20", 20, 21)).await).await;
    let seen_gap = async {
        let mut told = 0;
        while let WatchEvent::Changed(_) = watch.next().await {
            told += 1;
        }
        told
    };
    let told = tokio::time::timeout(LIMIT, seen_gap)
        .await
        .expect("a gap in time");
    assert!(told <= 20, "a batch that the lost server never told");
    // What is applied after the gap was told is told again.
    store
        .apply("speed", &batch("21", 21, 22))
        .await
        .expect("apply");
    let last = async {
        loop {
            if let WatchEvent::Changed(notice) = watch.next().await
                && notice.advances[0].to == 22
            {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, last)
        .await
        .expect("the next batch in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_at_the_start_is_used_when_it_is_up() {
    let mut server = RedisServer::start();
    server.kill();
    let store = RedisStore::connect(RedisConfig::new(server.url())).expect("connect");
    let error = store.positions("speed").await.expect_err("down");
    assert!(error.is_retryable(), "{error}");
    server.restart();
    until_ok(async || store.apply("speed", &batch("1", 0, 1)).await).await;
}

/// A batch of which the server's answer is lost is applied once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_answer_was_lost_may_be_sent_again() {
    let server = RedisServer::start();
    let patient = RedisStore::connect(RedisConfig::new(server.url())).expect("connect");
    let mut config = RedisConfig::new(server.url());
    config.response_timeout = Duration::from_millis(100);
    let store = RedisStore::connect(config).expect("connect");
    store
        .apply("speed", &batch("1", 0, 1))
        .await
        .expect("apply");
    // The server takes commands but holds writers' answers back.
    raw(&patient, arguments(&["CLIENT", "PAUSE", "100000", "WRITE"])).await;
    let error = store
        .apply("speed", &batch("2", 1, 2))
        .await
        .expect_err("no answer");
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("paused"), "{error}");
    raw(&patient, arguments(&["CLIENT", "UNPAUSE"])).await;
    // Whether the first try arrived or not, the second is accepted, then no third.
    until_ok(async || store.apply("speed", &batch("2", 1, 2)).await).await;
    let error = store
        .apply("speed", &batch("2", 1, 2))
        .await
        .expect_err("a conflict");
    assert!(
        matches!(error, Error::Conflict { stored: 2, .. }),
        "{error}"
    );
    // The same seen from inside: in the store, its answer lost.
    patient
        .apply("speed", &batch("3", 2, 3))
        .await
        .expect("apply");
    store.doubts.add("speed", &batch("3", 2, 3).advances);
    let other = batch("3", 2, 4);
    let error = store
        .apply("speed", &other)
        .await
        .expect_err("not the same batch");
    assert!(
        matches!(error, Error::Conflict { stored: 3, .. }),
        "{error}"
    );
    store
        .apply("speed", &batch("3", 2, 3))
        .await
        .expect("the same batch");
    store
        .apply("speed", &batch("3", 2, 3))
        .await
        .expect_err("a conflict");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_refuses_whole_batches_and_says_what_to_do() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let store = RedisStore::connect(RedisConfig::new(server.url())).expect("connect");
    store
        .apply("speed", &batch("1", 0, 1))
        .await
        .expect("apply");
    raw(&store, arguments(&["CONFIG", "SET", "maxmemory", "1"])).await;
    let error = store
        .apply("speed", &batch("2", 1, 2))
        .await
        .expect_err("full");
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("maxmemory"), "{error}");
    assert_eq!(
        &store
            .get(Kind::Vehicle, "a")
            .await
            .expect("get")
            .expect("a")
            .value[..],
        b"1"
    );
    raw(&store, arguments(&["CONFIG", "SET", "maxmemory", "0"])).await;
    store
        .apply("speed", &batch("2", 1, 2))
        .await
        .expect("apply");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_not_written() {
    let server = RedisServer::start_with(&["--replicaof", "127.0.0.1 1"]);
    let store = RedisStore::connect(RedisConfig::new(server.url())).expect("connect");
    let error = store
        .apply("speed", &batch("1", 0, 1))
        .await
        .expect_err("read-only");
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("primary"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_is_used_and_never_shown() {
    const PASSWORD: &str = "s3cr3t-of-mine";
    let mut server = RedisServer::start_with(&["--requirepass", PASSWORD]);
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}/0", server.port());
    let in_url = RedisConfig::new(url);
    let mut beside = RedisConfig::new(server.url());
    beside.password = Some(PASSWORD.into());
    let mut wrong = RedisConfig::new(server.url());
    wrong.password = Some("wr0ng-one".into());
    for config in [&in_url, &beside, &wrong] {
        let shown = format!("{config:?}");
        assert!(
            !shown.contains(PASSWORD) && !shown.contains("wr0ng-one"),
            "{shown}"
        );
    }
    let stores = [in_url, beside].map(|config| RedisStore::connect(config).expect("connect"));
    for store in &stores {
        store.ping().await.expect("ping");
        assert!(!store.address().contains(PASSWORD));
    }
    let mut errors = Vec::new();
    let store = RedisStore::connect(wrong).expect("connect");
    errors.push(store.ping().await.expect_err("wrong password"));
    errors.extend(store.watch().await.err());
    assert!(
        errors[0].to_string().contains("check the configured"),
        "{}",
        errors[0]
    );
    let store = RedisStore::connect(RedisConfig::new(server.url())).expect("connect");
    errors.push(store.ping().await.expect_err("no password"));
    assert!(
        errors[2].to_string().contains("check the configured"),
        "{}",
        errors[2]
    );
    server.kill();
    for store in &stores {
        errors.push(
            store
                .apply("speed", &batch("1", 0, 1))
                .await
                .expect_err("down"),
        );
        errors.extend(store.watch().await.err());
    }
    let bad = format!("redis://:{PASSWORD}@host:notaport/x");
    errors.extend(RedisStore::connect(RedisConfig::new(bad)).err());
    let bad = format!("http://:{PASSWORD}@host/");
    errors.extend(RedisStore::connect(RedisConfig::new(bad)).err());
    assert_eq!(errors.len(), 9);
    for error in errors {
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains(PASSWORD) && !shown.contains("wr0ng-one"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn tls_to_a_server_without_it_is_an_error_not_a_panic() {
    let server = RedisServer::start();
    let url = format!("rediss://127.0.0.1:{}/0", server.port());
    let store = RedisStore::connect(RedisConfig::new(url)).expect("connect");
    let error = store.ping().await.expect_err("no TLS there");
    assert!(error.is_retryable(), "{error}");
    assert!(store.watch().await.is_err_and(|error| error.is_retryable()));
}
