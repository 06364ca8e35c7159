//! San Francisco fire department calls: one row a unit, one incident a call.
//!
//! A call becomes up to four `emergency_incident_data` events: Active when it
//! was received, Dispatched with the first unit, OnScene with the first arrival,
//! Resolved when the last unit was available again. What a call lacks it does
//! not get. All of them are sorted by time (`by_time`).

use std::collections::BTreeMap;

use events::{Body, Event, Incident, Severity};

use super::{Context, Rows, by_time, csv_table, pacific_time, point, shown, stable_id};
use crate::replay::ReplayError;
use crate::replay::input::Content;
use crate::replay::records::Fields;
use crate::replay::row::Row;

struct Columns {
    call: usize,
    unit: usize,
    kind: usize,
    priority: usize,
    final_priority: usize,
    als: usize,
    alarms: Option<usize>,
    received: usize,
    dispatched: usize,
    on_scene: usize,
    available: usize,
    address: Option<usize>,
    location: usize,
}

struct Call {
    line: u64,
    kind: String,
    urgency: Urgency,
    address: String,
    location: events::Location,
    received_us: i64,
    rows: u32,
    units: Vec<Unit>,
}

/// What a call's rows say about how bad it is, the worst of them.
#[derive(Clone, Copy, Default)]
struct Urgency {
    /// Priority E, for an immediate threat to life, or a second alarm.
    is_extreme: bool,
    /// Final priority 3: with lights and siren.
    is_emergency: bool,
    /// A unit with advanced life support was sent.
    has_als: bool,
}

struct Unit {
    name: String,
    dispatched_us: Option<i64>,
    on_scene_us: Option<i64>,
    available_us: Option<i64>,
}

pub(crate) fn rows(content: Content, context: Context) -> Result<Rows, ReplayError> {
    let mut table = csv_table::open(content)?;
    let columns = Columns {
        call: table.required("Call Number")?,
        unit: table.required("Unit ID")?,
        kind: table.required("Call Type")?,
        priority: table.required("Priority")?,
        final_priority: table.required("Final Priority")?,
        als: table.required("ALS Unit")?,
        alarms: table.position("Number of Alarms"),
        received: table.required("Received DtTm")?,
        dispatched: table.required("Dispatch DtTm")?,
        on_scene: table.required("On Scene DtTm")?,
        available: table.required("Available DtTm")?,
        address: table.position("Address"),
        location: table.required("Location")?,
    };
    let mut calls: BTreeMap<String, Call> = BTreeMap::new();
    let mut rows = Vec::new();
    let mut row_count = 0;
    loop {
        let next = table.next_record().map_err(|source| ReplayError::Read {
            path: context.path.clone(),
            source,
        })?;
        let Some((line, fields)) = next else { break };
        if let Err(cause) = fields.and_then(|fields| add(&mut calls, line, fields, &columns)) {
            rows.push(Row::bad(line, cause).keeping(|| table.line_of_csv()));
        }
        row_count += 1;
        by_time::check_count(row_count, &context.path)?;
    }
    rows.extend(calls.iter().flat_map(|(number, call)| call.life(number)));
    by_time::sort(&mut rows);
    Ok(Box::new(rows.into_iter().map(Ok)))
}

fn add(
    calls: &mut BTreeMap<String, Call>,
    line: u64,
    fields: Fields<'_>,
    columns: &Columns,
) -> Result<(), String> {
    let time = |name: &str, column: usize| match fields.text(column)? {
        "" => Ok(None),
        text => pacific_time::parse_us(text).map(Some).ok_or_else(|| {
            let got = shown(text);
            format!("field {name:?}: got {got}, expected a time such as 12/31/2016 11:57:56 PM")
        }),
    };
    let number = fields.required("Call Number", columns.call)?;
    let received_us = time("Received DtTm", columns.received)?
        .ok_or("field \"Received DtTm\": got nothing, expected a time")?;
    let unit = Unit {
        name: fields.required("Unit ID", columns.unit)?.to_owned(),
        dispatched_us: time("Dispatch DtTm", columns.dispatched)?,
        on_scene_us: time("On Scene DtTm", columns.on_scene)?,
        available_us: time("Available DtTm", columns.available)?,
    };
    let location = point("Location", fields.text(columns.location)?)?;
    let kind = fields.required("Call Type", columns.kind)?;
    let address = columns.address.map(|column| fields.text(column));
    let address = address.transpose()?.unwrap_or_default();
    let urgency = Urgency::of(fields, columns)?;
    let call = calls.entry(number.to_owned()).or_insert_with(|| Call {
        line,
        kind: kind.to_owned(),
        urgency,
        address: address.to_owned(),
        location,
        received_us,
        rows: 0,
        units: Vec::new(),
    });
    call.received_us = call.received_us.min(received_us);
    call.urgency = call.urgency.or(urgency);
    call.rows += 1;
    call.units.push(unit);
    Ok(())
}

