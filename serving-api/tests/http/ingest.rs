//! Taking events in: every form of body, and every way to be wrong.

use std::io::Write;

use crate::common::{Server, Setup, event, json_of, start, start_with};
use events::Topic;
use serde_json::{Value, json};
use serving_api::HttpConfig;

use crate::failing::FailingLog;

const PATH: &str = "/api/ingest/vehicle_data";

fn lines(count: usize) -> String {
    (0..count)
        .map(|number| format!("{}\n", event(number)))
        .collect()
}

async fn events_in_log(server: &Server) -> i64 {
    let bounds = server
        .log
        .bounds(&Topic::from("vehicle_data"))
        .await
        .expect("bounds");
    bounds.iter().map(|bounds| bounds.end).sum()
}

async fn post_with(server: &Server, header: (&str, &str), body: Vec<u8>) -> (u16, Value) {
    json_of(
        server
            .http
            .post(server.url(PATH))
            .header(header.0, header.1)
            .body(body)
            .send()
            .await
            .expect("an answer"),
    )
    .await
}

#[tokio::test]
async fn object_array_and_lines_are_told_apart_by_content() {
    let server = start().await;
    let pretty = serde_json::to_string_pretty(&event(0)).expect("JSON");
    let array = json!([event(1), event(2)]).to_string();
    let pretty_array = serde_json::to_string_pretty(&json!([event(1), event(2)])).expect("JSON");
    let spaced = format!("\n\r\n  {}\r\n\n{}", event(1), event(2));
    let forms = [
        (event(0).to_string(), 1),
        (pretty, 1),
        (array, 2),
        (pretty_array, 2),
        (lines(3), 3),
        (spaced, 2),
    ];
    let mut total = 0;
    for (body, count) in forms {
        let (status, answer) = server.post(PATH, body.clone()).await;
        assert_eq!(
            (status, answer),
            (202, json!({"accepted": count, "rejected": 0, "errors": []})),
            "{body}"
        );
        total += count;
        assert_eq!(
            events_in_log(&server).await,
            total,
            "acknowledged events are in the log: {body}"
        );
    }
}

#[tokio::test]
async fn events_of_one_device_are_in_one_partition_with_their_bytes_as_sent() {
    let server = start().await;
    let body = r#"{"id":"x",  "device_id":"bus-1","timestamp":"2026-03-01 08:15:00","location":[57.7,11.97],"speed":1,"new_field":[1]}"#;
    for _ in 0..5 {
        assert_eq!(server.post(PATH, body).await.0, 202);
    }
    let bounds = server
        .log
        .bounds(&Topic::from("vehicle_data"))
        .await
        .expect("bounds");
    let used: Vec<_> = bounds.into_iter().filter(|bounds| bounds.end > 0).collect();
    assert_eq!(used.len(), 1);
    let mut reader = server
        .log
        .read_from(&[(used[0].partition.clone(), 0)])
        .await
        .expect("a reader");
    let polled = reader.poll(crate::common::DEADLINE).await.expect("records");
    let event_log::Polled::Records(records) = polled else {
        panic!("no records: {polled:?}")
    };
    assert_eq!(records[0].records[0].value, body.as_bytes());
    assert_eq!(
        records[0].records[0].key.as_deref(),
        Some(b"bus-1".as_slice())
    );
}

#[tokio::test]
async fn packed_bodies_are_unpacked_also_when_they_do_not_say_so() {
    let server = start().await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(lines(40).as_bytes()).expect("packed");
    let gzip = gzip.finish().expect("packed");
    let zstd = zstd::encode_all(lines(40).as_bytes(), 3).expect("packed");
    let cases = [
        (("content-encoding", "gzip"), gzip.clone()),
        (("content-encoding", "zstd"), zstd.clone()),
        (("content-type", "application/gzip"), gzip.clone()),
        (("content-type", "application/octet-stream"), zstd),
    ];
    for (header, body) in cases {
        let (status, answer) = post_with(&server, header, body).await;
        assert_eq!(
            (status, &answer["accepted"]),
            (202, &json!(40)),
            "{header:?}"
        );
    }
    let (status, answer) = post_with(&server, ("content-encoding", "zstd"), gzip.clone()).await;
    assert_eq!(status, 422, "{answer}");
    let (status, answer) = post_with(
        &server,
        ("content-encoding", "gzip"),
        gzip[..gzip.len() / 2].to_vec(),
    )
    .await;
    assert_eq!(status, 422, "{answer}");
    let (status, answer) = post_with(&server, ("content-encoding", "br"), gzip).await;
    assert_eq!(status, 415, "{answer}");
}

