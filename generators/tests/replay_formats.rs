//! Each format, on a few lines.

mod replay_support;

use std::io::Write;

use events::{Severity, Stream};
use generators::replay::{Format, ReplayOptions};
use replay_support::{fixture, gps, incident, replay};

fn of(name: &str) -> ReplayOptions {
    ReplayOptions::file(fixture(name))
}

#[tokio::test]
async fn taxis_become_fixes_with_speed_and_direction() {
    let (summary, collector, told) = replay(&of("cabs.csv")).await;
    assert_eq!((summary.rows, summary.accepted, summary.bad), (10, 6, 4));
    let events = collector.events();
    let amber: Vec<_> = events
        .iter()
        .filter(|event| event.device_id == "amber")
        .collect();
    let first = gps(amber[0]);
    assert_eq!((first.speed_kmh, first.direction_deg), (0.0, None));
    assert_eq!(first.occupied, Some(false));
    assert_eq!(first.vehicle_type.as_deref(), Some("taxi"));
    assert_eq!(amber[0].timestamp_us, 1_211_241_600_000_000);
    // 556 m northwards in a minute.
    let second = gps(amber[1]);
    assert!((33.0..34.0).contains(&second.speed_kmh), "{second:?}");
    assert_eq!(
        (second.direction_deg, second.occupied),
        (Some(0.0), Some(true))
    );
    // The same fix twice is two events; a jump of 111 km in a second is no speed.
    assert_ne!(amber[1].id, amber[2].id);
    let jump = gps(amber[3]);
    assert_eq!(jump.speed_kmh, second.speed_kmh);
    assert!(
        amber[3]
            .extra
            .as_deref()
            .is_some_and(|extra| extra.contains("jump_kmh"))
    );

    let lines: Vec<u64> = told.bad.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [6, 8, 9, 10]);
    assert_eq!(
        told.bad[0].1,
        "field \"t\": got \"yesterday\", expected seconds since 1970"
    );
    assert!(told.bad[1].1.contains("latitude") && told.bad[1].1.contains("91"));
    assert!(told.bad[2].1.contains("got 4 fields, expected 5"));
    assert!(told.bad[3].1.contains("field \"occ\""));
}

#[tokio::test]
async fn a_raw_taxi_file_is_replayed_in_order_of_time() {
    let (summary, collector, _) = replay(&of("new_cedar.txt")).await;
    assert_eq!((summary.rows, summary.bad), (3, 0));
    let events = collector.events();
    let times: Vec<i64> = events
        .iter()
        .map(|event| event.timestamp_us / 1_000_000)
        .collect();
    assert_eq!(times, [1_211_033_530, 1_211_033_590, 1_211_033_650]);
    assert!(events.iter().all(|event| event.device_id == "cedar"));
    assert!(gps(&events[2]).speed_kmh > 6.0);
}

#[tokio::test]
async fn buses_keep_their_reported_speed() {
    let (summary, collector, told) = replay(&of("buses.csv")).await;
    assert_eq!((summary.rows, summary.accepted, summary.bad), (4, 2, 2));
    let events = collector.events();
    let (first, second) = (gps(&events[0]), gps(&events[1]));
    assert_eq!(first.speed_kmh, 36.0);
    assert_eq!(first.route_id.as_deref(), Some("485"));
    assert_eq!(first.vehicle_type.as_deref(), Some("bus"));
    assert_eq!(
        events::time::format_rfc3339(events[0].timestamp_us),
        "2015-09-06T06:16:07Z"
    );
    assert_eq!((second.speed_kmh, second.direction_deg), (0.0, Some(0.0)));
    assert_eq!(
        events[1].extra.as_deref(),
        Some(r#"{"trip_headsign":"1-Metric, South"}"#)
    );
    assert!(told.bad[0].1.contains("field \"speed\": got -1"));
    assert!(told.bad[1].1.contains("\"never\""));
}

#[tokio::test]
async fn buses_in_order_of_trips_are_replayed_in_order_of_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("buses.csv");
    let content = "vehicle_id,timestamp,speed,route_id,trip_id,latitude,longitude,trip_headsign\n\
        a,2017-03-21T10:00:00Z,5,1,late,30.2,-97.7,x\n\
        a,2017-03-21T10:01:00Z,5,1,late,30.1,-97.7,x\n\
        a,2017-03-21T08:00:00Z,5,1,early,30.3,-97.7,x\n\
        b,2017-03-21T09:00:00Z,5,2,other,30.3,-97.7,x\n";
    std::fs::write(&path, content).expect("writes");
    let (summary, collector, told) = replay(&ReplayOptions::file(path)).await;
    assert_eq!((summary.accepted, summary.bad), (4, 0));
    let events = collector.events();
    let trips: Vec<_> = events
        .iter()
        .map(|event| gps(event).trip_id.as_deref())
        .collect();
    assert_eq!(trips, ["early", "other", "late", "late"].map(Some));
    // From the fix before it in time, a trip earlier.
    assert_eq!(gps(&events[2]).direction_deg, Some(180.0));
    assert!(told.notices.is_empty(), "{:?}", told.notices);
}