/// The platform's word for a call type; one that it has no word for is kept.
fn incident_type(call_type: &str) -> &str {
    match call_type {
        "Medical Incident" => "Medical",
        "Traffic Collision" => "Accident",
        "Alarms" => "Alarm",
        "Smoke Investigation (Outside)" => "Fire",
        "Citizen Assist / Service Call" => "Assist",
        "" => "Other",
        fire if fire.ends_with("Fire") => "Fire",
        rescue if rescue.contains("Rescue") => "Rescue",
        other => other,
    }
}

impl Urgency {
    fn of(fields: Fields<'_>, columns: &Columns) -> Result<Self, String> {
        let alarms = columns.alarms.map(|column| fields.text(column));
        let alarms = alarms.transpose()?.unwrap_or_default();
        Ok(Self {
            is_extreme: fields.text(columns.priority)? == "E"
                || alarms.parse().is_ok_and(|alarms: u32| alarms > 1),
            is_emergency: fields.text(columns.final_priority)? == "3",
            has_als: fields.text(columns.als)?.eq_ignore_ascii_case("true"),
        })
    }

    fn or(self, other: Self) -> Self {
        Self {
            is_extreme: self.is_extreme || other.is_extreme,
            is_emergency: self.is_emergency || other.is_emergency,
            has_als: self.has_als || other.has_als,
        }
    }

    fn severity(self) -> Severity {
        match (self.is_extreme, self.is_emergency, self.has_als) {
            (true, _, _) => Severity::Critical,
            (_, true, true) => Severity::High,
            (_, true, false) | (_, false, true) => Severity::Medium,
            (_, false, false) => Severity::Low,
        }
    }
}

impl Call {
    fn life(&self, number: &str) -> Vec<Row> {
        let first = |time: fn(&Unit) -> Option<i64>| self.units.iter().filter_map(time).min();
        let is_open = self.units.iter().any(|unit| unit.available_us.is_none());
        let resolved_us = self
            .units
            .iter()
            .filter_map(|unit| unit.available_us)
            .max()
            .filter(|_| !is_open);
        let steps = [
            ("Active", Some(self.received_us)),
            ("Dispatched", first(|unit| unit.dispatched_us)),
            ("OnScene", first(|unit| unit.on_scene_us)),
            ("Resolved", resolved_us),
        ];
        let mut earliest_us = i64::MIN;
        let mut life = Vec::new();
        for (status, at_us) in steps {
            let Some(at_us) = at_us else { continue };
            // Clocks of units differ by seconds: a life stays in order.
            earliest_us = earliest_us.max(at_us);
            let mut row = Row::of(self.line, Ok(self.event(number, status, earliest_us)));
            // All rows of the call count on its first event.
            row.rows = if life.is_empty() { self.rows } else { 0 };
            life.push(row);
        }
        life
    }

    fn event(&self, number: &str, status: &str, timestamp_us: i64) -> Event {
        let attends = |unit: &&Unit| {
            unit.dispatched_us
                .is_some_and(|dispatched_us| dispatched_us <= timestamp_us)
        };
        let units = if status == "Active" {
            &[][..]
        } else {
            &self.units[..]
        };
        Event {
            id: stable_id(timestamp_us, &format!("sf-fire/{number}/{status}")),
            device_id: number.into(),
            timestamp_us,
            extra: None,
            body: Body::Incident(Box::new(Incident {
                incident_id: number.into(),
                location: self.location,
                incident_type: incident_type(&self.kind).into(),
                status: status.into(),
                severity: self.urgency.severity().name().into(),
                description: Some(
                    format!("{}, {}", self.kind, self.address)
                        .trim_end_matches(", ")
                        .into(),
                ),
                units: units
                    .iter()
                    .filter(attends)
                    .map(|unit| unit.name.as_str().into())
                    .collect(),
            })),
        }
    }
}
