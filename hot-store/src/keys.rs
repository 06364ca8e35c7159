//! Every key of the hot store, in one place.

use std::time::Duration;

/// A kind of hot value: its key, its time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Last position of a vehicle.
    Vehicle,
    /// The last 20 fixes of a vehicle.
    Trail,
    /// Traffic on a road segment.
    Road,
    /// An active incident.
    Incident,
    /// The city's current weather (one).
    Weather,
    /// Current weather and air at a station.
    Station,
    /// What a camera saw last.
    Camera,
    /// The city's figures (one).
    CitySummary,
    /// The speed layer's sign of life (one).
    Health,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 9] = [
        Kind::Vehicle,
        Kind::Trail,
        Kind::Road,
        Kind::Incident,
        Kind::Weather,
        Kind::Station,
        Kind::Camera,
        Kind::CitySummary,
        Kind::Health,
    ];

    /// What the key starts with; for a kind of one, the whole key.
    pub const fn prefix(self) -> &'static str {
        match self {
            Kind::Vehicle => "vehicle:location:",
            Kind::Trail => "citypulse:vehicle:trail:",
            Kind::Road => "traffic:road:",
            Kind::Incident => "emergency:incident:",
            Kind::Weather => "weather:current",
            Kind::Station => "citypulse:weather:station:",
            Kind::Camera => "citypulse:camera:",
            Kind::CitySummary => "analytics:city:summary",
            Kind::Health => "health:check",
        }
    }

    /// The whole key of one value.
    pub fn key(self, id: &str) -> String {
        format!("{}{id}", self.prefix())
    }

    /// Whether there is only one value of this kind.
    pub const fn is_single(self) -> bool {
        matches!(self, Kind::Weather | Kind::CitySummary | Kind::Health)
    }

    /// How long a value lives without a newer one.
    pub const fn time_to_live(self) -> Duration {
        Duration::from_secs(match self {
            Kind::Vehicle | Kind::Trail | Kind::Camera => 600,
            Kind::Road | Kind::Health => 300,
            Kind::Incident => 7200,
            Kind::Weather | Kind::Station => 1800,
            Kind::CitySummary => 60,
        })
    }
}
