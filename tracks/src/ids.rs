//! Which events were there already, by minute of event time.

use std::collections::HashSet;

use bytes::Bytes;
use events::Offset;
use events::window::PANE_US;

use crate::hash::Identity;

/// A change to the stored ids: `{minute's start}:{offset}`, eight bytes an id,
/// or `None` to delete.
pub type IdsCell = (String, Option<Bytes>);

/// The ids of the minutes that are still open.
#[derive(Debug)]
pub(crate) struct Ids {
    /// Ascending by start.
    minutes: Vec<Minute>,
    removed: Vec<String>,
    count: usize,
    limit: usize,
    /// Ids that were forgotten because there were too many.
    pub(crate) forgotten: u64,
}

#[derive(Debug)]
struct Minute {
    start_us: i64,
    known: HashSet<u64, Identity>,
    /// Not yet in a cell.
    fresh: Vec<u64>,
    cells: Vec<String>,
}

impl Ids {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            minutes: Vec::new(),
            removed: Vec::new(),
            count: 0,
            limit: limit.max(1),
            forgotten: 0,
        }
    }

    /// Remembers an id; false when it is known.
    pub(crate) fn insert(&mut self, start_us: i64, id: u64, watermark_us: i64) -> bool {
        if self.count >= self.limit {
            self.close(watermark_us);
        }
        let minute = self.minute(start_us);
        if !minute.known.insert(id) {
            return false;
        }
        minute.fresh.push(id);
        self.count += 1;
        if self.count > self.limit {
            self.forget_oldest();
        }
        true
    }

    fn minute(&mut self, start_us: i64) -> &mut Minute {
        // The newest one, nearly always.
        let at = match self.minutes.iter().rposition(|m| m.start_us <= start_us) {
            Some(at) if self.minutes[at].start_us == start_us => return &mut self.minutes[at],
            Some(at) => at + 1,
            None => 0,
        };
        // Mostly as many as in the minute before: growing to that costs more than all else.
        let before = self.minutes[..at].last();
        let before = before.filter(|before| before.start_us.saturating_add(PANE_US) == start_us);
        let expected = before.map_or(0, |before| before.known.len());
        let minute = Minute {
            start_us,
            known: HashSet::with_capacity_and_hasher(expected, Identity::default()),
            fresh: Vec::new(),
            cells: Vec::new(),
        };
        self.minutes.insert(at, minute);
        &mut self.minutes[at]
    }

    fn forget_oldest(&mut self) {
        let oldest = self.minutes.remove(0);
        self.count -= oldest.known.len();
        self.forgotten += oldest.known.len() as u64;
        self.removed.extend(oldest.cells);
    }

    /// Forgets the minutes that nothing can be added to any more.
    pub(crate) fn close(&mut self, watermark_us: i64) {
        while let Some(first) = self.minutes.first()
            && first.start_us.saturating_add(PANE_US) <= watermark_us
        {
            let closed = self.minutes.remove(0);
            self.count -= closed.known.len();
            self.removed.extend(closed.cells);
        }
    }

    /// What changed since the last call, for a checkpoint at `offset`.
    pub(crate) fn drain(&mut self, offset: Offset, cells: &mut Vec<IdsCell>) {
        cells.extend(self.removed.drain(..).map(|key| (key, None)));
        for minute in &mut self.minutes {
            if minute.fresh.is_empty() {
                continue;
            }
            let key = format!("{}:{offset}", minute.start_us);
            // Taken with its memory: a burst leaves none behind.
            let fresh = std::mem::take(&mut minute.fresh);
            let bytes: Vec<u8> = fresh.into_iter().flat_map(u64::to_le_bytes).collect();
            minute.cells.push(key.clone());
            cells.push((key, Some(bytes.into())));
        }
    }

    /// Takes a stored cell up; false where it is not one.
    pub(crate) fn restore(&mut self, key: &str, bytes: &[u8]) -> bool {
        let Some(start_us) = key.split(':').next().and_then(|text| text.parse().ok()) else {
            return false;
        };
        let (words, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return false;
        }
        let minute = self.minute(start_us);
        let before = minute.known.len();
        minute
            .known
            .extend(words.iter().map(|word| u64::from_le_bytes(*word)));
        minute.cells.push(key.to_owned());
        let added = minute.known.len() - before;
        self.count += added;
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }
}