#[tokio::test]
async fn bad_events_are_told_by_line_and_the_others_are_kept() {
    let server = start().await;
    let mut slow = event(1);
    slow["speed"] = json!(-3);
    let mut nowhere = event(2);
    nowhere
        .as_object_mut()
        .expect("an object")
        .remove("location");
    let body = format!(
        "{}\n{slow}\nnot json\n\n{nowhere}\n{}\n",
        event(0),
        event(3)
    );
    let (status, answer) = server.post(PATH, body).await;
    assert_eq!(
        (status, &answer["accepted"], &answer["rejected"]),
        (202, &json!(2), &json!(3)),
        "{answer}"
    );
    let lines: Vec<_> = answer["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| error["line"].clone())
        .collect();
    assert_eq!(lines, [json!(2), json!(3), json!(5)]);
    let first = answer["errors"][0]["detail"].as_str().expect("a detail");
    assert!(first.contains("speed") && first.contains("-3"), "{first}");
    assert_eq!(events_in_log(&server).await, 2);

    let (status, answer) = server
        .post(PATH, json!([event(0), slow, 7]).to_string())
        .await;
    assert_eq!(
        (status, &answer["accepted"], &answer["rejected"]),
        (202, &json!(1), &json!(2))
    );
    assert_eq!(answer["errors"][0]["line"], 2);
    let (status, answer) = server.post(PATH, slow.to_string()).await;
    assert_eq!(
        (status, &answer["accepted"], &answer["rejected"]),
        (202, &json!(0), &json!(1))
    );
}

#[tokio::test]
async fn what_is_refused_is_a_dead_letter_with_its_cause() {
    let server = start().await;
    let mut slow = event(1);
    slow["speed"] = json!(-3);
    let body = format!("{}\n{slow}\nnot json\n", event(0));
    assert_eq!(server.post(PATH, body).await.0, 202);
    assert_eq!(server.post(PATH, "[{\"id\":1}").await.0, 422);
    assert_eq!(server.post(PATH, "  ").await.0, 422);
    let sql = "SELECT topic, partition, \"offset\", stage, message, value FROM dead_letters ORDER BY value";
    let (status, answer) = server
        .post("/api/sql", json!({"sql": sql}).to_string())
        .await;
    assert_eq!(status, 200, "{answer}");
    let rows = answer["rows"].as_array().expect("rows");
    let values: Vec<_> = rows.iter().map(|row| row["value"].clone()).collect();
    assert_eq!(
        values,
        [
            json!("[{\"id\":1}"),
            json!("not json"),
            json!(slow.to_string())
        ]
    );
    for row in rows {
        assert_eq!(
            (
                &row["topic"],
                &row["stage"],
                &row["partition"],
                &row["offset"]
            ),
            (
                &json!("vehicle_data"),
                &json!("ingest"),
                &Value::Null,
                &Value::Null
            )
        );
    }
    let cause = rows[2]["message"].as_str().expect("a cause");
    assert!(cause.contains("speed") && cause.contains("-3"), "{cause}");
}

#[tokio::test]
async fn dead_letters_of_one_request_are_bounded() {
    let server = start().await;
    let (status, answer) = server.post(PATH, "{}\n".repeat(12_345)).await;
    assert_eq!((status, &answer["rejected"]), (202, &json!(12_345)));
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(1_000_000));
    assert_eq!(server.post(PATH, long).await.0, 202);
    let sql = "SELECT count(*) AS letters, max(length(value)) AS longest FROM dead_letters";
    let (_, answer) = server
        .post("/api/sql", json!({"sql": sql}).to_string())
        .await;
    assert_eq!(
        answer["rows"],
        json!([{"letters": 10_001, "longest": 768 * 1024}])
    );
}

#[tokio::test]
async fn long_lists_of_errors_are_cut_and_say_so() {
    let server = start().await;
    let (status, answer) = server.post(PATH, "{}\n".repeat(12_345)).await;
    assert_eq!((status, &answer["rejected"]), (202, &json!(12_345)));
    assert_eq!(
        (
            answer["errors"].as_array().map(Vec::len),
            &answer["errors_omitted"]
        ),
        (Some(100), &json!(12_245))
    );
}

