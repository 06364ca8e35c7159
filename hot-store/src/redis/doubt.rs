//! Batches whose answer was lost: the server may have them or not.

use std::collections::HashMap;

use events::{Advance, Offset, TopicPartition};
use parking_lot::Mutex;

/// Advances that were sent and not answered, by owner and partition.
#[derive(Default)]
pub(super) struct Doubts(Mutex<HashMap<(String, TopicPartition), (Offset, Offset)>>);

impl Doubts {
    /// Whether exactly these advances were sent before and not answered.
    pub(super) fn cover(&self, owner: &str, advances: &[Advance]) -> bool {
        let open = self.0.lock();
        if open.is_empty() {
            return false;
        }
        let mut moves = moves(advances);
        let is_open = |advance: &Advance| {
            open.get(&(owner.to_owned(), advance.partition.clone()))
                == Some(&(advance.from, advance.to))
        };
        moves.next().is_some_and(is_open) && moves.all(is_open)
    }

    /// The server may have them.
    pub(super) fn add(&self, owner: &str, advances: &[Advance]) {
        let mut open = self.0.lock();
        for advance in moves(advances) {
            let place = (owner.to_owned(), advance.partition.clone());
            open.insert(place, (advance.from, advance.to));
        }
    }

    /// The server has them.
    pub(super) fn settle(&self, owner: &str, advances: &[Advance]) {
        let mut open = self.0.lock();
        if open.is_empty() {
            return;
        }
        for advance in moves(advances) {
            open.remove(&(owner.to_owned(), advance.partition.clone()));
        }
    }

    /// A doubt about `advances` that begins when the guard goes away open: after
    /// an error, or when the caller gave up waiting.
    pub(super) fn guard<'a>(&'a self, owner: &'a str, advances: &'a [Advance]) -> Doubt<'a> {
        Doubt {
            doubts: self,
            owner,
            advances,
            is_open: true,
        }
    }
}

/// See [`Doubts::guard`].
pub(super) struct Doubt<'a> {
    doubts: &'a Doubts,
    owner: &'a str,
    advances: &'a [Advance],
    pub(super) is_open: bool,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.doubts.add(self.owner, self.advances);
        }
    }
}

/// A fence leaves nothing by which it could be known again.
fn moves(advances: &[Advance]) -> impl Iterator<Item = &Advance> {
    advances.iter().filter(|advance| !advance.is_fence())
}
