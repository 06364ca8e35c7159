//! Panes that are still in the hot store.

use std::collections::BTreeMap;
use std::time::Duration;

use events::window::{PANE_US, Pane, WindowKind};
use hot_store::keys::{parse_window_id, window_id};
use hot_store::{HotStore, Kind, Result};

use super::Wanted;
use super::gather::Gathered;
use super::progress::Progress;

/// Up to so many minutes are asked for by name; of a longer span, the names that
/// there are are looked up first.
const NAMED_MAX: i64 = 3_000;

/// Values fetched at once.
const FETCHED_AT_ONCE: usize = 1_000;

/// How far beyond the newest pane the watermark is looked for, minutes: the
/// longest window, within which the city's own panes tell it.
const PROBED_MINUTES: i64 = 20;

/// Adds the hot panes that `wanted` is made of.
pub(super) async fn read(
    hot: &dyn HotStore,
    wanted: &Wanted,
    gathered: &mut Gathered,
) -> Result<()> {
    let (first_us, last_us) = wanted.panes();
    let ids = match &wanted.key {
        Some(key) if last_us.saturating_sub(first_us) <= NAMED_MAX * PANE_US => {
            let starts = (0..NAMED_MAX).map(|minute| first_us.saturating_add(minute * PANE_US));
            let starts = starts.take_while(|start_us| *start_us < last_us);
            starts
                .map(|start_us| window_id(wanted.kind, key, start_us))
                .collect()
        }
        _ => newest(hot, wanted, gathered).await?,
    };
    for ids in ids.chunks(FETCHED_AT_ONCE) {
        for entry in hot.get_many(Kind::Window, ids).await?.into_iter().flatten() {
            match Pane::from_json(&entry.value) {
                Some(pane) => {
                    see(&pane, entry.expires_in, &mut gathered.progress);
                    gathered.hot(pane);
                }
                None => tracing::warn!(id = entry.id, "hot value is no pane and is not shown"),
            }
        }
    }
    Ok(())
}

/// The names of the newest panes in the span, whole minutes, as many as the limit
/// needs.
async fn newest(
    hot: &dyn HotStore,
    wanted: &Wanted,
    gathered: &mut Gathered,
) -> Result<Vec<String>> {
    let (first_us, last_us) = wanted.panes();
    let prefix = match &wanted.key {
        Some(key) => format!("{}:{key}:", wanted.kind),
        None => format!("{}:", wanted.kind),
    };
    let mut minutes: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for id in hot.ids(Kind::Window, &prefix).await? {
        let Some((key, start_us)) = parse_window_id(wanted.kind, &id) else {
            continue;
        };
        let is_key = wanted.key.as_deref().is_none_or(|wanted| wanted == key);
        if is_key && (first_us..last_us).contains(&start_us) {
            minutes.entry(start_us).or_default().push(id);
        }
    }
    let needed = wanted.limit.saturating_mul(wanted.panes_per_window());
    let mut ids = Vec::new();
    for (start_us, of_minute) in minutes.into_iter().rev() {
        if ids.len() >= needed {
            // What began earlier is left out, rather than shown without its beginning.
            gathered.whole_from_us = gathered.whole_from_us.max(start_us.saturating_add(PANE_US));
            break;
        }
        ids.extend(of_minute);
    }
    Ok(ids)
}

/// Looks at the city's panes in and after the newest window that there is.
pub(super) async fn follow_the_city(hot: &dyn HotStore, gathered: &mut Gathered) -> Result<()> {
    let Some(newest_us) = gathered.panes().map(|pane| pane.start_us).max() else {
        return Ok(());
    };
    let probed: Vec<String> = (0..PROBED_MINUTES)
        .map(|minute| newest_us.saturating_add(minute * PANE_US))
        .map(|start_us| window_id(WindowKind::City, WindowKind::CITY_SPEED, start_us))
        .collect();
    let city = hot.get_many(Kind::Window, &probed).await?;
    for entry in city.into_iter().flatten() {
        if let Some(pane) = Pane::from_json(&entry.value) {
            see(&pane, entry.expires_in, &mut gathered.progress);
        }
    }
    Ok(())
}

/// A pane's time to live counts from its newest event, before which event time had
/// come to its start. The speed layer waits for late events; a minute stands for
/// that.
fn see(pane: &Pane, expires_in: Duration, progress: &mut Progress) {
    if !pane.is_final {
        return progress.open();
    }
    let age = Kind::Window.time_to_live().saturating_sub(expires_in);
    let since_us = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    let reached_us = pane.start_us.saturating_sub(PANE_US);
    progress.closed(pane.window().end_us, reached_us, since_us);
}