#[tokio::test]
async fn a_csv_out_of_order_is_sent_as_it_is_and_told_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fixes.csv");
    let content = "device_id,timestamp,speed,latitude,longitude\n\
        a,2017-03-21T10:00:00Z,5,30.2,-97.7\n\
        b,2017-03-21T09:59:30Z,5,30.2,-97.7\n\
        b,2017-03-21T08:00:00Z,5,30.2,-97.7\n\
        b,2017-03-21T07:00:00Z,5,30.2,-97.7\n";
    std::fs::write(&path, content).expect("writes");
    let options = ReplayOptions {
        stream: Some(Stream::GpsData),
        ..ReplayOptions::file(path)
    };
    let (summary, collector, told) = replay(&options).await;
    assert_eq!(summary.accepted, 4);
    assert_eq!(collector.events()[0].device_id, "a");
    let [notice] = &told.notices[..] else {
        panic!("{:?}", told.notices)
    };
    assert!(notice.starts_with("line 4 is 7200 s behind"), "{notice}");
}

#[tokio::test]
async fn vehicle_positions_come_out_of_a_transit_feed() {
    let (summary, collector, told) = replay(&of("vehicles.pb")).await;
    assert_eq!((summary.rows, summary.accepted, summary.bad), (7, 3, 1));
    assert_eq!(summary.skipped.values().sum::<u64>(), 3);
    assert!(
        summary
            .skipped
            .keys()
            .any(|what| what.contains("trip updates"))
    );
    assert!(told.bad[0].1.contains("latitude"));
    let events = collector.events();
    let devices: Vec<&str> = events
        .iter()
        .map(|event| event.device_id.as_str())
        .collect();
    assert_eq!(devices, ["e4", "1355", "label-2"], "in order of time");
    let bus = gps(&events[1]);
    assert_eq!((bus.speed_kmh, bus.direction_deg), (36.0, Some(284.0)));
    assert_eq!(bus.location.latitude, 38.24545);
    assert_eq!(
        (bus.route_id.as_deref(), bus.trip_id.as_deref()),
        (Some("29"), Some("trip-1"))
    );
    let silent = &events[2];
    assert_eq!(
        silent.timestamp_us, 1_700_049_700_000_000,
        "the header's time"
    );
    assert_eq!(gps(silent).speed_kmh, 0.0);
    assert!(
        silent
            .extra
            .as_deref()
            .is_some_and(|extra| extra.contains("\"speed_reported\":false"))
    );
}

#[tokio::test]
async fn fire_calls_become_the_life_of_incidents() {
    let (summary, collector, told) = replay(&of("fire_calls.csv")).await;
    assert_eq!((summary.rows, summary.accepted, summary.bad), (5, 9, 1));
    assert!(
        told.bad[0]
            .1
            .contains("field \"Received DtTm\": got \"July\"")
    );
    let events = collector.events();
    let times: Vec<i64> = events.iter().map(|event| event.timestamp_us).collect();
    assert!(times.is_sorted());
    let life: Vec<String> = events[..4]
        .iter()
        .map(|event| {
            format!(
                "{} {}",
                incident(event).status,
                events::time::format_rfc3339(event.timestamp_us)
            )
        })
        .collect();
    assert_eq!(
        life,
        [
            "Active 2016-07-05T06:59:50Z",
            "Dispatched 2016-07-05T07:00:05Z",
            "OnScene 2016-07-05T07:04:00Z",
            "Resolved 2016-07-05T08:10:00Z",
        ]
    );
    let fire = incident(&events[3]);
    assert_eq!(
        (fire.incident_type.as_str(), fire.severity.as_str()),
        ("Fire", "High")
    );
    assert_eq!(fire.units, ["E01", "T01"]);
    assert_eq!(
        incident(&events[1]).units,
        ["T01"],
        "who was dispatched by then"
    );
    assert_eq!(
        fire.description.as_deref(),
        Some("Structure Fire, 100 Block of EXAMPLE ST")
    );
    assert_eq!(events[3].device_id, "1001");
    let medical = incident(&events[4]);
    assert_eq!(medical.severity(), Severity::Critical);
    assert_eq!(medical.incident_type, "Medical");
    let elk = incident(&events[8]);
    assert_eq!(
        (elk.incident_type.as_str(), elk.severity()),
        ("Elk on the Bridge", Severity::Low)
    );
}

