//! From a document to a rule: every check that people can fail.

use std::str::FromStr;

use compact_str::CompactString;
use events::window::{Sliding, WindowKind};
use events::{Severity, Stream};

use crate::comparison::{Comparison, Condition};
use crate::document::{Filters, Parameters, RuleDocument, Source};
use crate::expression::{Expression, field_names, has_fields};
use crate::limits::{
    FILTER_CHARACTERS_MAX, FILTER_VALUES_MAX, HOLD_S_MAX, ID_CHARACTERS_MAX,
    MESSAGE_CHARACTERS_MAX, NAME_CHARACTERS_MAX,
};
use crate::message::Template;
use crate::problem::Invalid;
use crate::rule::{AggregateOf, LowercaseFilters, Measure, Rule};

/// What follows from the source alone.
struct Measured {
    measure: Measure,
    /// What an alert is about.
    group_by: &'static [&'static str],
    /// Comparison and threshold where the source has its own.
    own: Option<(Comparison, f64)>,
    /// Whether people may set the threshold.
    has_threshold: bool,
    message: &'static str,
}

impl Rule {
    /// Checks `document` as people write it.
    ///
    /// # Errors
    /// The first thing that is wrong, with the field, its value and what was
    /// expected.
    pub fn new(document: RuleDocument) -> Result<Self, Invalid> {
        let rule = Self::stored(document)?;
        check_use(&rule.document.filters, rule.measure.filters())?;
        Ok(rule)
    }

    /// Checks a document that was written before: one with filters that its source makes
    /// no use of, which earlier versions took, stays in force as it was.
    ///
    /// # Errors
    /// As of [`Rule::new`].
    pub(crate) fn stored(document: RuleDocument) -> Result<Self, Invalid> {
        check_id(&document.id)?;
        check_text("name", &document.name, NAME_CHARACTERS_MAX)?;
        let severity = Severity::parse(&document.severity).ok_or_else(|| {
            Invalid::text(
                "severity",
                &document.severity,
                "Critical, High, Medium or Low",
            )
        })?;
        let filters = check_filters(&document.filters)?;
        let measured = check_source(&document.source)?;
        let condition = check_condition(&document, &measured)?;
        check_range("hold_s", Some(document.hold_s), 0.0, HOLD_S_MAX)?;
        check_group(document.group_by.as_deref(), measured.group_by)?;
        let message = document.message.as_deref().unwrap_or(measured.message);
        check_text("message", message, MESSAGE_CHARACTERS_MAX)?;
        Ok(Self {
            severity,
            condition,
            hold_us: (document.hold_s * 1e6).round() as i64,
            measure: measured.measure,
            filters,
            template: Template::parse(message)?,
            fingerprint: fingerprint(&document),
            document,
        })
    }
}

/// FNV-1a over the document's JSON, the same in every process. Whether a rule is
/// on is no part of it.
fn fingerprint(document: &RuleDocument) -> u64 {
    let text = format!(
        "{:?}{:?}{:?}{:?}{}{:?}{}",
        document.source,
        document.comparison,
        document.threshold,
        document.clear_threshold,
        document.hold_s,
        document.filters,
        document.severity,
    );
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

fn check_id(id: &str) -> Result<(), Invalid> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if id.is_empty() || id.len() > ID_CHARACTERS_MAX || !id.chars().all(allowed) {
        let expected = format!("1 to {ID_CHARACTERS_MAX} of a-z, 0-9, - and _");
        return Err(Invalid::text("id", id, expected));
    }
    Ok(())
}

fn check_text(field: &str, text: &str, characters_max: usize) -> Result<(), Invalid> {
    let count = text.chars().count();
    if text.trim().is_empty() || count > characters_max || text.chars().any(char::is_control) {
        let expected =
            format!("1 to {characters_max} characters, none of them a control character");
        return Err(Invalid::text(field, text, expected));
    }
    Ok(())
}

fn check_range(field: &str, value: Option<f64>, low: f64, high: f64) -> Result<(), Invalid> {
    match value {
        Some(value) if !(value.is_finite() && (low..=high).contains(&value)) => Err(Invalid::new(
            field,
            value,
            format!("a number from {low} to {high}"),
        )),
        _ => Ok(()),
    }
}

