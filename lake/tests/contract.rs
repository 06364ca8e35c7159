//! What the lake promises, on every storage it can lie on.

mod common;

use std::collections::HashMap;
use std::sync::Arc;

use common::{NOON_US, Place, TABLE, advance, append, partition, rows};
use futures::StreamExt;
use lake::{Commit, Error, Lake, Table};
use object_store::ObjectStore;

async fn rows_in(lake: &Lake) -> u64 {
    lake.refresh(TABLE)
        .await
        .expect("a snapshot")
        .rows()
        .expect("row counts")
}

async fn parquet_files(lake: &Lake) -> usize {
    let files = lake.store().list(None).filter(|entry| {
        let is_parquet = entry.as_ref().is_ok_and(|entry| {
            let path = entry.location.as_ref();
            path.ends_with(".parquet") && !path.contains("_delta_log")
        });
        async move { is_parquet }
    });
    files.count().await
}

async fn a_table_begins_empty_and_is_made_by_its_first_commit(place: &Place) {
    let lake = place.open().await;
    let snapshot = lake.refresh(TABLE).await.expect("a snapshot");
    assert_eq!((snapshot.version, snapshot.rows()), (None, Some(0)));
    append(&lake, 0, 0, 5).await.expect("a commit");
    let snapshot = lake.snapshot(TABLE).await.expect("a snapshot");
    assert_eq!(snapshot.rows(), Some(5));
    assert_eq!(snapshot.position(&partition(0)), 5);
}

async fn another_process_sees_files_and_positions_together(place: &Place) {
    let (writer, reader) = (place.open().await, place.open().await);
    let start = rows_in(&reader).await;
    append(&writer, 1, 0, 7).await.expect("a commit");
    let snapshot = reader.refresh(TABLE).await.expect("a snapshot");
    assert_eq!(snapshot.rows(), Some(start + 7));
    assert_eq!(snapshot.position(&partition(1)), 7);
    let reopened = place.open().await.refresh(TABLE).await.expect("a snapshot");
    assert_eq!(reopened.positions, snapshot.positions);
    assert_eq!(reopened.files, snapshot.files);
    assert_eq!(reopened.version, snapshot.version);
}

async fn a_replay_is_refused_and_leaves_no_file(place: &Place) {
    let lake = place.open().await;
    append(&lake, 2, 0, 10).await.expect("a commit");
    let (before, files) = (rows_in(&lake).await, parquet_files(&lake).await);
    let fresh = place.open().await;
    for (from, to) in [(0, 10), (5, 15), (11, 20)] {
        match append(&fresh, 2, from, to).await {
            Err(Error::PositionMoved {
                stored, expected, ..
            }) => assert_eq!((stored, expected), (Some(10), from)),
            other => panic!("{from}..{to} was not refused: {other:?}"),
        }
    }
    assert_eq!(rows_in(&fresh).await, before);
    assert_eq!(
        parquet_files(&lake).await,
        files,
        "files of refused commits are removed"
    );
}

async fn the_same_commit_twice_changes_nothing(place: &Place) {
    let lake = place.open().await;
    let files = lake
        .write_files(TABLE, vec![rows(3, 0..4)])
        .await
        .expect("files");
    let commit = Commit {
        files,
        advances: vec![advance(3, 0, 4)],
        ..Commit::default()
    };
    let first = lake.commit(TABLE, &commit).await.expect("a commit");
    let before = rows_in(&lake).await;
    // As after an answer that was lost, from a process that knows nothing of it.
    let again = place.open().await;
    assert_eq!(
        again.commit(TABLE, &commit).await.expect("the same commit"),
        first
    );
    assert_eq!(rows_in(&again).await, before);
}

async fn positions_can_move_without_rows(place: &Place) {
    let lake = place.open().await;
    let marks = HashMap::from([("dlq-origin/vehicle_data/0".to_owned(), 17)]);
    let commit = Commit {
        advances: vec![advance(4, 0, 9)],
        marks,
        ..Commit::default()
    };
    lake.commit(TABLE, &commit).await.expect("a commit");
    let snapshot = place.open().await.refresh(TABLE).await.expect("a snapshot");
    assert_eq!(snapshot.position(&partition(4)), 9);
    assert_eq!(snapshot.marks.get("dlq-origin/vehicle_data/0"), Some(&17));
    assert!(
        !snapshot
            .positions
            .keys()
            .any(|partition| partition.topic.contains("dlq-origin"))
    );
}

