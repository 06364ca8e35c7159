//! The seam between lake and log: while events stream in and the batch layer commits,
//! dies and comes back, a count never falls and no event is seen twice.
//!
//! Short in `make test`. `make soak` sets `CITYPULSE_SOAK_SECONDS`, `_RATE` and `_KILLS`.

use std::time::{Duration, Instant};

use end_to_end::{Api, Deployment, Platform, on_real_servers, until};

on_real_servers!(killed_batch_layer_never_shows_in_a_count);

/// How long a restarted batch layer may take until its first commit: the log gives it
/// the partitions of the killed one only after that one's session has timed out.
const RECOVERED_WITHIN: Duration = Duration::from_secs(60);

/// How long, how fast, how many kills.
struct Plan {
    lasts: Duration,
    events_per_second: u32,
    kills: u32,
}

impl Plan {
    fn from_environment() -> Plan {
        let number = |name: &str, default: u32| {
            let text = std::env::var(format!("CITYPULSE_SOAK_{name}"));
            text.map_or(default, |text| text.parse().expect("a whole number"))
        };
        Plan {
            lasts: Duration::from_secs(number("SECONDS", 20).into()),
            events_per_second: number("RATE", 3000),
            kills: number("KILLS", 3),
        }
    }

    /// Whether the log was as busy as the plan says. A short run begins with what
    /// takes long on few busy cores; a soak is measured.
    fn check_rate(&self, events: u64, seconds: f64) {
        let rate = events as f64 / seconds;
        let share = if self.lasts >= Duration::from_secs(300) {
            0.9
        } else {
            0.25
        };
        println!("{events} events of all streams, {rate:.0}/s");
        assert!(
            rate >= share * f64::from(self.events_per_second),
            "{rate:.0} events/s are too few for {}",
            self.events_per_second
        );
    }

    /// When kill `number` (from 1) is due: evenly over the time, none at either end.
    fn kill_is_due(&self, number: u32, elapsed: Duration) -> bool {
        number <= self.kills && elapsed >= self.lasts * number / (self.kills + 1)
    }
}

/// Looks at the counts again and again.
#[derive(Default)]
struct Watch {
    rows: u64,
    looks: u64,
    slowest: Duration,
}

impl Watch {
    /// Rows must not fall, every offset must be there once, and no event id twice (a
    /// device, and so an id, stays in one partition).
    async fn look(&mut self, api: &Api) {
        let started = Instant::now();
        let row = api
            .sql_row(
                "SELECT sum(n) AS n, sum(ids) AS ids, sum(places) AS places, sum(next) AS next FROM ( \
                   SELECT count(*) AS n, count(DISTINCT id) AS ids, \
                     count(DISTINCT log_offset) AS places, max(log_offset) + 1 AS next \
                   FROM vehicle_data GROUP BY log_partition)",
            )
            .await;
        let figure = |name: &str| row[name].as_u64().unwrap_or_default();
        let rows = figure("n");
        assert!(
            rows >= self.rows,
            "the count fell from {} to {rows}",
            self.rows
        );
        assert_eq!(figure("ids"), rows, "an event is seen twice: {row}");
        assert_eq!(figure("places"), rows, "an offset is seen twice: {row}");
        assert_eq!(figure("next"), rows, "an offset is missing: {row}");
        self.rows = rows;
        self.looks += 1;
        self.slowest = self.slowest.max(started.elapsed());
    }
}

/// The events of all streams in lake and log.
async fn taken(api: &Api) -> u64 {
    let mut events = 0;
    for table in [
        "vehicle_data",
        "gps_data",
        "traffic_camera_data",
        "weather_data",
        "emergency_incident_data",
    ] {
        events += api.count(table).await;
    }
    events
}

/// How many of the vehicles' events the batch layer has committed.
async fn batch_position(api: &Api) -> u64 {
    let lag = api.get_json("/api/lag").await;
    let entries = lag.as_array().expect("a list of positions");
    entries
        .iter()
        .filter(|entry| entry["layer"] == "batch" && entry["topic"] == "vehicle_data")
        .filter_map(|entry| entry["position"].as_u64())
        .sum()
}

/// A batch layer that was started after a kill.
struct Restarted {
    /// The rows that there were by then: the one before cannot have committed more.
    rows: u64,
    at: Instant,
}