fn check_filters(filters: &Filters) -> Result<LowercaseFilters, Invalid> {
    let lower = |field: &str, values: &[String]| {
        let field = format!("filters.{field}");
        if values.len() > FILTER_VALUES_MAX {
            let got = format!("{} values", values.len());
            return Err(Invalid::new(
                &field,
                got,
                format!("at most {FILTER_VALUES_MAX} values"),
            ));
        }
        for (index, value) in values.iter().enumerate() {
            check_text(&format!("{field}[{index}]"), value, FILTER_CHARACTERS_MAX)?;
        }
        Ok(values.iter().map(|value| value.to_lowercase()).collect())
    };
    Ok(LowercaseFilters {
        vehicle_type: lower("vehicle_type", &filters.vehicle_type)?,
        device: lower("device", &filters.device)?,
        incident_type: lower("incident_type", &filters.incident_type)?,
        fence: lower("fence", &filters.fence)?,
        key: lower("key", &filters.key)?,
    })
}

/// A filter that nothing is compared with would let everything pass, or nothing.
fn check_use(filters: &Filters, used: &[&str]) -> Result<(), Invalid> {
    let all = [
        ("vehicle_type", &filters.vehicle_type),
        ("device", &filters.device),
        ("incident_type", &filters.incident_type),
        ("fence", &filters.fence),
        ("key", &filters.key),
    ];
    let mut given = all.into_iter().filter(|(_, values)| !values.is_empty());
    match given.find(|(name, _)| !used.contains(name)) {
        Some((name, values)) => Err(Invalid::new(
            &format!("filters.{name}"),
            serde_json::Value::from(values.as_slice()),
            format!("only {} for this source", used.join(", ")),
        )),
        None => Ok(()),
    }
}

fn check_group(given: Option<&str>, possible: &[&str]) -> Result<(), Invalid> {
    match given {
        Some(given) if !possible.contains(&given) => {
            let expected = format!(
                "{}, which is what this source is about",
                possible.join(" or ")
            );
            Err(Invalid::text("group_by", given, expected))
        }
        _ => Ok(()),
    }
}

fn check_source(source: &Source) -> Result<Measured, Invalid> {
    let kinds = [&source.stream, &source.window, &source.built_in];
    if kinds.into_iter().flatten().count() != 1 {
        return Err(Invalid::new(
            "source",
            serde_json::to_value(source).unwrap_or_default(),
            "exactly one of stream (with field), window (with aggregate and size) and built_in",
        ));
    }
    let refuse_beside = |kind: &str, others: &[(&str, &Option<String>)]| {
        let given = others.iter().find_map(|(name, value)| {
            let value = value.as_deref()?;
            Some(Invalid::text(
                &format!("source.{name}"),
                value,
                format!("nothing beside source.{kind}"),
            ))
        });
        given.map_or(Ok(()), Err)
    };
    let field = ("field", &source.field);
    let windows = [
        ("reading", &source.reading),
        ("aggregate", &source.aggregate),
        ("size", &source.size),
    ];
    if let Some(stream) = &source.stream {
        refuse_beside("stream", &windows)?;
        check_parameters(&source.parameters, &[])?;
        return over_events(stream, source.field.as_deref());
    }
    if let Some(kind) = &source.window {
        refuse_beside("window", &[field])?;
        check_parameters(&source.parameters, &[])?;
        return over_windows(kind, source);
    }
    let built_in = source.built_in.as_deref().unwrap_or_default();
    refuse_beside("built_in", &windows)?;
    if built_in != "out_of_range" {
        refuse_beside("built_in", &[field])?;
    }
    of_the_platform(built_in, source)
}

