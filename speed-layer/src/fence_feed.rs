//! Brings what people draw into the index of fences.

use std::collections::HashSet;

use event_log::registry::{Entry, Registry};
use events::Location;
use fences::{Fence, FenceIndex};
use tracing::{debug, warn};

/// Follows the registry of fences.
#[derive(Default)]
pub(crate) struct FenceFeed {
    version: u64,
}

impl FenceFeed {
    /// Takes over everything that is known now: some ten microseconds a change. Whether
    /// fences are no longer watched that may have been.
    pub(crate) fn catch_up(&mut self, registry: &Registry<Fence>, index: &mut FenceIndex) -> bool {
        if registry.version() == self.version {
            return false;
        }
        let mut are_fewer = false;
        let changes = registry.changes_since(self.version);
        self.version = changes.version;
        if changes.is_reset {
            let told: HashSet<&str> = changes.changed.iter().map(|(id, _)| &**id).collect();
            let gone = index.ids().filter(|id| !told.contains(&***id));
            for id in gone.cloned().collect::<Vec<_>>() {
                are_fewer |= index.remove(&id);
            }
        }
        for (id, entry) in changes.changed {
            match entry {
                Some(Entry {
                    value,
                    appended_at_us,
                }) => {
                    are_fewer |= !value.enabled;
                    if let Err(error) = index.put(value, appended_at_us) {
                        warn!(fence = %id, %error, "a fence is not watched");
                    }
                }
                None => are_fewer |= index.remove(&id),
            }
        }
        metrics::gauge!("citypulse_speed_fences").set(index.len() as f64);
        debug!(fences = index.len(), "fences are in force");
        are_fewer
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
