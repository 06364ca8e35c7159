//! What others do between a writer's look and its transaction.

use futures::future::join_all;

use super::*;

fn other(server: &Server) -> Arc<RedisStore> {
    RedisStore::connect(RedisConfig::new(server.url.as_str())).expect("connect")
}

/// One value, one cell and a move of one partition.
fn step(partition: i32, value: &str, from: Offset, to: Offset) -> HotBatch {
    let partition = TopicPartition::new("t", partition);
    let value = Some(Bytes::copy_from_slice(value.as_bytes()));
    HotBatch {
        updates: vec![Update::new(
            Kind::Vehicle,
            partition.to_string(),
            value.clone(),
        )],
        cells: vec![Cell {
            partition: partition.clone(),
            key: "c".into(),
            value,
        }],
        advances: vec![Advance {
            partition,
            from,
            to,
        }],
    }
}

/// The same with so many cells that it is sent in several parts.
fn large_step(partition: i32, value: &str, from: Offset, to: Offset) -> HotBatch {
    let mut batch = step(partition, value, from, to);
    let cell = batch.cells[0].clone();
    let value = Some(Bytes::from(value.repeat(1000)));
    batch.cells.extend((0..4000).map(|number| Cell {
        key: format!("{number}"),
        value: value.clone(),
        ..cell.clone()
    }));
    batch
}

async fn vehicle(store: &RedisStore, id: &str) -> Option<Bytes> {
    let entry = store.get(Kind::Vehicle, id).await.expect("get");
    entry.map(|entry| entry.value)
}

#[tokio::test]
async fn a_partition_that_another_process_moved_is_refused_until_read_again() {
    let server = Server::new().await;
    let (ours, theirs) = (&server.store, other(&server));
    ours.apply("speed", &step(0, "1", 0, 1))
        .await
        .expect("ours");
    theirs
        .apply("speed", &step(0, "2", 1, 2))
        .await
        .expect("theirs");
    for batch in [step(0, "3", 1, 3), step(0, "3", 1, 1)] {
        let error = ours.apply("speed", &batch).await.expect_err("refused");
        assert!(
            matches!(error, Error::Conflict { stored: 2, .. }),
            "{error}"
        );
    }
    assert_eq!(vehicle(ours, "t/0").await.as_deref(), Some(&b"2"[..]));
    ours.apply("speed", &step(0, "3", 2, 3))
        .await
        .expect("ours");
    theirs.reset("speed").await.expect("reset");
    ours.apply("speed", &step(0, "9", 8, 9))
        .await
        .expect("anywhere");
}

/// Of two that move one partition from the same place, one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_for_a_partition_has_one_winner() {
    let server = Server::new().await;
    let (ours, theirs) = (&server.store, other(&server));
    for at in 0..200 {
        let batches = ["ours", "theirs"].map(|value| step(0, value, at, at + 1));
        let (a, b) = tokio::join!(
            ours.apply("speed", &batches[0]),
            theirs.apply("speed", &batches[1]),
        );
        let winner = match (a, b) {
            (Ok(()), Err(Error::Conflict { .. })) => "ours",
            (Err(Error::Conflict { .. }), Ok(())) => "theirs",
            other => panic!("{other:?}"),
        };
        assert_eq!(vehicle(ours, "t/0").await.expect("a value"), winner);
        let partition = TopicPartition::new("t", 0);
        let cells = ours.cells("speed", &partition).await.expect("cells");
        assert_eq!(cells, [("c".to_owned(), Bytes::from(winner))]);
        let positions = ours.positions("speed").await.expect("positions");
        assert_eq!(positions[&partition], at + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_of_one_owner_move_side_by_side() {
    const STEPS: Offset = 100;
    let server = Server::new().await;
    let stores = [server.store.clone(), other(&server)];
    let writing = (0..8).map(|partition: i32| {
        let store = stores[partition as usize % 2].clone();
        tokio::spawn(async move {
            for at in 0..STEPS {
                let value = at.to_string();
                let batch = step(partition, &value, at, at + 1);
                store.apply("speed", &batch).await.expect("apply");
            }
        })
    });
    for written in join_all(writing).await {
        written.expect("written");
    }
    let positions = stores[0].positions("speed").await.expect("positions");
    assert_eq!(positions.len(), 8);
    assert!(positions.values().all(|position| *position == STEPS));
}

#[tokio::test]
async fn cells_of_another_type_are_an_error_that_changes_nothing() {
    let server = Server::new().await;
    let hash = "citypulse:{speed}:state:t/0";
    for at in 0..2 {
        // At first before anything was written, then between two batches.
        raw(&server.store, arguments(&["SET", hash, "x"])).await;
        let error = server
            .store
            .apply("speed", &step(0, "no", at, at + 1))
            .await;
        let error = error.expect_err("refused");
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        let kept = (at > 0).then_some("yes").map(Bytes::from);
        assert_eq!(vehicle(&server.store, "t/0").await, kept);
        raw(&server.store, arguments(&["DEL", hash])).await;
        let batch = step(0, "yes", at, at + 1);
        server.store.apply("speed", &batch).await.expect("apply");
    }
}

/// In the middle of it others look, write and move the partition: the batch is refused, and
/// nothing of it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_many_parts_is_there_wholly_or_not() {
    let server = Server::new().await;
    let (ours, theirs) = (&server.store, other(&server));
    for at in 0..10 {
        let batches = ["ours", "them"].map(|value| large_step(0, value, at, at + 1));
        let (a, b) = tokio::join!(ours.apply("speed", &batches[0]), async {
            tokio::task::yield_now().await;
            theirs.apply("speed", &batches[1]).await
        });
        let winner = match (a, b) {
            (Ok(()), Err(Error::Conflict { .. })) => "ours",
            (Err(Error::Conflict { .. }), Ok(())) => "them",
            other => panic!("{other:?}"),
        };
        assert_eq!(vehicle(ours, "t/0").await.expect("a value"), winner);
        let partition = TopicPartition::new("t", 0);
        let cells = ours.cells("speed", &partition).await.expect("cells");
        assert_eq!(cells.len(), 4001);
        assert!(
            cells
                .iter()
                .all(|(_, value)| value.starts_with(winner.as_bytes()))
        );
    }
}

/// Given up at any moment, a batch of many parts leaves nothing of it, or all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_many_parts_that_is_given_up_is_there_or_not() {
    let server = Server::new().await;
    let store = &server.store;
    let partition = TopicPartition::new("t", 0);
    store
        .apply("speed", &large_step(0, "0", 0, 0))
        .await
        .expect("apply");
    for waited in 0..40 {
        let at = store.positions("speed").await.expect("positions");
        let at = at.get(&partition).copied().unwrap_or_default();
        let next = (at + 1) % 10;
        let batch = large_step(0, &next.to_string(), at, at + 1);
        let limit = Duration::from_micros(250 * waited);
        let _ = tokio::time::timeout(limit, store.apply("speed", &batch)).await;
        let cells = store.cells("speed", &partition).await.expect("cells");
        let stored = store.positions("speed").await.expect("positions");
        let first = cells[0].1[0];
        assert_eq!(cells.len(), 4001);
        assert!(cells.iter().all(|(_, value)| value[0] == first));
        if let Some(stored) = stored.get(&partition) {
            assert!([at, at + 1].contains(stored));
        }
    }
}

