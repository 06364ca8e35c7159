//! How far event time has come, as far as panes tell.

/// Told pane by pane, in any order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// The end of the newest closed pane.
    closed_us: i64,
    /// Where the clock has brought event time since then.
    by_clock_us: i64,
    has_open: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            closed_us: i64::MIN,
            by_clock_us: i64::MIN,
            has_open: false,
        }
    }
}

impl Progress {
    /// There is a pane that is not closed.
    pub fn open(&mut self) {
        self.has_open = true;
    }

    /// There is a closed pane that ends at `end_us`; `since_us` ago event time had
    /// come to `reached_us`.
    pub fn closed(&mut self, end_us: i64, reached_us: i64, since_us: i64) {
        let seen = (end_us, reached_us.saturating_add(since_us.max(0)));
        (self.closed_us, self.by_clock_us) = seen.max((self.closed_us, self.by_clock_us));
    }

    /// Windows that end here or before do not change any more: those before the end
    /// of the newest closed pane. Where no pane is open, because the city fell silent
    /// or a recording ended, event time goes on by the clock, as for the speed layer
    /// that closed the last one.
    pub fn watermark_us(&self) -> i64 {
        match self.has_open {
            true => self.closed_us,
            false => self.closed_us.max(self.by_clock_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use events::window::PANE_US;

    use super::*;

    #[test]
    fn time_goes_on_by_the_clock_only_where_every_pane_is_closed() {
        let mut progress = Progress::default();
        assert_eq!(progress.watermark_us(), i64::MIN);
        progress.closed(2 * PANE_US, 2 * PANE_US, 9 * PANE_US);
        // An earlier one that was closed longer ago tells nothing.
        progress.closed(PANE_US, PANE_US, 60 * PANE_US);
        assert_eq!(progress.watermark_us(), 11 * PANE_US);
        progress.open();
        assert_eq!(progress.watermark_us(), 2 * PANE_US);
    }
}
