//! What was measured, window by window: panes of the hot store and, for the time
//! before those, of the table `windows`, merged into the windows asked for.
//!
//! Enters: kind, key, span. Leaves: windows in order of their start, the newest
//! `limit` of them. Promises: count, minimum and maximum are exact, the mean to
//! the last digits of a double; a quantile is within 1 % or null, never guessed.
//! Never: reads more than a bounded number of panes.

mod gather;
mod history;
mod hot;
mod progress;

use std::collections::BTreeMap;

use events::time::format_rfc3339;
use events::window::{Merged, PANE_US, Sliding, Tumbling, WindowKind, merge_panes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::state::Shared;
use gather::Gathered;

/// The most panes that one answer is made of, where it has no smaller limit.
const PANES_MAX: usize = 100_000;

/// How long ago panes may have ended and still all be in the hot store: their time
/// to live, which begins when they were last written.
pub(crate) const HOT_US: i64 = 20 * PANE_US;

/// Which windows are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub kind: WindowKind,
    /// Of one thing, or of all of the kind.
    pub key: Option<String>,
    pub windows: Sliding,
    /// Windows that begin at this instant or later.
    pub from_us: i64,
    /// Windows that begin before this instant.
    pub to_us: i64,
    pub limit: usize,
}

impl Wanted {
    /// The starts of the panes that such windows are made of: first, and the one
    /// that is no longer wanted.
    fn panes(&self) -> (i64, i64) {
        let minutes = Tumbling { size_us: PANE_US };
        let first = minutes.window_of(self.from_us).start_us;
        let last = self.to_us.saturating_add(self.windows.size_us - PANE_US);
        (first, last)
    }

    /// Panes of one thing in one window.
    fn panes_per_window(&self) -> usize {
        (self.windows.size_us / PANE_US) as usize
    }
}

/// What was measured of one thing in one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "key": "881f25a933fffff", "window_start": "2026-03-01T08:10:00Z", "window_end": "2026-03-01T08:15:00Z",
    "count": 412, "mean": 31.7, "min": 0.0, "max": 78.4, "p50": 33.1, "p90": 52.0, "p99": 71.2,
    "vehicles": null, "final": true
}))]
pub struct WindowFigures {
    /// Which segment, cell or station reading; `speed` for the city.
    pub key: String,
    /// The first instant inside.
    pub window_start: String,
    /// The first instant after it.
    pub window_end: String,
    /// How many values.
    pub count: u64,
    /// Their arithmetic mean: km/h, or the reading's unit.
    pub mean: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The median, within 1 %; null for windows of several minutes of which some were recorded without a sketch, as earlier versions did.
    pub p50: Option<f64>,
    /// Nine of ten values are at most this; null as `p50`.
    pub p90: Option<f64>,
    /// 99 of 100 values are at most this; null as `p50`.
    pub p99: Option<f64>,
    /// How many different vehicles; null for stations, and for windows of which several minutes have values: a vehicle that is in two of them is one.
    pub vehicles: Option<u64>,
    /// It does not change any more.
    #[serde(rename = "final")]
    pub is_final: bool,
}

/// `GET /api/windows/{kind}`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WindowsAnswer {
    /// segment, cell, station or city.
    pub kind: String,
    /// 1m, 5m, 15m or 5m/1m.
    pub size: String,
    /// By start, then by key.
    pub windows: Vec<WindowFigures>,
    /// There are earlier ones, which `limit` left out.
    pub truncated: bool,
}

/// Reads and merges.
pub(crate) async fn read(
    app: &Shared,
    wanted: &Wanted,
    now_us: i64,
) -> Result<WindowsAnswer, Problem> {
    let mut gathered = Gathered::default();
    let (first_us, _) = wanted.panes();
    // A pane is written last when it has ended, or later.
    let is_history = first_us < now_us.saturating_sub(HOT_US + PANE_US);
    if is_history {
        history::read(app.deps.engine.as_ref(), wanted, now_us, &mut gathered).await?;
    }
    hot::read(app.deps.hot.as_ref(), wanted, &mut gathered)
        .await
        .map_err(|error| Problem::unavailable(format!("windows cannot be read: {error}")))?;
    if wanted.panes_per_window() > 1 {
        hot::follow_the_city(app.deps.hot.as_ref(), &mut gathered)
            .await
            .map_err(|error| Problem::unavailable(format!("windows cannot be read: {error}")))?;
        if is_history {
            history::follow_the_city(app.deps.engine.as_ref(), now_us, &mut gathered).await?;
        }
    }
    Ok(answer(wanted, &gathered, gathered.progress.watermark_us()))
}

fn answer(wanted: &Wanted, gathered: &Gathered, watermark_us: i64) -> WindowsAnswer {
    let mut by_start: BTreeMap<(i64, &str), Merged> = BTreeMap::new();
    for (key, panes) in gathered.by_key() {
        for merged in merge_panes(wanted.windows, panes, watermark_us) {
            let start_us = merged.window.start_us;
            // Windows that reach out of the span at its beginning are not whole.
            if (wanted.from_us..wanted.to_us).contains(&start_us)
                && start_us >= gathered.whole_from_us
            {
                by_start.insert((start_us, key), merged);
            }
        }
    }
    let left_out = by_start.len().saturating_sub(wanted.limit);
    let windows = by_start
        .into_iter()
        .skip(left_out)
        .map(|((start_us, key), merged)| figures(key, &merged, gathered.quantiles(key, start_us)))
        .collect();
    WindowsAnswer {
        kind: wanted.kind.name().to_owned(),
        size: wanted.windows.to_string(),
        windows,
        truncated: left_out > 0 || gathered.whole_from_us > i64::MIN,
    }
}

