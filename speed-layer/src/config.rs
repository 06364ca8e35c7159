//! Settings of the speed layer.

use std::collections::BTreeMap;

use events::Stream;
use serde::{Deserialize, Serialize};
use tracks::{Limits, TeleportLimits};

/// Settings of the speed layer, with the defaults of a city.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpeedConfig {
    /// How long a window waits for events that arrive out of order, seconds.
    pub lateness_s: u32,
    /// A fix farther than this from every street is on no street, metres.
    pub match_distance_m: f64,
    /// At least this long between two writes to the hot store, milliseconds:
    /// what arrives in between is written once, as its newest value.
    pub write_interval_ms: u64,
    /// State in progress is saved this often, milliseconds: a restart reads the
    /// records since then again.
    pub checkpoint_interval_ms: u64,
    /// A partition that is read to its end and had nothing for this long, while
    /// others went on, holds no window open, seconds.
    pub idle_s: u32,
    /// A vehicle that was not heard of for this long is silent, seconds.
    pub silent_after_s: u32,
    /// Open windows of one minute that are kept per partition; beyond it new
    /// ones are not opened, and what would be in them is counted.
    pub panes_max: usize,
    /// Ids of events that are remembered per partition to tell duplicates;
    /// beyond it those of the oldest minute are forgotten.
    pub ids_max: usize,
    /// A fix whose stated accuracy is worse than this is not believed, metres.
    pub accuracy_max_m: f64,
    /// `lateness_s` of single streams, by the stream's name.
    pub lateness: BTreeMap<String, u32>,
    /// When a fix is a teleport.
    pub teleport: TeleportLimits,
}

impl Default for SpeedConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            lateness_s: 60,
            match_distance_m: 30.0,
            write_interval_ms: 10,
            checkpoint_interval_ms: 2_000,
            idle_s: 10,
            silent_after_s: 300,
            panes_max: 250_000,
            ids_max: limits.ids,
            accuracy_max_m: limits.accuracy_m,
            lateness: BTreeMap::new(),
            teleport: limits.teleport,
        }
    }
}

impl SpeedConfig {
    /// How long the windows of a stream wait, microseconds.
    pub fn lateness_us(&self, stream: Stream) -> i64 {
        let own = self.lateness.get(stream.name()).copied();
        i64::from(own.unwrap_or(self.lateness_s)) * 1_000_000
    }

    /// What a fix has to keep to.
    pub fn limits(&self) -> Limits {
        Limits {
            accuracy_m: self.accuracy_max_m,
            ids: self.ids_max,
            teleport: self.teleport.clone(),
        }
    }
}
