//! The live values of one kind, ordered by when they changed.
//!
//! Because each value stands at its newest change only, whoever asks for "what
//! changed since n" gets every value at most once and newest: a reader may be as
//! slow as it likes, and nothing is queued for it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use events::Location;

/// A value's id.
pub(crate) type Id = Arc<str>;

/// How many removals are remembered. A reader that is further behind than this
/// many gets a snapshot.
const REMOVALS_MAX: usize = 16_384;

/// A live value.
#[derive(Debug)]
pub(crate) struct Item {
    /// JSON text.
    pub value: Bytes,
    /// Where it is; `None` for things without a place.
    pub location: Option<Location>,
    /// The change that brought this value.
    pub changed: u64,
    /// The change that brought the id.
    pub created: u64,
    expires_at: Instant,
}

/// See the module's head. Change numbers start at 1 and never repeat.
#[derive(Debug, Default)]
pub(crate) struct Table {
    items: HashMap<Id, Item, foldhash::fast::RandomState>,
    by_change: BTreeMap<u64, Id>,
    removals: VecDeque<(u64, Id)>,
    /// Removals up to this change may have been forgotten.
    forgotten: u64,
    last_change: u64,
}

impl Table {
    /// Sets a value. One that equals what is there only lives longer.
    pub fn put(&mut self, id: &str, value: Bytes, location: Option<Location>, expires_at: Instant) {
        if let Some(item) = self.items.get_mut(id) {
            item.expires_at = expires_at;
            if item.value == value {
                return;
            }
            self.last_change += 1;
            let moved = self.by_change.remove(&item.changed);
            self.by_change
                .extend(moved.map(|id| (self.last_change, id)));
            item.value = value;
            item.location = location;
            item.changed = self.last_change;
        } else {
            self.last_change += 1;
            let id: Id = Arc::from(id);
            let changed = self.last_change;
            self.by_change.insert(changed, id.clone());
            self.items.insert(
                id,
                Item {
                    value,
                    location,
                    changed,
                    created: changed,
                    expires_at,
                },
            );
        }
    }

    /// Removes a value, if it is there.
    pub fn remove(&mut self, id: &str) {
        let Some((id, item)) = self.items.remove_entry(id) else {
            return;
        };
        self.by_change.remove(&item.changed);
        self.last_change += 1;
        if self.removals.len() == REMOVALS_MAX
            && let Some((change, _)) = self.removals.pop_front()
        {
            self.forgotten = change;
        }
        self.removals.push_back((self.last_change, id));
    }

    /// Removes the values whose id does not pass.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        let gone: Vec<Id> = self.items.keys().filter(|id| !keep(id)).cloned().collect();
        gone.iter().for_each(|id| self.remove(id));
    }

    /// Removes the values whose time to live is over.
    pub fn expire(&mut self, now: Instant) {
        let over = |item: &Item| item.expires_at <= now;
        let gone: Vec<Id> = self
            .items
            .iter()
            .filter(|(_, item)| over(item))
            .map(|(id, _)| id.clone())
            .collect();
        gone.iter().for_each(|id| self.remove(id));
    }

    pub fn get(&self, id: &str) -> Option<&Item> {
        self.items.get(id)
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// All values, the last changed first.
    pub fn newest(&self) -> impl Iterator<Item = (&Id, &Item)> {
        self.by_change
            .values()
            .rev()
            .filter_map(|id| self.items.get_key_value(id))
    }

    /// The number of the last change; 0 before any.
    pub fn last_change(&self) -> u64 {
        self.last_change
    }

    /// The values that changed after change `since`, in order.
    pub fn changed_since(&self, since: u64) -> impl Iterator<Item = (&Id, &Item)> {
        self.by_change
            .range(since + 1..)
            .filter_map(|(_, id)| self.items.get_key_value(id))
    }

    /// The ids removed after change `since`, in order, also those that came back
    /// later; `None` when some of them are forgotten.
    pub fn removed_since(&self, since: u64) -> Option<impl Iterator<Item = &Id>> {
        let first = self
            .removals
            .partition_point(|(change, _)| *change <= since);
        (since >= self.forgotten).then(|| self.removals.range(first..).map(|(_, id)| id))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn put(table: &mut Table, id: &str, value: &str, expires_at: Instant) {
        table.put(
            id,
            Bytes::copy_from_slice(value.as_bytes()),
            None,
            expires_at,
        );
    }

    #[test]
    fn value_stands_at_its_newest_change_only() {
        let mut table = Table::default();
        let later = Instant::now() + Duration::from_secs(60);
        put(&mut table, "a", "1", later);
        put(&mut table, "b", "1", later);
        let seen = table.last_change();
        put(&mut table, "a", "2", later);
        put(&mut table, "a", "3", later);
        put(&mut table, "b", "1", later);
        let changed: Vec<_> = table
            .changed_since(seen)
            .map(|(id, item)| (id.as_ref(), item.value.as_ref()))
            .collect();
        assert_eq!(changed, [("a", b"3".as_ref())]);
        let newest: Vec<_> = table.newest().map(|(id, _)| id.as_ref()).collect();
        assert_eq!(newest, ["a", "b"]);
    }

    #[test]
    fn expired_values_are_told_as_removed() {
        let mut table = Table::default();
        let now = Instant::now();
        put(&mut table, "a", "1", now + Duration::from_secs(1));
        put(&mut table, "b", "1", now + Duration::from_secs(9));
        let seen = table.last_change();
        table.expire(now + Duration::from_secs(5));
        assert_eq!(table.len(), 1);
        let removed: Vec<_> = table
            .removed_since(seen)
            .expect("known")
            .map(|id| id.as_ref())
            .collect();
        assert_eq!(removed, ["a"]);
    }

    #[test]
    fn removals_are_bounded_and_admit_what_they_forgot() {
        let mut table = Table::default();
        let later = Instant::now() + Duration::from_secs(60);
        put(&mut table, "first", "1", later);
        let seen = table.last_change();
        table.remove("first");
        for number in 0..REMOVALS_MAX {
            put(&mut table, &number.to_string(), "1", later);
            table.remove(&number.to_string());
        }
        assert!(table.removed_since(seen).is_none());
        assert!(table.removed_since(table.last_change()).is_some());
        assert_eq!(table.removals.len(), REMOVALS_MAX);
    }
}