/// `stored` are the quantiles of a recorded pane, which may have no sketch.
fn figures(key: &str, merged: &Merged, stored: Option<[Option<f64>; 3]>) -> WindowFigures {
    let moments = &merged.aggregate.moments;
    let is_sketched = merged.aggregate.sketch.count() == moments.count;
    let is_pane = merged.window.end_us - merged.window.start_us == PANE_US;
    let [p50, p90, p99] = match stored {
        _ if is_sketched => [0.5, 0.9, 0.99].map(|q| merged.aggregate.quantile(q)),
        Some(stored) if is_pane => stored,
        _ => [None; 3],
    };
    WindowFigures {
        key: key.to_owned(),
        window_start: format_rfc3339(merged.window.start_us),
        window_end: format_rfc3339(merged.window.end_us),
        count: moments.count,
        // Windows without values are not made.
        mean: moments.mean().unwrap_or_default(),
        min: moments.min,
        max: moments.max,
        p50,
        p90,
        p99,
        vehicles: merged.vehicles,
        is_final: merged.is_final,
    }
}

#[cfg(test)]
mod tests {
    use events::window::Pane;

    use super::*;

    const NOON_US: i64 = 1_700_049_600_000_000;

    fn pane(key: &str, minute: i64, values: &[f64], is_final: bool) -> Pane {
        Pane {
            kind: WindowKind::Cell,
            key: key.to_owned(),
            start_us: NOON_US + minute * PANE_US,
            aggregate: values.iter().copied().collect(),
            vehicles: Some(1),
            is_final,
        }
    }

    fn wanted(size: &str, from_minute: i64, to_minute: i64, limit: usize) -> Wanted {
        Wanted {
            kind: WindowKind::Cell,
            key: None,
            windows: size.parse().expect("offered"),
            from_us: NOON_US + from_minute * PANE_US,
            to_us: NOON_US + to_minute * PANE_US,
            limit,
        }
    }

    fn starts(answer: &WindowsAnswer) -> Vec<String> {
        let windows = answer.windows.iter();
        windows
            .map(|window| format!("{} {}", &window.window_start[11..16], window.key))
            .collect()
    }

    #[test]
    fn the_newest_are_kept_in_order() {
        let mut gathered = Gathered::default();
        for minute in 0..5 {
            for key in ["b", "a"] {
                gathered.hot(pane(key, minute, &[1.0], true));
            }
        }
        let answer = answer(&wanted("1m", 0, 4, 3), &gathered, i64::MIN);
        assert_eq!(starts(&answer), ["12:02 b", "12:03 a", "12:03 b"]);
        assert!(answer.truncated);
    }

    #[test]
    fn sliding_windows_that_begin_in_the_span_are_whole() {
        let mut gathered = Gathered::default();
        for minute in 0..7 {
            gathered.hot(pane("a", minute, &[minute as f64], true));
        }
        let wanted = wanted("5m/1m", 1, 3, 10);
        assert_eq!(wanted.panes(), (NOON_US + PANE_US, NOON_US + 7 * PANE_US));
        let answer = answer(&wanted, &gathered, NOON_US + 6 * PANE_US);
        assert_eq!(starts(&answer), ["12:01 a", "12:02 a"]);
        let first = &answer.windows[0];
        assert_eq!(
            (first.count, first.mean, first.min, first.max),
            (5, 3.0, 1.0, 5.0)
        );
        assert_eq!((first.vehicles, first.is_final), (None, true));
        assert!(!answer.windows[1].is_final);
        assert!(!answer.truncated);
    }

    #[test]
    fn history_gives_exact_moments_and_no_guessed_quantiles() {
        let mut gathered = Gathered::default();
        let mut old = pane("a", 0, &[10.0, 20.0], true);
        old.aggregate.sketch = Default::default();
        gathered.stored(old, [Some(10.0), Some(20.0), Some(20.0)], 1);
        gathered.hot(pane("a", 1, &[60.0], false));
        let minutes = answer(&wanted("1m", 0, 2, 10), &gathered, i64::MIN);
        assert_eq!(minutes.windows[0].p90, Some(20.0));
        assert_eq!(
            (minutes.windows[1].p50, minutes.windows[1].is_final),
            (Some(60.0), false)
        );
        let larger = answer(&wanted("5m", 0, 5, 10), &gathered, i64::MAX);
        let window = &larger.windows[0];
        assert_eq!((window.count, window.mean, window.max), (3, 30.0, 60.0));
        assert_eq!((window.p50, window.is_final), (None, false));
    }

    #[test]
    fn a_final_hot_pane_wins_over_its_record_and_an_open_one_does_not() {
        let mut gathered = Gathered::default();
        let mut old = pane("a", 0, &[10.0, 20.0], true);
        old.aggregate.sketch = Default::default();
        gathered.stored(old.clone(), [Some(10.0); 3], 1);
        gathered.hot(pane("a", 0, &[10.0], false));
        let counts = |gathered: &Gathered| {
            let answer = answer(&wanted("1m", 0, 1, 10), gathered, i64::MIN);
            (answer.windows[0].count, answer.windows[0].p99)
        };
        assert_eq!(counts(&gathered), (2, Some(10.0)));
        gathered.hot(pane("a", 0, &[10.0, 20.0], true));
        let (count, p99) = counts(&gathered);
        assert_eq!(count, 2);
        assert!(p99.is_some_and(|p99| p99 > 10.0 || p99 < 20.0));
    }
}
