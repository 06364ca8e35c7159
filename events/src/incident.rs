//! `emergency_incident_data`: emergencies and their life.

use compact_str::CompactString;

use crate::Location;
use crate::columns::{Column, Row};
use crate::decode::{DecodeError, Reader};
use crate::json::ObjectWriter;
use crate::stream::Fields;

/// One message about an emergency incident.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Incident {
    /// The incident, the same through its life (`incidentId` on the wire).
    pub incident_id: CompactString,
    /// Where it is.
    pub location: Location,
    /// Accident, Breakdown, Theft, Fire, Medical, Police, Traffic, ...
    pub incident_type: CompactString,
    /// Active, Dispatched, OnScene, Resolved, ... as sent.
    pub status: CompactString,
    /// Critical, High, Medium, Low, as sent or derived from the type.
    pub severity: CompactString,
    /// Free text.
    pub description: Option<Box<str>>,
    /// Units that attend.
    pub units: Vec<CompactString>,
}

/// The statuses the platform acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentStatus {
    /// Reported.
    Active,
    /// Units are on their way.
    Dispatched,
    /// Units are there.
    OnScene,
    /// Over: resolved, closed, cancelled, cleared or completed.
    Resolved,
    /// A text that is not listed: kept as it is, treated as ongoing.
    Other,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing urgent.
    Low,
    /// To be attended.
    Medium,
    /// People or the main road network are affected.
    High,
    /// Life is in danger.
    Critical,
}

impl Incident {
    /// What the platform makes of the status as sent.
    pub fn status(&self) -> IncidentStatus {
        IncidentStatus::parse(&self.status)
    }

    /// What the platform makes of the severity as sent; one that is not listed
    /// counts like one that was left out.
    pub fn severity(&self) -> Severity {
        Severity::parse(&self.severity)
            .unwrap_or_else(|| Severity::of_incident_type(&self.incident_type))
    }
}

impl IncidentStatus {
    /// Reads a status whatever its case, `On Scene` and `on_scene` included.
    pub fn parse(text: &str) -> Self {
        let letters = text.chars().filter(|c| !matches!(c, ' ' | '-' | '_'));
        match letters.collect::<CompactString>().to_lowercase().as_str() {
            "active" => Self::Active,
            "dispatched" => Self::Dispatched,
            "onscene" => Self::OnScene,
            // Producers end an incident in several words; all of them mean that it is over.
            "resolved" | "closed" | "cancelled" | "canceled" | "cleared" | "completed" => {
                Self::Resolved
            }
            _ => Self::Other,
        }
    }

    /// Whether the incident is over.
    pub fn is_over(self) -> bool {
        self == Self::Resolved
    }
}

impl Severity {
    /// Reads a severity whatever its case; `None` where it is not listed.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Low, Self::Medium, Self::High, Self::Critical];
        all.into_iter()
            .find(|severity| severity.name().eq_ignore_ascii_case(text))
    }

    /// As it is written on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        }
    }

    /// The severity of an incident whose producer names none. The first of these
    /// words that the type contains, whatever its case, decides:
    ///
    /// | type | severity |
    /// |---|---|
    /// | fire, explosion | Critical |
    /// | accident, collision, medical | High |
    /// | police, theft | Medium |
    /// | breakdown, traffic | Low |
    /// | anything else | Medium |
    pub fn of_incident_type(incident_type: &str) -> Self {
        const BY_WORD: [(&str, Severity); 9] = [
            ("fire", Severity::Critical),
            ("explosion", Severity::Critical),
            ("accident", Severity::High),
            ("collision", Severity::High),
            ("medical", Severity::High),
            ("police", Severity::Medium),
            ("theft", Severity::Medium),
            ("breakdown", Severity::Low),
            ("traffic", Severity::Low),
        ];
        let lower = incident_type.to_lowercase();
        let listed = BY_WORD.iter().find(|(word, _)| lower.contains(word));
        listed.map_or(Self::Medium, |(_, severity)| *severity)
    }
}

const INCIDENT_ID: &str = "a text that identifies the incident";
const INCIDENT_TYPE: &str = "a text such as Accident, Breakdown, Fire or Medical";
const STATUS: &str = "a text such as Active, Dispatched, OnScene or Resolved";

