//! How a batch travels to the watchers, and an owner's own part of it to the script of
//! a cluster.
//!
//! MessagePack, because the server's Lua reads it in one call. Everything is an array
//! or a string. A notice:
//!
//! ```text
//! [ version, owner, [ partition, from, to, ... ],
//!   [ time to live in ms, [ key, value, ... ], ... ], [ deleted key, ... ] ]
//! ```
//!
//! A watcher that does not know the version reads everything again. See `apply.lua` for
//! the own part.

use std::time::Duration;

use bytes::Bytes;
use events::{Advance, Offset, TopicPartition};

use crate::keys::state_key;
use crate::{Cell, Kind, Notice, Update};

const VERSION: u8 = 1;

/// The change notice of a batch.
pub(super) fn encode_notice(owner: &str, updates: &[Update], advances: &[Advance]) -> Vec<u8> {
    let bytes: usize = updates
        .iter()
        .map(|update| 50 + update.id.len() + update.value.as_ref().map_or(0, Bytes::len))
        .sum();
    let mut out = Vec::with_capacity(bytes + 100 * advances.len() + 64);
    array(&mut out, 5);
    out.push(VERSION);
    string(&mut out, owner.as_bytes());
    encode_advances(&mut out, advances);
    encode_updates(&mut out, updates);
    out
}

fn encode_advances(out: &mut Vec<u8>, advances: &[Advance]) {
    array(out, 3 * advances.len());
    for advance in advances {
        string(out, advance.partition.to_string().as_bytes());
        string(out, advance.from.to_string().as_bytes());
        string(out, advance.to.to_string().as_bytes());
    }
}

/// The updates that watchers are told: values by kind and time to live, then what is
/// deleted.
fn encode_updates(out: &mut Vec<u8>, updates: &[Update]) {
    let taken = || updates.iter().filter(|update| update.kind.is_told());
    let valued = |update: &&Update| update.value.is_some();
    let mut set: Vec<&Update> = taken().filter(valued).collect();
    set.sort_by_key(|update| (update.kind, update.time_to_live()));
    let groups = || set.chunk_by(|a, b| a.time_to_live() == b.time_to_live());
    array(out, 2 * groups().count());
    for group in groups() {
        let time_to_live_ms = group[0].time_to_live().as_millis();
        string(out, time_to_live_ms.to_string().as_bytes());
        array(out, 2 * group.len());
        for update in group {
            if let Some(value) = &update.value {
                key(out, update);
                string(out, value);
            }
        }
    }
    array(out, taken().count() - set.len());
    for update in taken().filter(|update| update.value.is_none()) {
        key(out, update);
    }
}

/// The part of a batch that is the owner's own. The cells are in the order of
/// partitions.
pub(super) fn encode_own(owner: &str, cells: &[Cell], advances: &[Advance]) -> Vec<u8> {
    let groups = || cells.chunk_by(|a, b| a.partition == b.partition);
    let bytes: usize = cells
        .iter()
        .map(|cell| 10 + cell.key.len() + cell.value.as_ref().map_or(0, Bytes::len))
        .sum();
    let mut out = Vec::with_capacity(bytes + 100 * advances.len() + 64);
    array(&mut out, 2);
    encode_advances(&mut out, advances);
    array(&mut out, 3 * groups().count());
    for group in groups() {
        let set = group.iter().filter(|cell| cell.value.is_some()).count();
        string(&mut out, state_key(owner, &group[0].partition).as_bytes());
        array(&mut out, 2 * set);
        for cell in group {
            if let Some(value) = &cell.value {
                string(&mut out, cell.key.as_bytes());
                string(&mut out, value);
            }
        }
        array(&mut out, group.len() - set);
        for cell in group.iter().filter(|cell| cell.value.is_none()) {
            string(&mut out, cell.key.as_bytes());
        }
    }
    out
}