async fn of_racing_writers_one_wins(place: &Place) {
    const WRITERS: usize = 4;
    let start = rows_in(&*place.open().await).await;
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let lake = place.open().await;
        writers.spawn(async move { append(&lake, 5, 0, 20).await });
    }
    let results: Vec<_> = writers.join_all().await;
    let won = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(won, 1, "{results:?}");
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Ok(_) | Err(Error::PositionMoved { .. }))),
        "{results:?}"
    );
    assert_eq!(rows_in(&*place.open().await).await, start + 20);
}

async fn writers_of_other_partitions_all_get_through(place: &Place) {
    let start = rows_in(&*place.open().await).await;
    let mut writers = tokio::task::JoinSet::new();
    for number in 10..14 {
        let lake = place.open().await;
        writers.spawn(async move {
            for step in 0..3 {
                append(&lake, number, step * 5, step * 5 + 5)
                    .await
                    .expect("a commit");
            }
        });
    }
    writers.join_all().await;
    assert_eq!(rows_in(&*place.open().await).await, start + 4 * 15);
}

async fn files_without_a_commit_are_no_rows(place: &Place) {
    let lake = place.open().await;
    let before = rows_in(&lake).await;
    let files = lake
        .write_files(TABLE, vec![rows(6, 0..50)])
        .await
        .expect("files");
    assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), 50);
    drop(lake); // as a crash before the commit
    let lake = place.open().await;
    assert_eq!(rows_in(&lake).await, before);
    append(&lake, 6, 0, 50)
        .await
        .expect("the replay after the crash");
    assert_eq!(rows_in(&lake).await, before + 50);
}

async fn a_checkpointed_table_opens_as_it_was(place: &Place) {
    let lake = place.open().await;
    for step in 0..60 {
        append(&lake, 7, step * 2, step * 2 + 2)
            .await
            .expect("a commit");
    }
    let written = lake.refresh(TABLE).await.expect("a snapshot");
    wait_for_checkpoint(&lake).await;
    let reopened = place.open().await.refresh(TABLE).await.expect("a snapshot");
    assert_eq!(reopened.version, written.version);
    assert_eq!(reopened.positions, written.positions);
    assert_eq!(reopened.marks, written.marks);
    assert_eq!(reopened.files, written.files);
}

async fn wait_for_checkpoint(lake: &Lake) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let log = object_store::path::Path::from(format!("{TABLE}/_delta_log"));
        let names: Vec<_> = lake
            .store()
            .list(Some(&log))
            .map(|entry| entry.map(|entry| entry.location))
            .collect()
            .await;
        if names
            .iter()
            .flatten()
            .any(|name| name.filename() == Some("_last_checkpoint"))
        {
            return;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "no checkpoint was written"
        );
        tokio::task::yield_now().await;
    }
}

async fn rows_of_many_dates_lie_in_a_file_a_date(place: &Place) {
    let lake = place.open().await;
    // One event a minute: three days and a bit.
    let files = lake
        .write_files(TABLE, vec![rows(8, 0..4_400)])
        .await
        .expect("files");
    assert_eq!(files.len(), 4);
    assert!(
        files
            .iter()
            .all(|file| file.path.starts_with("date=2026-03-0")),
        "{files:?}"
    );
    let commit = Commit {
        files,
        advances: vec![advance(8, 0, 4_400)],
        ..Commit::default()
    };
    lake.commit(TABLE, &commit).await.expect("a commit");
    let snapshot = lake.snapshot(TABLE).await.expect("a snapshot");
    let first_day = events::columns::date_of(NOON_US);
    for file in snapshot.files.values() {
        let date = file.date.expect("a date");
        assert!((first_day..first_day + 4).contains(&date));
        assert!(
            file.path
                .contains(&format!("date=2026-03-0{}", date - first_day + 1))
        );
    }
}