fn over_events(name: &str, field: Option<&str>) -> Result<Measured, Invalid> {
    let known = Stream::from_name(name).filter(|stream| has_fields(*stream));
    let stream = known.ok_or_else(|| {
        let streams: Vec<&str> = Stream::ALL
            .into_iter()
            .filter(|stream| has_fields(*stream))
            .map(Stream::name)
            .collect();
        Invalid::text(
            "source.stream",
            name,
            format!("one of {}", streams.join(", ")),
        )
    })?;
    let Some(field) = field else {
        return Err(Invalid::missing("source.field", field_names(stream)));
    };
    let value = Expression::parse(stream, field)
        .map_err(|expected| Invalid::text("source.field", field, expected))?;
    Ok(Measured {
        measure: Measure::Field { stream, value },
        group_by: match stream {
            Stream::WeatherData => &["station", "device"],
            Stream::EmergencyIncidentData => &["incident"],
            _ => &["device"],
        },
        own: None,
        has_threshold: true,
        message: "{name}: {subject} is at {value}, threshold {threshold}",
    })
}

fn over_windows(kind: &str, source: &Source) -> Result<Measured, Invalid> {
    let kind = WindowKind::from_str(kind)
        .map_err(|_| Invalid::text("source.window", kind, "segment, cell, station or city"))?;
    let reading = source.reading.as_deref();
    match (kind, reading) {
        (WindowKind::Station, None) => {
            let expected = "which reading of the station, like temperature or pm25";
            return Err(Invalid::missing("source.reading", expected));
        }
        (WindowKind::Station, Some(reading)) => {
            // A reading is a plain field of the stream, or one of a sensor of its own.
            let is_plain = reading.starts_with(|c: char| c.is_ascii_alphabetic())
                && reading
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
            if !is_plain || Expression::parse(Stream::WeatherData, reading).is_err() {
                let expected = field_names(Stream::WeatherData);
                return Err(Invalid::text("source.reading", reading, expected));
            }
        }
        (_, Some(reading)) => {
            let expected = "nothing: only windows of stations have readings";
            return Err(Invalid::text("source.reading", reading, expected));
        }
        (_, None) => {}
    }
    let names: Vec<&str> = AggregateOf::ALL.iter().map(|(name, _)| *name).collect();
    let one_of = format!("one of {}", names.join(", "));
    let Some(aggregate) = source.aggregate.as_deref() else {
        return Err(Invalid::missing("source.aggregate", one_of));
    };
    let found = AggregateOf::ALL.iter().find(|(name, _)| *name == aggregate);
    let (_, aggregate) =
        *found.ok_or_else(|| Invalid::text("source.aggregate", aggregate, one_of))?;
    let Some(size) = source.size.as_deref() else {
        return Err(Invalid::missing("source.size", "1m, 5m, 15m or 5m/1m"));
    };
    let windows = Sliding::from_str(size)
        .map_err(|_| Invalid::text("source.size", size, "1m, 5m, 15m or 5m/1m"))?;
    if aggregate == AggregateOf::Vehicles && size != "1m" {
        let expected = "1m: vehicles are counted per minute only";
        return Err(Invalid::text("source.size", size, expected));
    }
    Ok(Measured {
        measure: Measure::Window {
            kind,
            reading: reading.map(CompactString::from),
            aggregate,
            size: windows,
        },
        group_by: match kind {
            WindowKind::Segment => &["segment"],
            WindowKind::Cell => &["cell"],
            WindowKind::Station => &["station"],
            WindowKind::City => &["city"],
        },
        own: None,
        has_threshold: true,
        message: "{name}: {subject} is at {value}, threshold {threshold}",
    })
}

const BUILT_IN: &str = "overspeed, geofence_enter, geofence_exit, geofence_dwell, device_silent, \
     high_aqi, out_of_range, severe_congestion, incident_severity or merged_incidents";

