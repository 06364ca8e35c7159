//! What a subscriber does not have yet. Pure: a table in, a difference out.

use std::collections::HashSet;

use bytes::Bytes;

use super::filter::Filter;
use crate::mirror::{Id, Item, Table};

/// What is to be sent so that the client has what its filter asks for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Difference {
    /// The data is everything: whatever the client has beside it is gone.
    pub is_snapshot: bool,
    /// JSON values, the newest of each id.
    pub data: Vec<Bytes>,
    /// Ids that are gone: no longer live, or no longer passing the filter.
    pub removed: Vec<Id>,
}

/// What the client has.
#[derive(Debug)]
enum Held {
    /// All that was there at change `sent`: nothing needs to be remembered.
    Everything,
    /// These ids.
    These(HashSet<Id, foldhash::fast::RandomState>),
}

/// How far one client is in one table.
#[derive(Debug)]
pub(crate) struct Subscription {
    filter: Filter,
    /// The change up to which the client has been told.
    sent: u64,
    held: Held,
}

impl Subscription {
    /// Begins with everything that passes.
    pub fn open(filter: Filter, table: &Table) -> (Self, Difference) {
        let mut difference = Difference {
            is_snapshot: true,
            ..Difference::default()
        };
        let mut held = HashSet::default();
        let is_everything = filter.is_everything();
        for (id, item) in table
            .changed_since(0)
            .filter(|(id, item)| filter.passes(id, item))
        {
            if filter.shows_at_first(item) {
                difference.data.push(item.value.clone());
            }
            if !is_everything {
                held.insert(id.clone());
            }
        }
        let held = if is_everything {
            Held::Everything
        } else {
            Held::These(held)
        };
        (
            Self {
                filter,
                sent: table.last_change(),
                held,
            },
            difference,
        )
    }

    /// Goes on for a client that has had the same filter up to change `since`.
    /// `None` when what was removed since is no longer known.
    pub fn resume(filter: Filter, since: u64, table: &Table) -> Option<(Self, Difference)> {
        if since > table.last_change() {
            return None;
        }
        let mut difference = Difference::default();
        for id in table.removed_since(since)? {
            if table.get(id).is_none() {
                difference.removed.push(id.clone());
            }
        }
        for (id, item) in table.changed_since(since) {
            if filter.passes(id, item) {
                difference.data.push(item.value.clone());
            } else {
                // It may have been inside before: to say so once too often is harmless.
                difference.removed.push(id.clone());
            }
        }
        let (subscription, _) = Self::open(filter, table);
        Some((subscription, difference))
    }

    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The change up to which the client has been told.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// What changed since the last call; `None` when that is nothing.
    pub fn advance(&mut self, table: &Table) -> Option<Difference> {
        if table.last_change() == self.sent {
            return None;
        }
        let Some(gone) = table.removed_since(self.sent) else {
            return Some(self.start_over(self.filter.clone(), table));
        };
        let mut difference = Difference::default();
        for id in gone.filter(|id| table.get(id).is_none()) {
            if self.held.take(id) {
                difference.removed.push(id.clone());
            }
        }
        for (id, item) in table.changed_since(self.sent) {
            if self.filter.passes(id, item) {
                self.held.put(id);
                difference.data.push(item.value.clone());
            } else if self.held.take(id) {
                difference.removed.push(id.clone());
            }
        }
        self.sent = table.last_change();
        (difference != Difference::default()).then_some(difference)
    }

    /// Changes the filter: what has come in or changed, and what is out now.
    pub fn change_filter(&mut self, filter: Filter, table: &Table) -> Difference {
        let Some(gone) = table.removed_since(self.sent) else {
            return self.start_over(filter, table);
        };
        let mut difference = Difference::default();
        let mut removed: HashSet<&Id, foldhash::fast::RandomState> = HashSet::default();
        for (id, item) in table.changed_since(0) {
            let was_held = self.held.has(id, item, self.sent);
            if filter.passes(id, item) {
                if !was_held || item.changed > self.sent {
                    difference.data.push(item.value.clone());
                }
            } else if was_held {
                removed.insert(id);
            }
        }
        // What was removed and came back outside is out as well.
        let is_out = |id: &&Id| !table.get(id).is_some_and(|item| filter.passes(id, item));
        removed.extend(gone.filter(is_out).filter(|id| self.held.had(id)));
        difference.removed = removed.into_iter().cloned().collect();
        let (changed, _) = Self::open(filter, table);
        *self = changed;
        difference
    }

    fn start_over(&mut self, filter: Filter, table: &Table) -> Difference {
        let (subscription, difference) = Self::open(filter, table);
        *self = subscription;
        difference
    }
}

impl Held {
    fn put(&mut self, id: &Id) {
        if let Held::These(ids) = self {
            ids.insert(id.clone());
        }
    }

    /// Forgets `id` and tells whether the client had it.
    fn take(&mut self, id: &Id) -> bool {
        match self {
            Held::Everything => true,
            Held::These(ids) => ids.remove(id),
        }
    }

    /// Whether the client has the live item `id`.
    fn has(&self, id: &Id, item: &Item, sent: u64) -> bool {
        match self {
            Held::Everything => item.created <= sent,
            Held::These(ids) => ids.contains(id),
        }
    }

    /// Whether the client may have had `id`, which has been removed since.
    fn had(&self, id: &Id) -> bool {
        match self {
            Held::Everything => true,
            Held::These(ids) => ids.contains(id),
        }
    }
}

#[cfg(test)]
mod tests;
