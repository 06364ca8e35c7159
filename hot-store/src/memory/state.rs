//! The maps behind the embedded store. Pure: time is passed in.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use events::{Advance, Offset, TopicPartition};
use foldhash::fast::RandomState;

use crate::mailbox::Mailbox;
use crate::{Cell, Entry, Error, HotBatch, Kind, Notice, Result, Update};

/// Values whose time is over leave memory after at most this long, as long as
/// anything is written. Readers never see them.
const SWEEP_INTERVAL_US: i64 = 10_000_000;

type Map<K, V> = HashMap<K, V, RandomState>;

/// Everything the store holds.
#[derive(Default)]
pub(super) struct State {
    /// One map per kind, in the order of [`Kind::ALL`].
    values: [Map<Arc<str>, Stored>; Kind::ALL.len()],
    owners: HashMap<String, Owner>,
    watchers: Vec<Weak<Mailbox>>,
    /// Grows with every change.
    changes: u64,
    swept_us: i64,
}

struct Stored {
    value: Bytes,
    expires_us: i64,
}

#[derive(Default)]
struct Owner {
    positions: HashMap<TopicPartition, Offset>,
    cells: HashMap<TopicPartition, Map<Arc<str>, Bytes>>,
}

/// All of a state at one moment, cheap to take (handles, not bytes).
pub(super) struct Image {
    pub(super) changes: u64,
    pub(super) values: Vec<ImageValue>,
    pub(super) owners: Vec<ImageOwner>,
}

/// One value of an [`Image`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ImageValue {
    pub(super) kind: Kind,
    pub(super) id: Arc<str>,
    pub(super) value: Bytes,
    pub(super) expires_us: i64,
}

/// One owner of an [`Image`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ImageOwner {
    pub(super) name: String,
    pub(super) positions: Vec<(TopicPartition, Offset)>,
    pub(super) cells: Vec<(TopicPartition, Arc<str>, Bytes)>,
}

