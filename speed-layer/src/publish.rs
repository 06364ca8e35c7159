//! Counts of the state as metrics.

use std::collections::HashMap;

use events::Stream;
use metrics::{counter, gauge};

use crate::state::{Counts, State};

/// What was published so far.
#[derive(Default)]
pub(crate) struct Published {
    by_stream: HashMap<Stream, Counts>,
}

impl Published {
    /// Publishes what was counted since the last call.
    pub(crate) fn publish(&mut self, state: &State) {
        for (stream, now) in state.counts() {
            let before = self.by_stream.insert(stream, now).unwrap_or_default();
            let name = stream.name();
            let flagged = |reason: &'static str, count: u64| {
                counter!("citypulse_speed_flagged_fixes_total", "stream" => name, "reason" => reason)
                    .increment(count);
            };
            flagged("null_island", now.null_island - before.null_island);
            flagged("teleport", now.teleports - before.teleports);
            flagged("inaccurate", now.inaccurate - before.inaccurate);
            counter!("citypulse_speed_events_total", "stream" => name)
                .increment(now.events - before.events);
            counter!("citypulse_speed_duplicates_total", "stream" => name)
                .increment(now.duplicates - before.duplicates);
            counter!("citypulse_speed_out_of_order_total", "stream" => name)
                .increment(now.out_of_order - before.out_of_order);
            counter!("citypulse_speed_late_total", "stream" => name)
                .increment(now.late - before.late);
        }
        let sizes = state.sizes();
        gauge!("citypulse_speed_devices").set(sizes.devices as f64);
        gauge!("citypulse_alerts_active").set(state.active_alerts() as f64);
        gauge!("citypulse_speed_panes").set(sizes.panes as f64);
        gauge!("citypulse_speed_ids").set(sizes.ids as f64);
        counter!("citypulse_speed_ids_forgotten_total").absolute(sizes.ids_forgotten);
        counter!("citypulse_speed_panes_refused_total").absolute(sizes.panes_refused);
        counter!("citypulse_speed_windows_missed_total").absolute(sizes.windows_missed);
        counter!("citypulse_speed_windows_corrected_total").absolute(sizes.windows_corrected);
        counter!("citypulse_alerts_dropped_total").absolute(sizes.alerts_dropped);
    }
}
