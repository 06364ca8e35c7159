//! The judge of one device after the other.

use tracks::{Limits, Streets, Track, Tracker, Verdict};

use crate::source::FixRow;

/// Judges the fixes of one device, which may have come on several partitions, each of
/// them in log order. `X` is what its user keeps with each partition's track.
pub(crate) struct DeviceJudge<X> {
    limits: Limits,
    trackers: Vec<((i64, i32), Tracker<X>)>,
    /// Stands for the offset of rows that have none.
    count: i64,
}

impl<X: Default> DeviceJudge<X> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            trackers: Vec::new(),
            count: 0,
        }
    }

    /// Another device begins.
    pub(crate) fn clear(&mut self) {
        self.trackers.clear();
    }

    /// What the row is, for who looks at the log when `watermark_us` was reached;
    /// with [`i64::MIN`] for who has all of it.
    pub(crate) fn judge(
        &mut self,
        row: &FixRow<'_>,
        watermark_us: i64,
        streets: &Streets,
    ) -> Verdict {
        self.count += 1;
        let offset = row.offset.unwrap_or(self.count);
        let tracker = self.tracker(row.partition);
        tracker.judge_fix(&row.fix, offset, row.appended_at_us, watermark_us, streets)
    }

    fn tracker(&mut self, partition: (i64, i32)) -> &mut Tracker<X> {
        // Rows come partition by partition: it is the last one.
        let known = self.trackers.iter().rposition(|(of, _)| *of == partition);
        let at = known.unwrap_or_else(|| {
            let tracker = Tracker::new(self.limits.clone());
            self.trackers.push((partition, tracker));
            self.trackers.len() - 1
        });
        &mut self.trackers[at].1
    }

    /// The track that the row's partition has of the device.
    pub(crate) fn track_mut(&mut self, row: &FixRow<'_>) -> Option<&mut Track<X>> {
        let tracker = self.tracker(row.partition);
        let (slot, _) = tracker.by_id(row.fix.device_id)?;
        tracker.track_mut(slot)
    }
}
