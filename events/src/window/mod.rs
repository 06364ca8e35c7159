//! Windows over event time, and how far event time has come.
//!
//! The speed layer keeps one kind of window only, the pane of one minute. Larger
//! and sliding windows are merges of panes, made when somebody asks.

mod pane;

use std::fmt;
use std::str::FromStr;

pub use pane::{Merged, Pane, WindowKind, merge_panes, recorded_sketch};

/// The length of a pane, microseconds: one minute.
pub const PANE_US: i64 = 60_000_000;

/// A half-open span of event time, `start_us..end_us`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    /// First microsecond inside.
    pub start_us: i64,
    /// First microsecond after it.
    pub end_us: i64,
}

impl Window {
    /// Whether `timestamp_us` lies inside.
    pub fn contains(&self, timestamp_us: i64) -> bool {
        (self.start_us..self.end_us).contains(&timestamp_us)
    }
}

/// Windows of one size, side by side, aligned to the epoch: every instant is in
/// exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tumbling {
    /// Length of a window, microseconds, at least 1.
    pub size_us: i64,
}

impl Tumbling {
    /// The window that `timestamp_us` is in.
    ///
    /// # Panics
    /// When `size_us` is 0.
    pub fn window_of(self, timestamp_us: i64) -> Window {
        let start_us = timestamp_us.saturating_sub(timestamp_us.rem_euclid(self.size_us));
        Window {
            start_us,
            end_us: start_us.saturating_add(self.size_us),
        }
    }
}

/// Windows of one size that begin every `step_us`, aligned to the epoch: an
/// instant is in `size_us / step_us` of them. Where step and size are equal they
/// are tumbling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sliding {
    /// Length of a window, microseconds: a multiple of `step_us`.
    pub size_us: i64,
    /// From the beginning of one to that of the next, microseconds, at least 1.
    pub step_us: i64,
}

impl Sliding {
    /// Those that can be asked for, by the text that asks for them.
    pub const OFFERED: [(&str, Sliding); 4] = [
        ("1m", Sliding::panes(1, 1)),
        ("5m", Sliding::panes(5, 5)),
        ("15m", Sliding::panes(15, 15)),
        ("5m/1m", Sliding::panes(5, 1)),
    ];

    const fn panes(size: i64, step: i64) -> Self {
        Self {
            size_us: size * PANE_US,
            step_us: step * PANE_US,
        }
    }

    /// The windows that `timestamp_us` is in, the earliest first.
    ///
    /// # Panics
    /// When `step_us` is 0.
    pub fn windows_of(self, timestamp_us: i64) -> impl Iterator<Item = Window> {
        let last = Tumbling {
            size_us: self.step_us,
        }
        .window_of(timestamp_us)
        .start_us;
        let count = self.size_us / self.step_us;
        (0..count).rev().map(move |steps_back| {
            let start_us = last.saturating_sub(steps_back * self.step_us);
            Window {
                start_us,
                end_us: start_us.saturating_add(self.size_us),
            }
        })
    }
}

impl FromStr for Sliding {
    type Err = UnknownWindows;

    fn from_str(text: &str) -> Result<Self, UnknownWindows> {
        let mut offered = Self::OFFERED.into_iter();
        let found = offered.find(|(name, _)| *name == text);
        found.map(|(_, windows)| windows).ok_or(UnknownWindows)
    }
}

impl fmt::Display for Sliding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}m", self.size_us / PANE_US)?;
        match self.step_us == self.size_us {
            true => Ok(()),
            false => write!(f, "/{}m", self.step_us / PANE_US),
        }
    }
}

/// A text that is none of [`Sliding::OFFERED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one of 1m, 5m, 15m, 5m/1m")]
pub struct UnknownWindows;

/// How far event time has come in one partition:
/// `min(max event time, max append time) - lateness`. It never goes back.
///
/// The append time bounds it, so that a device with its clock in the future
/// cannot close a window; the event time bounds it, so that a replay of old
/// recordings works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    lateness_us: i64,
    event_us_max: i64,
    appended_us_max: i64,
}

impl Watermark {
    /// Nothing seen yet; `lateness_us` is how long late events are waited for.
    pub fn new(lateness_us: i64) -> Self {
        Self {
            lateness_us,
            event_us_max: i64::MIN,
            appended_us_max: i64::MIN,
        }
    }

    /// Takes one event into account.
    pub fn observe(&mut self, event_us: i64, appended_us: i64) {
        self.event_us_max = self.event_us_max.max(event_us);
        self.appended_us_max = self.appended_us_max.max(appended_us);
    }

    /// The greatest event time and append time seen: what a checkpoint keeps, to
    /// be given to [`Watermark::observe`] after a restart.
    pub fn maxima(&self) -> (i64, i64) {
        (self.event_us_max, self.appended_us_max)
    }

    /// No more events before this instant are waited for; `i64::MIN` before the
    /// first event.
    pub fn current_us(&self) -> i64 {
        self.reached_us().saturating_sub(self.lateness_us)
    }

