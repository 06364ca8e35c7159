//! How far each partition was read, folded, stored and checkpointed.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use events::{Advance, Offset, Stream, TopicPartition};
use hot_store::Cell;

use crate::lag::Place;
use crate::state::{Slot, checkpoint_of};

/// From where a partition is read that was just assigned.
pub(crate) struct Start {
    /// The position that values and positions are as of.
    pub(crate) stored: Option<Offset>,
    /// Where reading begins: the checkpoint; `None` is the oldest record.
    pub(crate) read_from: Option<Offset>,
    uses_cells: bool,
}

/// A cell that only the first checkpoint of a partition's state writes. Where it
/// is missing, cells were lost since: the others are not the whole state.
const WHOLE: &str = "whole";

impl Start {
    /// `stored` is the stored position, `oldest` the oldest record that there is.
    pub(crate) fn of(cells: &[(String, Bytes)], stored: Option<Offset>, oldest: Offset) -> Self {
        let is_whole = cells.iter().any(|(key, _)| key == WHOLE);
        let checkpoint = checkpoint_of(cells).filter(|_| is_whole);
        let Some(position) = stored else {
            // Never written, or reset: cells would be of another life.
            return Self {
                stored: None,
                read_from: None,
                uses_cells: false,
            };
        };
        match checkpoint {
            // Nothing is left to catch up with.
            Some(_) if oldest >= position => Self {
                stored,
                read_from: stored,
                uses_cells: true,
            },
            Some(checkpoint) if checkpoint <= position => Self {
                stored,
                read_from: Some(checkpoint),
                uses_cells: true,
            },
            // Without its state, all that the log still has is folded again.
            _ => Self {
                stored,
                read_from: if oldest >= position { stored } else { None },
                uses_cells: false,
            },
        }
    }

    /// Whether records are read that were folded before.
    pub(crate) fn is_behind(&self) -> bool {
        self.stored.is_some() && self.read_from != self.stored
    }

    /// The cells to begin with.
    pub(crate) fn cells<'c>(&self, cells: &'c [(String, Bytes)]) -> &'c [(String, Bytes)] {
        if self.uses_cells { cells } else { &[] }
    }
}

/// One partition of this process.
pub(crate) struct Progress {
    pub(crate) slot: Slot,
    pub(crate) stream: Stream,
    /// The next record to fold.
    pub(crate) folded: Offset,
    /// Of the last record folded.
    pub(crate) appended_at_us: i64,
    /// The position in the store; `None` until the first write.
    stored: Option<Offset>,
    /// Folding up to here repeats what is stored.
    behind_until: Option<Offset>,
    checkpointed: Offset,
    checkpoint_due: Instant,
    is_whole_stored: bool,
}

impl Progress {
    pub(crate) fn new(slot: Slot, stream: Stream, start: &Start) -> Self {
        let folded = start.read_from.unwrap_or(-1);
        Self {
            slot,
            stream,
            folded,
            appended_at_us: 0,
            stored: start.stored,
            behind_until: start.stored.filter(|_| start.is_behind()),
            checkpointed: if start.uses_cells { folded } else { -1 },
            is_whole_stored: start.uses_cells,
            // Not all at the same time.
            checkpoint_due: Instant::now() + Duration::from_millis(u64::from(slot) % 16 * 50),
        }
    }

    /// Reading has begun at `from`.
    pub(crate) fn began(&mut self, from: Offset) {
        if self.stored.is_none() {
            self.stored = Some(from);
            self.folded = from;
        }
    }

    /// Whether what comes from `offset` on is new, after repetition; true once.
    pub(crate) fn passes(&mut self, offset: Offset) -> bool {
        self.behind_until
            .take_if(|until| offset >= *until)
            .is_some()
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.behind_until.is_some()
    }

    /// What the first checkpoint of a state that began empty says besides.
    pub(crate) fn first_checkpoint(&mut self, partition: &TopicPartition) -> Option<Cell> {
        let is_first = !std::mem::replace(&mut self.is_whole_stored, true);
        is_first.then(|| Cell {
            partition: partition.clone(),
            key: WHOLE.to_owned(),
            value: Some(Bytes::from_static(b"1")),
        })
    }

    /// A checkpoint at the folded position is in the next write.
    pub(crate) fn checkpointed(&mut self, interval_ms: u64) {
        self.checkpointed = self.folded;
        self.checkpoint_due = Instant::now() + Duration::from_millis(interval_ms);
    }

    fn advance(&self, partition: &TopicPartition) -> Option<Advance> {
        let from = self.stored?;
        Some(Advance {
            partition: partition.clone(),
            from,
            to: if self.is_behind() { from } else { self.folded },
        })
    }

    fn is_pending(&self) -> bool {
        !self.is_behind() && self.stored.is_some_and(|stored| self.folded > stored)
    }
}

/// Every partition of this process.
#[derive(Default)]
pub(crate) struct AllProgress {
    by_partition: HashMap<TopicPartition, Progress>,
}

