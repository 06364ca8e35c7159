//! Servers that are slow to start, shared by the tests of one run.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Servers and whose turn it is; they end with the last test that waits for them.
pub(super) struct Shared<S> {
    pub(super) servers: S,
    turn: Arc<AsyncMutex<()>>,
}

/// A test's turn with the servers.
pub(super) struct Turn<S> {
    pub(super) shared: Arc<Shared<S>>,
    _turn: OwnedMutexGuard<()>,
}

/// The servers in `place`, started if nobody has them.
pub(super) async fn turn<S>(place: &Mutex<Weak<Shared<S>>>, start: fn() -> S) -> Turn<S> {
    let shared = tokio::task::block_in_place(|| {
        let mut place = place.lock();
        place.upgrade().unwrap_or_else(|| {
            let shared = Arc::new(Shared {
                servers: start(),
                turn: Arc::default(),
            });
            *place = Arc::downgrade(&shared);
            shared
        })
    });
    let turn = shared.turn.clone().lock_owned().await;
    Turn {
        shared,
        _turn: turn,
    }
}
