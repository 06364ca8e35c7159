//! What is written reads back, on the wire and in columns, and nothing that can
//! be sent makes the decoder panic.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use events::columns::{ColumnBuilder, Origin, date_of, schema};
use events::{
    Alert, Body, ClosedWindow, Event, Gps, Incident, Location, Stream, TrafficCamera, Vehicle,
    Weather, decode,
};
use proptest::option::of;
use proptest::prelude::*;

/// Noon of 15 November 2023.
const APPENDED_AT_US: i64 = 1_700_049_600_000_000;

fn location() -> impl Strategy<Value = Location> {
    (-90.0..=90.0_f64, -180.0..=180.0_f64).prop_map(|(latitude, longitude)| Location {
        latitude: latitude + 0.0,
        longitude: longitude + 0.0,
    })
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![-1000.0..1000.0_f64, any::<f64>()].prop_map(|number| number + 0.0)
}

fn reading() -> impl Strategy<Value = f64> {
    prop_oneof![-1000.0..1000.0_f64, -1e10..=1e10_f64].prop_map(|number| number + 0.0)
}

fn speed() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0..200_000_u32).prop_map(|metres| f64::from(metres) / 1000.0),
        0.0..=2000.0_f64
    ]
}

fn direction() -> impl Strategy<Value = Option<f64>> {
    of(0.0..360.0_f64)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9 -]{0,30}", any::<String>()]
}

/// A text that is not empty.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,12}-[0-9]{1,4}", "\\PC{1,20}"]
}

fn vehicle() -> impl Strategy<Value = Body> {
    (
        location(),
        speed(),
        direction(),
        of(text()),
        of(text()),
        of(any::<i32>()),
        of(text()),
    )
        .prop_map(
            |(location, speed_kmh, direction_deg, make, model, year, fuel_type)| {
                Body::Vehicle(Vehicle {
                    location,
                    speed_kmh,
                    direction_deg,
                    make: make.map(Into::into),
                    model: model.map(Into::into),
                    year,
                    fuel_type: fuel_type.map(Into::into),
                })
            },
        )
}

fn gps() -> impl Strategy<Value = Body> {
    let fix = (
        location(),
        speed(),
        direction(),
        of(reading()),
        of(reading()),
    );
    (fix, of(text()), of(any::<bool>()), of(text()), of(text())).prop_map(
        |(
            (location, speed_kmh, direction_deg, accuracy_m, altitude_m),
            vehicle_type,
            occupied,
            route_id,
            trip_id,
        )| {
            Body::Gps(Gps {
                location,
                speed_kmh,
                direction_deg,
                vehicle_type: vehicle_type.map(Into::into),
                accuracy_m,
                altitude_m,
                occupied,
                route_id: route_id.map(Into::into),
                trip_id: trip_id.map(Into::into),
            })
        },
    )
}

fn camera() -> impl Strategy<Value = Body> {
    (
        name(),
        location(),
        of(text()),
        direction(),
        of(speed()),
        of(any::<i64>()),
    )
        .prop_map(
            |(camera_id, location, snapshot, direction_deg, speed_kmh, vehicle_count)| {
                Body::Camera(TrafficCamera {
                    camera_id: camera_id.into(),
                    location,
                    snapshot: snapshot.map(Into::into),
                    direction_deg,
                    speed_kmh,
                    vehicle_count,
                })
            },
        )
}

fn weather() -> impl Strategy<Value = Body> {
    let figures = prop::collection::vec(of(reading()), 12);
    (location(), of(text()), of(speed()), figures).prop_map(
        |(location, weather_condition, wind_speed, figures)| {
            Body::Weather(Box::new(Weather {
                location,
                temperature: figures[0],
                weather_condition: weather_condition.map(Into::into),
                humidity: figures[1],
                wind_speed,
                precipitation: figures[2],
                visibility: figures[3],
                air_quality_index: figures[4],
                pm25: figures[5],
                pm10: figures[6],
                no2: figures[7],
                o3: figures[8],
                so2: figures[9],
                co: figures[10],
                noise_db: figures[11],
            }))
        },
    )
}