#[tokio::test]
async fn what_is_no_json_at_all_is_refused() {
    let server = start().await;
    for body in [
        "",
        "  \n ",
        "hello",
        "a,b,c\n1,2,3\n",
        "[{\"id\":1}",
        "\u{feff}",
    ] {
        let (status, answer) = server.post(PATH, body).await;
        assert_eq!(status, 422, "{body:?} {answer}");
        assert!(
            answer["detail"]
                .as_str()
                .is_some_and(|detail| detail.starts_with("body: ")),
            "{answer}"
        );
    }
    let (status, answer) = post_with(
        &server,
        ("content-type", "application/xml"),
        b"<a/>".to_vec(),
    )
    .await;
    assert_eq!(status, 415, "{answer}");
    assert_eq!(events_in_log(&server).await, 0);
}

#[tokio::test]
async fn unknown_topic_names_the_known_ones() {
    let server = start().await;
    let (status, answer) = server
        .post("/api/ingest/vehicels", event(0).to_string())
        .await;
    assert_eq!(status, 404);
    assert!(
        answer["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("vehicle_data")),
        "{answer}"
    );
}

#[tokio::test]
async fn bodies_beyond_the_limits_are_refused() {
    let config = HttpConfig {
        ingest_body_bytes_max: 10_000,
        ingest_unpacked_bytes_max: 100_000,
        ..HttpConfig::default()
    };
    let server = start_with(Setup {
        config,
        ..Setup::default()
    })
    .await;
    let (status, answer) = server.post(PATH, lines(1000)).await;
    assert_eq!(status, 413, "{answer}");
    let bomb = zstd::encode_all(lines(1).repeat(5_000).as_bytes(), 3).expect("packed");
    assert!(bomb.len() < 10_000);
    let (status, answer) = server.post(PATH, bomb).await;
    assert_eq!(status, 413, "{answer}");
    assert!(
        answer["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("unpacks")),
        "{answer}"
    );
    assert_eq!(events_in_log(&server).await, 0);
}

#[tokio::test]
async fn pages_of_other_sites_may_not_write() {
    let server = start().await;
    let (status, answer) = post_with(
        &server,
        ("origin", "https://evil.example"),
        event(0).to_string().into_bytes(),
    )
    .await;
    assert_eq!(status, 403, "{answer}");
    let own = server.url("");
    assert_eq!(
        post_with(&server, ("origin", &own), event(0).to_string().into_bytes())
            .await
            .0,
        202
    );
}

#[tokio::test]
async fn log_that_does_not_keep_up_is_told_with_when_to_come_again() {
    let log = FailingLog::new();
    let config = HttpConfig {
        ingest_body_bytes_max: 64 * 1024,
        ingest_in_flight_bytes_max: 64 * 1024,
        ingest_wait_s: 1,
        ..HttpConfig::default()
    };
    let server = start_with(Setup {
        config,
        log: Some(log.clone()),
        ..Setup::default()
    })
    .await;
    let body = lines(300);
    let first = tokio::spawn(server.http.post(server.url(PATH)).body(body.clone()).send());
    log.reached(1).await;
    let request = server.http.post(server.url(PATH)).body(body);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "1");
    log.permits.add_permits(1);
    let (status, answer) = json_of(first.await.expect("no panic").expect("an answer")).await;
    assert_eq!((status, &answer["accepted"]), (202, &json!(300)));
}

#[tokio::test]
async fn log_that_is_away_is_told_with_what_is_durable_already() {
    let log = FailingLog::new();
    log.permits.add_permits(1);
    let server = start_with(Setup {
        log: Some(log.clone()),
        ..Setup::default()
    })
    .await;
    let sending = tokio::spawn(
        server
            .http
            .post(server.url(PATH))
            .body(lines(15_000))
            .send(),
    );
    // The first batch has gone through once the second is asked for.
    log.reached(2).await;
    log.permits.close();
    let (status, answer) = json_of(sending.await.expect("no panic").expect("an answer")).await;
    assert_eq!(
        (status, &answer["accepted"]),
        (503, &json!(10_000)),
        "{answer}"
    );
    assert!(
        answer["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("kafka.example")),
        "{answer}"
    );
    server
        .get_until("/readyz", |status, body| {
            status == 503 && body["detail"].to_string().contains("event log")
        })
        .await;
}
