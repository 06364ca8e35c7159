//! Settings of the speed layer.

use serde::{Deserialize, Serialize};

/// Settings of the speed layer, with the defaults of a city.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpeedConfig {
    /// How long a window waits for events that arrive out of order, seconds.
    pub lateness_s: u32,
    /// Length of the traffic windows, seconds.
    pub traffic_window_s: u32,
    /// A fix farther than this from every street is on no street, metres.
    pub match_distance_m: f64,
    /// At least this long between two writes to the hot store, milliseconds:
    /// what arrives in between is written once, as its newest value.
    pub write_interval_ms: u64,
    /// When a fix is a teleport.
    pub teleport: TeleportLimits,
}

impl Default for SpeedConfig {
    fn default() -> Self {
        Self {
            lateness_s: 60,
            traffic_window_s: 60,
            match_distance_m: 30.0,
            write_interval_ms: 25,
            teleport: TeleportLimits::default(),
        }
    }
}

/// A fix is a teleport when it is both too far and too fast from the last one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TeleportLimits {
    /// Jumps up to this far are receiver noise, not teleports, metres.
    pub distance_m: f64,
    /// Speeds up to this are possible, km/h.
    pub speed_kmh: f64,
}

impl Default for TeleportLimits {
    fn default() -> Self {
        Self {
            distance_m: 1_000.0,
            speed_kmh: 300.0,
        }
    }
}
