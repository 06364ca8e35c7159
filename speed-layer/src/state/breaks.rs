//! For how long a partition has been quiet, as against those whose windows are closed
//! with its own. Pure.

/// The newest break that partitions had together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Break {
    /// When the newest record that is known was appended, microseconds since the epoch.
    newest_us: i64,
    /// The same when the break began.
    began_us: i64,
    /// The same when records came again after it.
    ended_us: i64,
}

impl Default for Break {
    fn default() -> Self {
        Self {
            newest_us: i64::MIN,
            began_us: i64::MIN,
            ended_us: i64::MIN,
        }
    }
}

impl Break {
    /// Takes note of the newest append time of all these partitions.
    pub(crate) fn look(&mut self, newest_us: i64, idle_us: i64) {
        let is_first = self.newest_us == i64::MIN;
        if !is_first && newest_us.saturating_sub(self.newest_us) >= idle_us {
            self.began_us = self.newest_us;
            self.ended_us = newest_us;
        }
        self.newest_us = self.newest_us.max(newest_us);
    }

    /// Since when a partition has had nothing whose newest record was appended then.
    /// Nobody is quiet in a break that all have: who is read first afterwards must not
    /// close the others' windows. But who was quiet before it is so after it.
    pub(crate) fn quiet_since_us(&self, appended_us: i64, idle_us: i64) -> i64 {
        let was_quiet = self.began_us.saturating_sub(appended_us) > idle_us;
        match was_quiet {
            true => appended_us,
            false => appended_us.max(self.ended_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE_US: i64 = 10;

    fn looked(newest_us: impl IntoIterator<Item = i64>) -> Break {
        let mut all = Break::default();
        for newest_us in newest_us {
            all.look(newest_us, IDLE_US);
        }
        all
    }

    #[test]
    fn nobody_is_quiet_in_a_break_that_all_have() {
        let all = looked([100, 105, 500]);
        assert_eq!(all.quiet_since_us(105, IDLE_US), 500);
        assert_eq!(all.quiet_since_us(96, IDLE_US), 500);
        assert_eq!(all.quiet_since_us(503, IDLE_US), 503);
    }

    #[test]
    fn who_was_quiet_before_the_others_is_not_waited_for_each_time_they_speak() {
        let sparse = looked((100..).step_by(12).take(9));
        assert_eq!(sparse.quiet_since_us(90, IDLE_US), 90);
        assert_eq!(sparse.quiet_since_us(196, IDLE_US), 196);
    }

    #[test]
    fn without_a_break_the_last_record_counts() {
        assert_eq!(looked([]).quiet_since_us(7, IDLE_US), 7);
        assert_eq!(looked([100, 109, 118]).quiet_since_us(50, IDLE_US), 50);
    }
}
