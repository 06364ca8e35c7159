//! What is known of an alert: its steps, folded in the log's order.

use compact_str::CompactString;
use events::time::{format_rfc3339, parse_rfc3339_us};
use events::{Body, Event, Location, Severity};
use serde_json::{Map, Value, json};

use crate::step::Status;

/// An alert with all that was said about it so far.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertState {
    /// The same through its life.
    pub alert_id: CompactString,
    /// The rule's id.
    pub rule: CompactString,
    /// What it is about.
    pub subject: CompactString,
    /// Critical, High, Medium, Low.
    pub severity: CompactString,
    /// What its rule said last: raised, updated or cleared.
    pub status: Status,
    /// The measured value.
    pub value: Option<f64>,
    /// What it was compared with.
    pub threshold: Option<f64>,
    /// Where, if it has a place.
    pub location: Option<Location>,
    /// When the condition began, microseconds since the epoch.
    pub started_at_us: i64,
    /// When the last step happened, event time, microseconds since the epoch.
    pub timestamp_us: i64,
    /// For people.
    pub message: Box<str>,
    /// The incidents that were merged.
    pub sources: Vec<CompactString>,
    /// Who has seen it.
    pub acknowledged: Option<Acknowledgement>,
}

/// A person has seen an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Who.
    pub author: CompactString,
    /// What they say about it.
    pub note: Option<Box<str>>,
    /// When, microseconds since the epoch.
    pub at_us: i64,
}

impl AlertState {
    /// Begins with the first step; `None` for what is no step of an alert, and
    /// for an acknowledgement of an alert that is not known.
    pub fn begin(event: &Event) -> Option<Self> {
        let Body::Alert(alert) = &event.body else {
            return None;
        };
        let status = Status::parse(&alert.status)?;
        if status == Status::Acknowledged {
            return None;
        }
        let mut state = Self {
            alert_id: alert.alert_id.clone(),
            rule: alert.rule.clone(),
            subject: alert.subject.clone(),
            severity: alert.severity.clone(),
            status,
            value: None,
            threshold: None,
            location: None,
            started_at_us: alert.started_at_us.unwrap_or(event.timestamp_us),
            timestamp_us: i64::MIN,
            message: Box::default(),
            sources: Vec::new(),
            acknowledged: None,
        };
        state.fold(event);
        Some(state)
    }

    /// Takes one more step; whether it says anything new. A step that is older
    /// than what is known does not.
    pub fn fold(&mut self, event: &Event) -> bool {
        let Body::Alert(alert) = &event.body else {
            return false;
        };
        let extra: Value = match event.extra.as_deref() {
            Some(extra) => serde_json::from_str(extra).unwrap_or_default(),
            None => Value::Null,
        };
        let before = self.clone();
        match Status::parse(&alert.status) {
            // Said by people's clocks, which are not those of the events.
            Some(Status::Acknowledged) => {
                self.acknowledged = Some(Acknowledgement {
                    author: extra["author"].as_str().unwrap_or_default().into(),
                    note: extra["note"].as_str().map(Into::into),
                    at_us: event.timestamp_us,
                });
            }
            Some(status) if (event.timestamp_us, status) >= (self.timestamp_us, self.status) => {
                self.status = status;
                self.severity = alert.severity.clone();
                self.value = alert.value;
                self.threshold = alert.threshold;
                self.location = alert.location.or(self.location);
                self.timestamp_us = event.timestamp_us;
                if let Some(message) = &alert.message {
                    self.message = message.clone();
                }
                let sources = extra["sources"].as_array();
                if let Some(sources) = sources {
                    let texts = sources.iter().filter_map(Value::as_str);
                    self.sources = texts.map(CompactString::from).collect();
                }
            }
            Some(_) | None => {}
        }
        *self != before
    }

    /// Whether it is not over.
    pub fn is_active(&self) -> bool {
        self.status != Status::Cleared
    }

    /// What is shown as its status: `acknowledged` from the acknowledgement until
    /// it is cleared.
    pub fn shown_status(&self) -> Status {
        match (&self.acknowledged, self.is_active()) {
            (Some(_), true) => Status::Acknowledged,
            _ => self.status,
        }
    }

