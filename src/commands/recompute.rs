//! `citypulse recompute`: views of some dates anew from the raw tables. It opens the
//! lake alone, so it also works beside an instance that holds the data folder.

use std::ops::RangeInclusive;

use anyhow::{Result, bail};
use lake::View;
use views::Views;

use crate::cli::RecomputeArgs;
use crate::commands::maintain::date;
use crate::commands::replay::{bad_usage, stop_on_signal};
use crate::config::Config;
use crate::platform;
use crate::progress::Display;
use crate::terminal::print;

/// Runs it; what was asked to stop has changed nothing.
pub async fn run(config: Config, args: RecomputeArgs) -> Result<()> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        bad_usage::<()>(format!("--from {} is after --to {}", date(from), date(to)));
    }
    let lake = platform::open_lake(&config).await?;
    let streets = platform::open_streets(&config)?;
    let views = platform::views(&config, lake, streets)?;
    match (args.from, args.to) {
        (Some(from), Some(to)) => compute(&views, &args, from..=to).await,
        _ => settle(&views, &args).await,
    }
}

async fn compute(views: &Views, args: &RecomputeArgs, dates: RangeInclusive<i32>) -> Result<()> {
    let stop = stop_on_signal()?;
    let mut display = Display::new(&format!(
        "{} to {}",
        date(*dates.start()),
        date(*dates.end())
    ));
    let bar = display.handle();
    let show = |progress: views::Progress| display.rows(progress.rows, progress.total_rows);
    let done = views
        .recompute(&args.view.0, dates.clone(), args.as_new, show, &stop)
        .await;
    bar.clear();
    for done in done? {
        let name = match args.as_new {
            true => done.view.draft_name(),
            false => done.view.name(),
        };
        let (dates, rows) = (done.dates, done.rows);
        print(format!("{name}: {dates} dates, {rows} rows\n"))?;
    }
    if args.as_new {
        for view in &args.view.0 {
            compare(views, *view, dates.clone()).await?;
        }
    }
    Ok(())
}

/// Adopts or drops drafts; fails where none of the views has one.
async fn settle(views: &Views, args: &RecomputeArgs) -> Result<()> {
    let mut without = Vec::new();
    for view in &args.view.0 {
        let draft = view.draft_name();
        let done = match (args.adopt, args.drop_draft) {
            (true, _) => views.adopt(*view).await?.map(|done| {
                format!(
                    "{view}: {} dates, {} rows of {draft}",
                    done.dates, done.rows
                )
            }),
            (false, true) => match views.drop_draft(*view).await? {
                0 => None,
                dates => Some(format!("{draft}: {dates} dates removed")),
            },
            (false, false) => None,
        };
        match done {
            Some(done) => print(format!("{done}\n"))?,
            None => without.push(format!("{view} has no draft ({draft})")),
        }
    }
    match without.len() == args.view.0.len() {
        true => bail!("{}", without.join(", ")),
        false => Ok(()),
    }
}

async fn compare(views: &Views, view: View, dates: RangeInclusive<i32>) -> Result<()> {
    let differences = views.difference(view, dates).await?;
    for on in &differences {
        print(format!(
            "{view} {}: {} rows added, {} removed, {} changed, {} the same\n",
            date(on.date),
            on.added,
            on.removed,
            on.changed,
            on.same
        ))?;
    }
    if differences.is_empty() {
        print(format!("{view}: no rows on these dates, here or there\n"))?;
    }
    Ok(())
}
