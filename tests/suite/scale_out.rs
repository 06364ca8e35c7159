//! Several speed layers share the partitions; the rest go on when some are killed.

use std::time::{Duration, Instant};

use end_to_end::{
    Api, Deployment, LAG_KEPT, Load, Roles, agrees_with_duckdb, free_ports, on_real_servers,
    positions, until,
};

use crate::exactness::{figure, fleet};

on_real_servers!(
    three_speed_layers_become_one,
    an_emptied_redis_is_rebuilt_from_the_log,
    each_role_says_how_it_is,
);

/// The log gives a killed one's partitions away when its session has timed out (10 s);
/// the new owner then reads its cells and folds what came after them.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(45);

async fn three_speed_layers_become_one(deployment: Deployment) {
    become_one(deployment, 3).await;
}

/// Kills one after the other under load, the oldest first, until one is left. None
/// comes back.
pub async fn become_one(deployment: Deployment, layers: usize) {
    let deployment = deployment.on_simple_streets();
    let rate = figure("RATE", 20_000);
    let total = rate * 30 * (layers as u64 - 1);
    let fleet = fleet(total);
    let mut roles = Roles::start(&deployment, layers).await;
    let load = Load::start(fleet.clone(), total, rate, roles.address()).await;
    for number in 0..layers - 1 {
        load.reached(total * (number as u64 * 2 + 1) / (layers as u64 * 2))
            .await;
        roles.kill(number);
        let took = every_partition_moves_on(&roles).await;
        println!("speed layer {number} of {layers} killed: taken over after {took:.1?}");
    }
    println!("{:.0} events/s", load.finished().await);
    agrees_with_duckdb(&deployment, &roles, &fleet).await;
    let last = roles.speed(layers - 1).expect("the last one runs");
    let log = last.output();
    assert!(!log.contains("panicked"), "{log}");
}

/// Waits until every partition stands farther than now; how long that took.
async fn every_partition_moves_on(roles: &Roles) -> Duration {
    let api = roles.api();
    let killed = Instant::now();
    // The answer may be a second old: what it says must be of after the kill.
    let before = until(TAKEN_OVER_WITHIN, "a new answer", || async {
        let answer = positions(&api, "speed", "gps_data").await;
        match killed.elapsed() > 2 * LAG_KEPT {
            true => Ok(answer),
            false => Err("an old answer"),
        }
    })
    .await;
    assert!(!before.is_empty(), "no positions of the speed layer");
    until(TAKEN_OVER_WITHIN, "every partition to move on", || async {
        let now = positions(&api, "speed", "gps_data").await;
        let standing: Vec<_> = before.iter().filter(|place| now.contains(place)).collect();
        match standing.is_empty() {
            true => Ok(()),
            false => Err(format!("{standing:?} stand still")),
        }
    })
    .await;
    killed.elapsed()
}

/// A process that serves nothing else has its metrics and readiness on a port.
async fn each_role_says_how_it_is(deployment: Deployment) {
    for (role, metric) in [
        ("speed", "citypulse_speed_events_total"),
        ("batch", "citypulse_batch_"),
        ("generate", "citypulse_generated_"),
    ] {
        let port = free_ports(1)[0];
        let arguments = ["--metrics-port", &port.to_string()];
        let process = deployment.start(role, &arguments);
        let api = Api::new(port);
        until(TAKEN_OVER_WITHIN, "readiness", || api.readiness()).await;
        assert_eq!(api.get("/livez").await.status, 200);
        until(TAKEN_OVER_WITHIN, metric, || async {
            let text = api.get("/metrics").await.text;
            text.contains(metric).then_some(()).ok_or(text)
        })
        .await;
        let twin = deployment.run(role, &arguments).await;
        assert_eq!(twin.code(), 1, "{twin:?}");
        assert!(twin.stderr.contains("in use"), "{twin:?}");
        drop(process);
    }
}

/// Everything that Redis knew is gone; one command makes it again.
async fn an_emptied_redis_is_rebuilt_from_the_log(deployment: Deployment) {
    let deployment = deployment.on_simple_streets();
    let rate = figure("RATE", 20_000);
    let total = rate * 10;
    let fleet = fleet(total);
    let mut roles = Roles::start(&deployment, 1).await;
    let load = Load::start(fleet.clone(), total, rate, roles.address()).await;
    load.finished().await;
    roles.caught_up("speed").await;
    roles.kill(0);
    deployment.servers().expect("real servers").flush_redis();
    roles.start_again(0, &["--rebuild"]);
    agrees_with_duckdb(&deployment, &roles, &fleet).await;
}
