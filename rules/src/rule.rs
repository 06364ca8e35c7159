//! A rule that has been checked, ready to be evaluated.

use compact_str::CompactString;
use events::window::{Sliding, WindowKind};
use events::{Severity, Stream};

use crate::comparison::Condition;
use crate::document::RuleDocument;
use crate::expression::Expression;
use crate::message::{Filling, Template};

/// A checked rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub(crate) document: RuleDocument,
    pub(crate) severity: Severity,
    pub(crate) condition: Condition,
    pub(crate) hold_us: i64,
    pub(crate) measure: Measure,
    pub(crate) filters: LowercaseFilters,
    pub(crate) template: Template,
    /// Of the document: whether a stored episode is this rule's.
    pub(crate) fingerprint: u64,
}

/// What a rule measures.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Measure {
    /// A field or expression of single events.
    Field { stream: Stream, value: Expression },
    /// An aggregate of closed windows.
    Window {
        kind: WindowKind,
        reading: Option<CompactString>,
        aggregate: AggregateOf,
        size: Sliding,
    },
    /// Speed over the limit of the segment.
    Overspeed { margin_kmh: f64 },
    /// Inside a fence, from its entry on.
    FenceEnter,
    /// Left a fence.
    FenceExit,
    /// Inside a fence for long.
    FenceDwell,
    /// Nothing heard for longer than the threshold, seconds.
    Silence,
    /// Air quality index of momentary readings.
    HighAqi,
    /// A reading outside of its range.
    OutOfRange {
        value: Expression,
        low: f64,
        high: f64,
    },
    /// Mean speed of a segment as a share of its free flow.
    Congestion { vehicles_min: f64 },
    /// Severity of an incident that goes on.
    IncidentSeverity,
    /// Incidents that are probably one.
    MergedIncidents { radius_m: f64, within_us: i64 },
}

impl Measure {
    /// The filters that what it measures is compared with, by their names in documents.
    pub fn filters(&self) -> &'static [&'static str] {
        match self {
            Self::Field { stream, .. } => match stream {
                Stream::VehicleData | Stream::GpsData => &["vehicle_type", "device"],
                Stream::EmergencyIncidentData => &["device", "incident_type"],
                _ => &["device"],
            },
            Self::Window { .. } | Self::Congestion { .. } => &["key"],
            Self::Overspeed { .. } | Self::Silence => &["vehicle_type", "device"],
            Self::FenceEnter | Self::FenceExit | Self::FenceDwell => {
                &["fence", "vehicle_type", "device"]
            }
            Self::HighAqi | Self::OutOfRange { .. } => &["device"],
            Self::IncidentSeverity => &["device", "incident_type"],
            Self::MergedIncidents { .. } => &["incident_type"],
        }
    }
}

/// What is taken of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AggregateOf {
    Mean,
    Min,
    Max,
    Count,
    Quantile(u8),
    Vehicles,
}

impl AggregateOf {
    pub const ALL: [(&'static str, AggregateOf); 8] = [
        ("mean", Self::Mean),
        ("min", Self::Min),
        ("max", Self::Max),
        ("count", Self::Count),
        ("p50", Self::Quantile(50)),
        ("p90", Self::Quantile(90)),
        ("p99", Self::Quantile(99)),
        ("vehicles", Self::Vehicles),
    ];
}

/// The filters of a document, in lower case.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LowercaseFilters {
    pub vehicle_type: Vec<String>,
    pub device: Vec<String>,
    pub incident_type: Vec<String>,
    pub fence: Vec<String>,
    pub key: Vec<String>,
}

/// Whether `value` is among `allowed`; everything is where nothing is listed.
pub(crate) fn passes(allowed: &[String], value: Option<&str>) -> bool {
    allowed.is_empty()
        || value.is_some_and(|value| {
            let value = value.to_lowercase();
            allowed.contains(&value)
        })
}

impl Rule {
    /// The rule's id.
    pub fn id(&self) -> &str {
        &self.document.id
    }

    /// The same rule, switched on or off.
    pub fn switched(mut self, enabled: bool) -> Self {
        self.document.enabled = enabled;
        self
    }

    /// As people wrote it.
    pub fn document(&self) -> &RuleDocument {
        &self.document
    }

    /// Whether the rule looks at the closed windows of all partitions together.
    pub fn is_over_windows(&self) -> bool {
        matches!(
            self.measure,
            Measure::Window { .. } | Measure::Congestion { .. }
        )
    }

    /// Whether the rule merges incidents of all partitions.
    pub fn merges_incidents(&self) -> bool {
        matches!(self.measure, Measure::MergedIncidents { .. })
    }

    /// Whether the rule needs to know the street under a fix.
    pub fn needs_segment(&self) -> bool {
        matches!(self.measure, Measure::Overspeed { .. })
            || matches!(&self.measure, Measure::Field { value, .. } if value.needs_segment())
    }

    /// The streams of events that the rule follows from.
    pub fn streams(&self) -> Vec<Stream> {
        let fixes = vec![Stream::VehicleData, Stream::GpsData];
        match &self.measure {
            Measure::Field { stream, .. } => vec![*stream],
            Measure::Window { kind, .. } if *kind == WindowKind::Station => {
                vec![Stream::WeatherData]
            }
            Measure::Window { .. }
            | Measure::Congestion { .. }
            | Measure::Overspeed { .. }
            | Measure::FenceEnter
            | Measure::FenceExit
            | Measure::FenceDwell => fixes,
            Measure::Silence => vec![
                Stream::VehicleData,
                Stream::GpsData,
                Stream::TrafficCameraData,
                Stream::WeatherData,
            ],
            Measure::HighAqi | Measure::OutOfRange { .. } => vec![Stream::WeatherData],
            Measure::IncidentSeverity | Measure::MergedIncidents { .. } => {
                vec![Stream::EmergencyIncidentData]
            }
        }
    }

    /// Whether its facts are what devices do at fences.
    pub fn is_over_fences(&self) -> bool {
        matches!(
            self.measure,
            Measure::FenceEnter | Measure::FenceExit | Measure::FenceDwell
        )
    }

    /// What an alert of this rule says.
    pub(crate) fn message(
        &self,
        value: Option<f64>,
        threshold: Option<f64>,
        subject: &str,
    ) -> Box<str> {
        let filling = Filling {
            value,
            threshold,
            subject,
            name: &self.document.name,
        };
        self.template.fill(&filling).into()
    }

    /// How long an open episode waits for a newer fact before it is given up, in
    /// event time.
    pub(crate) fn gives_up_after_us(&self) -> i64 {
        const MINUTE_US: i64 = 60_000_000;
        const DAY_US: i64 = 24 * 60 * MINUTE_US;
        match &self.measure {
            Measure::Window { size, .. } => (3 * size.size_us).max(10 * MINUTE_US),
            // Nothing more is heard until the device leaves or comes back.
            Measure::FenceEnter | Measure::FenceDwell | Measure::Silence => DAY_US,
            // As long as the hot store keeps an incident.
            Measure::IncidentSeverity | Measure::MergedIncidents { .. } => 120 * MINUTE_US,
            _ => (2 * self.hold_us).max(10 * MINUTE_US),
        }
    }
}
