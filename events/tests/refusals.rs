//! What is refused, and in which words.

use events::{Stream, decode};

/// Noon of 15 November 2023.
const APPENDED_AT_US: i64 = 1_700_049_600_000_000;

const VEHICLE: &str = r#"{"id":"e1","device_id":"car-1","timestamp":"2023-11-15T12:00:00","location":[57.7,12.0],"speed":42.5,"direction":"North-East","make":"Volvo","model":"EX30","year":2024,"fuel_type":"Electric"}"#;

/// The message in which `from` is replaced by `to`.
fn vehicle_with(from: &str, to: &str) -> String {
    assert!(VEHICLE.contains(from), "{from}");
    VEHICLE.replacen(from, to, 1)
}

#[track_caller]
fn assert_refused(stream: Stream, message: impl AsRef<[u8]>, expected: &str) {
    let message = message.as_ref();
    let error =
        decode(stream, message, APPENDED_AT_US).expect_err(&String::from_utf8_lossy(message));
    assert_eq!(
        error.to_string(),
        expected,
        "{}",
        String::from_utf8_lossy(message)
    );
}

#[test]
fn each_field_says_what_was_there_and_what_belongs_there() {
    const ID: &str = "a text that identifies the event";
    const DEVICE_ID: &str = "a text of 1 to 128 characters";
    const TIMESTAMP: &str = "an RFC 3339 timestamp from 1990 on, at most 24 h ahead of its arrival";
    const LOCATION: &str =
        "[latitude, longitude] in degrees, latitude within -90..90, longitude within -180..180";
    const SPEED: &str = "a number of km/h from 0 to 2000";
    const DIRECTION: &str =
        "degrees clockwise from north or a compass word such as North-East or NE";
    const WHOLE: &str = "a whole number";
    let long_id = "x".repeat(129);
    let long_id_message = format!("\"{long_id}\"");
    let long_id_shown = format!("\"{}…", &long_id[..118]);
    // Old value of a field, new value, field, value shown (empty: as it stands), expectation.
    let cases = [
        (r#""e1""#, "1", "id", "", ID),
        (r#""e1""#, r#""""#, "id", "", ID),
        (r#""e1""#, "null", "id", "nothing", ID),
        (r#""car-1""#, "7", "device_id", "", DEVICE_ID),
        (r#""car-1""#, r#""""#, "device_id", "", DEVICE_ID),
        (
            r#""car-1""#,
            &long_id_message,
            "device_id",
            &long_id_shown,
            DEVICE_ID,
        ),
        (
            r#""2023-11-15T12:00:00""#,
            "1700049600",
            "timestamp",
            "",
            TIMESTAMP,
        ),
        (
            r#""2023-11-15T12:00:00""#,
            r#""yesterday""#,
            "timestamp",
            "",
            TIMESTAMP,
        ),
        (
            r#""2023-11-15T12:00:00""#,
            r#""2023-02-30T12:00:00Z""#,
            "timestamp",
            "",
            TIMESTAMP,
        ),
        (
            r#""2023-11-15T12:00:00""#,
            r#""1989-12-31T23:59:59.999999Z""#,
            "timestamp",
            "",
            TIMESTAMP,
        ),
        (
            r#""2023-11-15T12:00:00""#,
            r#""2023-11-16T12:00:00.000001Z""#,
            "timestamp",
            "",
            TIMESTAMP,
        ),
        ("[57.7,12.0]", "[90.01,12.0]", "location", "", LOCATION),
        ("[57.7,12.0]", "[57.7,-180.5]", "location", "", LOCATION),
        ("[57.7,12.0]", "[57.7]", "location", "", LOCATION),
        ("[57.7,12.0]", "[57.7,12.0,3]", "location", "", LOCATION),
        ("[57.7,12.0]", "[]", "location", "", LOCATION),
        (
            "[57.7,12.0]",
            r#"["57.7","12.0"]"#,
            "location",
            "",
            LOCATION,
        ),
        ("[57.7,12.0]", "[NaN,12.0]", "location", "[NaN", LOCATION),
        ("[57.7,12.0]", "[1e999,12.0]", "location", "", LOCATION),
        (
            "[57.7,12.0]",
            r#"{"latitude":57.7}"#,
            "location",
            "",
            LOCATION,
        ),
        (
            "[57.7,12.0]",
            r#"{"latitude":57.7,"longitude":200}"#,
            "location",
            "",
            LOCATION,
        ),
        (
            "[57.7,12.0]",
            r#"{"latitude":1,"latitude":2,"longitude":3}"#,
            "location",
            "",
            LOCATION,
        ),
        ("[57.7,12.0]", "{}", "location", "", LOCATION),
        ("[57.7,12.0]", r#""57.7,12.0""#, "location", "", LOCATION),
        ("42.5", "-0.1", "speed", "", SPEED),
        ("42.5", "2000.1", "speed", "", SPEED),
        ("42.5", "1e308", "speed", "", SPEED),
        ("42.5", r#""42.5""#, "speed", "", SPEED),
        ("42.5", "NaN", "speed", "", SPEED),
        ("42.5", "-Infinity", "speed", "", SPEED),
        ("42.5", "1e999", "speed", "", SPEED),
        ("42.5", "042", "speed", "", SPEED),
        ("42.5", "4_2", "speed", "", SPEED),
        ("42.5", "true", "speed", "", SPEED),
        ("42.5", "[42.5]", "speed", "", SPEED),
        ("42.5", r#"{"kmh":42.5}"#, "speed", "", SPEED),
        ("42.5", "null", "speed", "nothing", SPEED),
        (
            r#""North-East""#,
            r#""Upwards""#,
            "direction",
            "",
            DIRECTION,
        ),
        (r#""North-East""#, "[45]", "direction", "", DIRECTION),
        (r#""North-East""#, "NaN", "direction", "", DIRECTION),
        (r#""Volvo""#, "5", "make", "", "a text"),
        (r#""Volvo""#, r#""\ud800""#, "make", "", "a text"),
        (r#""Volvo""#, "Volvo", "make", "", "a text"),
        ("2024", r#""2024""#, "year", "", WHOLE),
        ("2024", "2024.5", "year", "", WHOLE),
        ("2024", "3000000000", "year", "", WHOLE),
        ("2024", "1e300", "year", "", WHOLE),
    ];
    for (from, to, field, shown, expected) in cases {
        let shown = if shown.is_empty() { to } else { shown };
        let message = vehicle_with(from, to);
        assert_refused(
            Stream::VehicleData,
            message,
            &format!("field \"{field}\": got {shown}, expected {expected}"),
        );
    }
}

#[test]
fn the_documented_sentence_is_the_one_that_is_said() {
    assert_refused(
        Stream::VehicleData,
        vehicle_with("42.5", "-3"),
        "field \"speed\": got -3, expected a number of km/h from 0 to 2000",
    );
}

#[test]
fn every_required_field_is_missed() {
    let cases = [
        (
            Stream::VehicleData,
            "id",
            r#"{"device_id":"d","timestamp":"2023-11-15T12:00:00Z","location":[1,2],"speed":3}"#,
        ),
        (
            Stream::VehicleData,
            "device_id",
            r#"{"id":"i","timestamp":"2023-11-15T12:00:00Z","location":[1,2],"speed":3}"#,
        ),
        (
            Stream::VehicleData,
            "timestamp",
            r#"{"id":"i","device_id":"d","location":[1,2],"speed":3}"#,
        ),
        (
            Stream::VehicleData,
            "location",
            r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00Z","speed":3}"#,
        ),
        (
            Stream::VehicleData,
            "longitude",
            r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00Z","latitude":1,"speed":3}"#,
        ),
        (
            Stream::VehicleData,
            "latitude",
            r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00Z","longitude":1,"latitude":null,"speed":3}"#,
        ),
        (
            Stream::VehicleData,
            "speed",
            r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00Z","location":[1,2]}"#,
        ),
        (
            Stream::GpsData,
            "speed",
            r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00Z","location":[1,2]}"#,
        ),
        (
            Stream::TrafficCameraData,
            "camera_id",
            r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00Z","location":[1,2]}"#,
        ),
        (
            Stream::TrafficCameraData,
            "location",
            r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00Z","camera_id":"c"}"#,
        ),
        (
            Stream::WeatherData,
            "location",
            r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00Z"}"#,
        ),
        (
            Stream::EmergencyIncidentData,
            "incidentId",
            r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00Z","location":[1,2],"incident_type":"Fire","status":"Active"}"#,
        ),
        (
            Stream::EmergencyIncidentData,
            "incident_type",
            r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00Z","location":[1,2],"incidentId":"x","status":"Active"}"#,
        ),
        (
            Stream::EmergencyIncidentData,
            "status",
            r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00Z","location":[1,2],"incidentId":"x","incident_type":"Fire"}"#,
        ),
        (
            Stream::Alerts,
            "rule",
            r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00Z","alert_id":"a","subject":"s","severity":"High","status":"raised"}"#,
        ),
        (
            Stream::Windows,
            "key",
            r#"{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00Z","kind":"city"}"#,
        ),
    ];
    for (stream, field, message) in cases {
        let error = decode(stream, message.as_bytes(), APPENDED_AT_US).expect_err(message);
        assert_eq!(
            (error.field.as_str(), error.value.as_str()),
            (field, "nothing"),
            "{message}"
        );
    }
}

#[test]
fn fields_of_the_other_streams() {
    let message = |fields: &str| {
        format!(
            r#"{{"id":"i","device_id":"d","timestamp":"2023-11-15T12:00:00Z","location":[1,2],{fields}}}"#
        )
    };
    let cases = [
        (
            Stream::GpsData,
            r#""speed":1,"occupied":1"#,
            "field \"occupied\": got 1, expected true or false",
        ),
        (
            Stream::GpsData,
            r#""speed":1,"occupied":"yes""#,
            "field \"occupied\": got \"yes\", expected true or false",
        ),
        (
            Stream::GpsData,
            r#""speed":1,"accuracy_m":"5""#,
            "field \"accuracy_m\": got \"5\", expected a number from -1e10 to 1e10",
        ),
        (
            Stream::GpsData,
            r#""speed":1,"vehicle_type":{}"#,
            "field \"vehicle_type\": got {}, expected a text",
        ),
        (
            Stream::TrafficCameraData,
            r#""camera_id":"""#,
            "field \"camera_id\": got \"\", expected a text that identifies the camera",
        ),
        (
            Stream::TrafficCameraData,
            r#""camera_id":"c","vehicle_count":1.5"#,
            "field \"vehicle_count\": got 1.5, expected a whole number",
        ),
        (
            Stream::TrafficCameraData,
            r#""camera_id":"c","speed":-1"#,
            "field \"speed\": got -1, expected a number of km/h from 0 to 2000",
        ),
        (
            Stream::WeatherData,
            r#""temperature":"cold""#,
            "field \"temperature\": got \"cold\", expected a number from -1e10 to 1e10",
        ),
        (
            Stream::WeatherData,
            r#""airQualityIndex":NaN"#,
            "field \"airQualityIndex\": got NaN, expected a number from -1e10 to 1e10",
        ),
        (
            Stream::WeatherData,
            r#""pm25":1e308"#,
            "field \"pm25\": got 1e308, expected a number from -1e10 to 1e10",
        ),
        (
            Stream::WeatherData,
            r#""wind_speed":1e11"#,
            "field \"wind_speed\": got 1e11, expected a number of km/h, at least 0",
        ),
        (
            Stream::GpsData,
            r#""speed":1,"accuracy_m":1e300"#,
            "field \"accuracy_m\": got 1e300, expected a number from -1e10 to 1e10",
        ),
        (
            Stream::WeatherData,
            r#""wind_speed":-2"#,
            "field \"wind_speed\": got -2, expected a number of km/h, at least 0",
        ),
        (
            Stream::WeatherData,
            r#""weather_condition":3"#,
            "field \"weather_condition\": got 3, expected a text",
        ),
        (
            Stream::EmergencyIncidentData,
            r#""incident_id":5"#,
            "field \"incident_id\": got 5, expected a text that identifies the incident",
        ),
        (
            Stream::EmergencyIncidentData,
            r#""units":"U1""#,
            "field \"units\": got \"U1\", expected a list of texts",
        ),
        (
            Stream::EmergencyIncidentData,
            r#""units":["U1",{}]"#,
            "field \"units\": got [\"U1\",{}], expected a list of texts",
        ),
        (
            Stream::Alerts,
            r#""started_at":"soon""#,
            "field \"started_at\": got \"soon\", expected an RFC 3339 timestamp",
        ),
    ];
    for (stream, fields, expected) in cases {
        assert_refused(stream, message(fields), expected);
    }
}

#[test]
fn what_is_no_object_is_refused_as_a_whole() {
    let cases: [(&[u8], &str); 11] = [
        (
            b"",
            "message: got nothing, expected one JSON object at byte 0",
        ),
        (
            b"  ",
            "message: got nothing, expected one JSON object at byte 2",
        ),
        (
            b"[1]",
            "message: got [1], expected one JSON object at byte 0",
        ),
        (
            b"null",
            "message: got null, expected one JSON object at byte 0",
        ),
        (
            b"{\"id\":\"e1\"",
            "message: got {\"id\":\"e1\", expected a comma or a closing brace at byte 10",
        ),
        (
            b"{\"id\" \"e1\"}",
            "message: got {\"id\" \"e1\"}, expected a colon after the field name at byte 6",
        ),
        (
            b"{\"id\":\"e1\",}",
            "message: got {\"id\":\"e1\",}, expected a field name in quotes at byte 11",
        ),
        (
            b"{id:1}",
            "message: got {id:1}, expected a field name in quotes at byte 1",
        ),
        (
            b"{\"speed\":1 2}",
            "message: got {\"speed\":1 2}, expected a comma or a closing brace at byte 11",
        ),
        (
            b"{\"a\":\xff}",
            "message: got {\"a\":\u{fffd}}, expected UTF-8 text; byte 5 is not",
        ),
        (
            b"{\"a\":tru}",
            "field \"a\": got tru, expected a JSON value",
        ),
    ];
    for (message, expected) in cases {
        assert_refused(Stream::VehicleData, message, expected);
    }
}

#[test]
fn nothing_may_follow_the_object() {
    let message = format!("{VEHICLE} {{}}");
    let error =
        decode(Stream::VehicleData, message.as_bytes(), APPENDED_AT_US).expect_err("two objects");
    assert_eq!(error.field, "");
    assert_eq!(
        error.expected,
        format!(
            "nothing after the closing brace at byte {}",
            VEHICLE.len() + 1
        )
    );
    assert_eq!(error.value.chars().count(), 120);
    assert!(error.value.ends_with('…'));
}

#[test]
fn a_field_that_says_two_things_is_refused() {
    assert_refused(
        Stream::VehicleData,
        vehicle_with("42.5", "42.5,\"speed\":43"),
        "field \"speed\": got 43, expected the value that the same field has earlier in the message",
    );
    let twice = vehicle_with("42.5", "42.5,\"speed\":42.50");
    assert!(decode(Stream::VehicleData, twice.as_bytes(), APPENDED_AT_US).is_ok());
}

#[test]
fn hostile_nesting_is_refused() {
    let nested = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let message = vehicle_with("2024", &format!("2024,\"unknown\":{nested}"));
    let error = decode(Stream::VehicleData, message.as_bytes(), APPENDED_AT_US).expect_err("deep");
    assert_eq!(
        (error.field.as_str(), error.expected.as_str()),
        ("unknown", "at most 64 levels of nesting")
    );
}

#[test]
fn envelopes_are_refused_for_what_is_in_them() {
    let cases = [
        (
            r#"{"specversion":"0.3","data":{}}"#,
            "field \"specversion\": got \"0.3\", expected \"1.0\" as in CloudEvents 1.0",
        ),
        (
            r#"{"specversion":"1.0","data":"text"}"#,
            "field \"data\": got \"text\", expected a JSON object: the event",
        ),
        (
            r#"{"specversion":"1.0","id":"i","subject":"d","time":"soon","data":{"location":[1,2],"speed":3}}"#,
            "field \"time\": got \"soon\", expected an RFC 3339 timestamp from 1990 on, at most 24 h ahead of its arrival",
        ),
        (
            r#"{"specversion":"1.0","id":"i","subject":"d","time":"2023-11-15T12:00:00Z","data":{"location":[1,2],"speed":-3}}"#,
            "field \"speed\": got -3, expected a number of km/h from 0 to 2000",
        ),
        (
            r#"{"specversion":"1.0","id":"i","time":"2023-11-15T12:00:00Z","data":{"location":[1,2],"speed":3}}"#,
            "field \"device_id\": got nothing, expected a text of 1 to 128 characters",
        ),
    ];
    for (message, expected) in cases {
        assert_refused(Stream::VehicleData, message, expected);
    }
}