/// A batch that nobody waits for any more leaves no half of it, and no harm to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_given_up_is_there_or_not() {
    let server = Server::new().await;
    let store = &server.store;
    let mut at = 0;
    for waited in 0..100 {
        let batch = step(0, &(at + 1).to_string(), at, at + 1);
        let limit = Duration::from_micros(10 * waited);
        let given_up = tokio::time::timeout(limit, store.apply("speed", &batch)).await;
        if let Ok(applied) = given_up {
            applied.expect("apply");
        } else {
            // Sent again as it is: in once, whether the first was or not.
            store.apply("speed", &batch).await.expect("apply again");
        }
        at += 1;
        let partition = TopicPartition::new("t", 0);
        let positions = store.positions("speed").await.expect("positions");
        assert_eq!(positions[&partition], at);
        let expected = Bytes::from(at.to_string());
        assert_eq!(vehicle(store, "t/0").await, Some(expected.clone()));
        let cells = store.cells("speed", &partition).await.expect("cells");
        assert_eq!(cells, [("c".to_owned(), expected)]);
    }
}

/// What a user may not do is found out before anything is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_too_few_rights_writes_nothing() {
    let server = RedisServer::start();
    let admin = RedisStore::connect(RedisConfig::new(server.url())).expect("connect");
    let rights = ["read", "write", "transaction", "scripting", "pubsub"];
    let user = |rights: &[&str]| {
        let mut command = arguments(&["ACL", "SETUSER", "app", "reset", "on", ">secret"]);
        command.arg(&["~*", "&*", "+@connection"]);
        for right in rights {
            command.arg(format!("+@{right}"));
        }
        command
    };
    let config = RedisConfig {
        username: Some("app".into()),
        password: Some("secret".into()),
        ..RedisConfig::new(server.url())
    };
    for rights in (0..=rights.len()).map(|count| &rights[..count]) {
        raw(&admin, user(rights)).await;
        let app = RedisStore::connect(config.clone()).expect("connect");
        let refused = app.apply("speed", &step(0, "no", 0, 1)).await;
        let text = refused.expect_err("refused").to_string();
        assert!(text.contains("the user needs"), "{text}");
        let size = raw(&admin, redis::cmd("DBSIZE")).await;
        assert_eq!(size, redis::Value::Int(0), "with {rights:?}");
    }
    let mut all = user(&rights);
    all.arg("+time");
    raw(&admin, all).await;
    let app = RedisStore::connect(config).expect("connect");
    app.apply("speed", &step(0, "yes", 0, 1))
        .await
        .expect("apply");
    assert_eq!(vehicle(&admin, "t/0").await.as_deref(), Some(&b"yes"[..]));
}