#[tokio::test]
async fn csv_columns_are_found_by_map_and_by_name() {
    let options = ReplayOptions {
        stream: Some(Stream::GpsData),
        map: vec![
            ("device_id".into(), "Bus Number".into()),
            ("speed".into(), "velo".into()),
        ],
        ..of("sensors.csv")
    };
    let (summary, collector, told) = replay(&options).await;
    assert_eq!((summary.rows, summary.accepted, summary.bad), (5, 2, 3));
    let events = collector.events();
    assert_eq!(events[0].device_id, "007");
    assert_eq!(events[0].timestamp_us, 1_700_049_600_000_000);
    assert_eq!(events[1].timestamp_us, 1_700_049_660_000_000);
    assert_eq!(
        (
            gps(&events[0]).speed_kmh,
            gps(&events[0]).location.longitude
        ),
        (31.5, 11.97)
    );
    // What is no field of the stream goes along; `speed` is taken by the map.
    assert_eq!(
        events[0].extra.as_deref(),
        Some(r#"{"csv_speed":9,"Note":"on time, \"really\""}"#)
    );
    assert_eq!(
        told.bad[0],
        (4, "field \"speed\": got \"fast\", expected a number".into())
    );
    assert!(told.bad[1].1.contains("field \"device_id\": got nothing"));
    assert!(told.bad[2].1.contains("longitude"));
    let again = replay(&options).await.1;
    assert_eq!(again.ids(), collector.ids(), "ids follow from the row");
}

#[tokio::test]
async fn what_a_file_does_not_say_is_set_and_a_time_is_put_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = |(one, other): &(&str, &str)| ((*one).to_owned(), (*other).to_owned());
        pairs.iter().map(owned).collect()
    };
    let replayed = async |content: &str, map: &[(&str, &str)]| {
        let path = folder.path().join("station.csv");
        std::fs::write(&path, content).expect("writes");
        let options = ReplayOptions {
            format: Format::Csv,
            stream: Some(Stream::WeatherData),
            map: pairs(map),
            set: pairs(&[
                ("latitude", "39.929"),
                ("longitude", "116.417"),
                ("city", "Beijing"),
            ]),
            ..ReplayOptions::file(path)
        };
        replay(&options).await
    };
    let content = "No,year,month,day,hour,PM2.5,station\n\
        1,2013,3,1,0,4,Dongsi\n\
        2,2013,3,1,23,NA,Dongsi\n\
        3,2013,2,30,0,5,Dongsi\n";
    let parts = [("timestamp", "year,month,day,hour,+08:00")];
    let (summary, collector, told) = replayed(content, &parts).await;
    assert_eq!((summary.accepted, summary.bad), (2, 1));
    let events = collector.events();
    let times: Vec<_> = events
        .iter()
        .map(|event| events::time::format_rfc3339(event.timestamp_us))
        .collect();
    assert_eq!(times, ["2013-02-28T16:00:00Z", "2013-03-01T15:00:00Z"]);
    let location = events[0].location().expect("a place");
    assert_eq!((location.latitude, location.longitude), (39.929, 116.417));
    assert_eq!(events[0].device_id, "Dongsi");
    assert_eq!(
        events[1].extra.as_deref(),
        Some(r#"{"No":2,"city":"Beijing"}"#)
    );
    assert!(
        told.bad[0].1.contains("2013-02-30T00:00:00+08:00"),
        "{told:?}"
    );

    let content = "station,day,clock\nDongsi,2018-01-01,7:30\n";
    let (_, collector, _) = replayed(content, &[("timestamp", "day,clock")]).await;
    let time = events::time::format_rfc3339(collector.events()[0].timestamp_us);
    assert_eq!(time, "2018-01-01T07:30:00Z");
}

