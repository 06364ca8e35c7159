//! Views follow from the raw rows alone, and change in one commit.

mod common;

use std::collections::BTreeSet;

use events::Stream;
use events::time::{DAY_US, format_rfc3339};
use lake::maintain::CompactOptions;
use lake::{Table, View};
use proptest::prelude::*;
use serde_json::json;

use crate::common::{City, Placed};

/// 2026-03-01.
const DATE: i32 = 20_513;
const DAY: i64 = DATE as i64 * DAY_US;

fn fix(offset: i64, device: u64, id: u64, second: i64) -> Placed {
    let device_id = format!("car-{device}");
    Placed {
        stream: [Stream::GpsData, Stream::VehicleData][(device % 2) as usize],
        partition: (device % 3) as i32,
        offset,
        appended_at_us: DAY + 3 * DAY_US + offset,
        event: json!({
            "id": format!("e{id}"), "device_id": device_id,
            "timestamp": format_rfc3339(DAY + second * 1_000_000),
            "location": [57.7, 11.961 + (second.rem_euclid(900)) as f64 * 2e-5],
            "speed": 10.0 + (id % 40) as f64 * 0.7,
        }),
    }
}

async fn all_views(city: &City) -> Vec<String> {
    let mut all = Vec::new();
    for view in View::ALL {
        all.push(city.whole(view).await);
    }
    all
}

async fn compact(city: &City) {
    let options = CompactOptions::default();
    for table in Table::all() {
        for plan in city
            .lake
            .compaction_plan(table, &options)
            .await
            .expect("a plan")
        {
            let merged = city.lake.compact(&plan, &options, |_| {}, &city.stop).await;
            merged.expect("a compaction");
        }
    }
}

/// Some events around two midnights; some repeated, some out of order.
fn events() -> impl Strategy<Value = Vec<Placed>> {
    let one = (0_u64..4, 0_u64..60, -4_000_i64..100_000);
    prop::collection::vec(one, 1..60).prop_map(|all| {
        let place = |(offset, (device, id, second)): (usize, (u64, u64, i64))| {
            fix(offset as i64, device, id, second)
        };
        all.into_iter().enumerate().map(place).collect()
    })
}

