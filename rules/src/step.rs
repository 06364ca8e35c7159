//! One step in the life of an alert, and the event that records it.

use compact_str::CompactString;
use events::{Alert, Body, Event, Location, Severity};
use serde_json::json;
use uuid::Uuid;

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// The condition has held for long enough.
    Raised,
    /// It holds still, and is worse than what was said before.
    Updated,
    /// It is over.
    Cleared,
    /// A person has seen it. The rules themselves never say this.
    Acknowledged,
}

impl Status {
    /// As it is written on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Updated => "updated",
            Self::Cleared => "cleared",
            Self::Acknowledged => "acknowledged",
        }
    }

    /// Reads what [`Status::name`] says.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::Raised,
            Self::Updated,
            Self::Cleared,
            Self::Acknowledged,
        ];
        all.into_iter().find(|status| status.name() == text)
    }
}

/// One step in the life of an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertStep {
    /// The same through the alert's life: [`alert_id`].
    pub alert_id: Uuid,
    /// The rule's id.
    pub rule: CompactString,
    /// What it is about.
    pub subject: CompactString,
    /// How bad.
    pub severity: Severity,
    /// What happened.
    pub status: Status,
    /// The measured value.
    pub value: Option<f64>,
    /// What it was compared with.
    pub threshold: Option<f64>,
    /// Where, if it has a place.
    pub location: Option<Location>,
    /// When the condition began, microseconds since the epoch.
    pub started_at_us: i64,
    /// When this step happened, event time, microseconds since the epoch.
    pub at_us: i64,
    /// For people.
    pub message: Box<str>,
    /// The incidents that were merged; empty for other alerts.
    pub sources: Vec<CompactString>,
}

/// Alerts and their steps are named in this namespace.
const NAMESPACE: Uuid = Uuid::from_u128(0x3d0c_1a7e_55f2_5b1c_9e64_0f8b_a2d7_c415);
/// Device ids have at most as many characters; subjects may have more.
const DEVICE_ID_CHARACTERS_MAX: usize = 128;

/// The id of the alert that `rule` raises about `subject` for the episode that
/// began at `started_at_us`.
pub(crate) fn alert_id(rule: &str, subject: &str, started_at_us: i64) -> Uuid {
    // Lengths first, so that no two different triples read the same.
    let name = format!(
        "{}:{rule}{}:{subject}{started_at_us}",
        rule.len(),
        subject.len()
    );
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// The key of the records of alerts about `subject`.
pub(crate) fn record_key(subject: &str) -> CompactString {
    subject.chars().take(DEVICE_ID_CHARACTERS_MAX).collect()
}

impl AlertStep {
    /// The id of the event that records this step. It follows from the alert and
    /// the step, so that a step that is said again is known to be the same.
    pub fn event_id(&self) -> Uuid {
        let mut name = format!("{} {}", self.status.name(), self.at_us);
        // Steps about merged incidents may be of one time. An end is one, whoever
        // was told to be part of it last: a replay may have seen fewer moments.
        if self.status != Status::Cleared {
            for source in &self.sources {
                name.push('\n');
                name.push_str(source);
            }
        }
        Uuid::new_v5(&self.alert_id, name.as_bytes())
    }

    /// The key of its record: steps of one alert lie in one partition.
    pub fn record_key(&self) -> CompactString {
        record_key(&self.subject)
    }

    /// The event that records it in the stream `alerts`.
    pub fn to_event(&self) -> Event {
        let sources = (!self.sources.is_empty())
            .then(|| json!({ "sources": self.sources.iter().map(CompactString::as_str).collect::<Vec<_>>() }));
        Event {
            id: self.event_id().to_string().into(),
            device_id: self.record_key(),
            timestamp_us: self.at_us,
            extra: sources.map(|sources| sources.to_string().into()),
            body: Body::Alert(Box::new(Alert {
                alert_id: self.alert_id.to_string().into(),
                rule: self.rule.clone(),
                subject: self.subject.clone(),
                severity: self.severity.name().into(),
                status: self.status.name().into(),
                value: self.value,
                threshold: self.threshold,
                location: self.location,
                started_at_us: Some(self.started_at_us),
                message: Some(self.message.clone()),
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use events::{Stream, decode};

    use super::*;

    fn step() -> AlertStep {
        AlertStep {
            alert_id: alert_id("overspeed", "taxi-1", 5),
            rule: "overspeed".into(),
            subject: "taxi-1".into(),
            severity: Severity::High,
            status: Status::Raised,
            value: Some(91.5),
            threshold: Some(60.0),
            location: Some(Location {
                latitude: 57.7,
                longitude: 11.9,
            }),
            started_at_us: 1_767_225_600_000_000,
            at_us: 1_767_225_610_000_000,
            message: "taxi-1 drives 91.5 km/h".into(),
            sources: Vec::new(),
        }
    }

    #[test]
    fn ids_follow_from_rule_subject_and_start() {
        assert_eq!(alert_id("a", "b", 1), alert_id("a", "b", 1));
        let others = [
            alert_id("a", "b", 2),
            alert_id("a", "c", 1),
            alert_id("b", "b", 1),
            alert_id("ab", "", 1),
            alert_id("", "ab", 1),
            alert_id("a", "b1", 1),
        ];
        assert!(!others.contains(&alert_id("a", "b", 1)));
        let raised = step();
        let cleared = AlertStep {
            status: Status::Cleared,
            ..step()
        };
        assert_eq!(raised.event_id(), step().event_id());
        assert_ne!(raised.event_id(), cleared.event_id());
    }

    #[test]
    fn the_event_reads_back() {
        for sources in [vec![], vec!["i-1".into(), "i-2".into()]] {
            let step = AlertStep { sources, ..step() };
            let event = step.to_event();
            let read = decode(Stream::Alerts, &event.to_json(), step.at_us).expect("valid");
            assert_eq!(read, event);
        }
        let long = AlertStep {
            subject: "é".repeat(300).into(),
            ..step()
        };
        let event = long.to_event();
        assert!(decode(Stream::Alerts, &event.to_json(), long.at_us).is_ok());
    }
}