fn incident() -> impl Strategy<Value = Body> {
    let units = prop::collection::vec(text(), 0..4);
    (
        name(),
        location(),
        name(),
        name(),
        text(),
        of(text()),
        units,
    )
        .prop_map(
            |(incident_id, location, incident_type, status, severity, description, units)| {
                Body::Incident(Box::new(Incident {
                    incident_id: incident_id.into(),
                    location,
                    incident_type: incident_type.into(),
                    status: status.into(),
                    severity: severity.into(),
                    description: description.map(Into::into),
                    units: units.into_iter().map(Into::into).collect(),
                }))
            },
        )
}

fn alert() -> impl Strategy<Value = Body> {
    let names = (name(), name(), name(), name(), name());
    let started_at = of(0..4_102_444_800_000_000_i64);
    (
        names,
        of(number()),
        of(number()),
        of(location()),
        started_at,
        of(text()),
    )
        .prop_map(
            |(
                (alert_id, rule, subject, severity, status),
                value,
                threshold,
                location,
                started_at_us,
                message,
            )| {
                Body::Alert(Box::new(Alert {
                    alert_id: alert_id.into(),
                    rule: rule.into(),
                    subject: subject.into(),
                    severity: severity.into(),
                    status: status.into(),
                    value,
                    threshold,
                    location,
                    started_at_us,
                    message: message.map(Into::into),
                }))
            },
        )
}

fn closed_window() -> impl Strategy<Value = Body> {
    let figures = || (of(number()), of(number()), of(number()));
    (
        (name(), name()),
        of(0..4_102_444_800_000_000_i64),
        (of(any::<i64>()), of(any::<i64>())),
        figures(),
        figures(),
        of(location()),
    )
        .prop_map(
            |(
                (kind, key),
                window_end_us,
                (count, vehicles),
                (mean, min, max),
                (p50, p90, p99),
                location,
            )| {
                Body::Window(Box::new(ClosedWindow {
                    kind: kind.into(),
                    key: key.into(),
                    window_end_us,
                    count,
                    mean,
                    min,
                    max,
                    p50,
                    p90,
                    p99,
                    vehicles,
                    location,
                }))
            },
        )
}

/// Fields that no stream knows, as one object.
fn extra() -> impl Strategy<Value = Option<Box<str>>> {
    of(prop::sample::select(vec![
        r#"{"x_one":1}"#,
        r#"{"x_text":"a \" b","x_list":[1,{"y":null}]}"#,
        r#"{"x_same":1,"x_same":2}"#,
    ]))
    .prop_map(|extra| extra.map(Into::into))
}

fn event() -> impl Strategy<Value = Event> {
    let body = prop_oneof![
        vehicle(),
        gps(),
        camera(),
        weather(),
        incident(),
        alert(),
        closed_window()
    ];
    (
        name(),
        name(),
        631_152_000_000_000..APPENDED_AT_US + 86_400_000_000,
        extra(),
        body,
    )
        .prop_map(|(id, device_id, timestamp_us, extra, body)| Event {
            id: id.into(),
            device_id: device_id.into(),
            timestamp_us,
            extra,
            body,
        })
}

