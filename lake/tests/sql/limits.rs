//! Time, rows, memory.

use std::time::{Duration, Instant};

use lake::query::{Freshness, QueryConfig, QueryError, SqlEngine};

use crate::city::{City, first, refused};

#[tokio::test(flavor = "multi_thread")]
async fn limits_end_a_query_with_a_clear_error() {
    let city = City::new().await;
    let long = "SELECT count(*) FROM generate_series(1, 1000000000000) WHERE value % 7 = 3";
    let engine = city.engine(QueryConfig {
        timeout: Duration::from_millis(300),
        max_rows: 10,
        ..QueryConfig::default()
    });
    let started = Instant::now();
    assert!(matches!(
        refused(&engine, long).await,
        QueryError::Timeout { .. }
    ));
    assert!(started.elapsed() < Duration::from_secs(20));
    let rows = refused(&engine, "SELECT * FROM generate_series(1, 100)").await;
    assert!(
        rows.is_user() && rows.to_string().contains("LIMIT"),
        "{rows}"
    );

    let engine = city.engine(QueryConfig {
        max_concurrent: 1,
        ..QueryConfig::default()
    });
    let running = engine
        .query(long, Freshness::Exact)
        .await
        .expect("it starts");
    assert_eq!(
        refused(&engine, "SELECT 1").await,
        QueryError::Busy { limit: 1 }
    );
    drop(running);
    assert_eq!(
        first(&engine, "SELECT 1").await,
        1,
        "its place is free again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sorting_more_than_memory_spills_to_disk() {
    let city = City::new().await;
    let spill_dir = tempfile::tempdir().expect("a temporary folder");
    let config = QueryConfig {
        memory_bytes: 48 << 20,
        spill_dir: Some(spill_dir.path().to_owned()),
        max_rows: 10_000_000,
        ..QueryConfig::default()
    };
    let engine = city.engine(config);
    let sql = "SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY md5(cast(value AS text))) AS r FROM generate_series(1, 500000))";
    assert_eq!(first(&engine, sql).await, 500_000);
}

/// Why `sql` does not begin, as soon as the tail is in memory: until then statements
/// read the log themselves, and nobody knows how many rows that gives.
async fn refused_at_once(engine: &SqlEngine, sql: &str) -> QueryError {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let begun = engine.query(sql, Freshness::Exact).await;
        if let Err(error) = begun.map(drop) {
            return error;
        }
        assert!(Instant::now() < deadline, "{sql} begins");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_known_to_be_too_long_is_refused_before_it_begins() {
    let city = City::new().await;
    city.append(0..50).await;
    city.write(0, 40).await;
    let engine = city.engine(QueryConfig {
        max_rows: 45,
        ..QueryConfig::default()
    });
    let stop = tokio_util::sync::CancellationToken::new();
    let following = tokio::spawn(engine.clone().run(stop.clone()));
    let error = refused_at_once(&engine, "SELECT id FROM vehicle_data").await;
    assert!(
        error.is_user() && error.to_string().contains("more than 45 rows; add a LIMIT"),
        "{error}"
    );
    let limited = engine.query("SELECT id FROM vehicle_data LIMIT 45", Freshness::Exact);
    assert!(limited.await.is_ok());
    // Of a filter nobody knows how much it leaves: the rows are counted as they come.
    let filtered = refused(&engine, "SELECT id FROM vehicle_data WHERE speed > 1").await;
    assert!(
        filtered.to_string().contains("more than 45 rows"),
        "{filtered}"
    );
    stop.cancel();
    following.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_that_make_much_of_little_are_within_the_memory_limit() {
    let city = City::new().await;
    city.append(0..3_000).await;
    let engine = city.engine(QueryConfig::default());
    for (sql, function) in [
        ("SELECT repeat(id, 100000) FROM vehicle_data", "repeat"),
        ("SELECT repeat(id, 12000) FROM vehicle_data", "repeat"),
        (
            "SELECT max(length(repeat(id, 12000))) FROM vehicle_data",
            "repeat",
        ),
        (
            "SELECT id FROM vehicle_data WHERE length(repeat(id, 12000)) > 1",
            "repeat",
        ),
        ("SELECT repeat('x', 100000000)", "repeat"),
        ("SELECT lpad(id, 1000000) FROM vehicle_data", "lpad"),
        ("SELECT rpad(id, 60000, 'ab') FROM vehicle_data", "rpad"),
        (
            "SELECT array_repeat(id, 1000) FROM vehicle_data",
            "array_repeat",
        ),
        ("SELECT list_repeat(1, 100000000)", "array_repeat"),
        ("SELECT array_resize([1], 2000000000)", "array_resize"),
        ("SELECT unnest(range(1, 10000000000))", "range"),
        (
            "SELECT generate_series(log_offset, log_offset + 1000) FROM vehicle_data",
            "generate_series",
        ),
        (
            "SELECT generate_series(TIMESTAMP '2026-01-01', TIMESTAMP '2026-02-01', INTERVAL '1 millisecond')",
            "generate_series",
        ),
        (
            "SELECT length(replace(repeat('a', 60000), 'a', repeat('b', 60000)))",
            "replace",
        ),
        (
            "SELECT length(array_to_string(range(1, 900000), repeat('b', 60000)))",
            "array_to_string",
        ),
        ("SELECT repeat('x', 60000) FROM vehicle_data", "constant"),
    ] {
        let error = refused(&engine, sql).await;
        assert!(
            matches!(&error, QueryError::Resources(said) if said.contains(function)),
            "{sql}: {error:?}"
        );
    }
    for (sql, value) in [
        ("SELECT length(repeat('x', 60000))", 60_000),
        ("SELECT max(length(repeat(id, 10))) FROM vehicle_data", 50),
        (
            "SELECT count(*) FROM (SELECT unnest(range(0, 500000)))",
            500_000,
        ),
        (
            "SELECT max(length(lpad(id, 40, '.'))) FROM vehicle_data",
            40,
        ),
        (
            "SELECT count(*) FROM vehicle_data WHERE array_has(['e1', 'e2'], id)",
            2,
        ),
        (
            "SELECT max(length(replace(id, 'e', 'event '))) FROM vehicle_data",
            10,
        ),
    ] {
        assert_eq!(first(&engine, sql).await, value, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_could_make_much_but_does_not_is_answered() {
    let city = City::new().await;
    city.append(0..3_000).await;
    // One call may make 1 MiB.
    let engine = city.engine(QueryConfig {
        memory_bytes: 8 << 20,
        ..QueryConfig::default()
    });
    let replaced = |pattern: &str| {
        let to = "0123456789".repeat(4);
        format!(
            "SELECT max(length(regexp_replace(repeat(id, 20), '{pattern}', '{to}', 'g'))) FROM vehicle_data"
        )
    };
    assert_eq!(first(&engine, &replaced("nowhere")).await, 100);
    let error = refused(&engine, &replaced("e")).await;
    assert!(
        matches!(&error, QueryError::Resources(said) if said.contains("regexp_replace")),
        "{error:?}"
    );
}
