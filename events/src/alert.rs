//! `alerts`: what the platform's own rules raised.

use compact_str::CompactString;

use crate::Location;
use crate::columns::{Column, Row};
use crate::decode::{DecodeError, Reader};
use crate::json::ObjectWriter;
use crate::stream::Fields;

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

const TEXT: &str = "a text that is not empty";

impl Fields for Alert {
    const COLUMNS: &'static [Column] = &[
        Column::text("alert_id"),
        Column::text("rule"),
        Column::text("subject"),
        Column::text("severity"),
        Column::text("status"),
        Column::number("value"),
        Column::number("threshold"),
        Column::timestamp("started_at"),
        Column::text("message"),
    ];

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut alert = Alert::default();
        let (mut alert_id, mut rule, mut subject) = (None, None, None);
        let (mut severity, mut status) = (None, None);
        while let Some(name) = reader.next_field()? {
            match name.as_ref() {
                "alert_id" => reader.name(&mut alert_id, TEXT)?,
                "rule" => reader.name(&mut rule, TEXT)?,
                "subject" => reader.name(&mut subject, TEXT)?,
                "severity" => reader.name(&mut severity, TEXT)?,
                "status" => reader.name(&mut status, TEXT)?,
                "value" => reader.number(&mut alert.value)?,
                "threshold" => reader.number(&mut alert.threshold)?,
                "started_at" => reader.timestamp(&mut alert.started_at_us)?,
                "message" => reader.text(&mut alert.message)?,
                _ => reader.keep()?,
            }
        }
        alert.alert_id = reader.required(alert_id, "alert_id", TEXT)?;
        alert.rule = reader.required(rule, "rule", TEXT)?;
        alert.subject = reader.required(subject, "subject", TEXT)?;
        alert.severity = reader.required(severity, "severity", TEXT)?;
        alert.status = reader.required(status, "status", TEXT)?;
        alert.location = reader.optional_location()?;
        Ok(alert)
    }

    fn write(&self, json: &mut ObjectWriter) {
        json.text("alert_id", &self.alert_id)
            .text("rule", &self.rule)
            .text("subject", &self.subject)
            .text("severity", &self.severity)
            .text("status", &self.status)
            .optional_number("value", self.value)
            .optional_number("threshold", self.threshold);
        if let Some(location) = self.location {
            json.location("location", location);
        }
        if let Some(started_at_us) = self.started_at_us {
            json.timestamp("started_at", started_at_us);
        }
        json.optional_text("message", self.message.as_deref());
    }

    fn append(&self, row: &mut Row<'_>) {
        row.text(Some(&self.alert_id));
        row.text(Some(&self.rule));
        row.text(Some(&self.subject));
        row.text(Some(&self.severity));
        row.text(Some(&self.status));
        row.number(self.value);
        row.number(self.threshold);
        row.timestamp(self.started_at_us);
        row.text(self.message.as_deref());
    }

    fn location(&self) -> Option<Location> {
        self.location
    }
}
