//! `alerts`: what the platform's own rules raised.

use compact_str::CompactString;

use crate::Location;

/// One step in the life of an alert.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Alert {
    /// Derived from rule, subject and window, so that a replay raises it once.
    pub alert_id: CompactString,
    /// The rule that raised it.
    pub rule: CompactString,
    /// What it is about: a device, road, station or incident.
    pub subject: CompactString,
    /// Critical, High, Medium, Low.
    pub severity: CompactString,
    /// raised, updated, cleared.
    pub status: CompactString,
    /// The measured value.
    pub value: Option<f64>,
    /// The rule's threshold.
    pub threshold: Option<f64>,
    /// Where, if it has a place.
    pub location: Option<Location>,
    /// When the condition began, microseconds since the epoch.
    pub started_at_us: Option<i64>,
    /// For people.
    pub message: Option<Box<str>>,
}
