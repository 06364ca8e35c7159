//! When windows of the whole city are closed, and when they can be dropped. Pure.

use bytes::Bytes;
use events::window::PANE_US;

use super::panes::pane_start;

/// Up to where windows are closed, and up to where they can be dropped, by group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(super) until_us: [i64; 2],
    pub(super) dropped_us: [i64; 2],
}

impl Default for Closed {
    fn default() -> Self {
        Self {
            until_us: [i64::MIN; 2],
            dropped_us: [i64::MIN; 2],
        }
    }
}

impl Closed {
    pub(crate) fn encode(&self) -> Bytes {
        let all = [self.until_us, self.dropped_us].concat();
        all.iter()
            .flat_map(|us| us.to_le_bytes())
            .collect::<Vec<u8>>()
            .into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<8>();
        let [a, b, c, d] = *words else {
            return None;
        };
        Some(Self {
            until_us: [a, b].map(i64::from_le_bytes),
            dropped_us: [c, d].map(i64::from_le_bytes),
        })
    }

    /// Everything that ends until then was closed: known from the log itself.
    pub(crate) fn at_least(&mut self, until_us: i64) {
        for us in &mut self.until_us {
            *us = (*us).max(until_us);
        }
    }
}

/// How far event time has come in a partition, and whether it counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) watermark_us: i64,
    /// The same without the lateness.
    pub(crate) reached_us: i64,
    /// For how long it has been idle, if it is.
    pub(crate) idle_for_us: Option<i64>,
}

/// How far event time has come in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupTime {
    /// The watermark that closes windows: the least of those that are not idle. Where all
    /// are, time goes on by the clock until the window of the newest event is closed: a
    /// city that falls silent, or a recording that ends, keeps none open.
    pub(crate) watermark_us: i64,
    /// The same for what is longer than one window: there the clock does not stop.
    pub(crate) clock_us: i64,
    /// The least of all partitions, idle or not.
    pub(crate) least_us: i64,
}

impl GroupTime {
    /// What the progress of its partitions amounts to.
    pub(crate) fn of(all: &[Progress]) -> Self {
        let busy = all.iter().filter(|p| p.idle_for_us.is_none());
        let all_idle = || {
            let newest_us = all.iter().map(|p| p.reached_us).max()?;
            let watermark_us = all.iter().map(|p| p.watermark_us).max()?;
            let silent_for_us = all.iter().filter_map(|p| p.idle_for_us).min()?;
            let closed_us = pane_start(newest_us).saturating_add(PANE_US);
            let clock_us = watermark_us.saturating_add(silent_for_us);
            Some((clock_us.min(closed_us), clock_us))
        };
        let busy = busy.map(|p| p.watermark_us).min();
        let both = busy.map(|us| (us, us)).or_else(all_idle);
        let (watermark_us, clock_us) = both.unwrap_or((i64::MIN, i64::MIN));
        Self {
            watermark_us,
            clock_us,
            least_us: all.iter().map(|p| p.watermark_us).min().unwrap_or(i64::MIN),
        }
    }
}
