//! A list that is also found by key, for very many things.

use std::hash::{BuildHasher, Hash};
use std::ops::{Index, IndexMut};

use foldhash::fast::RandomState;

const CHUNK: usize = 256;
const FREE: u32 = u32::MAX;

/// A thing that knows its key.
pub(crate) trait Key {
    type Key: Hash + Eq;

    fn key(&self) -> &Self::Key;
}

/// Things by key and by number, the order in which they came. A map of the same has room
/// for as many again, holds each key twice, and while it grows all of it once more: here
/// things never move, and of each only its number is in the table that finds it.
#[derive(Debug)]
pub(crate) struct Keyed<T> {
    chunks: Vec<Vec<T>>,
    len: u32,
    /// A power of two of places, at most half of them taken: a number is in the place
    /// that the hash of its key says, or in the next free one.
    table: Vec<u32>,
    hasher: RandomState,
}

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
            table: Vec::new(),
            hasher: RandomState::default(),
        }
    }
}

impl<T: Key> Keyed<T> {
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// The number of what has that key.
    pub(crate) fn find(&self, key: &T::Key) -> Option<u32> {
        if self.table.is_empty() {
            return None;
        }
        let number = self.table[self.place(key)];
        (number != FREE).then_some(number)
    }

    /// Adds what was not found; its number.
    pub(crate) fn push(&mut self, item: T) -> u32 {
        if 2 * (self.len() + 1) > self.table.len() {
            self.table = vec![FREE; (2 * self.table.len()).max(16)];
            for number in 0..self.len {
                self.enter(number);
            }
        }
        let number = self.len;
        if number as usize / CHUNK == self.chunks.len() {
            // Most lists are short.
            let room = if number == 0 { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(room));
        }
        self.chunks[number as usize / CHUNK].push(item);
        self.len += 1;
        self.enter(number);
        number
    }

    fn enter(&mut self, number: u32) {
        let place = self.place(self[number].key());
        self.table[place] = number;
    }

    /// Where the number of that key is, or would be.
    fn place(&self, key: &T::Key) -> usize {
        let last = self.table.len() - 1;
        let mut place = self.hasher.hash_one(key) as usize & last;
        loop {
            let number = self.table[place];
            if number == FREE || self[number].key() == key {
                return place;
            }
            place = (place + 1) & last;
        }
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let number = number as usize;
        self.chunks.get(number / CHUNK)?.get(number % CHUNK)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

impl<T> Index<u32> for Keyed<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        let number = number as usize;
        &self.chunks[number / CHUNK][number % CHUNK]
    }
}

impl<T> IndexMut<u32> for Keyed<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        let number = number as usize;
        &mut self.chunks[number / CHUNK][number % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Key for (u64, u64) {
        type Key = u64;

        fn key(&self) -> &u64 {
            &self.0
        }
    }

    #[test]
    fn what_was_added_is_found_by_key_and_by_number() {
        let mut all = Keyed::default();
        assert_eq!(all.find(&0), None);
        for number in 0..2000_u64 {
            let key = number * number;
            assert_eq!(all.find(&key), None);
            assert_eq!(all.push((key, number)), number as u32);
            assert_eq!(all.len(), number as usize + 1);
        }
        all[1234].1 = 7;
        for number in 0..2000_u32 {
            let key = u64::from(number).pow(2);
            assert_eq!(all.find(&key), Some(number));
            let value = if number == 1234 { 7 } else { number.into() };
            assert_eq!(all[number], (key, value));
        }
        assert_eq!((all.find(&2), all.get(2000)), (None, None));
        assert_eq!(all.iter().count(), 2000);
    }
}
