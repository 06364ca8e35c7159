//! Servers of other make and layout: a Redis Cluster, a Redis that fails over, VersityGW.

use end_to_end::{
    Deployment, Load, RedisCluster, RedisWithSentinels, Roles, agrees_with_duckdb, on_real_servers,
};

use crate::exactness::{figure, fleet};
use crate::scale_out::become_one;

on_real_servers!(a_redis_that_fails_over_loses_nothing);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_speed_layers_on_a_redis_cluster_and_versitygw_become_one() {
    if let Some(deployment) = Deployment::on_versitygw() {
        let redis = RedisCluster::start().await;
        become_one(redis.serve(deployment), 2).await;
    }
}

/// What the primary had not yet told its replica is gone with it, whole writes at the end:
/// the speed layer goes on from where the replica stands.
async fn a_redis_that_fails_over_loses_nothing(deployment: Deployment) {
    let mut redis = RedisWithSentinels::start().await;
    let deployment = redis.serve(deployment).on_simple_streets();
    let rate = figure("RATE", 20_000);
    let total = rate * 12;
    let fleet = fleet(total);
    let roles = Roles::start(&deployment, 1).await;
    let load = Load::start(fleet.clone(), total, rate, roles.address()).await;
    load.reached(total / 3).await;
    redis.fail_over().await;
    println!("{:.0} events/s with a failover", load.finished().await);
    agrees_with_duckdb(&deployment, &roles, &fleet).await;
}