/// Reads what [`encode_notice`] wrote: the owner and the notice. `None` for
/// anything else, such as another version.
pub(super) fn decode_notice(payload: &[u8]) -> Option<(String, Notice)> {
    let mut input = Input(payload);
    if input.array()? != 5 || input.byte()? != VERSION {
        return None;
    }
    let owner = input.text()?.to_owned();
    let mut advances = Vec::new();
    for _ in 0..input.array()? / 3 {
        advances.push(Advance {
            partition: TopicPartition::parse(input.text()?)?,
            from: input.offset()?,
            to: input.offset()?,
        });
    }
    let mut updates = Vec::new();
    for _ in 0..input.array()? / 2 {
        let left = Duration::from_millis(input.text()?.parse().ok()?);
        for _ in 0..input.array()? / 2 {
            let (kind, id) = Kind::of_key(input.text()?)?;
            // Copied: watchers keep single values, not whole payloads.
            let value = Some(Bytes::copy_from_slice(input.string()?));
            let age = kind.time_to_live().saturating_sub(left);
            updates.push(Update::new(kind, id, value).aged(age));
        }
    }
    for _ in 0..input.array()? {
        let (kind, id) = Kind::of_key(input.text()?)?;
        updates.push(Update::new(kind, id, None));
    }
    input
        .0
        .is_empty()
        .then_some((owner, Notice { advances, updates }))
}

fn array(out: &mut Vec<u8>, length: usize) {
    match length {
        0..16 => out.push(0x90 | length as u8),
        // A batch of 2^32 values does not fit into memory.
        _ => {
            out.push(0xdd);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    string_head(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn string_head(out: &mut Vec<u8>, length: usize) {
    match length {
        0..32 => out.push(0xa0 | length as u8),
        32..256 => out.extend_from_slice(&[0xd9, length as u8]),
        _ => {
            out.push(0xdb);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
}

/// The whole Redis key of an update, without building it first.
fn key(out: &mut Vec<u8>, update: &Update) {
    let (prefix, id) = (update.kind.prefix(), update.kind.normal_id(&update.id));
    string_head(out, prefix.len() + id.len());
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(id.as_bytes());
}

/// Takes from the front; `None` where the bytes are not as expected.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn length(&mut self) -> Option<usize> {
        let (length, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*length) as usize)
    }

    fn array(&mut self) -> Option<usize> {
        match self.byte()? {
            head @ 0x90..=0x9f => Some(usize::from(head & 0x0f)),
            0xdd => self.length(),
            _ => None,
        }
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = match self.byte()? {
            head @ 0xa0..=0xbf => usize::from(head & 0x1f),
            0xd9 => usize::from(self.byte()?),
            0xdb => self.length()?,
            _ => return None,
        };
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string()?).ok()
    }

    fn offset(&mut self) -> Option<Offset> {
        self.text()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn updates() -> impl Strategy<Value = Vec<Update>> {
        let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
        let update = (0..Kind::ALL.len(), ".{0,130}", value, 0..30_u64);
        let update = update.prop_map(|(kind, id, value, age_s)| {
            let kind = Kind::ALL[kind];
            // What is deleted has no age.
            let age = Duration::from_secs(age_s * u64::from(value.is_some()));
            Update::new(kind, kind.normal_id(&id), value.map(Bytes::from)).aged(age)
        });
        proptest::collection::vec(update, 0..60)
    }

    proptest! {
        #[test]
        fn a_notice_reads_back(updates in updates(), from in any::<i64>(), to in any::<i64>()) {
            let advance = Advance { partition: TopicPartition::new("gps/data", 7), from, to };
            let payload = encode_notice("speed", &updates, std::slice::from_ref(&advance));
            let (owner, notice) = decode_notice(&payload).expect("reads back");
            prop_assert_eq!(owner, "speed");
            prop_assert_eq!(notice.advances, vec![advance]);
            let order = |updates: &[Update]| {
                let mut order = updates.to_vec();
                order.sort_by(|a, b| {
                    (a.kind, &a.id, &a.value, a.age_s).cmp(&(b.kind, &b.id, &b.value, b.age_s))
                });
                order
            };
            let told: Vec<_> = updates.into_iter().filter(|update| update.kind.is_told()).collect();
            prop_assert_eq!(order(&notice.updates), order(&told));
        }

        #[test]
        fn noise_is_refused_without_panic(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_notice(&noise);
        }
    }

    #[test]
    fn another_version_is_refused() {
        let mut payload = encode_notice("speed", &[], &[]);
        payload[1] = VERSION + 1;
        assert!(decode_notice(&payload).is_none());
    }
}