impl State {
    /// How often the state changed; equal counts mean an equal state.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether every advance begins where its partition stands.
    pub(super) fn check(&self, owner: &str, advances: &[Advance]) -> Result<()> {
        let Some(owner) = self.owners.get(owner) else {
            return Ok(());
        };
        for advance in advances {
            match owner.positions.get(&advance.partition) {
                Some(&stored) if stored != advance.from => {
                    return Err(Error::Conflict {
                        partition: advance.partition.clone(),
                        expected: advance.from,
                        stored,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes a checked batch the state.
    pub(super) fn apply(&mut self, owner: &str, batch: &HotBatch, now_us: i64) {
        self.changes += 1;
        for update in &batch.updates {
            self.put(update, now_us);
        }
        if !batch.cells.is_empty() || !batch.advances.is_empty() {
            self.owners
                .entry(owner.to_owned())
                .or_default()
                .advance(&batch.cells, &batch.advances);
        }
        if now_us.saturating_sub(self.swept_us) >= SWEEP_INTERVAL_US {
            self.sweep(now_us);
        }
    }

    fn put(&mut self, update: &Update, now_us: i64) {
        let values = &mut self.values[index(update.kind)];
        let id = update.kind.normal_id(&update.id);
        let Some(value) = &update.value else {
            values.remove(id);
            return;
        };
        // Copied: a slice of a larger buffer would keep all of that buffer.
        let value = Bytes::copy_from_slice(value);
        let time_to_live_us = update.time_to_live().as_micros() as i64;
        let stored = Stored {
            value,
            expires_us: now_us.saturating_add(time_to_live_us),
        };
        match values.get_mut(id) {
            Some(place) => *place = stored,
            None => {
                values.insert(id.into(), stored);
            }
        }
    }

    fn sweep(&mut self, now_us: i64) {
        self.swept_us = now_us;
        for values in &mut self.values {
            values.retain(|_, stored| stored.expires_us > now_us);
        }
    }

    /// Tells every watcher that is still there.
    pub(super) fn tell(&mut self, owner: &str, batch: &HotBatch) {
        self.watchers.retain(|watcher| watcher.strong_count() > 0);
        if self.watchers.is_empty() {
            return;
        }
        let told = batch.updates.iter().filter(|update| update.kind.is_told());
        let updates = told.map(|update| Update {
            id: update.kind.normal_id(&update.id).to_owned(),
            ..update.clone()
        });
        let notice = Arc::new(Notice {
            advances: batch.advances.clone(),
            updates: updates.collect(),
        });
        let watchers = self.watchers.iter().filter_map(Weak::upgrade);
        watchers.for_each(|mailbox| mailbox.push(owner, &notice));
    }

    /// Tells `mailbox` of every change from now on.
    pub(super) fn watch(&mut self, mailbox: &Arc<Mailbox>) {
        self.watchers.push(Arc::downgrade(mailbox));
    }

    pub(super) fn positions(&self, owner: &str) -> HashMap<TopicPartition, Offset> {
        self.owners
            .get(owner)
            .map(|owner| owner.positions.clone())
            .unwrap_or_default()
    }

    pub(super) fn cells(&self, owner: &str, partition: &TopicPartition) -> Vec<(String, Bytes)> {
        let cells = self
            .owners
            .get(owner)
            .and_then(|owner| owner.cells.get(partition));
        cells
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.to_string(), value.clone()))
            .collect()
    }

    pub(super) fn reset(&mut self, owner: &str) {
        self.changes += 1;
        self.owners.remove(owner);
    }

    pub(super) fn get(&self, kind: Kind, id: &str, now_us: i64) -> Option<Entry> {
        let stored = self.values[index(kind)].get(id)?;
        stored.entry(id, now_us)
    }

    pub(super) fn scan(&self, kind: Kind, now_us: i64) -> Vec<Entry> {
        let values = &self.values[index(kind)];
        values
            .iter()
            .filter_map(|(id, stored)| stored.entry(id, now_us))
            .collect()
    }

    pub(super) fn ids(&self, kind: Kind, prefix: &str, now_us: i64) -> Vec<String> {
        let values = self.values[index(kind)].iter();
        values
            .filter(|(id, stored)| id.starts_with(prefix) && stored.expires_us > now_us)
            .map(|(id, _)| id.to_string())
            .collect()
    }

    pub(super) fn image(&self) -> Image {
        let values = Kind::ALL
            .iter()
            .zip(&self.values)
            .flat_map(|(&kind, values)| {
                values.iter().map(move |(id, stored)| ImageValue {
                    kind,
                    id: id.clone(),
                    value: stored.value.clone(),
                    expires_us: stored.expires_us,
                })
            });
        let owners = self.owners.iter().map(|(name, owner)| owner.image(name));
        Image {
            changes: self.changes,
            values: values.collect(),
            owners: owners.collect(),
        }
    }

    /// The state that `image` shows, without what has expired meanwhile.
    pub(super) fn from_image(image: Image, now_us: i64) -> Self {
        let mut state = Self {
            swept_us: now_us,
            ..Self::default()
        };
        for ImageValue {
            kind,
            id,
            value,
            expires_us,
        } in image.values
        {
            if expires_us > now_us {
                state.values[index(kind)].insert(id, Stored { value, expires_us });
            }
        }
        for ImageOwner {
            name,
            positions,
            cells,
        } in image.owners
        {
            let owner = state.owners.entry(name).or_default();
            owner.positions.extend(positions);
            for (partition, key, value) in cells {
                owner.cells.entry(partition).or_default().insert(key, value);
            }
        }
        state
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.values.iter().map(|values| values.len()).sum()
    }
}

impl Owner {
    fn advance(&mut self, cells: &[Cell], advances: &[Advance]) {
        for cells in cells.chunk_by(|a, b| a.partition == b.partition) {
            let partition = &cells[0].partition;
            let stored = self.cells.entry(partition.clone()).or_default();
            for Cell { key, value, .. } in cells {
                match value {
                    Some(value) => {
                        stored.insert(key.as_str().into(), Bytes::copy_from_slice(value))
                    }
                    None => stored.remove(key.as_str()),
                };
            }
        }
        for advance in advances.iter().filter(|advance| !advance.is_fence()) {
            match self.positions.get_mut(&advance.partition) {
                Some(position) => *position = advance.to,
                None => {
                    self.positions.insert(advance.partition.clone(), advance.to);
                }
            }
        }
    }

    fn image(&self, name: &str) -> ImageOwner {
        let cells = self.cells.iter().flat_map(|(partition, cells)| {
            cells
                .iter()
                .map(|(key, value)| (partition.clone(), key.clone(), value.clone()))
        });
        ImageOwner {
            name: name.to_owned(),
            positions: self
                .positions
                .iter()
                .map(|(at, to)| (at.clone(), *to))
                .collect(),
            cells: cells.collect(),
        }
    }
}

impl Stored {
    fn entry(&self, id: &str, now_us: i64) -> Option<Entry> {
        let left_us = self.expires_us.saturating_sub(now_us);
        (left_us > 0).then(|| Entry {
            id: id.to_owned(),
            value: self.value.clone(),
            expires_in: Duration::from_micros(left_us as u64),
        })
    }
}

/// The place of `kind` in [`Kind::ALL`], which lists the kinds as declared.
pub(super) fn index(kind: Kind) -> usize {
    kind as usize
}
