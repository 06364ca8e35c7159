//! `emergency_incident_data`: emergencies and their life.

use compact_str::CompactString;

use crate::Location;

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
    /// Over.
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
