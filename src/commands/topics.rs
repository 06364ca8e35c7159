//! `citypulse topics`

use anyhow::{Result, bail};

use crate::config::Config;
use crate::instance::running_address;
use crate::platform::Platform;
use crate::terminal;

/// Creates the missing topics and lists what each retains.
pub async fn run(config: Config) -> Result<()> {
    if !config.uses_kafka()
        && let Some(address) = running_address(&config.data_dir)
    {
        bail!(
            "the log in {} is in use by the instance at {address}; {address}/api/lag says how far its \
             topics are",
            config.data_dir.display()
        );
    }
    let mut platform = Platform::new(config)?;
    let log = platform.open_log()?;
    let specs = platform.topic_specs();
    log.create_topics(&specs).await?;
    let mut table = format!(
        "{:<40} {:>9} {:>14} {:>14} {:>14}\n",
        "topic", "partition", "oldest", "next", "records"
    );
    for spec in specs {
        for bounds in log.bounds(&spec.name).await? {
            let records = bounds.end - bounds.start;
            let partition = bounds.partition;
            table.push_str(&format!(
                "{:<40} {:>9} {:>14} {:>14} {:>14}\n",
                partition.topic, partition.partition, bounds.start, bounds.end, records
            ));
        }
    }
    platform.close().await?;
    terminal::print(table)
}