    /// How far event time has come; `i64::MIN` before the first event. A clock in the
    /// future counts as the time of its append.
    pub fn reached_us(&self) -> i64 {
        self.event_us_max.min(self.appended_us_max)
    }

    /// Whether an event of that time comes after its instant was given up.
    pub fn is_late(&self, event_us: i64) -> bool {
        event_us < self.current_us()
    }

    /// Whether nothing more is waited for in `window`.
    pub fn has_passed(&self, window: Window) -> bool {
        window.end_us <= self.current_us()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE_US: i64 = 60_000_000;

    #[test]
    fn instants_before_the_epoch_have_windows_too() {
        let minute = Tumbling { size_us: MINUTE_US };
        assert_eq!(
            minute.window_of(-1),
            Window {
                start_us: -MINUTE_US,
                end_us: 0
            }
        );
        assert_eq!(
            minute.window_of(0),
            Window {
                start_us: 0,
                end_us: MINUTE_US
            }
        );
        assert_eq!(minute.window_of(MINUTE_US).start_us, MINUTE_US);
    }

    #[test]
    fn a_clock_in_the_future_closes_nothing() {
        let mut watermark = Watermark::new(10);
        assert_eq!(watermark.current_us(), i64::MIN);
        watermark.observe(1_000, 1_000);
        watermark.observe(9_000, 1_001);
        assert_eq!(watermark.current_us(), 991);
        assert!(!watermark.has_passed(Window {
            start_us: 900,
            end_us: 1_000
        }));
    }

    #[test]
    fn a_replay_of_old_recordings_moves_by_event_time() {
        let mut watermark = Watermark::new(10);
        watermark.observe(100, 1_000_000);
        watermark.observe(200, 1_000_001);
        assert_eq!(watermark.current_us(), 190);
        assert!(watermark.is_late(189));
        assert!(!watermark.is_late(190));
    }

    #[test]
    fn windows_are_known_by_their_text() {
        for (text, windows) in Sliding::OFFERED {
            assert_eq!(text.parse(), Ok(windows));
            assert_eq!(windows.to_string(), text);
        }
        assert_eq!("2m".parse::<Sliding>(), Err(UnknownWindows));
    }

    proptest! {
        #[test]
        fn every_instant_is_in_all_its_sliding_windows_and_no_others(
            timestamp_us in -1_i64 << 60..1_i64 << 60,
            which in 0..Sliding::OFFERED.len(),
        ) {
            let sliding = Sliding::OFFERED[which].1;
            let windows: Vec<_> = sliding.windows_of(timestamp_us).collect();
            prop_assert_eq!(windows.len() as i64, sliding.size_us / sliding.step_us);
            for window in &windows {
                prop_assert!(window.contains(timestamp_us));
                prop_assert_eq!(window.start_us.rem_euclid(sliding.step_us), 0);
                prop_assert_eq!(window.end_us - window.start_us, sliding.size_us);
            }
            prop_assert!(windows.windows(2).all(|pair| pair[1].start_us - pair[0].start_us == sliding.step_us));
            let (first, last) = (windows[0], windows[windows.len() - 1]);
            prop_assert!(first.end_us - sliding.step_us <= timestamp_us);
            prop_assert!(last.start_us + sliding.step_us > timestamp_us);
        }

        #[test]
        fn every_instant_is_in_its_window(
            timestamp_us in -1_i64 << 60..1_i64 << 60,
            size_us in 1_i64..1 << 40,
        ) {
            let window = Tumbling { size_us }.window_of(timestamp_us);
            prop_assert!(window.contains(timestamp_us));
            prop_assert_eq!(window.end_us - window.start_us, size_us);
            prop_assert_eq!(window.start_us.rem_euclid(size_us), 0);
        }

        #[test]
        fn windows_do_not_overlap(
            one in -1_i64 << 60..1_i64 << 60,
            other in -1_i64 << 60..1_i64 << 60,
            size_us in 1_i64..1 << 40,
        ) {
            let windows = Tumbling { size_us };
            let (one, other) = (windows.window_of(one), windows.window_of(other));
            prop_assert!(one == other || one.end_us <= other.start_us || other.end_us <= one.start_us);
        }

        #[test]
        fn the_watermark_never_goes_back_and_keeps_its_bound(
            steps in prop::collection::vec((any::<i64>(), any::<i64>()), 1..50),
            lateness_us in 0_i64..1 << 40,
        ) {
            let mut watermark = Watermark::new(lateness_us);
            let (mut events, mut appends) = (i64::MIN, i64::MIN);
            for (event_us, appended_us) in steps {
                let before = watermark.current_us();
                watermark.observe(event_us, appended_us);
                events = events.max(event_us);
                appends = appends.max(appended_us);
                prop_assert!(watermark.current_us() >= before);
                prop_assert_eq!(watermark.current_us(), events.min(appends).saturating_sub(lateness_us));
            }
        }
    }
}
