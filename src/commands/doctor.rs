//! `citypulse doctor`

use std::time::Duration;

use anyhow::{Result, bail};

use crate::config::Config;
use crate::instance::running_address;
use crate::platform::Platform;
use crate::terminal;

/// How long one back end may take to answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Says for each back end whether it can be reached, and what to do if not.
pub async fn run(config: Config) -> Result<()> {
    let embedded = !config.uses_kafka() || !config.uses_redis();
    if embedded && let Some(address) = running_address(&config.data_dir) {
        let folder = config.data_dir.display();
        return terminal::print(format!(
            "ok    data folder {folder}: in use by the instance at {address}\n      \
             its own health: {address}/readyz\n"
        ));
    }
    let mut platform = Platform::new(config)?;
    let log = platform.open_log()?;
    let hot = platform.open_hot()?;
    let lake = platform.open_lake().await;
    let log_name = match platform.config.uses_kafka() {
        true => format!("kafka at {}", platform.config.kafka.bootstrap_servers),
        false => format!("embedded log in {}", platform.config.data_dir.display()),
    };
    let hot_name = if platform.config.uses_redis() {
        "redis"
    } else {
        "embedded hot store"
    };
    let lake_name = format!("lake at {}", platform.config.lake_url());
    let mut failed = 0;
    failed += report(
        &log_name,
        within(log.ping()).await,
        "is Kafka started? see kafka.bootstrap_servers; `make stack` starts one here",
    );
    failed += report(
        hot_name,
        within(hot.ping()).await,
        "is Redis started? see redis.url and redis.password; `make stack` starts one here",
    );
    let lake = match lake {
        Ok(lake) => match within(lake.ping()).await {
            Ok(()) => within(lake.ping_writing()).await,
            unreachable => unreachable,
        },
        Err(error) => Err(terminal::one_sentence(&error)),
    };
    failed += report(
        &lake_name,
        lake,
        "see lake.url, s3.endpoint and the AWS_* keys; the bucket must exist, and it or the folder must be writable",
    );
    let streets = platform
        .open_streets()
        .map(|_| ())
        .map_err(|error| terminal::one_sentence(&error));
    failed += report("streets", streets, "see city.streets");
    platform.close().await?;
    if failed > 0 {
        bail!("{failed} of 4 checks failed");
    }
    Ok(())
}

async fn within<E: std::fmt::Display>(
    ping: impl Future<Output = std::result::Result<(), E>>,
) -> std::result::Result<(), String> {
    match tokio::time::timeout(PATIENCE, ping).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

fn report(name: &str, result: std::result::Result<(), String>, advice: &str) -> usize {
    match result {
        Ok(()) => {
            say(&format!("ok    {name}"));
            0
        }
        Err(cause) => {
            say(&format!("FAIL  {name}: {cause}\n      {advice}"));
            1
        }
    }
}

/// The checks go on, and so does the exit code, although nobody reads them.
fn say(line: &str) {
    let _ = terminal::print(format!("{line}\n"));
}