fn of_the_platform(name: &str, source: &Source) -> Result<Measured, Invalid> {
    let given = &source.parameters;
    let allowed: &[&str] = match name {
        "overspeed" => &["margin_kmh"],
        "severe_congestion" => &["vehicles_min"],
        "merged_incidents" => &["radius_m", "within_s"],
        "out_of_range" => &["low", "high"],
        _ => &[],
    };
    let fence = |measure, message| Measured {
        measure,
        group_by: &["device"],
        own: Some((Comparison::AtLeast, 0.0)),
        has_threshold: false,
        message,
    };
    let device = |measure, comparison, threshold, message| Measured {
        measure,
        group_by: &["device", "station"],
        own: Some((comparison, threshold)),
        has_threshold: true,
        message,
    };
    let measured = match name {
        "overspeed" => {
            check_range("source.parameters.margin_kmh", given.margin_kmh, 0.0, 200.0)?;
            let margin_kmh = given.margin_kmh.unwrap_or(10.0);
            device(
                Measure::Overspeed { margin_kmh },
                Comparison::Above,
                1.2,
                "{subject} drives {value} km/h, more than {threshold} km/h",
            )
        }
        "geofence_enter" => fence(Measure::FenceEnter, "{name}: {subject}"),
        "geofence_exit" => fence(Measure::FenceExit, "{name}: {subject}"),
        "geofence_dwell" => fence(
            Measure::FenceDwell,
            "{name}: {subject}, inside for {value} s",
        ),
        "device_silent" => device(
            Measure::Silence,
            Comparison::AtLeast,
            600.0,
            "nothing heard from {subject} for {value} s",
        ),
        "high_aqi" => device(
            Measure::HighAqi,
            Comparison::Above,
            100.0,
            "air quality index {value} at {subject}, above {threshold}",
        ),
        "out_of_range" => Measured {
            has_threshold: false,
            ..device(
                out_of_range(source)?,
                Comparison::Above,
                0.0,
                "{name}: {value} at {subject}, bound {threshold}",
            )
        },
        "severe_congestion" => {
            let path = "source.parameters.vehicles_min";
            check_range(path, given.vehicles_min, 1.0, 1e6)?;
            let vehicles_min = given.vehicles_min.unwrap_or(3.0);
            Measured {
                measure: Measure::Congestion { vehicles_min },
                group_by: &["segment"],
                own: Some((Comparison::AtMost, 0.3)),
                has_threshold: true,
                message: "traffic on {subject} at {value} of free flow",
            }
        }
        "incident_severity" => Measured {
            measure: Measure::IncidentSeverity,
            group_by: &["incident"],
            own: Some((Comparison::AtLeast, 3.0)),
            has_threshold: true,
            message: "incident {subject}, severity {value}",
        },
        "merged_incidents" => merged_incidents(given)?,
        _ => {
            return Err(Invalid::text(
                "source.built_in",
                name,
                format!("one of {BUILT_IN}"),
            ));
        }
    };
    check_parameters(given, allowed)?;
    Ok(measured)
}

fn merged_incidents(given: &Parameters) -> Result<Measured, Invalid> {
    check_range("source.parameters.radius_m", given.radius_m, 1.0, 10_000.0)?;
    check_range("source.parameters.within_s", given.within_s, 1.0, 86_400.0)?;
    let within_s = given.within_s.unwrap_or(600.0);
    Ok(Measured {
        measure: Measure::MergedIncidents {
            radius_m: given.radius_m.unwrap_or(150.0),
            within_us: (within_s * 1e6) as i64,
        },
        group_by: &["incident"],
        own: Some((Comparison::AtLeast, 2.0)),
        has_threshold: false,
        message: "{value} reports are probably one incident: {subject}",
    })
}

fn out_of_range(source: &Source) -> Result<Measure, Invalid> {
    let expected = field_names(Stream::WeatherData);
    let Some(field) = source.field.as_deref() else {
        return Err(Invalid::missing("source.field", expected));
    };
    let value = Expression::parse(Stream::WeatherData, field)
        .map_err(|expected| Invalid::text("source.field", field, expected))?;
    let Parameters { low, high, .. } = source.parameters;
    check_range("source.parameters.low", low, -1e12, 1e12)?;
    check_range("source.parameters.high", high, -1e12, 1e12)?;
    if low.is_none() && high.is_none() {
        return Err(Invalid::missing(
            "source.parameters.high",
            "low, high or both",
        ));
    }
    let (low, high) = (
        low.unwrap_or(f64::NEG_INFINITY),
        high.unwrap_or(f64::INFINITY),
    );
    if low >= high {
        let expected = format!("less than high, {high}");
        return Err(Invalid::new("source.parameters.low", low, expected));
    }
    Ok(Measure::OutOfRange { value, low, high })
}

