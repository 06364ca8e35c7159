//! How long an event takes to those who look on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bench::{Measurement, Report};
use event_log::kafka::KafkaLog;
use event_log::{EventLog, Polled};
use events::time::parse_rfc3339_us;
use events::{Topic, TopicPartition};
use futures::{SinkExt, StreamExt};
use hot_store::testing::RedisServer;
use hot_store::{HotStore, Kind, WatchEvent};
use serde::Deserialize;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::city::{City, PARTITIONS, create, now_us};
use super::process::{Role, Stand, done, store};

/// Events of one append.
const BATCH: u64 = 250;
/// Appends on their way at once, at most.
const IN_FLIGHT: usize = 64;
const WARM_UP: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(20);
const START_LIMIT: Duration = Duration::from_secs(60);

/// Delays, ms.
#[derive(Default)]
struct Delays(Vec<f64>);

impl Delays {
    fn add(&mut self, timestamp: &str) {
        if let Some(at_us) = parse_rfc3339_us(timestamp) {
            self.0.push((now_us() - at_us) as f64 / 1000.0);
        }
    }

    fn quantile(&mut self, q: f64) -> Result<f64> {
        ensure!(
            self.0.len() > 1000,
            "only {} delays were seen",
            self.0.len()
        );
        self.0.sort_by(f64::total_cmp);
        Ok(self.0[((self.0.len() - 1) as f64 * q) as usize])
    }
}

#[derive(Deserialize)]
struct Dated<'a> {
    timestamp: &'a str,
}

