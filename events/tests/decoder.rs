//! The decoder under damaged and random records: a bounded run of what the
//! fuzzer in `fuzz/` runs without end.

mod decoder_entry;

use decoder_entry::check;
use events::Stream;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Valid records in all the spellings that are read, without the choice of stream.
const SEEDS: [(Stream, &str); 12] = [
    (
        Stream::VehicleData,
        r#"{"id":"5b2f0c52-6f0e-4f8e-9d6a-0a4c5d8d4f11","device_id":"car-1","timestamp":"2023-11-15T12:00:00","location":[57.7,11.97],"speed":42.5,"direction":"North-East","make":"Volvo","model":"EX30","year":2023,"fuel_type":"Electric"}"#,
    ),
    (
        Stream::VehicleData,
        r#"{"id":"a","deviceId":"b","timestamp":"2023-11-15T13:00:00+01:00","location":{"latitude":57.7,"longitude":-0.0},"speed":0,"direction":359.999,"x":[1,{"y":null}],"ä\u00e4":"\ud83d\ude8b"}"#,
    ),
    (
        Stream::GpsData,
        r#"{"id":"a","device_id":"b","timestamp":"2023-11-15T12:00:00.123456789Z","latitude":-90,"longitude":180.0,"speed":1e2,"direction":-0.0,"vehicle_type":"bus","accuracy_m":3,"altitude_m":-1.5,"occupied":true,"route_id":"16","trip_id":"t"}"#,
    ),
    (
        Stream::GpsData,
        r#"{"specversion":"1.0","type":"t","source":"/s","id":"e","time":"2023-11-15T12:00:00Z","subject":"dev","data":{"location":[1,2],"speed":3,"speed_reported":false}}"#,
    ),
    (
        Stream::TrafficCameraData,
        r#"{"id":"a","device_id":"b","timestamp":"2023-11-15T12:00:00Z","camera_id":"c","location":[1,2],"snapshot":"s3://x","direction":"NE","speed":31.5,"vehicle_count":7.0}"#,
    ),
    (
        Stream::WeatherData,
        r#"{"id":"a","device_id":"b","timestamp":"2023-11-15T12:00:00Z","location":[1,2],"temperature":-12.5,"weatherCondition":"Snow","humidity":81,"windSpeed":22,"precipitation":0.1,"visibility":10,"airQualityIndex":38,"pm25":9.1,"pm10":20,"no2":1,"o3":2,"so2":3,"co":0.4,"noise_db":55}"#,
    ),
    (
        Stream::EmergencyIncidentData,
        r#"{"id":"a","device_id":"b","timestamp":"2023-11-15T12:00:00Z","incidentId":"i","location":[1,2],"incident_type":"Fire","status":"Active","description":"two \"cars\"","units":["E1",2,"E3"]}"#,
    ),
    (
        Stream::EmergencyIncidentData,
        r#"{"id":"a","device_id":"b","timestamp":"2023-11-15T12:00:00Z","incident_id":"i","location":[1,2],"incident_type":"Theft","status":"resolved","severity":"low","units":[]}"#,
    ),
    (
        Stream::Alerts,
        r#"{"id":"a","device_id":"b","timestamp":"2023-11-15T12:00:00Z","alert_id":"x","rule":"r","subject":"s","severity":"High","status":"raised","value":1.5,"threshold":1,"location":[1,2],"started_at":"2023-11-15T11:59:00Z","message":"m"}"#,
    ),
    (
        Stream::Alerts,
        r#"{"specversion":"1.0","id":"e","subject":"dev","time":"2023-11-15T12:00:00Z","data":{"alert_id":"a","rule":"r","subject":"s","severity":"High","status":"raised"}}"#,
    ),
    (
        Stream::Windows,
        r#"{"id":"a","device_id":"b","timestamp":"2023-11-15T12:00:00Z","kind":"cell","key":"881f25a933fffff","window_end":"2023-11-15T12:01:00Z","count":3,"mean":20.5,"min":-1,"max":40,"p50":20,"p90":39,"p99":40,"vehicles":2,"location":[57.7,11.9]}"#,
    ),
    (
        Stream::Windows,
        r#"{"id":"a","device_id":"b","timestamp":"2023-11-15T12:00:00Z","kind":"city","key":"speed","count":9223372036854775807}"#,
    ),
];

/// Pieces that mean something to the decoder.
const PIECES: [&str; 32] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-0",
    "1e308",
    "1e-400",
    "9223372036854775808",
    "0.1",
    "NaN",
    "\"\"",
    "\"id\":\"a\",",
    "\"speed\":3,",
    "\"extra\":{},",
    "\"specversion\":\"1.0\",",
    "\"data\":{},",
    "\"data\":null,",
    "\"ce_id\":\"x\",",
    "\"subject\":\"x\",",
    "\"location\":null,",
    "\"timestamp\":\"1990-01-01\",",
    "24:00:00",
    "\u{feff}",
    "  \n\t",
];

#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Insert(Index, &'static str),
    Remove(Index, u8),
    Repeat(Index, Index),
    Cut(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        4 => (at(), select(&PIECES[..])).prop_map(|(at, piece)| Damage::Insert(at, piece)),
        3 => (at(), 1..40_u8).prop_map(|(at, length)| Damage::Remove(at, length)),
        2 => (at(), at()).prop_map(|(from, to)| Damage::Repeat(from, to)),
        1 => at().prop_map(Damage::Cut),
    ]
}

fn apply(record: &mut Vec<u8>, damage: &Damage) {
    if record.is_empty() {
        return;
    }
    let length = record.len();
    match damage {
        Damage::Set(at, byte) => record[at.index(length)] = *byte,
        Damage::Insert(at, piece) => {
            let at = at.index(length);
            record.splice(at..at, piece.bytes());
        }
        Damage::Remove(at, many) => {
            let at = at.index(length);
            record.drain(at..(at + usize::from(*many)).min(length));
        }
        Damage::Repeat(from, to) => {
            let (from, to) = (from.index(length), to.index(length));
            let part = record[from.min(to)..from.max(to)].to_vec();
            record.splice(to..to, part);
        }
        Damage::Cut(at) => record.truncate(at.index(length)),
    }
}

fn entry(stream: Stream, record: &[u8]) -> Vec<u8> {
    let mut data = vec![stream as u8];
    data.extend_from_slice(record);
    data
}

#[test]
fn every_seed_is_an_event() {
    for (stream, record) in SEEDS {
        let read = events::decode(stream, record.as_bytes(), decoder_entry::APPENDED_AT_US);
        assert_eq!(read.map(|event| event.stream()), Ok(stream), "{record}");
        check(&entry(stream, record.as_bytes()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn damaged_records_are_the_same_event_again_or_refused(
        (stream, record) in select(&SEEDS[..]),
        damages in prop::collection::vec(damage(), 0..5),
    ) {
        let mut record = record.as_bytes().to_vec();
        damages.iter().for_each(|damage| apply(&mut record, damage));
        check(&entry(stream, &record));
    }

    #[test]
    fn records_of_another_stream_are_the_same_event_again_or_refused(
        (_, record) in select(&SEEDS[..]),
        stream in select(&Stream::ALL[..]),
    ) {
        check(&entry(stream, record.as_bytes()));
    }

    #[test]
    fn any_bytes_are_the_same_event_again_or_refused(data in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&data);
    }
}
