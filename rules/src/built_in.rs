//! The rules that the platform comes with.

use crate::document::{Filters, Parameters, RuleDocument, Source};
use crate::rule::Rule;

/// The rules that are there without anybody having written one, all enabled. A
/// document with the same id takes a rule's place.
pub fn built_in_rules() -> Vec<Rule> {
    documents()
        .into_iter()
        .map(|document| Rule::new(document).expect("built-in rules are valid: tested"))
        .collect()
}

/// The built-in rule of that id.
pub fn built_in(id: &str) -> Option<Rule> {
    built_in_rules().into_iter().find(|rule| rule.id() == id)
}

fn documents() -> Vec<RuleDocument> {
    vec![
        RuleDocument {
            clear_threshold: Some(1.05),
            hold_s: 5.0,
            ..document("overspeed", "Speeding", "overspeed", "Medium")
        },
        document("geofence-enter", "Entered an area", "geofence_enter", "Low"),
        document("geofence-exit", "Left an area", "geofence_exit", "Low"),
        document(
            "geofence-dwell",
            "Long in an area",
            "geofence_dwell",
            "Medium",
        ),
        document("device-silent", "Silent device", "device_silent", "Low"),
        RuleDocument {
            clear_threshold: Some(95.0),
            ..document("high-aqi", "Unhealthy air", "high_aqi", "High")
        },
        out_of_range(
            "temperature-range",
            "Temperature out of range",
            "temperature",
            -25.0,
            38.0,
        ),
        out_of_range(
            "humidity-range",
            "Humidity out of range",
            "humidity",
            5.0,
            100.0,
        ),
        out_of_range("co2-range", "CO2 out of range", "extra.co2", 300.0, 2_000.0),
        RuleDocument {
            clear_threshold: Some(0.4),
            hold_s: 120.0,
            ..document(
                "severe-congestion",
                "Severe congestion",
                "severe_congestion",
                "High",
            )
        },
        document(
            "incident-severity",
            "Grave incident",
            "incident_severity",
            "High",
        ),
        document(
            "merged-incidents",
            "One incident, several reports",
            "merged_incidents",
            "Medium",
        ),
    ]
}

fn document(id: &str, name: &str, built_in: &str, severity: &str) -> RuleDocument {
    RuleDocument {
        id: id.to_owned(),
        name: name.to_owned(),
        enabled: true,
        source: Source {
            built_in: Some(built_in.to_owned()),
            ..Source::default()
        },
        comparison: None,
        threshold: None,
        clear_threshold: None,
        hold_s: 0.0,
        group_by: None,
        filters: Filters::default(),
        severity: severity.to_owned(),
        message: None,
    }
}

fn out_of_range(id: &str, name: &str, field: &str, low: f64, high: f64) -> RuleDocument {
    let mut document = document(id, name, "out_of_range", "Medium");
    document.source.field = Some(field.to_owned());
    document.source.parameters = Parameters {
        low: Some(low),
        high: Some(high),
        ..Parameters::default()
    };
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_rule_is_valid_enabled_and_found() {
        let rules = built_in_rules();
        assert_eq!(rules.len(), 12);
        for rule in rules {
            assert!(rule.document().enabled);
            assert_eq!(built_in(rule.id()), Some(rule));
        }
        assert_eq!(built_in("mine"), None);
    }
}
