//! Tables as programs write them: what is read of them, and what is said of the rest.

mod replay_support;

use events::time::format_rfc3339;
use events::{Event, Stream};
use generators::replay::{RecordedRow, Recording, ReplayError, ReplayOptions};
use proptest::prelude::*;
use replay_support::gps;

/// After every time in these files.
const NOW_US: i64 = 1_900_000_000_000_000;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(one, other): &(&str, &str)| ((*one).to_owned(), (*other).to_owned());
    pairs.iter().map(owned).collect()
}

type Rows = Vec<Result<Event, (u64, String)>>;

/// What becomes of the rows of a file of that content.
fn read(name: &str, content: &[u8], options: &ReplayOptions) -> Result<Rows, ReplayError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("writes");
    let input = generators::replay::Input::File(path);
    let recording = Recording::open(&ReplayOptions {
        input,
        ..options.clone()
    })?;
    let event = |row: RecordedRow| {
        let line = row.line();
        let read = row.into_event(NOW_US).map_err(|bad| (line, bad.cause));
        read.map(|event| event.expect("nothing is skipped"))
    };
    recording.map(|row| row.map(event)).collect()
}

fn fixes() -> ReplayOptions {
    ReplayOptions {
        stream: Some(Stream::GpsData),
        ..ReplayOptions::file("")
    }
}

fn weather(map: &[(&str, &str)]) -> ReplayOptions {
    ReplayOptions {
        stream: Some(Stream::WeatherData),
        map: pairs(map),
        set: pairs(&[
            ("device_id", "station"),
            ("latitude", "47.6"),
            ("longitude", "-122.3"),
        ]),
        ..ReplayOptions::file("")
    }
}

fn events(read: Result<Rows, ReplayError>) -> Vec<Event> {
    let rows = read.expect("it is read to its end");
    rows.into_iter().map(|row| row.expect("an event")).collect()
}

fn times(read: Result<Rows, ReplayError>) -> Vec<String> {
    let read = events(read);
    read.iter()
        .map(|event| format_rfc3339(event.timestamp_us))
        .collect()
}