impl AllProgress {
    pub(crate) fn insert(&mut self, partition: &TopicPartition, progress: Progress) {
        self.by_partition.insert(partition.clone(), progress);
    }

    pub(crate) fn remove(&mut self, partition: &TopicPartition) {
        self.by_partition.remove(partition);
    }

    pub(crate) fn get_mut(&mut self, partition: &TopicPartition) -> Option<&mut Progress> {
        self.by_partition.get_mut(partition)
    }

    pub(crate) fn partitions(&self) -> HashSet<TopicPartition> {
        self.by_partition.keys().cloned().collect()
    }

    /// Whether anything was folded that is not stored.
    pub(crate) fn is_pending(&self) -> bool {
        self.by_partition.values().any(Progress::is_pending)
    }

    /// What a write stores: an advance for each partition that went on, a fence
    /// for each other one.
    pub(crate) fn advances(&self) -> Vec<Advance> {
        let all = self.by_partition.iter();
        all.filter_map(|(id, progress)| progress.advance(id))
            .collect()
    }

    /// A write that is refused when any partition is another process's by now.
    pub(crate) fn fences(&self) -> Vec<Advance> {
        let mut fences = self.advances();
        for fence in &mut fences {
            fence.to = fence.from;
        }
        fences
    }

    /// The advances are in the store.
    pub(crate) fn stored(&mut self, advances: &[Advance]) {
        for advance in advances {
            if let Some(progress) = self.by_partition.get_mut(&advance.partition) {
                progress.stored = Some(advance.to);
            }
        }
    }

    /// The partitions whose checkpoint is due, the longest overdue first.
    pub(crate) fn due(&self, most: usize) -> HashSet<TopicPartition> {
        let now = Instant::now();
        let mut due: Vec<_> = self
            .by_partition
            .iter()
            .filter(|(_, progress)| {
                !progress.is_behind()
                    && progress.stored.is_some()
                    && progress.folded > progress.checkpointed
                    && progress.checkpoint_due <= now
            })
            .collect();
        due.sort_by_key(|(_, progress)| progress.checkpoint_due);
        due.into_iter()
            .take(most)
            .map(|(id, _)| id.clone())
            .collect()
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let begun = self
            .by_partition
            .iter()
            .filter(|(_, progress)| progress.folded >= 0);
        begun.map(|(partition, progress)| Place {
            partition,
            position: progress.folded,
            appended_at_us: progress.appended_at_us,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(checkpoint: Offset) -> Vec<(String, Bytes)> {
        let value = Bytes::copy_from_slice(&checkpoint.to_le_bytes());
        vec![
            ("checkpoint".to_owned(), value),
            (WHOLE.to_owned(), Bytes::from_static(b"1")),
        ]
    }

    #[test]
    fn cells_of_a_store_that_was_flushed_meanwhile_are_not_used() {
        let cells = &cells(10)[..1];
        let start = Start::of(cells, Some(15), 0);
        assert_eq!(start.read_from, None);
        assert!(start.cells(cells).is_empty());
        let mut progress = Progress::new(0, Stream::GpsData, &start);
        let id = TopicPartition::new("gps_data", 0);
        assert!(progress.first_checkpoint(&id).is_some());
        assert!(progress.first_checkpoint(&id).is_none());
    }

    #[test]
    fn reading_begins_at_the_checkpoint_and_is_new_from_the_position_on() {
        let start = Start::of(&cells(10), Some(15), 0);
        assert_eq!((start.read_from, start.is_behind()), (Some(10), true));
        let mut progress = Progress::new(0, Stream::GpsData, &start);
        assert!(!progress.passes(14));
        assert!(progress.passes(15));
        assert!(!progress.passes(16));
    }

    #[test]
    fn without_a_checkpoint_all_is_folded_again() {
        let start = Start::of(&[], Some(15), 3);
        assert_eq!((start.read_from, start.is_behind()), (None, true));
        let start = Start::of(&[], None, 3);
        assert!(!start.is_behind());
    }

    #[test]
    fn what_retention_took_is_not_waited_for() {
        assert!(!Start::of(&cells(10), Some(15), 15).is_behind());
        assert!(!Start::of(&[], Some(15), 20).is_behind());
        assert!(Start::of(&cells(10), Some(15), 14).is_behind());
    }

    #[test]
    fn a_partition_that_is_behind_only_fences() {
        let id = TopicPartition::new("gps_data", 0);
        let mut all = AllProgress::default();
        let start = Start::of(&cells(10), Some(15), 0);
        all.insert(&id, Progress::new(0, Stream::GpsData, &start));
        let advance = all.advances().remove(0);
        assert_eq!((advance.from, advance.to), (15, 15));
        assert!(!all.is_pending());
        let progress = all.get_mut(&id).unwrap();
        progress.folded = 20;
        assert!(progress.passes(20));
        let advance = all.advances().remove(0);
        assert_eq!((advance.from, advance.to), (15, 20));
        assert!(all.is_pending());
        all.stored(&[advance]);
        assert!(!all.is_pending());
        assert_eq!(all.fences()[0].to, 20);
    }
}
