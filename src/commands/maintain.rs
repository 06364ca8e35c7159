//! `citypulse compact`, `vacuum` and `retention`: upkeep of the lake by hand. They open
//! the lake alone, so they also work beside an instance that holds the data folder.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use events::time::{DAY_US, format_rfc3339};
use lake::maintain::{
    CompactOptions, Compacted, PartitionPlan, Retention, VacuumOptions, lifecycle_rules,
};
use lake::{Lake, Table};
use tokio_util::sync::CancellationToken;

use crate::cli::{CompactArgs, RetentionArgs, VacuumArgs};
use crate::commands::replay::{bad_usage, stop_on_signal};
use crate::config::Config;
use crate::platform;
use crate::progress::{Display, bytes};
use crate::terminal::{print, tell};

/// `citypulse compact`
pub async fn compact(config: Config, args: CompactArgs) -> Result<()> {
    let lake = platform::open_lake(&config).await?;
    let options = CompactOptions {
        memory_bytes: config.maintenance.compact_memory_mib << 20,
        ..CompactOptions::default()
    };
    let stop = stop_on_signal()?;
    let mut plans = Vec::new();
    for table in tables(&args.table) {
        plans.extend(lake.compaction_plan(table, &options).await?);
    }
    if plans.is_empty() {
        return print("nothing to merge\n");
    }
    for (done, plan) in plans.iter().enumerate() {
        if args.dry_run {
            let (name, files) = (name(plan), plan.files.len());
            print(format!(
                "{name}: {files} files of {} would be merged\n",
                bytes(plan.bytes())
            ))?;
            continue;
        }
        let display = Display::new(&format!("{} ({}/{})", name(plan), done + 1, plans.len()));
        let merged = merge(&lake, plan, &options, display, &stop).await?;
        if stop.is_cancelled() {
            bail!("stopped; what was merged stays so, run it again to go on");
        }
        print(match merged {
            Some(done) => in_one_line(plan, &done),
            None => format!(
                "{}: somebody else has merged the same files; left as it is\n",
                name(plan)
            ),
        })?;
    }
    Ok(())
}

async fn merge(
    lake: &Arc<Lake>,
    plan: &PartitionPlan,
    options: &CompactOptions,
    mut display: Display,
    stop: &CancellationToken,
) -> Result<Option<Compacted>> {
    let bar = display.handle();
    let merged = lake
        .compact(
            plan,
            options,
            move |progress| display.rows(progress.rows, progress.total_rows),
            stop,
        )
        .await;
    bar.clear();
    Ok(merged?)
}

fn in_one_line(plan: &PartitionPlan, done: &Compacted) -> String {
    format!(
        "{}: {} files of {} are now {} of {}, {} rows\n",
        name(plan),
        done.files_before,
        bytes(done.bytes_before),
        done.files_after,
        bytes(done.bytes_after),
        done.rows
    )
}

fn name(plan: &PartitionPlan) -> String {
    format!("{} {}", plan.table, date(plan.date))
}

/// `citypulse vacuum`
pub async fn vacuum(config: Config, args: VacuumArgs) -> Result<()> {
    let hours = args
        .retain_hours
        .unwrap_or(config.maintenance.vacuum_retain_hours);
    let least = config.longest_job_hours();
    if hours < least && !args.force && !args.dry_run {
        bad_usage::<()>(format!(
            "--retain-hours {hours} is shorter than a job may run ({least} h), and a job in another process \
             may be reading what was replaced; expected {least} or more, or --force where no job runs"
        ));
    }
    let lake = platform::open_lake(&config).await?;
    let options = VacuumOptions {
        retain: Duration::from_secs(hours * 3600),
        ..VacuumOptions::default()
    };
    let now_ms = now_us()? / 1_000;
    let would = if args.dry_run {
        "would be removed"
    } else {
        "removed"
    };
    let mut any = false;
    for table in tables(&args.table) {
        let vacuumed = lake.vacuum(table, &options, now_ms, args.dry_run).await?;
        if vacuumed.removed.is_empty() && vacuumed.too_young == 0 {
            continue;
        }
        any = true;
        let (files, size) = (vacuumed.removed.len(), bytes(vacuumed.bytes));
        let young = vacuumed.too_young;
        print(format!(
            "{table}: {files} files of {size} {would}, {young} are not old enough\n"
        ))?;
    }
    if !any {
        print("nothing to remove\n")?;
    }
    tell(&format!(
        "Readers in other processes keep what was replaced for {hours} h; a query that runs longer on an old version may fail. \
         What an instance's own schedule removes spares all that the instance itself reads."
    ));
    Ok(())
}

/// `citypulse retention`
pub async fn retention(config: Config, args: RetentionArgs) -> Result<()> {
    if args.lifecycle {
        return lifecycle(&config);
    }
    let lake = platform::open_lake(&config).await?;
    let by_date = Retention {
        grace: Duration::ZERO,
        ..platform::retention(&config)
    };
    let retention = match args.no_grace {
        true => by_date.clone(),
        false => platform::retention(&config),
    };
    let now_us = now_us()?;
    let would = if args.dry_run {
        "would be removed"
    } else {
        "removed"
    };
    let mut any = false;
    let mut too_young = 0;
    for table in tables(&args.table) {
        let old = lake.expire(table, &by_date, now_us, true).await?;
        let expired = lake.expire(table, &retention, now_us, args.dry_run).await?;
        too_young += old.rows.saturating_sub(expired.rows);
        let dates = (
            expired.dates.first_key_value(),
            expired.dates.last_key_value(),
        );
        if let (Some((first, _)), Some((last, _))) = dates {
            any = true;
            print(format!(
                "{table}: {} dates from {} to {} {would}: {} files of {}, {} rows\n",
                expired.dates.len(),
                date(*first),
                date(*last),
                expired.dates.values().sum::<usize>(),
                bytes(expired.bytes),
                expired.rows
            ))?;
        }
    }
    if too_young > 0 {
        let days = config.retention.grace_days;
        tell(&format!(
            "{too_young} rows of dates that are older stay, because they arrived less than {days} days ago; \
             --no-grace removes them too."
        ));
    }
    if !any {
        return print("no date is older than its retention\n");
    }
    let hours = config.maintenance.vacuum_retain_hours;
    tell(&format!(
        "The space is free after `citypulse vacuum`, {hours} h after the removal at the earliest."
    ));
    Ok(())
}

fn lifecycle(config: &Config) -> Result<()> {
    let url = config.lake_url();
    let Some(place) = url.strip_prefix("s3://") else {
        bail!(
            "the lake at {url} is a folder; storage classes are a matter of S3 (lake.url or s3.bucket)"
        );
    };
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    print(format!("{:#}\n", lifecycle_rules(prefix)))?;
    tell(&format!(
        "For AWS S3. Set it with: aws s3api put-bucket-lifecycle-configuration --bucket {bucket} --lifecycle-configuration file://lifecycle.json\n\
         It takes the place of all rules that the bucket has. Other servers have no such storage classes: see docs/lake.md."
    ));
    Ok(())
}

fn tables(asked: &[Table]) -> Vec<Table> {
    match asked {
        [] => Table::all().collect(),
        asked => asked.to_vec(),
    }
}

pub(super) fn date(days: i32) -> String {
    let text = format_rfc3339(i64::from(days) * DAY_US);
    text.split('T').next().unwrap_or_default().to_owned()
}

fn now_us() -> Result<i64> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock stands before 1970")?;
    Ok(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
