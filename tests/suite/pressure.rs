//! A Redis that stands still stops the reading, not the process, and costs no memory.
//!
//! Short in `make test`. `make soak` sets `CITYPULSE_CRASH_PAUSE_SECONDS`.

use std::time::{Duration, Instant};

use end_to_end::{Deployment, Process, Roles, Server, Signal, behind, on_real_servers, until};

use crate::exactness::figure;

on_real_servers!(a_redis_that_stands_still_costs_no_memory);

const EVENTS_PER_SECOND: &str = "50000";
/// The most that the speed layer may ever have.
const MEMORY_MAX: u64 = 400 << 20;
/// The most that it may take up while Redis stands still: what it has polled, and what
/// its client of the log holds ready.
const GROWTH_MAX: u64 = 120 << 20;
const WARM_UP: Duration = Duration::from_secs(60);

/// Looks at a process until `done`; the most memory it had.
async fn most_memory(
    process: &Process,
    limit: Duration,
    mut done: impl AsyncFnMut() -> bool,
) -> u64 {
    let began = Instant::now();
    let mut most = 0;
    let mut look = tokio::time::interval(Duration::from_millis(200));
    loop {
        look.tick().await;
        most = most.max(process.resident_bytes());
        if done().await {
            return most;
        }
        assert!(began.elapsed() < limit, "not within {limit:?}");
    }
}

async fn a_redis_that_stands_still_costs_no_memory(deployment: Deployment) {
    let pause = Duration::from_secs(figure("PAUSE_SECONDS", 12));
    let roles = Roles::start(&deployment, 1).await;
    let api = roles.api();
    let speed = roles.speed(0).expect("a process of its own");
    let rate = [
        "--rate",
        EVENTS_PER_SECOND,
        "--vehicles",
        "5000",
        "--dirt",
        "0",
    ];
    let generate = deployment.start("generate", &rate);
    until(WARM_UP, "vehicles on the map", || async {
        let vehicles = api.get_json("/api/vehicles/locations?limit=10000").await;
        match vehicles.as_array().map_or(0, Vec::len) {
            count if count > 1000 => Ok(()),
            count => Err(count),
        }
    })
    .await;

    let servers = deployment.servers().expect("real servers");
    let before = speed.resident_bytes();
    servers.signal(Server::Redis, Signal::Stop);
    let stopped = Instant::now();
    let during = most_memory(speed, 2 * pause, async || stopped.elapsed() >= pause).await;
    servers.signal(Server::Redis, Signal::Continue);
    let after_that = behind(&api, "speed").await;
    drop(generate);
    let catching_up = Instant::now();
    let afterwards = most_memory(speed, Duration::from_secs(300), async || {
        behind(&api, "speed").await == 0
    })
    .await;

    let mib = |bytes: u64| bytes >> 20;
    println!(
        "speed layer: {} MiB before, at most {} MiB while Redis stood still for {pause:?}, {} MiB \
         while it caught up with {after_that} events in {:.1?}",
        mib(before),
        mib(during),
        mib(afterwards),
        catching_up.elapsed()
    );
    assert!(
        during <= before + GROWTH_MAX,
        "{} MiB more while Redis stood still",
        mib(during - before)
    );
    assert!(
        during.max(afterwards) <= MEMORY_MAX,
        "over {} MiB",
        mib(MEMORY_MAX)
    );
    let log = speed.output();
    assert!(!log.contains("panicked"), "{log}");
}
