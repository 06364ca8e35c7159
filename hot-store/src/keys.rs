//! Every key of the hot store, in one place.

use std::time::Duration;

use events::TopicPartition;
use events::window::WindowKind;

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
    /// Figures of one pane of one place; the id is `kind:key:start`.
    Window,
    /// An alert, raised or cleared.
    Alert,
    /// How far a layer is behind in a partition; the id is `topic/partition`.
    Lag,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 12] = [
        Kind::Vehicle,
        Kind::Trail,
        Kind::Road,
        Kind::Incident,
        Kind::Weather,
        Kind::Station,
        Kind::Camera,
        Kind::CitySummary,
        Kind::Health,
        Kind::Window,
        Kind::Alert,
        Kind::Lag,
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
            Kind::Window => "citypulse:window:",
            Kind::Alert => "citypulse:alert:",
            Kind::Lag => "citypulse:lag:",
        }
    }

    /// The whole key of one value. A kind of one has one key, whatever the id.
    pub fn key(self, id: &str) -> String {
        format!("{}{}", self.prefix(), self.normal_id(id))
    }

    /// The kind and id that [`Kind::key`] made `key` from.
    pub fn of_key(key: &str) -> Option<(Kind, &str)> {
        Kind::ALL
            .into_iter()
            .find_map(|kind| match kind.is_single() {
                true => (key == kind.prefix()).then_some((kind, "")),
                false => key.strip_prefix(kind.prefix()).map(|id| (kind, id)),
            })
    }

    /// The id as it is kept: empty for a kind of one.
    pub(crate) fn normal_id(self, id: &str) -> &str {
        if self.is_single() { "" } else { id }
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
            Kind::CitySummary | Kind::Lag => 60,
            Kind::Window => 1200,
            Kind::Alert => 86_400,
        })
    }

    /// Whether watchers are told of a change. Windows are not: each of thousands
    /// of places has a new one every second, and who wants some reads those.
    pub const fn is_told(self) -> bool {
        !matches!(self, Kind::Window)
    }
}

/// The id of a pane among [`Kind::Window`]: `{kind}:{key}:{start}`, the start in
/// seconds since the epoch.
pub fn window_id(kind: WindowKind, key: &str, start_us: i64) -> String {
    format!("{kind}:{key}:{}", start_us.div_euclid(1_000_000))
}

/// The key and start (microseconds since the epoch) of a pane of `kind` from its
/// [`window_id`].
pub fn parse_window_id(kind: WindowKind, id: &str) -> Option<(&str, i64)> {
    let rest = id.strip_prefix(kind.name())?.strip_prefix(':')?;
    let (key, start_s) = rest.rsplit_once(':')?;
    let start_s: i64 = start_s.parse().ok()?;
    Some((key, start_s.checked_mul(1_000_000)?))
}

/// Redis hash of an owner's positions: field `topic/partition`, value the next
/// offset to read. The braces keep all that an owner owns in one slot of a
/// cluster, where it can change together.
pub fn positions_key(owner: &str) -> String {
    format!("citypulse:{{{owner}}}:positions")
}

/// Redis hash of the cells of one partition of an owner.
pub fn state_key(owner: &str, partition: &TopicPartition) -> String {
    format!("citypulse:{{{owner}}}:state:{partition}")
}

/// Redis key that is written with every new position of a partition, for who watches
/// one partition's among those of [`positions_key`].
pub fn mark_key(owner: &str, partition: &TopicPartition) -> String {
    format!("citypulse:{{{owner}}}:mark:{partition}")
}

/// Redis patterns of every [`state_key`] and [`mark_key`] of an owner.
pub fn own_patterns(owner: &str) -> [String; 2] {
    ["state", "mark"].map(|what| {
        let prefix = format!("citypulse:{{{owner}}}:{what}:");
        format!("{}*", escape_glob(&prefix))
    })
}

/// Redis channel of change notices. Channels are shared by all databases of a
/// server, so each database but the first has its own.
pub fn changes_channel(database: i64) -> String {
    match database {
        0 => "citypulse:changes".to_owned(),
        other => format!("citypulse:changes:{other}"),
    }
}

/// `text` as a Redis pattern that matches only itself.
pub fn escape_glob(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_leads_back_to_its_kind_and_id() {
        for kind in Kind::ALL {
            for id in ["", "a", "a:b *?[]\\ \"é", "current"] {
                let expected = if kind.is_single() { "" } else { id };
                assert_eq!(Kind::of_key(&kind.key(id)), Some((kind, expected)));
            }
        }
    }

    #[test]
    fn keys_of_our_own_are_no_values() {
        let partition = TopicPartition::new("gps_data", 3);
        for key in [
            positions_key("speed"),
            state_key("speed", &partition),
            mark_key("speed", &partition),
            changes_channel(0),
            changes_channel(2),
            "weather:current:x".to_owned(),
        ] {
            assert_eq!(Kind::of_key(&key), None, "{key}");
        }
    }

    #[test]
    fn ids_of_panes_lead_back_to_key_and_start() {
        for kind in WindowKind::ALL {
            for key in ["speed", "a:b:pm25", "", "1"] {
                let id = window_id(kind, key, 1_700_000_040_000_000);
                let expected = Some((key, 1_700_000_040_000_000));
                assert_eq!(parse_window_id(kind, &id), expected);
            }
        }
        assert_eq!(
            window_id(WindowKind::City, "speed", 60_000_000),
            "city:speed:60"
        );
        assert_eq!(parse_window_id(WindowKind::City, "cell:a:60"), None);
        assert_eq!(parse_window_id(WindowKind::City, "city:speed"), None);
    }

    #[test]
    fn pattern_characters_are_escaped() {
        assert_eq!(escape_glob("a*b?[c]\\d"), "a\\*b\\?\\[c\\]\\\\d");
    }
}