impl Fields for Incident {
    const COLUMNS: &'static [Column] = &[
        Column::text("incident_id"),
        Column::text("incident_type"),
        Column::text("status"),
        Column::text("severity"),
        Column::text("description"),
        Column::texts("units"),
    ];

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut incident_id, mut incident_type, mut status) = (None, None, None);
        let (mut severity, mut description, mut units) = (None, None, None);
        while let Some(name) = reader.next_field()? {
            match name.as_ref() {
                "incidentId" | "incident_id" => reader.name(&mut incident_id, INCIDENT_ID)?,
                "incident_type" | "incidentType" => {
                    reader.name(&mut incident_type, INCIDENT_TYPE)?
                }
                "status" => reader.name(&mut status, STATUS)?,
                "severity" => reader.text(&mut severity)?,
                "description" => reader.text(&mut description)?,
                "units" => reader.texts(&mut units)?,
                _ => reader.keep()?,
            }
        }
        let incident_type = reader.required(incident_type, "incident_type", INCIDENT_TYPE)?;
        Ok(Self {
            incident_id: reader.required(incident_id, "incidentId", INCIDENT_ID)?,
            location: reader.location()?,
            status: reader.required(status, "status", STATUS)?,
            severity: severity
                .unwrap_or_else(|| Severity::of_incident_type(&incident_type).name().into()),
            incident_type,
            description,
            units: units.unwrap_or_default(),
        })
    }

    fn write(&self, json: &mut ObjectWriter) {
        json.text("incidentId", &self.incident_id)
            .location("location", self.location)
            .text("incident_type", &self.incident_type)
            .text("status", &self.status)
            .text("severity", &self.severity)
            .optional_text("description", self.description.as_deref());
        if !self.units.is_empty() {
            json.texts("units", self.units.iter().map(CompactString::as_str));
        }
    }

    fn append(&self, row: &mut Row<'_>) {
        row.text(Some(&self.incident_id));
        row.text(Some(&self.incident_type));
        row.text(Some(&self.status));
        row.text(Some(&self.severity));
        row.text(self.description.as_deref());
        row.texts(self.units.iter().map(CompactString::as_str));
    }

    fn location(&self) -> Option<Location> {
        Some(self.location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_whatever_their_spelling() {
        for (text, expected) in [
            ("Active", IncidentStatus::Active),
            ("DISPATCHED", IncidentStatus::Dispatched),
            ("OnScene", IncidentStatus::OnScene),
            ("on scene", IncidentStatus::OnScene),
            ("on_scene", IncidentStatus::OnScene),
            ("resolved", IncidentStatus::Resolved),
            ("CLOSED", IncidentStatus::Resolved),
            ("Closed", IncidentStatus::Resolved),
            ("Cancelled", IncidentStatus::Resolved),
            ("canceled", IncidentStatus::Resolved),
            ("Escalated", IncidentStatus::Other),
            ("", IncidentStatus::Other),
        ] {
            assert_eq!(IncidentStatus::parse(text), expected, "{text}");
        }
        assert!(IncidentStatus::Resolved.is_over() && !IncidentStatus::Other.is_over());
    }

    #[test]
    fn severity_follows_from_the_type_where_it_is_not_listed() {
        for (incident_type, expected) in [
            ("Fire", Severity::Critical),
            ("Structure Fire", Severity::Critical),
            ("MEDICAL", Severity::High),
            ("Traffic Collision", Severity::High),
            ("Police", Severity::Medium),
            ("Theft", Severity::Medium),
            ("Breakdown", Severity::Low),
            ("Traffic", Severity::Low),
            ("Elk on the road", Severity::Medium),
        ] {
            assert_eq!(
                Severity::of_incident_type(incident_type),
                expected,
                "{incident_type}"
            );
            let incident = Incident {
                incident_type: incident_type.into(),
                ..Incident::default()
            };
            assert_eq!(incident.severity(), expected);
        }
        assert_eq!(Severity::parse("critical"), Some(Severity::Critical));
        assert_eq!(Severity::parse("5"), None);
        assert!(Severity::Critical > Severity::Low);
    }
}
