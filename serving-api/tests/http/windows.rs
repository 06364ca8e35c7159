//! `/api/windows/{kind}`: panes of the hot store and of the table as one answer.

use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use event_log::NewRecord;
use events::Stream;
use events::time::format_rfc3339;
use events::window::{PANE_US, Pane, WindowKind};
use hot_store::keys::window_id;
use hot_store::{Kind, Update};

use crate::common::{Server, Setup, start, start_with};
use crate::failing::FailingStore;

fn pane(kind: WindowKind, key: &str, start_us: i64, values: &[f64], is_final: bool) -> Pane {
    Pane {
        kind,
        key: key.to_owned(),
        start_us,
        aggregate: values.iter().copied().collect(),
        vehicles: Some(1),
        is_final,
    }
}

/// The start of the minute `ago` minutes ago.
fn minute(ago: i64) -> i64 {
    let now_us = Utc::now().timestamp_micros();
    now_us - now_us.rem_euclid(PANE_US) - ago * PANE_US
}

async fn put_hot(server: &Server, panes: &[Pane]) {
    let updates = panes.iter().map(|pane| {
        Update::new(
            Kind::Window,
            window_id(pane.kind, &pane.key, pane.start_us),
            Some(Bytes::from(pane.to_json())),
        )
    });
    server.apply(updates.collect()).await;
}

async fn record(server: &Server, panes: &[Pane]) {
    let records = panes.iter().map(|pane| NewRecord {
        value: Bytes::from(pane.to_event().to_json()),
        ..NewRecord::default()
    });
    let topic = Stream::Windows.name().into();
    let appended = server.log.append(&topic, records.collect()).await;
    assert_eq!(appended.expect("appended").len(), panes.len());
}

#[tokio::test]
async fn the_citys_minutes_are_merged_into_larger_windows() {
    let server = start().await;
    let start_us = minute(9) - minute(9).rem_euclid(5 * PANE_US);
    let panes: Vec<Pane> = (0..6)
        .map(|at| {
            let start_us = start_us + at * PANE_US;
            pane(
                WindowKind::City,
                "speed",
                start_us,
                &[10.0 * at as f64, 40.0],
                true,
            )
        })
        .collect();
    put_hot(&server, &panes).await;
    let (status, body) = server.get_json("/api/windows/city?key=speed").await;
    assert_eq!(
        (status, &body["kind"], &body["size"]),
        (200, &"city".into(), &"1m".into())
    );
    let windows = body["windows"].as_array().expect("windows");
    assert_eq!(windows.len(), 6, "{body}");
    let first = &windows[0];
    assert_eq!(first["window_start"], format_rfc3339(start_us));
    assert_eq!(first["window_end"], format_rfc3339(start_us + PANE_US));
    assert_eq!((&first["count"], &first["mean"]), (&2.into(), &20.0.into()));
    assert_eq!(
        (&first["vehicles"], &first["final"]),
        (&1.into(), &true.into())
    );

    let (_, body) = server.get_json("/api/windows/city?size=5m").await;
    let window = &body["windows"][0];
    assert_eq!(window["window_start"], format_rfc3339(start_us));
    assert_eq!(
        (&window["count"], &window["mean"]),
        (&10.into(), &30.0.into())
    );
    assert_eq!(
        (&window["min"], &window["max"]),
        (&0.0.into(), &40.0.into())
    );
    assert_eq!(
        (&window["vehicles"], &window["final"]),
        (&serde_json::Value::Null, &true.into())
    );
    assert!(
        window["p99"]
            .as_f64()
            .is_some_and(|p99| (39.6..=40.4).contains(&p99))
    );
    // The next one has only begun.
    assert_eq!(body["windows"][1]["final"], false);
}

#[tokio::test]
async fn all_of_a_kind_are_listed_the_newest_where_there_are_too_many() {
    let server = start().await;
    let keys = ["881f25a933fffff", "881f2508c1fffff"];
    let panes: Vec<Pane> = (1..=4)
        .flat_map(|ago| keys.map(|key| pane(WindowKind::Cell, key, minute(ago), &[5.0], false)))
        .chain([pane(WindowKind::Segment, "w1-0", minute(1), &[5.0], false)])
        .collect();
    put_hot(&server, &panes).await;
    let (_, body) = server.get_json("/api/windows/cell").await;
    assert_eq!(
        (body["windows"].as_array().map(Vec::len), &body["truncated"]),
        (Some(8), &false.into())
    );
    let (_, body) = server.get_json("/api/windows/cell?limit=3").await;
    let windows = body["windows"].as_array().expect("windows");
    assert_eq!((windows.len(), &body["truncated"]), (3, &true.into()));
    assert_eq!(windows[2]["window_start"], format_rfc3339(minute(1)));
    let (_, body) = server
        .get_json(&format!("/api/windows/cell?key={}", keys[0]))
        .await;
    assert_eq!(body["windows"].as_array().map(Vec::len), Some(4));
    let (_, body) = server.get_json("/api/windows/segment?key=w1-0").await;
    assert_eq!(body["windows"][0]["key"], "w1-0");
}

