//! What is not a query, or a wrong one.

use lake::query::QueryConfig;

use crate::city::{City, json, refused};

#[tokio::test(flavor = "multi_thread")]
async fn only_queries_are_allowed() {
    let city = City::new().await;
    city.append(0..5).await;
    let engine = city.engine(QueryConfig::default());
    for sql in [
        "CREATE TABLE t AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE VIEW v AS SELECT * FROM vehicle_data",
        "INSERT INTO vehicle_data SELECT * FROM vehicle_data",
        "DELETE FROM vehicle_data",
        "UPDATE vehicle_data SET speed = 0",
        "DROP TABLE vehicle_data",
        "COPY vehicle_data TO '/tmp/stolen.csv'",
        "SET datafusion.execution.batch_size = 1",
        "PREPARE p AS SELECT 1",
        "SELECT 1; SELECT 2",
        "SELECT * FROM '/etc/passwd'",
        "EXPLAIN COPY vehicle_data TO '/tmp/stolen.csv'",
        "",
    ] {
        let error = refused(&engine, sql).await;
        assert!(error.is_user(), "{sql}: {error:?}");
    }
    for sql in [
        "SELECT 1",
        "WITH fast AS (SELECT * FROM vehicle_data WHERE speed > 10) SELECT count(*) FROM fast",
        "EXPLAIN SELECT * FROM vehicle_data",
        "EXPLAIN ANALYZE SELECT count(*) FROM vehicle_data WHERE speed > 1",
        "SHOW TABLES",
        "DESCRIBE vehicle_data",
        "SHOW COLUMNS FROM weather_data",
        "SELECT a.id FROM vehicle_data a JOIN public.vehicle_data b ON a.id = b.id",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
    ] {
        let answer = json(&engine, sql).await;
        assert!(
            answer["row_count"].as_u64().expect("a count") > 0,
            "{sql}: {answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_query_says_what_is_wrong() {
    let city = City::new().await;
    let engine = city.engine(QueryConfig::default());
    for (sql, expected) in [
        ("SELECT * FROM vehicle", "did you mean vehicle_data?"),
        ("SELECT sped FROM vehicle_data", "speed"),
        ("SELEC 1", "SQL"),
        ("SELECT nonsense(1)", "nonsense"),
        ("SELECT 1 / 0", "zero"),
        ("SELECT CAST('x' AS INT)", "x"),
    ] {
        let error = refused(&engine, sql).await;
        assert!(
            error.is_user() && error.to_string().contains(expected),
            "{sql}: {error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_would_change_something_is_told_that_this_is_read_only() {
    let city = City::new().await;
    let engine = city.engine(QueryConfig::default());
    for sql in [
        "INSERT INTO vehicle_data VALUES (1)",
        "INSERT INTO vehicle_data (id, speed) VALUES ('a', 1, 2)",
        "INSERT INTO nowhere VALUES (1)",
        "UPDATE vehicle_data SET nothing = 1",
        "DELETE FROM vehicle_data WHERE nothing = 1",
        "TRUNCATE TABLE vehicle_data",
        "ALTER TABLE vehicle_data ADD COLUMN x INT",
        "WITH x AS (SELECT 1) INSERT INTO vehicle_data SELECT * FROM x",
        "EXPLAIN INSERT INTO vehicle_data VALUES (1)",
        "CREATE TABLE t (a INT)",
        "SET datafusion.execution.batch_size = 1",
    ] {
        let error = refused(&engine, sql).await;
        assert!(
            error.is_user() && error.to_string().contains("read only"),
            "{sql}: {error:?}"
        );
    }
}
