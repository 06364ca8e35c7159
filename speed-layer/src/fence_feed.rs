//! Brings what people draw into the index of fences, a little at a time.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use event_log::registry::{Entry, Registry};
use events::Location;
use fences::{Fence, FenceIndex};
use tracing::{info, warn};

/// Changes taken over between two polls: some milliseconds of work.
const CHANGES_AT_ONCE: usize = 200;

/// Follows the registry of fences.
#[derive(Default)]
pub(crate) struct FenceFeed {
    version: u64,
    pending: VecDeque<(Arc<str>, Option<Entry<Fence>>)>,
}

impl FenceFeed {
    /// Takes over everything that is known now.
    pub(crate) fn catch_up(&mut self, registry: &Registry<Fence>, index: &mut FenceIndex) {
        while self.step(registry, index) {}
        info!(fences = index.len(), "fences are in force");
    }

    /// Takes over some changes; whether there may be more.
    pub(crate) fn step(&mut self, registry: &Registry<Fence>, index: &mut FenceIndex) -> bool {
        if self.pending.is_empty() {
            if registry.version() == self.version {
                return false;
            }
            let changes = registry.changes_since(self.version);
            self.version = changes.version;
            if changes.is_reset {
                let told: HashSet<&str> = changes.changed.iter().map(|(id, _)| &**id).collect();
                let gone = index.ids().filter(|id| !told.contains(&***id));
                self.pending = gone.map(|id| (id.clone(), None)).collect();
            }
            self.pending.extend(changes.changed);
        }
        let some = self.pending.len().min(CHANGES_AT_ONCE);
        for (id, entry) in self.pending.drain(..some) {
            match entry {
                Some(Entry {
                    value,
                    appended_at_us,
                }) => {
                    if let Err(error) = index.put(value, appended_at_us) {
                        warn!(fence = %id, %error, "a fence is not watched");
                    }
                }
                None => {
                    index.remove(&id);
                }
            }
        }
        metrics::gauge!("citypulse_speed_fences").set(index.len() as f64);
        true
    }
}

/// Where a vehicle's stored value says that it is.
pub(crate) fn place_of_vehicle(value: &[u8]) -> Option<Location> {
    #[derive(serde::Deserialize)]
    struct Place {
        latitude: f64,
        longitude: f64,
    }
    let place: Place = serde_json::from_slice(value).ok()?;
    Some(Location {
        latitude: place.latitude,
        longitude: place.longitude,
    })
}