    /// The alert as a hot value, one flat JSON object:
    /// `{alert_id,rule,subject,severity,status,value,threshold,latitude,longitude,started_at,timestamp,message,sources,acknowledged_by,acknowledged_at,note}`.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Map::new();
        let mut put = |name: &str, value: Value| json.insert(name.to_owned(), value);
        put("alert_id", json!(self.alert_id.as_str()));
        put("rule", json!(self.rule.as_str()));
        put("subject", json!(self.subject.as_str()));
        put("severity", json!(self.severity.as_str()));
        put("status", json!(self.shown_status().name()));
        put("value", json!(self.value));
        put("threshold", json!(self.threshold));
        if let Some(location) = self.location {
            put("latitude", json!(location.latitude));
            put("longitude", json!(location.longitude));
        }
        put("started_at", json!(format_rfc3339(self.started_at_us)));
        put("timestamp", json!(format_rfc3339(self.timestamp_us)));
        put("message", json!(self.message));
        if !self.sources.is_empty() {
            let sources: Vec<&str> = self.sources.iter().map(CompactString::as_str).collect();
            put("sources", json!(sources));
        }
        if let Some(seen) = &self.acknowledged {
            put("acknowledged_by", json!(seen.author.as_str()));
            put("acknowledged_at", json!(format_rfc3339(seen.at_us)));
            put("note", json!(seen.note));
        }
        Value::Object(json).to_string().into_bytes()
    }

    /// Reads what [`AlertState::to_json`] wrote; `None` where it is anything else.
    /// Of an alert that was acknowledged and is not over, `updated` is what its
    /// rule said last.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(json).ok()?;
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let number = |name: &str| value.get(name).and_then(Value::as_f64);
        let instant = |name: &str| text(name).and_then(parse_rfc3339_us);
        let status = match Status::parse(text("status")?)? {
            Status::Acknowledged => Status::Updated,
            status => status,
        };
        let acknowledged = text("acknowledged_by").map(|author| Acknowledgement {
            author: author.into(),
            note: text("note").map(Into::into),
            at_us: instant("acknowledged_at").unwrap_or_default(),
        });
        let sources = value.get("sources").and_then(Value::as_array);
        Some(Self {
            alert_id: text("alert_id")?.into(),
            rule: text("rule")?.into(),
            subject: text("subject")?.into(),
            severity: text("severity")?.into(),
            status,
            value: number("value"),
            threshold: number("threshold"),
            location: number("latitude")
                .zip(number("longitude"))
                .map(|(latitude, longitude)| Location {
                    latitude,
                    longitude,
                }),
            started_at_us: instant("started_at")?,
            timestamp_us: instant("timestamp")?,
            message: text("message")?.into(),
            sources: sources
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(CompactString::from)
                .collect(),
            acknowledged,
        })
    }

    /// The event that records that a person has seen it. `id` is the event's.
    pub fn acknowledgement(&self, id: &str, author: &str, note: Option<&str>, at_us: i64) -> Event {
        let alert = events::Alert {
            alert_id: self.alert_id.clone(),
            rule: self.rule.clone(),
            subject: self.subject.clone(),
            severity: self.severity.clone(),
            status: Status::Acknowledged.name().into(),
            value: self.value,
            threshold: self.threshold,
            location: self.location,
            started_at_us: Some(self.started_at_us),
            message: Some(self.message.clone()),
        };
        Event {
            id: id.into(),
            device_id: crate::step::record_key(&self.subject),
            timestamp_us: at_us,
            extra: Some(json!({ "author": author, "note": note }).to_string().into()),
            body: Body::Alert(Box::new(alert)),
        }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        Severity::parse(&self.severity).unwrap_or(Severity::Medium)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::step::AlertStep;

    fn step(status: Status, at_us: i64, value: f64) -> Event {
        let step = AlertStep {
            alert_id: Uuid::from_u128(7),
            rule: "r".into(),
            subject: "s".into(),
            severity: Severity::High,
            status,
            value: Some(value),
            threshold: Some(1.0),
            location: Some(Location {
                latitude: 57.7,
                longitude: 11.9,
            }),
            started_at_us: 1_000_000,
            at_us,
            message: "m".into(),
            sources: vec!["a".into(), "b".into()],
        };
        step.to_event()
    }

    #[test]
    fn an_alert_lives_from_raised_to_cleared_and_people_see_it() {
        let mut state = AlertState::begin(&step(Status::Raised, 2_000_000, 5.0)).expect("a step");
        let seen = state.acknowledgement("e1", "Åsa", Some("on it"), 90_000_000);
        assert!(state.fold(&seen) && state.is_active());
        assert!(state.fold(&step(Status::Updated, 3_000_000, 6.0)));
        assert_eq!(
            (state.shown_status(), state.value),
            (Status::Acknowledged, Some(6.0))
        );
        assert_eq!(AlertState::from_json(&state.to_json()), Some(state.clone()));
        // An old step changes nothing, also when it is read again.
        assert!(!state.fold(&step(Status::Raised, 2_000_000, 5.0)));
        assert!(state.fold(&step(Status::Cleared, 4_000_000, 0.5)));
        assert_eq!(state.shown_status(), Status::Cleared);
        let note = state
            .acknowledged
            .as_ref()
            .and_then(|seen| seen.note.as_deref());
        assert_eq!(note, Some("on it"));
        assert_eq!(AlertState::from_json(&state.to_json()), Some(state.clone()));
        assert!(AlertState::begin(&seen).is_none());
    }

    #[test]
    fn the_acknowledgement_is_a_valid_event() {
        let state = AlertState::begin(&step(Status::Raised, 2_000_000, 5.0)).expect("a step");
        let seen = state.acknowledgement("e1", "Åsa", None, 2_000_000_000_000_000);
        let read = events::decode(events::Stream::Alerts, &seen.to_json(), seen.timestamp_us);
        let read = read.expect("valid");
        let mut known = state.clone();
        assert!(known.fold(&read));
        assert_eq!(
            known.acknowledged.map(|seen| seen.author),
            Some("Åsa".into())
        );
    }
}
