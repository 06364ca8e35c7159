//! The log on a real Kafka, whose address `CITYPULSE_TEST_KAFKA` gives.

use std::time::{Duration, Instant};

use event_log::kafka::{KafkaConfig, KafkaLog};
use event_log::{Consumer, Error, EventLog, NewRecord, Polled, Records, contract};
use events::{Topic, TopicPartition};
use rdkafka::mocking::MockCluster;

/// The brokers to test against, or `None`, said plainly.
fn brokers(test: &str) -> Option<String> {
    let brokers = std::env::var("CITYPULSE_TEST_KAFKA")
        .ok()
        .filter(|brokers| !brokers.is_empty());
    if brokers.is_none() {
        eprintln!(
            "{test}: skipped: no Kafka (CITYPULSE_TEST_KAFKA is not set; `make test` starts one)"
        );
    }
    brokers
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_the_contract() {
    let Some(brokers) = brokers("passes_the_contract") else {
        return;
    };
    contract::run_all(KafkaLog::connect(KafkaConfig::new(brokers)).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_are_away_are_said_to_be_unavailable() {
    // A port on which nothing listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = KafkaConfig {
        timeout: Duration::from_secs(1),
        ..KafkaConfig::new(format!("127.0.0.1:{port}"))
    };
    let log = KafkaLog::connect(config).unwrap();
    let started = Instant::now();
    for failed in [
        log.ping().await,
        log.append(&"t".into(), Vec::new()).await.map(|_| ()),
    ] {
        let error = failed.unwrap_err();
        assert!(
            matches!(error, Error::Unavailable { .. }) && error.is_retryable(),
            "got {error}"
        );
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "took {:?}",
        started.elapsed()
    );
}

#[test]
fn a_wrong_security_protocol_is_refused() {
    let config = KafkaConfig {
        security_protocol: "tls".into(),
        ..KafkaConfig::new("127.0.0.1:1")
    };
    let refused = KafkaLog::connect(config)
        .err()
        .map(|error| error.to_string());
    assert_eq!(
        refused.as_deref(),
        Some("security_protocol: got \"tls\", expected plaintext or ssl")
    );
}

fn numbered(number: i64) -> Vec<NewRecord> {
    vec![NewRecord {
        value: number.to_string().into(),
        ..NewRecord::default()
    }]
}

/// Polls until records or an error come.
async fn next(consumer: &mut dyn Consumer) -> event_log::Result<Vec<Records>> {
    let started = Instant::now();
    loop {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "nothing came in time"
        );
        match consumer.poll(Duration::from_millis(200)).await? {
            Polled::Records(all) => return Ok(all),
            other => assert!(matches!(other, Polled::Nothing), "got {other:?}"),
        }
    }
}

/// librdkafka's own stand-in for a cluster: its broker can be switched off.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_away_is_an_error_and_nothing_is_lost_when_it_is_back() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let config = KafkaConfig {
        timeout: Duration::from_secs(2),
        ..KafkaConfig::new(cluster.bootstrap_servers())
    };
    let log = KafkaLog::connect(config).unwrap();
    let topic = Topic::from("t");
    let mut consumer = log
        .read_from(&[(TopicPartition::new("t", 0), 0)])
        .await
        .unwrap();
    log.append(&topic, numbered(0)).await.unwrap();
    assert_eq!(next(&mut *consumer).await.unwrap()[0].next, 1);

    cluster.broker_down(1).unwrap();
    let error = next(&mut *consumer).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "got {error}");
    let error = next(&mut *consumer).await.unwrap_err();
    assert!(
        matches!(error, Error::Unavailable { .. }),
        "still away, got {error}"
    );
    let error = log.append(&topic, numbered(1)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "got {error}");

    cluster.broker_up(1).unwrap();
    let started = Instant::now();
    while log.append(&topic, numbered(2)).await.is_err() {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "the producer does not come back"
        );
    }
    let end = log.bounds(&topic).await.unwrap()[0].end;
    let mut position = 1;
    while position < end {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "the consumer does not come back"
        );
        if let Ok(all) = next(&mut *consumer).await {
            for read in all {
                assert_eq!(read.from, position, "no gap, no repeat");
                position = read.next;
            }
        }
    }
}
