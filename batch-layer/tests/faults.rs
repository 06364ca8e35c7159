//! A real S3 server that cannot be written: a clear sentence says why, the batch layer
//! waits, and once that is mended every event is in the lake once.

mod common;
#[path = "common/s3.rs"]
mod s3;

use common::{Platform, eager, vehicle_json, wait_for};
use events::Stream;
use events::health::Health;
use lake::query::QueryConfig;
use lake::{LakeConfig, Table};
use s3::{FrontDoor, Refusal, Server};

const VEHICLES: Table = Table::Stream(Stream::VehicleData);
const COUNTS: &str = "SELECT count(*), count(DISTINCT id) FROM vehicle_data";

async fn platform(lake: LakeConfig) -> Platform {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Platform::on(folder, lake, QueryConfig::default()).await
}

async fn append(platform: &Platform, numbers: std::ops::Range<usize>) {
    let values = numbers.map(vehicle_json).collect();
    platform.append(Stream::VehicleData, values).await;
}

async fn says(platform: &Platform, words: &str) {
    wait_for(words, || async {
        match platform.health.all().get("batch") {
            Some(Health::Degraded(reason)) => reason.contains(words),
            _ => false,
        }
    })
    .await;
}

/// Nothing is missing, nothing is twice, and nothing is wrong any more.
async fn all_are_in(platform: &Platform, events: usize) {
    platform.wait_until_written(VEHICLES, events as u64).await;
    let events = events as i64;
    assert_eq!(platform.numbers(COUNTS).await, [events, events]);
    wait_for("all is well", || async {
        platform.health.all().get("batch") == Some(&Health::Ready)
    })
    .await;
}

/// Writes, is refused, and goes on by itself.
async fn refused_for_a_while(refusal: Refusal, words: &str) {
    let Some(server) = Server::from_environment() else {
        return;
    };
    let door = FrontDoor::open(server.address()).await;
    let lake = server.lake();
    let mut through_the_door = lake.clone();
    through_the_door.s3.endpoint = Some(door.url());
    let platform = platform(lake).await;
    let batch = platform.batch_on(through_the_door, eager()).await;
    append(&platform, 0..500).await;
    all_are_in(&platform, 500).await;

    door.refuse(Some(refusal));
    append(&platform, 500..1_000).await;
    says(&platform, words).await;
    append(&platform, 1_000..1_500).await;
    let counts = platform.numbers(COUNTS).await;
    assert_eq!(counts, [1_500, 1_500], "the log has the rest");

    door.refuse(None);
    all_are_in(&platform, 1_500).await;
    batch.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for() {
    refused_for_a_while(Refusal::DISK_FULL, "the disk is full").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_is_waited_for() {
    refused_for_a_while(Refusal::NO_RIGHT, "no right").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_that_may_only_be_read_is_said_and_nothing_is_lost() {
    let Some(server) = Server::from_environment() else {
        return;
    };
    let lake = server.lake();
    let read_only = server.read_only(&lake);
    let platform = platform(lake).await;
    let batch = platform.batch_on(read_only, eager()).await;
    append(&platform, 0..500).await;
    says(&platform, "no right").await;
    append(&platform, 500..1_000).await;
    batch.stop().await;

    let batch = platform.batch(eager()).await;
    all_are_in(&platform, 1_000).await;
    batch.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_said_and_nothing_is_lost() {
    let Some(server) = Server::from_environment() else {
        return;
    };
    let lake = server.lake();
    let mut wrong = lake.clone();
    wrong.s3.secret_access_key = Some("wrong".to_owned());
    let platform = platform(lake).await;
    let batch = platform.batch_on(wrong, eager()).await;
    append(&platform, 0..500).await;
    says(&platform, "access key").await;
    append(&platform, 500..1_000).await;
    batch.stop().await;

    let batch = platform.batch(eager()).await;
    all_are_in(&platform, 1_000).await;
    batch.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_does_not_exist_is_waited_for() {
    let Some(server) = Server::from_environment() else {
        return;
    };
    let (bucket, lake) = server.lake_in_a_bucket_to_be();
    let platform = platform(lake).await;
    let batch = platform.batch(eager()).await;
    append(&platform, 0..500).await;
    says(&platform, "the bucket does not exist").await;
    append(&platform, 500..1_000).await;

    server.create_bucket(&bucket);
    all_are_in(&platform, 1_000).await;
    batch.stop().await;
}