#[tokio::test]
async fn before_the_hot_ones_the_table_answers() {
    let server = start().await;
    let key = "o'brien:pm25";
    let old_us = minute(3 * 60) - minute(3 * 60).rem_euclid(15 * PANE_US);
    let old = [old_us, old_us + PANE_US];
    let recorded = [
        pane(WindowKind::Station, key, old[0], &[1.0, 2.0, 6.0], true),
        pane(WindowKind::Station, key, old[1], &[7.0], true),
        pane(WindowKind::Station, "other:pm25", old[1], &[70.0], true),
        // By which it is known that the first quarter of an hour is over.
        pane(
            WindowKind::City,
            "speed",
            old[0] + 15 * PANE_US,
            &[30.0],
            true,
        ),
    ];
    record(&server, &recorded).await;
    // Appended again, as after a crash.
    record(&server, &recorded[..1]).await;
    put_hot(
        &server,
        &[pane(WindowKind::Station, key, minute(1), &[9.0], false)],
    )
    .await;

    let from = format_rfc3339(old[0]);
    let path = format!("/api/windows/station?from={from}&key=o%27brien:pm25");
    let (status, body) = server.get_json(&path).await;
    assert_eq!(status, 200, "{body}");
    let windows = body["windows"].as_array().expect("windows");
    assert_eq!(windows.len(), 3, "{body}");
    let means: Vec<_> = windows.iter().map(|w| w["mean"].as_f64()).collect();
    assert_eq!(means, [Some(3.0), Some(7.0), Some(9.0)]);
    let finals: Vec<_> = windows.iter().map(|w| w["final"].as_bool()).collect();
    assert_eq!(finals, [Some(true), Some(true), Some(false)]);
    assert!(
        windows[0]["p50"]
            .as_f64()
            .is_some_and(|p50| (1.98..=2.02).contains(&p50))
    );

    let (_, body) = server.get_json(&format!("{path}&size=15m")).await;
    let first = &body["windows"][0];
    assert_eq!((&first["count"], &first["mean"]), (&4.into(), &4.0.into()));
    assert_eq!((&first["min"], &first["max"]), (&1.0.into(), &7.0.into()));
    // Of 1, 2, 6 and 7, from the sketches of both minutes.
    assert!(
        first["p50"]
            .as_f64()
            .is_some_and(|p50| (1.98..=2.02).contains(&p50)),
        "{first}"
    );
    assert!(
        first["p90"]
            .as_f64()
            .is_some_and(|p90| (6.93..=7.0).contains(&p90))
    );
    assert_eq!(first["final"], true);

    let (_, body) = server
        .get_json(&format!(
            "/api/windows/station?from={from}&to={}",
            format_rfc3339(minute(60))
        ))
        .await;
    assert_eq!(body["windows"].as_array().map(Vec::len), Some(3), "{body}");
}

#[tokio::test]
async fn the_last_window_of_a_recording_becomes_final_by_the_clock() {
    let server = start().await;
    let city = |start_us, is_final| pane(WindowKind::City, "speed", start_us, &[30.0], is_final);
    let hot = |pane: &Pane, age_min: u64| {
        let id = window_id(pane.kind, &pane.key, pane.start_us);
        Update::new(Kind::Window, id, Some(Bytes::from(pane.to_json())))
            .aged(Duration::from_secs(60 * age_min))
    };
    let is_final = async |from_us: i64| {
        let from = format_rfc3339(from_us);
        let path = format!("/api/windows/city?size=15m&from={from}&limit=1");
        let (_, body) = server.get_json(&path).await;
        body["windows"][0]["final"].as_bool()
    };
    // A recording of years ago that has just ended: what follows may still come.
    let then_us = 1_490_109_300_000_000;
    server.apply(vec![hot(&city(then_us, true), 0)]).await;
    assert_eq!(is_final(then_us).await, Some(false));
    // Nothing came for as long as the window lasts.
    server.apply(vec![hot(&city(then_us, true), 17)]).await;
    assert_eq!(is_final(then_us).await, Some(true));
    // It goes on, slowly.
    let next = city(then_us + PANE_US, false);
    server.apply(vec![hot(&next, 0)]).await;
    assert_eq!(is_final(then_us).await, Some(false));
}

#[tokio::test]
async fn what_is_asked_wrong_is_named() {
    let server = start().await;
    let (status, body) = server.get_json("/api/windows/road").await;
    assert_eq!(status, 422);
    assert_eq!(
        body["detail"],
        "path parameter \"kind\": got \"road\", expected one of segment, cell, station, city"
    );
    let (status, body) = server.get_json("/api/windows/city?size=1h").await;
    assert_eq!(status, 422);
    assert_eq!(
        body["detail"],
        "query parameter \"size\": got \"1h\", expected one of 1m, 5m, 15m, 5m/1m"
    );
    for query in [
        "from=0000-01-01T00:00:00Z",
        "from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z",
    ] {
        let (status, body) = server.get_json(&format!("/api/windows/city?{query}")).await;
        assert!(status == 200 || status == 422, "{status} {body}");
    }
}

#[tokio::test]
async fn a_hot_store_that_is_away_is_told() {
    let hot = FailingStore::new(true);
    let server = start_with(Setup {
        hot: Some(hot),
        ..Setup::default()
    })
    .await;
    let (status, body) = server.get_json("/api/windows/city").await;
    assert_eq!(status, 503);
    let detail = body["detail"].as_str().expect("a text");
    assert!(detail.starts_with("windows cannot be read: "), "{detail}");
}