impl Restarted {
    /// Whether the new one has committed something of its own; panics when it takes too long.
    async fn has_committed(&self, api: &Api) -> bool {
        let position = batch_position(api).await;
        let waited = self.at.elapsed();
        assert!(
            position > self.rows || waited < RECOVERED_WITHIN,
            "no commit {waited:?} after the restart: position {position}, {} rows then",
            self.rows
        );
        position > self.rows
    }
}

async fn killed_batch_layer_never_shows_in_a_count(deployment: Deployment) {
    let plan = Plan::from_environment();
    // Many small commits: the seam moves often.
    let deployment = deployment.with("CITYPULSE_BATCH__FLUSH_AGE_S", 1);
    let rate = plan.events_per_second.to_string();
    let serve = deployment.serve(&[]).await;
    let generate = deployment.start("generate", &["--rate", &rate, "--dirt", "0"]);
    let mut batch = deployment.start("batch", &[]);
    until(Duration::from_secs(30), "the first events", || async {
        match serve.api.count("vehicle_data").await {
            0 => Err("no row"),
            _ => Ok(()),
        }
    })
    .await;

    let before = taken(&serve.api).await;
    let started = Instant::now();
    let mut watch = Watch::default();
    let mut kills = 0;
    let mut restarted: Option<Restarted> = None;
    while started.elapsed() < plan.lasts || kills < plan.kills || restarted.is_some() {
        watch.look(&serve.api).await;
        if let Some(waiting) = &restarted {
            if waiting.has_committed(&serve.api).await {
                restarted = None;
            }
        } else if plan.kill_is_due(kills + 1, started.elapsed()) {
            batch.kill();
            watch.look(&serve.api).await;
            batch = deployment.start("batch", &[]);
            kills += 1;
            restarted = Some(Restarted {
                rows: watch.rows,
                at: Instant::now(),
            });
        }
    }
    println!(
        "{} rows, {} looks, slowest {:?}, {kills} kills in {:?}",
        watch.rows,
        watch.looks,
        watch.slowest,
        started.elapsed()
    );
    let seconds = started.elapsed().as_secs_f64();
    drop(generate);
    plan.check_rate(taken(&serve.api).await - before, seconds);
    everything_reaches_the_lake(&serve, &mut watch).await;
}

/// Once nothing more comes, the batch layer's positions are the log's ends, and the
/// lake alone gives the same answer.
async fn everything_reaches_the_lake(serve: &Platform, watch: &mut Watch) {
    until(
        Duration::from_secs(60),
        "the batch layer at the log's end",
        || async {
            let lag = serve.api.get_json("/api/lag").await;
            let behind: u64 = lag
                .as_array()
                .expect("a list of positions")
                .iter()
                .filter(|entry| entry["layer"] == "batch")
                .map(|entry| entry["lag_events"].as_u64().unwrap_or(u64::MAX / 1024))
                .sum();
            if behind == 0 {
                Ok(())
            } else {
                Err(format!("{behind} events behind"))
            }
        },
    )
    .await;
    watch.look(&serve.api).await;
}

mod embedded {
    use super::*;

    /// One process holds everything here, so all of it is killed.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn killed_platform_comes_back_with_every_event_once() {
        let plan = Plan::from_environment();
        let deployment = Deployment::embedded().with("CITYPULSE_BATCH__FLUSH_AGE_S", 1);
        let rate = plan.events_per_second.to_string();
        let arguments = ["--rate", rate.as_str(), "--dirt", "0"];
        let mut platform = deployment.up(&arguments).await;
        let started = Instant::now();
        let mut watch = Watch::default();
        let mut kills = 0;
        while started.elapsed() < plan.lasts || kills < plan.kills {
            watch.look(&platform.api).await;
            if plan.kill_is_due(kills + 1, started.elapsed()) {
                platform.kill();
                platform = deployment.up(&arguments).await;
                kills += 1;
            }
        }
        println!(
            "{} rows, {} looks, slowest {:?}, {kills} kills",
            watch.rows, watch.looks, watch.slowest
        );
        platform.kill();
        let platform = deployment.up(&["--no-generators"]).await;
        everything_reaches_the_lake(&platform, &mut watch).await;
    }
}
