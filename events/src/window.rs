//! Windows over event time, and how far event time has come.

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
        self.event_us_max
            .min(self.appended_us_max)
            .saturating_sub(self.lateness_us)
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

    proptest! {
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
