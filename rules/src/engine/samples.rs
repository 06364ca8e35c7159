//! What a rule measures in a fact.

use events::window::Merged;
use events::{Body, Event, aqi};

use super::episode::Sample;
use crate::comparison::Comparison;
use crate::fact::{FenceFact, FenceTransition, SegmentFact};
use crate::rule::{AggregateOf, Measure, Rule, passes};

/// The measurement of a single event; `None` where the rule does not look at it.
pub(super) fn of_event<'a>(
    rule: &Rule,
    event: &'a Event,
    segment: Option<&SegmentFact<'_>>,
) -> Option<Sample<'a>> {
    let filters = &rule.filters;
    if !passes(&filters.device, Some(&event.device_id))
        || !passes(&filters.vehicle_type, event.vehicle_type())
    {
        return None;
    }
    let incident = match &event.body {
        Body::Incident(incident) => Some(incident),
        _ => None,
    };
    if !passes(
        &filters.incident_type,
        incident.map(|i| i.incident_type.as_str()),
    ) {
        return None;
    }
    let mut sample = match &rule.measure {
        Measure::Field { value, .. } => compared(rule, value.value(event, segment)?),
        Measure::Overspeed { margin_kmh } => overspeed(rule, *margin_kmh, event, segment?)?,
        Measure::HighAqi => {
            let Body::Weather(weather) = &event.body else {
                return None;
            };
            // Of all pollutants and the station's own index the worst counts.
            let index = aqi::of_readings(weather).map(|air| f64::from(air.index));
            let worst = index.into_iter().chain(weather.air_quality_index);
            compared(rule, worst.reduce(f64::max)?)
        }
        Measure::OutOfRange { value, low, high } => {
            within(rule, value.value(event, None)?, *low, *high)
        }
        Measure::IncidentSeverity => {
            let severity = incident?.severity();
            Sample {
                severity,
                ..compared(rule, f64::from(severity as u8 + 1))
            }
        }
        _ => return None,
    };
    if let Some(incident) = incident {
        sample.subject = &incident.incident_id;
        sample.is_over |= incident.status().is_over();
        sample.is_met &= !incident.status().is_over();
    } else {
        sample.subject = &event.device_id;
    }
    sample.at_us = event.timestamp_us;
    sample.begins_us = event.timestamp_us;
    sample.location = event.location();
    Some(sample)
}

/// A value against the rule's own thresholds; the caller says what it is about.
fn compared(rule: &Rule, value: f64) -> Sample<'static> {
    let condition = &rule.condition;
    Sample {
        subject: "",
        fence_len: 0,
        at_us: 0,
        begins_us: 0,
        value,
        threshold: Some(condition.threshold),
        badness: match condition.comparison {
            Comparison::Above | Comparison::AtLeast => value,
            Comparison::Below | Comparison::AtMost => -value,
            Comparison::Equal | Comparison::NotEqual => 0.0,
        },
        is_met: condition.is_met(value),
        is_over: condition.is_over(value),
        location: None,
        severity: rule.severity,
    }
}

/// Over by a share of the limit and by a margin, both; slower than the clear
/// share it is over.
fn overspeed(
    rule: &Rule,
    margin_kmh: f64,
    event: &Event,
    segment: &SegmentFact<'_>,
) -> Option<Sample<'static>> {
    let speed_kmh = match &event.body {
        Body::Vehicle(vehicle) => vehicle.speed_kmh,
        Body::Gps(gps) => gps.speed_kmh,
        _ => return None,
    };
    let condition = &rule.condition;
    let limit_kmh = segment.limit_kmh;
    let raise_kmh = (limit_kmh * condition.threshold).max(limit_kmh + margin_kmh);
    let clear_kmh = match condition.clear_threshold == condition.threshold {
        true => raise_kmh,
        false => limit_kmh * condition.clear_threshold,
    };
    Some(Sample {
        threshold: Some(raise_kmh),
        badness: speed_kmh,
        is_met: speed_kmh > raise_kmh,
        is_over: speed_kmh <= clear_kmh.min(raise_kmh),
        ..compared(rule, speed_kmh)
    })
}

