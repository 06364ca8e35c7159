//! When a fix is not believed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a fix has to keep to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A fix whose stated accuracy is worse than this is not believed, metres.
    pub accuracy_m: f64,
    /// Ids of events remembered per partition, to tell duplicates; beyond it
    /// those of the oldest minute are forgotten.
    pub ids: usize,
    /// When a fix is a teleport.
    pub teleport: TeleportLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            accuracy_m: 200.0,
            ids: 2_000_000,
            teleport: TeleportLimits::default(),
        }
    }
}

/// A fix is a teleport when it is farther from the last one than noise and the greatest
/// possible speed together explain.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TeleportLimits {
    /// Receivers may be off by this much, metres.
    pub distance_m: f64,
    /// Speeds up to this are possible, km/h, where `by_type` says nothing else.
    pub speed_kmh: f64,
    /// The same per vehicle type, lower case.
    pub by_type: BTreeMap<String, f64>,
}

impl Default for TeleportLimits {
    fn default() -> Self {
        let by_type = [("taxi", 200.0), ("bus", 150.0)];
        Self {
            // Receivers between high buildings are off by hundreds of metres.
            distance_m: 1_000.0,
            speed_kmh: 300.0,
            by_type: by_type
                .into_iter()
                .map(|(name, limit)| (name.to_owned(), limit))
                .collect(),
        }
    }
}

impl TeleportLimits {
    /// The greatest possible speed of a vehicle of that type, km/h.
    pub fn speed_kmh(&self, vehicle_type: Option<&str>) -> f64 {
        let by_type = vehicle_type.and_then(|name| {
            let known = self.by_type.get(name);
            known.or_else(|| self.by_type.get(&name.to_lowercase()))
        });
        by_type.copied().unwrap_or(self.speed_kmh)
    }
}