/// The error with its cause.
fn refusal(read: Result<Rows, ReplayError>) -> String {
    let error = read.expect_err("refused");
    match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

const HEADER: &str = "device_id,timestamp,lat,lon,speed,note\n";

#[test]
fn ids_follow_from_what_rows_say_and_not_from_the_name_of_the_file() {
    let content = format!(
        "{HEADER}a,1700000000,57.7,11.9,5,x\na,1700000000,57.7,11.9,5,x\na,1700000000,57.7,11.9,6,x\n"
    );
    let ids = |name: &str, content: &str| -> Vec<_> {
        let read = events(read(name, content.as_bytes(), &fixes()));
        read.into_iter().map(|event| event.id).collect()
    };
    let one = ids("part-0.csv", &content);
    assert_eq!(one, ids("other.csv", &content));
    assert_ne!(one[0], one[1], "the same row twice");
    assert_ne!(one[1], one[2]);
    let with_semicolons = content.replace(',', ";");
    assert_eq!(one, ids("part-0.csv", &with_semicolons));
    // Another day of the same cab, in a file of the same name.
    let other = ids("part-0.csv", &content.replace("57.7", "57.8"));
    assert!(one.iter().all(|id| !other.contains(id)));
}

#[test]
fn a_file_per_measure_has_ids_of_its_own() {
    let content = b"t,value\n1700000000,5\n";
    let id = |field: &str| {
        let options = weather(&[(field, "value")]);
        events(read("station.csv", content, &options))[0].id.clone()
    };
    assert_ne!(id("pm25"), id("pm10"));
}

#[test]
fn a_quote_that_nothing_closes_is_named_with_its_line() {
    let rows = |count: usize| "a,1700000000,57.7,11.9,5,x\n".repeat(count);
    let open = format!(
        "{HEADER}{}a,1700000000,57.7,11.9,5,\"y\n{}",
        rows(3),
        rows(5_000)
    );
    let said = refusal(read("f.csv", open.as_bytes(), &fixes()));
    assert!(
        said.contains("line 5, column \"note\": got a quote that nothing closes"),
        "{said}"
    );
    // In the last field, in the header, and behind a field that goes over lines.
    let said = refusal(read(
        "f.csv",
        format!("{HEADER}a,1,2,3,4,\"").as_bytes(),
        &fixes(),
    ));
    assert!(said.contains("line 2, column \"note\""), "{said}");
    let said = refusal(read(
        "f.csv",
        b"device_id,\"timestamp,lat\na,1,2\n",
        &fixes(),
    ));
    assert!(said.contains("line 1, column 2"), "{said}");
    let said = refusal(read(
        "f.csv",
        format!("{HEADER}\"a\nb\",1,2,3,4,\"").as_bytes(),
        &fixes(),
    ));
    assert!(said.contains("line 3, column \"note\""), "{said}");
    // More than a record may have.
    let long = format!(
        "{HEADER}{}a,1700000000,57.7,11.9,5,\"y\n{}",
        rows(1),
        rows(400_000)
    );
    let said = refusal(read("f.csv", long.as_bytes(), &fixes()));
    assert!(said.contains("line 3: got a record of more than"), "{said}");
}

#[test]
fn a_quote_that_a_later_one_closes_does_not_hide_the_lines_between() {
    let row = "a,1700000000,57.7,11.9,5,x\n";
    let content = format!(
        "{HEADER}{row}a,1700000000,\"57.7,11.9,5,x\n{row}{row}a,1700000000,\"57\",11.9,5,x\n"
    );
    let rows = read("f.csv", content.as_bytes(), &fixes()).expect("readable");
    let (line, cause) = rows[1].clone().expect_err("no latitude");
    assert!(
        line == 3 && cause.contains("a quote makes one record of lines 3 to 6"),
        "{cause}"
    );
    let content =
        format!("{HEADER}{row}a,1700000000,\"57.7,11.9,5,x\n{row}\"b\",1700000000,57,11.9,5,x\n");
    let said = refusal(read("f.csv", content.as_bytes(), &fixes()));
    assert!(
        said.contains("lines 3 to 5: a quote makes them one record"),
        "{said}"
    );
}

#[test]
fn quoted_fields_may_go_over_lines() {
    let content = format!("{HEADER}a,1700000000,57.7,11.9,5,\"one\ntwo \"\"three\"\"\"\n");
    let read = events(read("f.csv", content.as_bytes(), &fixes()));
    assert_eq!(
        read[0].extra.as_deref(),
        Some(r#"{"note":"one\ntwo \"three\""}"#)
    );
}

#[test]
fn what_is_between_fields_is_told_by_the_header() {
    for between in [";", "\t", "|"] {
        let content = format!("\u{feff}{HEADER}a,1700000000,57.7,11.9,5,\"x{between}y\"\n");
        let content = content.replace(',', between);
        let read = events(read("f.csv", content.as_bytes(), &fixes()));
        assert_eq!(gps(&read[0]).speed_kmh, 5.0);
        let note = read[0].extra.as_deref().unwrap_or_default().to_owned();
        assert!(note.contains('x') && note.contains('y'), "{note}");
    }
}

#[test]
fn measurements_are_numbers_however_they_are_padded() {
    let content = b"t,temperature,humidity,wind_speed,visibility\n1700000000,-00.5,05,+3,.5\n";
    let read = events(read("f.csv", content, &weather(&[])));
    let events::Body::Weather(found) = &read[0].body else {
        panic!("{:?}", read[0])
    };
    assert_eq!(found.temperature, Some(-0.5));
    assert_eq!(found.humidity, Some(5.0));
}

#[test]
fn times_are_dates_or_what_is_said() {
    let content = b"date,precipitation\n2012-01-01,0.0\n2012-01-02,10.9\n";
    assert_eq!(
        times(read("f.csv", content, &weather(&[]))),
        ["2012-01-01T00:00:00Z", "2012-01-02T00:00:00Z"]
    );
    let content = b"temp,date\n8.5,2010/01/01 00:00:00\n8.4,2010/01/01 01:00:00\n";
    assert_eq!(
        times(read("f.csv", content, &weather(&[])))[1],
        "2010-01-01T01:00:00Z"
    );

    let content = b"date,temp\n20/06/2018 18:30,8.5\n";
    let rows = read("f.csv", content, &weather(&[])).expect("readable");
    let (line, cause) = rows[0].clone().expect_err("no time that is known");
    assert!(
        line == 2 && cause.contains("20/06/2018 18:30") && cause.contains("--time-format"),
        "{cause}"
    );
    let said = ReplayOptions {
        time_format: Some("%d/%m/%Y %H:%M".parse().expect("a format")),
        ..weather(&[])
    };
    assert_eq!(
        times(read("f.csv", content, &said)),
        ["2018-06-20T18:30:00Z"]
    );
    let content = b"day,clock,temp\n20/06/2018,18:30,8.5\n";
    let said = ReplayOptions {
        map: pairs(&[("timestamp", "day,clock,+02:00")]),
        ..said
    };
    assert_eq!(
        times(read("f.csv", content, &said)),
        ["2018-06-20T16:30:00Z"]
    );
}

#[test]
fn names_of_rows_without_a_header_are_a_column() {
    let content = b"\"date\",\"Temperature\"\n\"140\",\"2015-02-02 14:19:00\",23.7\n\"141\",\"2015-02-02 14:19:59\",23.718\n";
    let read = events(read("f.txt", content, &weather(&[])));
    assert_eq!(format_rfc3339(read[1].timestamp_us), "2015-02-02T14:19:59Z");
    // Nothing of the kind where a line ends with a comma.
    let content = b"t,temperature\n1700000000,5,\n";
    let rows = self::read("f.csv", content, &weather(&[])).expect("readable");
    assert!(rows[0].is_err());
}

#[test]
fn what_is_no_table_is_said_in_a_sentence() {
    for blank in ["", "\n \n", "\u{feff}"] {
        let said = refusal(read("f.csv", blank.as_bytes(), &fixes()));
        assert!(said.ends_with("f.csv is empty"), "{said}");
    }
    let said = refusal(read("f.json", b"[{\"id\":1},\n{\"id\":2}]", &fixes()));
    assert!(
        said.contains("JSON array") && said.contains("NDJSON"),
        "{said}"
    );
}

#[test]
fn the_first_line_of_json_may_have_a_byte_order_mark() {
    let line = r#"{"id":"a","device_id":"a","timestamp":"2024-01-01T00:00:00Z","location":[57.7,11.9],"speed":5}"#;
    let content = format!("\u{feff}{line}\n");
    assert_eq!(
        events(read("f.ndjson", content.as_bytes(), &fixes())).len(),
        1
    );
}

#[test]
fn of_a_long_value_the_beginning_is_shown() {
    let long = "x".repeat(3 << 20);
    for column in 0..6 {
        let mut fields = ["a", "1700000000", "57.7", "11.9", "5", "y"];
        fields[column] = &long;
        let content = format!("{HEADER}{}\n", fields.join(","));
        let rows = read("f.csv", content.as_bytes(), &fixes()).expect("readable");
        if let Err((_, cause)) = &rows[0] {
            assert!(cause.len() < 500, "{} bytes", cause.len());
            assert!(cause.contains("xx…"), "{cause}");
        } else {
            assert_eq!(column, 5, "only a note may be long");
        }
    }
}

proptest! {
    // What a writer of RFC 4180 writes is read back, whatever is between the fields.
    #[test]
    fn a_written_table_is_read_back(
        notes in proptest::collection::vec("[ -~\\n]{1,20}", 1..20),
        between in proptest::sample::select(b",;\t|".to_vec()),
    ) {
        let mut writer = csv::WriterBuilder::new().delimiter(between).from_writer(Vec::new());
        writer.write_record(["device_id", "timestamp", "lat", "lon", "speed", "note"]).unwrap();
        for note in &notes {
            writer.write_record(["a", "1700000000", "57.7", "11.9", "5", &format!("n{note}n")]).unwrap();
        }
        let content = writer.into_inner().unwrap();
        let read = events(read("f.csv", &content, &fixes()));
        let said: Vec<String> = read
            .iter()
            .map(|event| {
                let extra: serde_json::Value = serde_json::from_str(event.extra.as_deref().unwrap()).unwrap();
                extra["note"].as_str().unwrap().to_owned()
            })
            .collect();
        let expected: Vec<String> = notes.iter().map(|note| format!("n{note}n")).collect();
        prop_assert_eq!(said, expected);
    }

    #[test]
    fn any_bytes_are_read_or_refused(content in proptest::collection::vec(any::<u8>(), 0..200)) {
        let content = [b"device_id,timestamp,lat,lon,speed\n".as_slice(), &content].concat();
        let _ = read("f.csv", &content, &fixes());
    }
}

/// Rows that are events, and those that are none, of a recording of a real city.
fn real(name: &str, map: &[(&str, &str)], time_format: Option<&str>) -> Option<(usize, usize)> {
    let path = replay_support::recording(name)?;
    let options = ReplayOptions {
        input: generators::replay::Input::File(path),
        time_format: time_format.map(|format| format.parse().expect("a format")),
        ..weather(map)
    };
    let rows = Recording::open(&options).expect("a table");
    let is_event = |row: Result<RecordedRow, ReplayError>| {
        let row = row.expect("it is read to its end");
        row.into_event(NOW_US).is_ok()
    };
    let (events, others): (Vec<bool>, Vec<bool>) = rows.map(is_event).partition(|is| *is);
    Some((events.len(), others.len()))
}

#[test]
fn tables_of_real_cities_are_read() {
    for (name, map, time_format, rows) in [
        ("weather/seattle-weather.csv", &[][..], None, 1_461),
        (
            "weather/sf-temps.csv",
            &[("temp_f", "temp")][..],
            None,
            8_759,
        ),
        ("building/occupancy_datatraining.txt", &[][..], None, 8_143),
        (
            "building/Steel_industry_data.csv.gz",
            &[][..],
            Some("%d/%m/%Y %H:%M"),
            35_040,
        ),
        (
            "traffic/Metro_Interstate_Traffic_Volume.csv",
            &[("timestamp", "date_time"), ("temp_k", "temp")][..],
            None,
            48_204,
        ),
        (
            "nab/data/realAWSCloudwatch/grok_asg_anomaly.csv",
            &[][..],
            None,
            4_621,
        ),
    ] {
        if let Some(read) = real(name, map, time_format) {
            assert_eq!(read, (rows, 0), "{name}");
        }
    }
}