async fn run_all(place: &Place) {
    a_table_begins_empty_and_is_made_by_its_first_commit(place).await;
    another_process_sees_files_and_positions_together(place).await;
    a_replay_is_refused_and_leaves_no_file(place).await;
    the_same_commit_twice_changes_nothing(place).await;
    positions_can_move_without_rows(place).await;
    of_racing_writers_one_wins(place).await;
    writers_of_other_partitions_all_get_through(place).await;
    files_without_a_commit_are_no_rows(place).await;
    a_checkpointed_table_opens_as_it_was(place).await;
    rows_of_many_dates_lie_in_a_file_a_date(place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_folder_keeps_the_contract() {
    run_all(&Place::local()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_keeps_the_contract() {
    if let Some(place) = Place::s3() {
        run_all(&place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_s3_keeps_the_contract() {
    if let Some(place) = Place::other_s3() {
        run_all(&place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_with_a_certificate_of_an_own_authority_keeps_the_contract() {
    let Some(mut place) = Place::tls_s3() else {
        return;
    };
    run_all(&place).await;
    place.config.s3.ca_file = None;
    let lake = place.open().await;
    for answer in [lake.refresh(TABLE).await.map(drop), lake.ping().await] {
        let error = answer.expect_err("nobody knows the authority");
        assert!(error.to_string().contains("s3.ca_file"), "{error}");
        assert!(error.is_retryable());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_can_be_written() {
    let lake = Place::local();
    let lake = lake.open().await;
    for table in Table::all() {
        let commit = Commit {
            advances: vec![events::Advance {
                partition: events::TopicPartition::new(table.name(), 0),
                from: 0,
                to: 1,
            }],
            ..Commit::default()
        };
        lake.commit(table, &commit).await.expect("a commit");
        let snapshot = lake.refresh(table).await.expect("a snapshot");
        assert_eq!(snapshot.schema, table.schema(), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_is_said_soon_and_without_the_secret() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let config = lake::LakeConfig {
        url: "s3://bucket/prefix".to_owned(),
        s3: lake::S3Options {
            endpoint: Some(format!("http://{address}")),
            access_key_id: Some("some-key".to_owned()),
            secret_access_key: Some("very-secret".to_owned()),
            allow_http: true,
            ..lake::S3Options::default()
        },
    };
    assert!(!format!("{config:?}").contains("very-secret"));
    let lake = Lake::open(config)
        .await
        .expect("opening does not contact the server");
    let answer =
        tokio::time::timeout(std::time::Duration::from_secs(20), lake.refresh(TABLE)).await;
    match answer.expect("an answer in time") {
        Err(error @ Error::Unavailable { .. }) => {
            assert!(error.is_retryable());
            assert!(!error.to_string().contains("very-secret"), "{error}");
        }
        other => panic!("expected Unavailable, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_or_bucket_is_a_clear_sentence() {
    for place in [Place::s3(), Place::other_s3()].into_iter().flatten() {
        wrong_key_or_bucket(place).await;
    }
}

async fn wrong_key_or_bucket(mut place: Place) {
    let right = place.config.clone();
    place.config.s3.secret_access_key = Some("wrong".to_owned());
    let lake: Arc<Lake> = place.open().await;
    for answer in [lake.refresh(TABLE).await.map(drop), lake.ping().await] {
        let error = answer.expect_err("the key is wrong");
        assert!(matches!(error, Error::Configuration { .. }), "{error}");
        assert!(error.to_string().contains("access key"), "{error}");
    }
    place.config = right;
    place.config.url = "s3://no-such-bucket-anywhere/lake".to_owned();
    let lake = place.open().await;
    for answer in [append(&lake, 0, 0, 1).await.map(drop), lake.ping().await] {
        let error = answer.expect_err("there is no such bucket");
        assert!(error.to_string().contains("does not exist"), "{error}");
    }
}

#[tokio::test]
async fn unusable_locations_are_refused_at_once() {
    for (url, endpoint) in [
        ("ftp://host/folder", None),
        ("s3://", None),
        ("s3://bucket", Some("127.0.0.1:9000")),
    ] {
        let config = lake::LakeConfig {
            url: url.to_owned(),
            s3: lake::S3Options {
                endpoint: endpoint.map(str::to_owned),
                ..lake::S3Options::default()
            },
        };
        let error = Lake::open(config).await.err().expect("refused");
        assert!(matches!(error, Error::Configuration { .. }), "{error}");
    }
}