fn within(rule: &Rule, value: f64, low: f64, high: f64) -> Sample<'static> {
    let (below, above) = (low - value, value - high);
    let is_out = below > 0.0 || above > 0.0;
    Sample {
        threshold: match () {
            () if below > 0.0 => Some(low),
            () if above > 0.0 => Some(high),
            () => None,
        },
        badness: below.max(above),
        is_met: is_out,
        is_over: !is_out,
        ..compared(rule, value)
    }
}

/// The measurement of a closed window; `None` where the rule says nothing about it.
pub(super) fn of_window(
    rule: &Rule,
    window: &Merged,
    free_flow_kmh: Option<f64>,
) -> Option<Sample<'static>> {
    let moments = &window.aggregate.moments;
    let value = match &rule.measure {
        Measure::Window { aggregate, .. } => match aggregate {
            AggregateOf::Mean => moments.mean()?,
            AggregateOf::Min => Some(moments.min).filter(|_| !moments.is_empty())?,
            AggregateOf::Max => Some(moments.max).filter(|_| !moments.is_empty())?,
            AggregateOf::Count => moments.count as f64,
            AggregateOf::Quantile(percent) => {
                window.aggregate.quantile(f64::from(*percent) / 100.0)?
            }
            AggregateOf::Vehicles => window.vehicles? as f64,
        },
        Measure::Congestion { vehicles_min } => {
            if (window.vehicles? as f64) < *vehicles_min {
                return None;
            }
            moments.mean()? / free_flow_kmh.filter(|kmh| *kmh > 0.0)?
        }
        _ => return None,
    };
    // A window is a fact when it ends; what it says began with it.
    Some(Sample {
        at_us: window.window.end_us,
        begins_us: window.window.start_us,
        ..compared(rule, value)
    })
}

/// What a transition at a fence means to the rule: begins, ends, or nothing.
pub(super) fn of_fence<'a>(
    rule: &Rule,
    fact: &FenceFact<'_>,
    subject: &'a str,
) -> Option<Sample<'a>> {
    let filters = &rule.filters;
    if !passes(&filters.fence, Some(fact.fence))
        || !passes(&filters.device, Some(fact.device_id))
        || !passes(&filters.vehicle_type, fact.vehicle_type)
    {
        return None;
    }
    use FenceTransition::{Dwell, Enter, Exit};
    let (begins, ends) = match rule.measure {
        Measure::FenceEnter => (Enter, Exit),
        Measure::FenceDwell => (Dwell, Exit),
        Measure::FenceExit => (Exit, Enter),
        _ => return None,
    };
    if fact.transition != begins && fact.transition != ends {
        return None;
    }
    Some(Sample {
        subject,
        fence_len: u16::try_from(fact.fence.len()).unwrap_or_default(),
        at_us: fact.at_us,
        begins_us: fact.at_us,
        threshold: None,
        badness: 0.0,
        is_met: fact.transition == begins,
        is_over: fact.transition == ends,
        location: Some(fact.location),
        ..compared(rule, fact.inside_s)
    })
}

/// A device that has said nothing for `silent_us` until `at_us`.
pub(super) fn of_silence<'a>(
    rule: &Rule,
    device_id: &'a str,
    seen_us: i64,
    silent_us: i64,
) -> Sample<'a> {
    Sample {
        subject: device_id,
        at_us: seen_us + silent_us,
        begins_us: seen_us,
        badness: 0.0,
        is_met: true,
        is_over: false,
        severity: rule.severity,
        ..compared(rule, silent_us as f64 / 1e6)
    }
}

/// Of a device that is heard again.
pub(super) fn of_return<'a>(
    rule: &Rule,
    device_id: &'a str,
    at_us: i64,
    since_us: i64,
) -> Sample<'a> {
    Sample {
        at_us,
        is_met: false,
        is_over: true,
        ..of_silence(rule, device_id, since_us, at_us - since_us)
    }
}