#[derive(Clone, Debug)]
enum Step {
    Commit(usize),
    Refresh,
    Compact,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_usize..30).prop_map(Step::Commit),
        2 => Just(Step::Refresh),
        1 => Just(Step::Compact),
    ];
    prop::collection::vec(step, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_split_into_commits_and_any_order_of_runs_gives_the_same_views(
        events in events(), steps in steps(), is_backwards: bool,
    ) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (expected, got) = runtime.block_on(async {
            let at_once = City::new().await;
            at_once.commit(&events).await;
            at_once.refresh().await;
            let city = City::new().await;
            let mut rest = events.clone();
            if is_backwards {
                rest.reverse();
            }
            for step in steps {
                match step {
                    Step::Commit(count) => {
                        let part: Vec<_> = rest.drain(..count.min(rest.len())).collect();
                        city.commit(&part).await;
                    }
                    Step::Refresh => { city.refresh().await; }
                    Step::Compact => compact(&city).await,
                }
            }
            city.commit(&rest).await;
            city.refresh().await;
            (all_views(&at_once).await, all_views(&city).await)
        });
        prop_assert_eq!(expected, got);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_dates_that_changed_are_computed_and_merging_files_changes_none() {
    let city = City::new().await;
    let day_s = 86_400;
    let noon = |offset, day: i64| fix(offset, 0, offset as u64, day * day_s + 43_200);
    city.commit(&[noon(0, 0), noon(1, 0), noon(2, 1)]).await;
    let done = |all: &[views::Recomputed]| {
        let found = all.iter().find(|done| done.view == View::CellHourly);
        found.map_or(0, |done| done.dates)
    };
    assert_eq!(done(&city.refresh().await), 2);
    assert_eq!(city.refresh().await, []);
    city.commit(&[noon(3, 1)]).await;
    compact(&city).await;
    assert_eq!(done(&city.refresh().await), 1);
    compact(&city).await;
    assert_eq!(city.refresh().await, []);
    // A fix of the last hour concerns the next day too.
    city.commit(&[fix(4, 0, 4, day_s - 60)]).await;
    assert_eq!(done(&city.refresh().await), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_shows_what_a_recompute_would_change_and_the_view_stays() {
    let city = City::new().await;
    let dates = DATE..=DATE + 1;
    city.commit(&[fix(0, 0, 0, 3_600), fix(1, 0, 1, 3_660)])
        .await;
    city.refresh().await;
    let before = city.whole(View::VehicleDaily).await;
    // Known to the raw tables, not yet to the view.
    city.commit(&[fix(2, 0, 2, 3_720), fix(3, 1, 3, 90_000)])
        .await;
    let views = [View::VehicleDaily];
    let draft = city
        .views
        .recompute(&views, dates.clone(), true, |_| {}, &city.stop);
    draft.await.expect("a draft");
    assert_eq!(city.whole(View::VehicleDaily).await, before);
    let differences = city
        .views
        .difference(View::VehicleDaily, dates.clone())
        .await;
    let found: Vec<_> = differences
        .expect("differences")
        .iter()
        .map(|on| (on.date, on.added, on.removed, on.changed, on.same))
        .collect();
    assert_eq!(found, [(DATE, 0, 0, 1, 0), (DATE + 1, 1, 0, 0, 0)]);
    let version = |view| {
        let lake = city.lake.clone();
        async move {
            lake.refresh(Table::View(view))
                .await
                .expect("a version")
                .version
        }
    };
    let first = version(View::VehicleDaily).await;
    let done = city
        .views
        .recompute(&views, dates.clone(), false, |_| {}, &city.stop);
    let done = done.await.expect("recomputed");
    assert_eq!((done[0].dates, done[0].rows), (2, 2));
    assert_eq!(
        version(View::VehicleDaily).await,
        first.map(|version| version + 1),
        "one commit"
    );
    let left = city
        .views
        .difference(View::VehicleDaily, dates)
        .await
        .expect("differences");
    assert!(
        left.iter()
            .all(|on| on.added + on.removed + on.changed == 0),
        "{left:?}"
    );
    let devices = city.csv("SELECT device_id FROM vehicle_daily").await;
    assert_eq!(
        devices.lines().collect::<BTreeSet<_>>().len(),
        3,
        "{devices}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_adopted_as_it_is_or_dropped() {
    let city = City::new().await;
    let (view, dates) = (View::VehicleDaily, DATE..=DATE + 1);
    let draft = async || {
        city.views
            .recompute(&[view], dates.clone(), true, |_| {}, &city.stop)
            .await
            .expect("a draft");
    };
    city.commit(&[fix(0, 0, 0, 3_600)]).await;
    city.refresh().await;
    city.commit(&[fix(1, 0, 1, 3_660), fix(2, 1, 2, 90_000)])
        .await;
    draft().await;
    let adopted = city.views.adopt(view).await.expect("adopted");
    let adopted = adopted.expect("there is a draft");
    assert_eq!((adopted.dates, adopted.rows), (2, 2));
    let left = city.views.difference(view, dates.clone()).await;
    let removed: i64 = left.expect("no rows").iter().map(|on| on.removed).sum();
    assert_eq!(removed, 2, "the draft is empty");
    let as_adopted = city.whole(view).await;
    // It knows of which rows it was made: there is nothing to compute.
    let refreshed = city.refresh().await;
    assert!(
        !refreshed.iter().any(|done| done.view == view),
        "{refreshed:?}"
    );
    assert_eq!(city.whole(view).await, as_adopted);
    assert_eq!(city.views.adopt(view).await.expect("an answer"), None);

    draft().await;
    let kept = std::time::Duration::from_secs(3_600);
    let hour_us = 3_600_000_000;
    let written_us = city
        .lake
        .refresh(Table::Draft(view))
        .await
        .expect("a draft");
    let written_us = written_us.marks["draft/written-us"];
    let dropped = async |now_us| {
        let dropped = city.views.drop_old_draft(view, kept, now_us).await;
        dropped.expect("an answer")
    };
    assert_eq!(dropped(written_us + hour_us).await, 0, "not old enough");
    assert_eq!(dropped(written_us + hour_us + 1).await, 2);
    assert_eq!(dropped(written_us + hour_us + 1).await, 0, "it is gone");
    assert_eq!(city.whole(view).await, as_adopted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_whose_raw_rows_are_gone_keeps_its_view() {
    let city = City::new().await;
    city.commit(&[fix(0, 0, 0, 3_600)]).await;
    city.refresh().await;
    let before = city.whole(View::CellHourly).await;
    let retention = lake::maintain::Retention {
        days: [(Table::Stream(Stream::GpsData), 1)].into(),
        grace: std::time::Duration::ZERO,
    };
    let now_us = DAY + 30 * DAY_US;
    let gone = city
        .lake
        .expire(Table::Stream(Stream::GpsData), &retention, now_us, false)
        .await;
    assert_eq!(gone.expect("removed").rows, 1);
    assert_eq!(city.refresh().await, []);
    let again = city
        .views
        .recompute(&View::ALL, DATE..=DATE, false, |_| {}, &city.stop);
    assert!(
        again
            .await
            .expect("nothing to do")
            .iter()
            .all(|done| done.dates == 0)
    );
    assert_eq!(city.whole(View::CellHourly).await, before);
}