#[tokio::test]
async fn csv_says_what_it_lacks() {
    let mut collector = replay_support::Collector::default();
    let mut fails = async |options: ReplayOptions| {
        let shutdown = tokio_util::sync::CancellationToken::new();
        let (result, _) = replay_support::run(&options, &mut collector, &shutdown).await;
        result.expect_err("refused").to_string()
    };
    assert!(fails(of("sensors.csv")).await.contains("--stream"));
    let gps = ReplayOptions {
        stream: Some(Stream::GpsData),
        ..of("sensors.csv")
    };
    assert!(fails(gps.clone()).await.contains("--map device_id=COLUMN"));
    let wrong = ReplayOptions {
        map: vec![("speed".into(), "pace".into())],
        ..gps.clone()
    };
    assert!(fails(wrong).await.contains("no column \"pace\""));
    let twice = ReplayOptions {
        map: vec![("speed".into(), "velo".into())],
        set: vec![("speed".into(), "30".into())],
        ..gps.clone()
    };
    assert!(fails(twice).await.contains("--map and --set both name"));
    let one = ReplayOptions {
        map: vec![("timestamp".into(), "time,+01:00".into())],
        ..gps.clone()
    };
    assert!(fails(one).await.contains("expected date,time or year"));
    let taxis = ReplayOptions {
        map: vec![("speed".into(), "t".into())],
        ..of("cabs.csv")
    };
    // Its columns are meant, not the layout that they are known by.
    assert!(fails(taxis.clone()).await.contains("--stream"));
    let told = ReplayOptions {
        format: Format::Cabspotting,
        ..taxis
    };
    assert!(fails(told).await.contains("--map is for csv"));
    let other = ReplayOptions {
        stream: Some(Stream::VehicleData),
        ..of("cabs.csv")
    };
    let refused = fails(other).await;
    assert!(
        refused.contains("got vehicle_data, expected gps_data"),
        "{refused}"
    );
}

#[tokio::test]
async fn fixes_without_a_speed_have_it_from_fix_to_fix() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fixes.csv");
    let content = "cab,t,lat,lon,occ,accuracy\n\
        a,1700000000,57.70,11.97,0,NA\n\
        a,1700000060,57.71,11.97,1,5\n";
    std::fs::write(&path, content).expect("writes");
    let options = ReplayOptions {
        stream: Some(Stream::GpsData),
        map: vec![("device_id".into(), "cab".into())],
        ..ReplayOptions::file(path)
    };
    let (summary, collector, _) = replay(&options).await;
    assert_eq!((summary.accepted, summary.bad), (2, 0));
    let events = collector.events();
    let (first, second) = (gps(&events[0]), gps(&events[1]));
    assert_eq!((first.speed_kmh, first.accuracy_m), (0.0, None));
    assert!((66.0..67.5).contains(&second.speed_kmh), "{second:?}");
    assert_eq!(
        (second.direction_deg, second.accuracy_m),
        (Some(0.0), Some(5.0))
    );
}

#[tokio::test]
async fn lines_of_json_go_as_they_are() {
    let (summary, collector, told) = replay(&of("events.ndjson")).await;
    assert_eq!((summary.rows, summary.accepted, summary.bad), (5, 3, 2));
    let content = std::fs::read_to_string(fixture("events.ndjson")).expect("a fixture");
    let find = |id: &str| {
        let found = collector
            .received
            .iter()
            .find(|(_, message)| String::from_utf8_lossy(&message.value).contains(id));
        found.expect("received")
    };
    let (stream, message) = find("\"a1\"");
    assert_eq!(*stream, Stream::GpsData);
    assert_eq!(message.value, content.lines().next().expect("a line"));
    assert_eq!(find("\"a2\"").0, Stream::VehicleData);
    assert_eq!(find("\"a4\"").1.device_id, "bus-2");
    collector.events();
    assert_eq!(told.bad[0].0, 4);
    assert!(told.bad[0].1.contains("tram_data"));
    assert!(told.bad[1].1.contains("not json"));
}

#[tokio::test]
async fn packed_files_are_told_by_their_content() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = std::fs::read(fixture("cabs.csv")).expect("a fixture");
    // Neither name says what it is.
    let gzip = folder.path().join("gzip");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain).expect("packs");
    std::fs::write(&gzip, encoder.finish().expect("packs")).expect("writes");
    let zstd = folder.path().join("zstd");
    std::fs::write(&zstd, zstd::encode_all(plain.as_slice(), 1).expect("packs")).expect("writes");

    let expected = replay(&of("cabs.csv")).await.1;
    for path in [gzip, zstd] {
        let (summary, collector, _) = replay(&ReplayOptions::file(path)).await;
        assert_eq!(summary.rows, 10);
        assert_eq!(collector.received, expected.received);
    }
}

#[tokio::test]
async fn an_unknown_format_is_refused_with_the_known_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "Dear diary").expect("writes");
    let shutdown = tokio_util::sync::CancellationToken::new();
    let mut collector = replay_support::Collector::default();
    let options = ReplayOptions::file(&path);
    let (result, _) = replay_support::run(&options, &mut collector, &shutdown).await;
    let error = result.expect_err("refused").to_string();
    for part in [
        "notes.txt",
        "Dear diary",
        "--format",
        "cabspotting",
        "sf-fire",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let wrong = ReplayOptions {
        format: Format::GtfsRt,
        ..options
    };
    let (result, _) = replay_support::run(&wrong, &mut collector, &shutdown).await;
    assert!(
        result
            .expect_err("refused")
            .to_string()
            .contains("GTFS-Realtime")
    );
}