proptest! {
    #[test]
    fn every_event_reads_back_from_its_json(event in event()) {
        let json = event.to_json();
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
        prop_assert_eq!(decode(event.stream(), &json, APPENDED_AT_US), Ok(event));
    }

    #[test]
    fn any_bytes_are_an_event_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for stream in Stream::ALL {
            let _ = decode(stream, &bytes, APPENDED_AT_US);
        }
    }

    #[test]
    fn any_damage_is_an_event_or_an_error(
        event in event(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
    ) {
        let mut json = event.to_json();
        for (index, byte, kind) in damage {
            if json.is_empty() {
                break;
            }
            let at = index.index(json.len());
            match kind {
                0 => json[at] = byte,
                1 => json.insert(at, byte),
                2 => drop(json.remove(at)),
                _ => json.truncate(at),
            }
        }
        if let Err(error) = decode(event.stream(), &json, APPENDED_AT_US) {
            prop_assert!(error.value.chars().count() <= 120);
            prop_assert!(!error.expected.is_empty());
        }
    }

    #[test]
    fn what_the_decoder_takes_is_json(mut text in "[\\[\\]{}:,\"\\\\0-9.eE+\\-truefalsn ]{0,60}") {
        text.insert_str(0, r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00","location":[1,2],"speed":3,"#);
        if decode(Stream::VehicleData, text.as_bytes(), APPENDED_AT_US).is_ok() {
            let read = serde_json::from_str::<&serde_json::value::RawValue>(&text);
            prop_assert!(read.is_ok(), "{}", text);
        }
    }

    #[test]
    fn every_event_is_a_row(events in prop::collection::vec(event(), 1..20)) {
        for stream in Stream::ALL {
            let events: Vec<_> = events.iter().filter(|event| event.stream() == stream).collect();
            let mut builder = ColumnBuilder::new(stream);
            for (offset, event) in (0_i64..).zip(&events) {
                builder.push(event, &Origin { partition: 3, offset, appended_at_us: APPENDED_AT_US });
            }
            prop_assert_eq!(builder.len(), events.len());
            let batch = builder.finish();
            prop_assert!(builder.is_empty());
            prop_assert_eq!(batch.schema(), schema(stream));
            for (row, event) in events.iter().enumerate() {
                let column = |name: &str| batch.column_by_name(name).expect(name);
                let timestamps = column("timestamp").as_primitive::<TimestampMicrosecondType>();
                prop_assert_eq!(column("id").as_string::<i32>().value(row), event.id.as_str());
                prop_assert_eq!(timestamps.value(row), event.timestamp_us);
                prop_assert_eq!(column("log_offset").as_primitive::<Int64Type>().value(row), row as i64);
                let latitudes = column("latitude").as_primitive::<Float64Type>();
                let latitude = latitudes.is_valid(row).then(|| latitudes.value(row));
                prop_assert_eq!(latitude, event.location().map(|location| location.latitude));
                let extras = column("extra").as_string::<i32>();
                let extra = extras.is_valid(row).then(|| extras.value(row));
                prop_assert_eq!(extra, event.extra.as_deref());
            }
        }
    }
}

#[test]
fn columns_have_the_names_that_queries_use() {
    let names = |stream| {
        let schema = schema(stream);
        schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let expected = [
        "speed direction make model year fuel_type",
        "speed direction vehicle_type accuracy_m altitude_m occupied route_id trip_id",
        "camera_id snapshot direction speed vehicle_count",
        "temperature weather_condition humidity wind_speed precipitation visibility air_quality_index pm25 pm10 no2 o3 so2 co noise_db",
        "incident_id incident_type status severity description units",
        "alert_id rule subject severity status value threshold started_at message",
        "kind key window_end count mean min max p50 p90 p99 vehicles",
    ];
    for (stream, own) in Stream::ALL.into_iter().zip(expected) {
        assert_eq!(
            names(stream),
            format!(
                "id device_id timestamp latitude longitude {own} extra date log_partition log_offset appended_at"
            )
        );
    }
}

#[test]
fn rows_hold_each_field_in_its_column() {
    let message = br#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00","location":[1,2],"incidentId":"x","incident_type":"Fire","status":"Active","units":["E1","E2"]}"#;
    let event = decode(Stream::EmergencyIncidentData, message, APPENDED_AT_US).expect("valid");
    let mut builder = ColumnBuilder::new(Stream::EmergencyIncidentData);
    builder.push(
        &event,
        &Origin {
            partition: 1,
            offset: 5,
            appended_at_us: APPENDED_AT_US,
        },
    );
    assert!(builder.bytes() > 100);
    let batch = builder.finish();
    let shown = arrow::util::pretty::pretty_format_batches(&[batch])
        .expect("printable")
        .to_string();
    let row = shown.lines().nth(3).expect("a row");
    let values: Vec<_> = row
        .split('|')
        .map(str::trim)
        .filter(|value| !value.is_empty())
        .collect();
    assert_eq!(
        values,
        [
            "i",
            "d",
            "2023-11-15T12:00:00Z",
            "1.0",
            "2.0",
            "x",
            "Fire",
            "Active",
            "Critical",
            "[E1, E2]",
            "2023-11-15",
            "1",
            "5",
            "2023-11-15T12:00:00Z",
        ]
    );
    assert_eq!(builder.bytes(), 0);
}

#[test]
fn days_before_the_epoch_have_dates_too() {
    assert_eq!(
        (date_of(-1), date_of(0), date_of(APPENDED_AT_US)),
        (-1, 0, 19_676)
    );
}
