//! The hot store's values in this process, so that reads never wait for it.
//!
//! Enters: a scan, then change notices. Leaves: JSON values by id, what changed
//! since a change number, what was removed since. Promises: after a gap it reads
//! everything again, never guesses. Never: writes to the hot store.

mod follow;
mod place;
mod table;

use std::collections::HashSet;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hot_store::{Entry, Kind, Notice};
use parking_lot::{RwLock, RwLockReadGuard};

pub(crate) use follow::follow;
pub(crate) use table::{Id, Item, Table};

/// One table per kind of which watchers are told; the others stay empty. Shared; readers hold a table's lock only while copying
/// references out.
pub(crate) struct Mirror {
    tables: [RwLock<Table>; Kind::ALL.len()],
    /// Tells this mirror's change numbers from those of any other, so that a
    /// resume token of an earlier process is recognised as such.
    epoch: u64,
}

impl Mirror {
    pub fn new() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let epoch = since_epoch.as_nanos() as u64 ^ (u64::from(std::process::id()) << 48);
        Self {
            tables: std::array::from_fn(|_| RwLock::new(Table::default())),
            epoch,
        }
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn table(&self, kind: Kind) -> RwLockReadGuard<'_, Table> {
        self.tables[kind as usize].read()
    }

    /// The JSON of one value.
    pub fn value(&self, kind: Kind, id: &str) -> Option<Bytes> {
        self.table(kind).get(id).map(|item| item.value.clone())
    }

    /// The JSON of all values, the last changed first, at most `limit`.
    pub fn values(&self, kind: Kind, limit: usize) -> Vec<Bytes> {
        self.table(kind)
            .newest()
            .take(limit)
            .map(|(_, item)| item.value.clone())
            .collect()
    }

    /// The JSON of the values that `wanted` takes, the last changed first, at most `limit`.
    pub fn values_where(
        &self,
        kind: Kind,
        limit: usize,
        wanted: impl Fn(&Item) -> bool,
    ) -> Vec<Bytes> {
        self.table(kind)
            .newest()
            .filter(|(_, item)| wanted(item))
            .take(limit)
            .map(|(_, item)| item.value.clone())
            .collect()
    }

    /// Takes over what a notice says has changed.
    pub fn apply(&self, notice: &Notice, now: Instant) {
        for update in &notice.updates {
            match &update.value {
                Some(value) => self.put(
                    update.kind,
                    &update.id,
                    value.clone(),
                    now + update.time_to_live(),
                ),
                None => self.tables[update.kind as usize].write().remove(&update.id),
            }
        }
    }

    /// Makes `kind` exactly what a scan returned. Values that are the same as
    /// before do not count as changed.
    pub fn replace(&self, kind: Kind, entries: Vec<Entry>, now: Instant) {
        let present: HashSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        self.tables[kind as usize]
            .write()
            .retain(|id| present.contains(id));
        for entry in entries {
            self.put(kind, &entry.id, entry.value, now + entry.expires_in);
        }
    }

    /// Removes the values whose time to live is over.
    pub fn expire(&self, now: Instant) {
        for table in &self.tables {
            table.write().expire(now);
        }
    }

    fn put(&self, kind: Kind, id: &str, value: Bytes, expires_at: Instant) {
        let place = match kind {
            // Not sent to subscribers, and ten times the size: checked when read.
            Kind::Trail => None,
            _ => match place::of(&value) {
                Ok(place) => place,
                Err(error) => {
                    tracing::warn!(key = %kind.key(id), %error, "hot value is not JSON and is not shown");
                    return;
                }
            },
        };
        self.tables[kind as usize]
            .write()
            .put(id, value, place, expires_at);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hot_store::Update;

    use super::*;

    fn update(kind: Kind, id: &str, value: Option<&str>) -> Update {
        Update::new(
            kind,
            id,
            value.map(|text| Bytes::copy_from_slice(text.as_bytes())),
        )
    }

    fn notice(updates: Vec<Update>) -> Notice {
        Notice {
            advances: Vec::new(),
            updates,
        }
    }

    fn entry(id: &str, value: &'static str) -> Entry {
        Entry {
            id: id.into(),
            value: Bytes::from_static(value.as_bytes()),
            expires_in: Duration::from_secs(5),
        }
    }

    #[test]
    fn notices_put_and_remove() {
        let mirror = Mirror::new();
        let now = Instant::now();
        mirror.apply(
            &notice(vec![update(
                Kind::Vehicle,
                "a",
                Some(r#"{"latitude":57.7,"longitude":11.9}"#),
            )]),
            now,
        );
        let place = mirror
            .table(Kind::Vehicle)
            .get("a")
            .and_then(|item| item.location);
        assert_eq!(place.map(|place| place.longitude), Some(11.9));
        mirror.apply(&notice(vec![update(Kind::Vehicle, "a", None)]), now);
        assert_eq!(mirror.value(Kind::Vehicle, "a"), None);
    }

    #[test]
    fn broken_value_never_reaches_readers() {
        let mirror = Mirror::new();
        mirror.apply(
            &notice(vec![update(Kind::Road, "r", Some("{\"road_id\":"))]),
            Instant::now(),
        );
        assert!(mirror.values(Kind::Road, 10).is_empty());
    }

    #[test]
    fn rescan_changes_only_what_differs() {
        let mirror = Mirror::new();
        let now = Instant::now();
        mirror.replace(Kind::Road, vec![entry("a", "{}"), entry("b", "{}")], now);
        let before = mirror.table(Kind::Road).last_change();
        mirror.replace(Kind::Road, vec![entry("a", "{}"), entry("c", "{}")], now);
        let table = mirror.table(Kind::Road);
        let changed: Vec<_> = table
            .changed_since(before)
            .map(|(id, _)| id.to_string())
            .collect();
        assert_eq!(changed, ["c"]);
        let removed: Vec<_> = table
            .removed_since(before)
            .expect("known")
            .map(|id| id.to_string())
            .collect();
        assert_eq!(removed, ["b"]);
    }
}