fn check_parameters(given: &Parameters, allowed: &[&str]) -> Result<(), Invalid> {
    let all = [
        ("margin_kmh", given.margin_kmh),
        ("vehicles_min", given.vehicles_min),
        ("radius_m", given.radius_m),
        ("within_s", given.within_s),
        ("low", given.low),
        ("high", given.high),
    ];
    for (name, value) in all {
        if let Some(value) = value.filter(|_| !allowed.contains(&name)) {
            let expected = match allowed {
                [] => "no parameter for this source".to_owned(),
                some => format!("only {} for this source", some.join(", ")),
            };
            return Err(Invalid::new(
                &format!("source.parameters.{name}"),
                value,
                expected,
            ));
        }
    }
    Ok(())
}

fn check_condition(document: &RuleDocument, measured: &Measured) -> Result<Condition, Invalid> {
    let comparison = match (&document.comparison, measured.own) {
        (Some(text), None) => Comparison::parse(text)
            .ok_or_else(|| Invalid::text("comparison", text, "one of >, >=, <, <=, == and !="))?,
        (Some(text), Some(_)) => {
            let expected = "nothing: a built-in source has its own comparison";
            return Err(Invalid::text("comparison", text, expected));
        }
        (None, Some((comparison, _))) => comparison,
        (None, None) => {
            return Err(Invalid::missing(
                "comparison",
                "one of >, >=, <, <=, == and !=",
            ));
        }
    };
    let finite = |field, value: Option<f64>| match value {
        Some(value) if !value.is_finite() => Err(Invalid::new(field, value, "a finite number")),
        Some(value) if !measured.has_threshold => {
            let expected = "nothing: this source has no threshold";
            Err(Invalid::new(field, value, expected))
        }
        value => Ok(value),
    };
    let own = measured.own.map(|(_, threshold)| threshold);
    let threshold = finite("threshold", document.threshold)?.or(own);
    let Some(threshold) = threshold else {
        return Err(Invalid::missing("threshold", "a finite number"));
    };
    if measured.measure == Measure::Silence {
        check_range("threshold", Some(threshold), 10.0, 86_400.0)?;
        if let Some(clear) = document.clear_threshold {
            let expected = "nothing: a device that is heard again is not silent";
            return Err(Invalid::new("clear_threshold", clear, expected));
        }
    }
    let clear_threshold = finite("clear_threshold", document.clear_threshold)?;
    let clear_threshold = clear_threshold.unwrap_or(threshold);
    let expected = match comparison.rises() {
        Some(true) if clear_threshold > threshold => "at most",
        Some(false) if clear_threshold < threshold => "at least",
        None if clear_threshold != threshold => "the same as",
        _ => {
            return Ok(Condition {
                comparison,
                threshold,
                clear_threshold,
            });
        }
    };
    let expected = format!("{expected} the threshold, {threshold}");
    Err(Invalid::new("clear_threshold", clear_threshold, expected))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn valid() -> Value {
        json!({
            "id": "fast-taxi", "name": "Fast taxi",
            "source": {"stream": "gps_data", "field": "speed / speed_limit"},
            "comparison": ">", "threshold": 1.2, "clear_threshold": 1.1, "hold_s": 10,
            "group_by": "device", "filters": {"vehicle_type": ["Taxi"]},
            "severity": "High", "message": "{subject} at {value}"
        })
    }

    fn with(path: &str, value: Value) -> Result<Rule, String> {
        let mut document = valid();
        match path.split_once('.') {
            Some((outer, inner)) => document[outer][inner] = value,
            None => document[path] = value,
        }
        RuleDocument::from_value(&document)
            .and_then(Rule::new)
            .map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn a_good_document_is_a_rule() {
        let rule = with("name", json!("Fast taxi")).expect("valid");
        assert_eq!(rule.hold_us, 10_000_000);
        assert_eq!(rule.filters.vehicle_type, ["taxi"]);
        assert!(rule.needs_segment() && !rule.is_over_windows());
        let again: RuleDocument =
            serde_json::from_value(serde_json::to_value(rule.document()).unwrap()).unwrap();
        assert_eq!(Rule::new(again).unwrap(), rule);
    }

    #[test]
    fn what_is_wrong_is_named_with_value_and_expectation() {
        let long = "x".repeat(200);
        for (path, value, expected) in [
            (
                "id",
                json!("Fast Taxi"),
                "\"id\": got \"Fast Taxi\", expected 1 to 64 of",
            ),
            (
                "name",
                json!(" "),
                "\"name\": got \" \", expected 1 to 120 characters",
            ),
            ("name", json!(long), "\"name\": got \"xxx"),
            (
                "severity",
                json!("Huge"),
                "\"severity\": got \"Huge\", expected Critical,",
            ),
            (
                "comparison",
                json!("=>"),
                "\"comparison\": got \"=>\", expected one of >,",
            ),
            ("comparison", json!(null), "\"comparison\": got nothing"),
            ("threshold", json!(null), "\"threshold\": got nothing"),
            (
                "clear_threshold",
                json!(1.3),
                "\"clear_threshold\": got 1.3, expected at most the threshold, 1.2",
            ),
            (
                "hold_s",
                json!(-1),
                "\"hold_s\": got -1, expected a number from 0 to 86400",
            ),
            ("hold_s", json!(1e9), "\"hold_s\": got 1000000000"),
            (
                "group_by",
                json!("city"),
                "\"group_by\": got \"city\", expected device",
            ),
            ("message", json!("{speed}"), "\"message\": got \"{speed}\""),
            (
                "filters.device",
                json!(vec!["a"; 101]),
                "\"filters.device\": got 101 values",
            ),
            (
                "filters.device",
                json!([""]),
                "\"filters.device[0]\": got \"\"",
            ),
            (
                "filters.fence",
                json!(["yard"]),
                "\"filters.fence\": got [\"yard\"], expected only vehicle_type, device for this source",
            ),
            (
                "filters.key",
                json!(["w1-0"]),
                "\"filters.key\": got [\"w1-0\"], expected only vehicle_type, device",
            ),
            (
                "source.field",
                json!("speed / (0 * speed)"),
                "\"source.field\": got \"speed / (0 * speed)\", expected no division by zero",
            ),
            (
                "source.stream",
                json!("alerts"),
                "\"source.stream\": got \"alerts\", expected one of vehicle_data",
            ),
            (
                "source.field",
                json!("speed / 0"),
                "\"source.field\": got \"speed / 0\", expected no division by zero",
            ),
            (
                "source.field",
                json!("sped"),
                "\"source.field\": got \"sped\", expected a field of gps_data",
            ),
            (
                "source.field",
                json!(null),
                "\"source.field\": got nothing, expected speed,",
            ),
            (
                "source.size",
                json!("1m"),
                "\"source.size\": got \"1m\", expected nothing beside source.stream",
            ),
            ("source.window", json!("city"), "\"source\": got {"),
            (
                "source.parameters",
                json!({"low": 1}),
                "\"source.parameters.low\": got 1, expected no parameter",
            ),
        ] {
            let refused = with(path, value.clone()).expect_err(path);
            assert!(
                refused.starts_with(&format!("field {expected}")),
                "{path} {value}: {refused}"
            );
        }
    }

    #[test]
    fn each_source_takes_the_filters_that_it_compares() {
        let built_in = |name: &str| json!({"built_in": name});
        let of_stream = |stream: &str, field: &str| json!({"stream": stream, "field": field});
        for (source, used) in [
            (
                of_stream("gps_data", "speed"),
                vec!["vehicle_type", "device"],
            ),
            (
                of_stream("vehicle_data", "speed"),
                vec!["vehicle_type", "device"],
            ),
            (
                of_stream("traffic_camera_data", "vehicle_count"),
                vec!["device"],
            ),
            (of_stream("weather_data", "pm25"), vec!["device"]),
            (
                of_stream("emergency_incident_data", "units"),
                vec!["device", "incident_type"],
            ),
            (
                json!({"window": "city", "aggregate": "mean", "size": "1m"}),
                vec!["key"],
            ),
            (built_in("overspeed"), vec!["vehicle_type", "device"]),
            (
                built_in("geofence_exit"),
                vec!["fence", "vehicle_type", "device"],
            ),
            (built_in("device_silent"), vec!["vehicle_type", "device"]),
            (built_in("high_aqi"), vec!["device"]),
            (built_in("severe_congestion"), vec!["key"]),
            (
                built_in("incident_severity"),
                vec!["device", "incident_type"],
            ),
            (built_in("merged_incidents"), vec!["incident_type"]),
        ] {
            for filter in ["vehicle_type", "device", "incident_type", "fence", "key"] {
                let mut document = json!({"id": "r", "name": "R", "severity": "Low",
                    "source": source, "filters": {filter: ["x"]}});
                if source["built_in"].is_null() {
                    document["comparison"] = json!(">");
                    document["threshold"] = json!(1);
                }
                let written = RuleDocument::from_value(&document).unwrap();
                assert!(Rule::stored(written.clone()).is_ok(), "{document}");
                match Rule::new(written) {
                    Ok(_) => assert!(used.contains(&filter), "{document}"),
                    Err(refused) => assert_eq!(
                        refused.to_string(),
                        format!(
                            "field \"filters.{filter}\": got [\"x\"], expected only {} for this source",
                            used.join(", ")
                        )
                    ),
                }
            }
        }
    }

    #[test]
    fn windows_and_built_in_sources_are_checked() {
        let refused = |source: Value| {
            let mut document = valid();
            document["source"] = source;
            document["group_by"] = json!(null);
            document["filters"] = json!({});
            let read = RuleDocument::from_value(&document).and_then(Rule::new);
            read.map_or_else(|invalid| invalid.to_string(), |_| "taken".to_owned())
        };
        for (source, expected) in [
            (
                json!({"window": "segment", "aggregate": "p90", "size": "5m/1m"}),
                "taken",
            ),
            (
                json!({"window": "station", "reading": "pm25", "aggregate": "mean", "size": "15m"}),
                "taken",
            ),
            (
                json!({"window": "station", "reading": "extra.co2", "aggregate": "mean", "size": "5m"}),
                "taken",
            ),
            (
                json!({"window": "station", "reading": "1.5", "aggregate": "mean", "size": "1m"}),
                "field \"source.reading\": got \"1.5\"",
            ),
            (
                json!({"window": "station", "aggregate": "mean", "size": "15m"}),
                "field \"source.reading\": got nothing",
            ),
            (
                json!({"window": "station", "reading": "1+1", "aggregate": "mean", "size": "1m"}),
                "field \"source.reading\": got \"1+1\"",
            ),
            (
                json!({"window": "city", "reading": "pm25", "aggregate": "mean", "size": "1m"}),
                "field \"source.reading\": got \"pm25\"",
            ),
            (
                json!({"window": "road", "aggregate": "mean", "size": "1m"}),
                "field \"source.window\": got \"road\"",
            ),
            (
                json!({"window": "city", "aggregate": "median", "size": "1m"}),
                "field \"source.aggregate\": got \"median\"",
            ),
            (
                json!({"window": "city", "aggregate": "mean", "size": "2m"}),
                "field \"source.size\": got \"2m\"",
            ),
            (
                json!({"window": "cell", "aggregate": "vehicles", "size": "5m"}),
                "field \"source.size\": got \"5m\"",
            ),
            (
                json!({"built_in": "overspeed"}),
                "field \"comparison\": got \">\"",
            ),
            (
                json!({"built_in": "magic"}),
                "field \"source.built_in\": got \"magic\"",
            ),
            (
                json!({"built_in": "overspeed", "parameters": {"radius_m": 5}}),
                "field \"source.parameters.radius_m\": got 5, expected only margin_kmh",
            ),
            (
                json!({"built_in": "out_of_range", "field": "humidity"}),
                "field \"source.parameters.high\": got nothing",
            ),
            (
                json!({"built_in": "out_of_range", "field": "humidity", "parameters": {"low": 5, "high": 5}}),
                "field \"source.parameters.low\": got 5",
            ),
        ] {
            let said = refused(source.clone());
            assert!(said.starts_with(expected), "{source}: {said}");
        }
    }
}
