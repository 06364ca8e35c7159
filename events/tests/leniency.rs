//! Every spelling that existing producers use reads as the same event.

use events::{Body, Event, Location, Severity, Stream, Vehicle, Weather, decode};

/// Noon of 15 November 2023.
const NOON_US: i64 = 1_700_049_600_000_000;

#[track_caller]
fn read(stream: Stream, message: &str) -> Event {
    decode(stream, message.as_bytes(), NOON_US).unwrap_or_else(|error| panic!("{error}: {message}"))
}

fn vehicle(event: &Event) -> &Vehicle {
    match &event.body {
        Body::Vehicle(vehicle) => vehicle,
        other => panic!("{other:?}"),
    }
}

fn weather(event: &Event) -> &Weather {
    match &event.body {
        Body::Weather(weather) => weather,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_of_a_seed_producer() {
    let event = read(
        Stream::VehicleData,
        r#"{"id": "5b0b4f2c-0f0e-4a43-8f3c-0a5d6a0c7a10", "device_id": "Vehicle-CodeWithYu-123", "timestamp": "2023-11-15T12:00:30.250000", "location": [51.49866, -0.16071], "speed": 24.5, "direction": "North-East", "make": "BMW", "model": "C500", "year": 2024, "fuel_type": "Hybrid"}"#,
    );
    assert_eq!(
        event,
        Event {
            id: "5b0b4f2c-0f0e-4a43-8f3c-0a5d6a0c7a10".into(),
            device_id: "Vehicle-CodeWithYu-123".into(),
            timestamp_us: NOON_US + 30_250_000,
            extra: None,
            body: Body::Vehicle(Vehicle {
                location: Location {
                    latitude: 51.49866,
                    longitude: -0.16071
                },
                speed_kmh: 24.5,
                direction_deg: Some(45.0),
                make: Some("BMW".into()),
                model: Some("C500".into()),
                year: Some(2024),
                fuel_type: Some("Hybrid".into()),
            }),
        }
    );
    assert_eq!(event.stream(), Stream::VehicleData);
    assert_eq!(
        event.location(),
        Some(Location {
            latitude: 51.49866,
            longitude: -0.16071
        })
    );
}

#[test]
fn places_in_every_form() {
    for place in [
        r#""location":[57.7,12.0]"#,
        r#""location": [ 57.7 , 12.0 ] "#,
        r#""location":{"latitude":57.7,"longitude":12.0}"#,
        r#""location":{ "longitude" : 12 , "latitude" : 57.7 }"#,
        r#""latitude":57.7,"longitude":12.0"#,
        r#""location":null,"latitude":57.7,"longitude":12.0"#,
        r#""location":[57.7,12.0],"latitude":57.7,"longitude":12.0"#,
        r#""location":[57.7,12.0],"latitude":null"#,
        r#""location":[5.77e1,1.2E+1]"#,
        r#""location":[57.70,12]"#,
    ] {
        let message = format!(
            r#"{{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00","speed":0,{place}}}"#
        );
        let event = read(Stream::VehicleData, &message);
        assert_eq!(
            event.location(),
            Some(Location {
                latitude: 57.7,
                longitude: 12.0
            }),
            "{place}"
        );
        assert_eq!(event.extra, None, "{place}");
    }
}

#[test]
fn what_a_place_says_besides_is_kept() {
    let event = read(
        Stream::GpsData,
        r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00","speed":0,"location":{"latitude":1,"altitude":[7],"longitude":2}}"#,
    );
    assert_eq!(event.extra.as_deref(), Some(r#"{"location.altitude":[7]}"#));
    let event = read(
        Stream::GpsData,
        r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00","speed":0,"location":[1,2],"latitude":1,"longitude":2.5,"note":1}"#,
    );
    assert_eq!(
        event.extra.as_deref(),
        Some(r#"{"note":1,"longitude":2.5}"#)
    );
}

#[test]
fn directions_in_every_form() {
    for (direction, expected) in [
        ("45", Some(45.0)),
        ("405.0", Some(45.0)),
        ("-315", Some(45.0)),
        ("360", Some(0.0)),
        ("-0.0", Some(0.0)),
        ("-1e-20", Some(0.0)),
        (r#""NE""#, Some(45.0)),
        (r#""north east""#, Some(45.0)),
        (r#""North-East""#, Some(45.0)),
        (r#""N\u004f\u0052TH""#, Some(0.0)),
        ("null", None),
    ] {
        let message = format!(
            r#"{{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00","speed":0,"location":[1,2],"direction":{direction}}}"#
        );
        assert_eq!(
            vehicle(&read(Stream::VehicleData, &message)).direction_deg,
            expected,
            "{direction}"
        );
    }
}

#[test]
fn timestamps_up_to_a_day_ahead_and_back_to_1990() {
    for (timestamp, expected) in [
        ("2023-11-16T12:00:00Z", NOON_US + 86_400_000_000),
        ("2023-11-15T14:00:00+02:00", NOON_US),
        ("2023-11-15 12:00:00", NOON_US),
        ("1990-01-01T00:00:00", 631_152_000_000_000),
    ] {
        let message = format!(
            r#"{{"id":"i","device_id":"d","timestamp":"{timestamp}","speed":0,"location":[1,2]}}"#
        );
        assert_eq!(
            read(Stream::VehicleData, &message).timestamp_us,
            expected,
            "{timestamp}"
        );
    }
}

#[test]
fn numbers_and_texts_in_unusual_dress() {
    let event = read(
        Stream::VehicleData,
        "\n{\t\"id\" : \"\\u00e9\\ud83d\\ude97\\n\",\r\n\"device_id\":\"bil-å\",\"timestamp\":\"2023-11-15T12:00:00\",\"location\":[-90,180],\"sp\\u0065ed\":-0.0,\"year\":2.024e3,\"make\":\"\",\"model\":null } \n",
    );
    assert_eq!(
        (event.id.as_str(), event.device_id.as_str()),
        ("é🚗\n", "bil-å")
    );
    let vehicle = vehicle(&event);
    assert_eq!(
        (
            vehicle.year,
            vehicle.make.as_deref(),
            vehicle.model.as_deref()
        ),
        (Some(2024), Some(""), None)
    );
    assert!(vehicle.speed_kmh == 0.0 && vehicle.speed_kmh.is_sign_positive());
}

#[test]
fn a_device_id_counts_characters_not_bytes() {
    let device_id = "å".repeat(128);
    let message = format!(
        r#"{{"id":"i","device_id":"{device_id}","timestamp":"2023-11-15T12:00:00","speed":0,"location":[1,2]}}"#
    );
    assert_eq!(read(Stream::VehicleData, &message).device_id, device_id);
}

#[test]
fn unknown_fields_are_kept_in_their_order() {
    let event = read(
        Stream::VehicleData,
        r#"{"zeta": {"b": [1, null]}, "id":"i","device_id":"d","tyres":"ok \" \u00e5","timestamp":"2023-11-15T12:00:00","speed":0,"location":[1,2], "alpha" : null,"n":1e999}"#,
    );
    let extra = r#"{"zeta":{"b": [1, null]},"tyres":"ok \" \u00e5","alpha":null,"n":1e999}"#;
    assert_eq!(event.extra.as_deref(), Some(extra));
    assert_eq!(
        read(
            Stream::VehicleData,
            &String::from_utf8(event.to_json()).expect("UTF-8")
        ),
        event
    );
}

#[test]
fn both_spellings_of_camel_case_fields() {
    let message = |fields: &str| {
        format!(
            r#"{{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00","location":[1,2],{fields}}}"#
        )
    };
    for fields in [
        r#""airQualityIndex":41"#,
        r#""air_quality_index":41"#,
        r#""airQualityIndex":41,"air_quality_index":41.0"#,
    ] {
        let event = read(Stream::WeatherData, &message(fields));
        assert_eq!(weather(&event).air_quality_index, Some(41.0), "{fields}");
        assert_eq!(event.extra, None);
    }
    for fields in [
        r#""incidentId":"x","incident_type":"Fire","status":"Active""#,
        r#""incident_id":"x","incidentType":"Fire","status":"Active""#,
    ] {
        let event = read(Stream::EmergencyIncidentData, &message(fields));
        let Body::Incident(incident) = &event.body else {
            panic!("{event:?}")
        };
        assert_eq!(
            (incident.incident_id.as_str(), incident.severity()),
            ("x", Severity::Critical)
        );
        assert_eq!(incident.severity, "Critical");
    }
}

#[test]
fn figures_beyond_the_usual_are_the_producers_business() {
    let event = read(
        Stream::WeatherData,
        r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00","location":[1,2],"humidity":140,"airQualityIndex":900,"temperature":-300,"weather_condition":"Frogs"}"#,
    );
    let weather = weather(&event);
    assert_eq!(
        (weather.humidity, weather.air_quality_index),
        (Some(140.0), Some(900.0))
    );
    assert_eq!(weather.weather_condition.as_deref(), Some("Frogs"));
}

#[test]
fn incidents_keep_what_is_not_listed() {
    let event = read(
        Stream::EmergencyIncidentData,
        r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00","location":[1,2],"incidentId":"x","incident_type":"Moose","status":"Escalated","severity":"5","description":"on the road","units":["E1",12]}"#,
    );
    let Body::Incident(incident) = &event.body else {
        panic!("{event:?}")
    };
    assert_eq!(incident.incident_type, "Moose");
    assert_eq!(incident.status, "Escalated");
    assert_eq!(incident.severity, "5");
    assert_eq!(incident.units, ["E1", "12"]);
}

#[test]
fn an_envelope_is_taken_off() {
    let event = read(
        Stream::VehicleData,
        r#"{"specversion":"1.0","type":"fix","source":"/fleet","id":"e7","time":"2023-11-15T12:00:00Z","subject":"car-7","datacontenttype":"application/json","data":{"location":[1,2],"speed":3,"load":{"kg":5}}}"#,
    );
    assert_eq!(
        (
            event.id.as_str(),
            event.device_id.as_str(),
            event.timestamp_us
        ),
        ("e7", "car-7", NOON_US)
    );
    assert_eq!(vehicle(&event).speed_kmh, 3.0);
    assert_eq!(
        event.extra.as_deref(),
        Some(
            r#"{"load":{"kg":5},"ce_specversion":"1.0","ce_type":"fix","ce_source":"/fleet","ce_datacontenttype":"application/json"}"#
        )
    );
}

#[test]
fn what_the_data_say_counts_more_than_the_envelope() {
    let event = read(
        Stream::VehicleData,
        r#"{"data":{"id":"inner","device_id":"car-1","timestamp":"2023-11-15T11:00:00","location":[1,2],"speed":3},"id":"outer","subject":"car-2","time":"2023-11-15T12:00:00Z","specversion":"1.0"}"#,
    );
    assert_eq!(
        (event.id.as_str(), event.device_id.as_str()),
        ("inner", "car-1")
    );
    assert_eq!(event.timestamp_us, NOON_US - 3_600_000_000);
    assert_eq!(
        event.extra.as_deref(),
        Some(
            r#"{"ce_id":"outer","ce_subject":"car-2","ce_time":"2023-11-15T12:00:00Z","ce_specversion":"1.0"}"#
        )
    );
}

#[test]
fn an_alert_in_an_envelope_whose_attributes_look_like_an_alert() {
    let event = read(
        Stream::Alerts,
        r#"{"specversion":"1.0","id":"e","subject":"dev","status":5,"time":"2023-11-15T12:00:00Z","data":{"alert_id":"a","rule":"r","subject":"s","severity":"High","status":"raised"}}"#,
    );
    let Body::Alert(alert) = &event.body else {
        panic!("{event:?}")
    };
    assert_eq!(
        (
            event.device_id.as_str(),
            alert.subject.as_str(),
            alert.status.as_str()
        ),
        ("dev", "s", "raised")
    );
    assert_eq!((event.location(), alert.started_at_us), (None, None));
}