/// As a watcher of Redis sees it; against who only reads the topic, with the same client.
pub fn until_redis(runtime: &Runtime, stand: &Stand, report: &mut Report) -> Result<()> {
    const PER_SECOND: u64 = 50_000;
    let city = City::CELLS_2000;
    let mut plain = runtime.block_on(until_reader(stand, city, PER_SECOND))?;
    let (mut delays, reached) = runtime.block_on(async {
        let redis = RedisServer::start();
        let topic = create(&stand.log, &stand.topic("delay")).await?;
        let role = stand.start("speed", &redis, &topic)?;
        is_working(stand, &redis, &topic, &role).await?;
        let store = store(&redis)?;
        let mut watch = store.watch().await?;
        let load = tokio::spawn(steady(stand.log.clone(), topic, city, PER_SECOND));
        let mut delays = Delays::default();
        let began = Instant::now();
        while began.elapsed() < WARM_UP + MEASURED {
            let WatchEvent::Changed(notice) = watch.next().await else {
                continue;
            };
            if began.elapsed() < WARM_UP {
                continue;
            }
            let vehicles = notice.updates.iter().filter(|u| u.kind == Kind::Vehicle);
            // Reading all of them would take a core from those that are measured.
            for value in vehicles
                .step_by(20)
                .filter_map(|update| update.value.as_ref())
            {
                delays.add(serde_json::from_slice::<Dated<'_>>(value)?.timestamp);
            }
        }
        let reached = load.await??;
        role.stop()?;
        Ok::<_, anyhow::Error>((delays, reached))
    })?;
    println!("append to Redis: {reached:.0} events/s were appended");
    for (name, q, target) in [("p50", 0.5, 40.0), ("p99", 0.99, 150.0)] {
        let measure = format!("append to Redis at 50,000/s, {name}");
        let delay = Measurement::rate(&measure, delays.quantile(q)?, "ms").at_most(target);
        report.add(delay.against("append to a plain reader", plain.quantile(q)?));
    }
    Ok(())
}

/// The topic's reader that does nothing with what it reads: what log and client take.
async fn until_reader(stand: &Stand, city: City, per_second: u64) -> Result<Delays> {
    let topic = create(&stand.log, &stand.topic("plain")).await?;
    let start = |partition| (TopicPartition::new(topic.clone(), partition), 0);
    let from: Vec<_> = (0..PARTITIONS).map(start).collect();
    let mut reader = stand.log.read_from(&from).await?;
    let load = tokio::spawn(steady(stand.log.clone(), topic, city, per_second));
    let mut delays = Delays::default();
    let began = Instant::now();
    while began.elapsed() < WARM_UP + MEASURED {
        let Polled::Records(all) = reader.poll(Duration::from_millis(100)).await? else {
            continue;
        };
        if began.elapsed() < WARM_UP {
            continue;
        }
        for record in all.iter().flat_map(|all| &all.records).step_by(20) {
            delays.add(serde_json::from_slice::<Dated<'_>>(&record.value)?.timestamp);
        }
    }
    load.await??;
    Ok(delays)
}

/// Vehicles and alerts, as two subscribers of one process see them.
pub fn until_websocket(runtime: &Runtime, stand: &Stand, report: &mut Report) -> Result<()> {
    const PER_SECOND: u64 = 10_000;
    let city = City {
        vehicles: 2000,
        ..City::CELLS_2000
    };
    let (mut vehicles, mut alerts) = runtime.block_on(async {
        let redis = RedisServer::start();
        let topic = create(&stand.log, &stand.topic("socket")).await?;
        let speed = stand.start("speed", &redis, &topic)?;
        let serve = stand.start("serve", &redis, &topic)?;
        is_working(stand, &redis, &topic, &speed).await?;
        let sockets = (connect(&serve).await?, connect(&serve).await?);
        write_rule(&serve, &stand.run).await?;
        let load = tokio::spawn(steady(stand.log.clone(), topic, city, PER_SECOND));
        let delays = tokio::try_join!(delays(sockets.0, "vehicles"), delays(sockets.1, "alerts"))?;
        load.await??;
        serve.stop()?;
        speed.stop()?;
        Ok::<_, anyhow::Error>(delays)
    })?;
    let measure = "append to WebSocket at 10,000/s, p50";
    report.add(Measurement::rate(measure, vehicles.quantile(0.5)?, "ms"));
    let measure = "append to WebSocket at 10,000/s, p99";
    report.add(Measurement::rate(measure, vehicles.quantile(0.99)?, "ms").at_most(250.0));
    let measure = "append to alert on the WebSocket at 10,000/s, p99";
    report.add(Measurement::rate(measure, alerts.quantile(0.99)?, "ms").at_most(1000.0));
    Ok(())
}

/// What a subscriber of `channel` sees until the end of the measurement.
async fn delays(mut socket: Socket, channel: &str) -> Result<Delays> {
    #[derive(Deserialize)]
    struct Frame<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        #[serde(borrow, default)]
        data: Option<&'a serde_json::value::RawValue>,
    }
    let subscribe = json!({"type": "subscribe", "id": "a", "channel": channel, "max_hz": 20});
    socket.send(Message::text(subscribe.to_string())).await?;
    let mut delays = Delays::default();
    let began = Instant::now();
    while began.elapsed() < WARM_UP + MEASURED {
        let message = socket.next().await.context("the socket was closed")??;
        let Message::Text(text) = message else {
            continue;
        };
        let frame: Frame<'_> = serde_json::from_str(&text)?;
        let (Some(data), "update") = (frame.data, frame.kind) else {
            continue;
        };
        if began.elapsed() > WARM_UP {
            let items: Vec<Dated<'_>> = serde_json::from_str(data.get())?;
            items.iter().for_each(|item| delays.add(item.timestamp));
        }
    }
    Ok(delays)
}

/// A rule that one event in a hundred breaks: its alerts begin and end at once.
async fn write_rule(serve: &Role, run: &str) -> Result<()> {
    let rule = json!({
        "id": format!("bench-{run}"), "name": "Bench", "severity": "Low",
        "source": {"stream": "gps_data", "field": "speed"},
        "comparison": ">", "threshold": 40.85, "clear_threshold": 40.0,
    });
    let address = format!("http://127.0.0.1:{}/api/rules?author=bench", serve.port);
    let answer = reqwest::Client::new()
        .post(address)
        .json(&rule)
        .send()
        .await?;
    let status = answer.status();
    ensure!(status.is_success(), "{status} {}", answer.text().await?);
    Ok(())
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn connect(serve: &Role) -> Result<Socket> {
    let began = Instant::now();
    let address = format!("ws://127.0.0.1:{}/ws/realtime", serve.port);
    loop {
        match tokio_tungstenite::connect_async(&address).await {
            Ok((socket, _)) => return Ok(socket),
            Err(error) if began.elapsed() > START_LIMIT => {
                bail!("{address}: {error}: {}", serve.output())
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Appends an event until the speed layer has done one.
async fn is_working(stand: &Stand, redis: &RedisServer, topic: &Topic, role: &Role) -> Result<()> {
    let store = store(redis)?;
    let began = Instant::now();
    while done(&store, topic).await? == 0 {
        ensure!(
            began.elapsed() < START_LIMIT,
            "it does nothing: {}",
            role.output()
        );
        let event = City::CELLS_2000.event(0, now_us());
        stand.log.append(topic, vec![event]).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Appends at an even pace for the whole measurement; events a second that it reached.
async fn steady(log: Arc<KafkaLog>, topic: Topic, city: City, per_second: u64) -> Result<f64> {
    let mut pace = tokio::time::interval(Duration::from_secs_f64(BATCH as f64 / per_second as f64));
    let began = Instant::now();
    let mut under_way = JoinSet::new();
    let mut number = 1;
    while began.elapsed() < WARM_UP + MEASURED {
        pace.tick().await;
        if under_way.len() >= IN_FLIGHT
            && let Some(done) = under_way.join_next().await
        {
            done??;
        }
        let (log, topic) = (log.clone(), topic.clone());
        let events = number..number + BATCH;
        number += BATCH;
        under_way.spawn(async move {
            // The moment of the append, as a producer would say it.
            let now = now_us();
            let events = events.map(|number| city.event(number, now)).collect();
            log.append(&topic, events).await
        });
    }
    while let Some(done) = under_way.join_next().await {
        done??;
    }
    Ok(number as f64 / began.elapsed().as_secs_f64())
}
