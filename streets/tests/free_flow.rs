//! Free flow is learned from a segment's own quiet hours.

use proptest::prelude::*;
use streets::{FreeFlow, SegmentIndex, StreetNetwork};

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;
const MAIN: SegmentIndex = SegmentIndex(0);

fn limit_kmh() -> f64 {
    StreetNetwork::gothenburg().segment(MAIN).free_flow_kmh
}

/// A day of minutes: jammed from 6 to 18 o'clock, free otherwise.
fn observe_day(free_flow: &mut FreeFlow, day: i64, free_share: f64) {
    for minute in 0..24 * 60 {
        let is_jam = (6 * 60..18 * 60).contains(&minute);
        // Traffic is never quite the same.
        let wobble = 1.0 + 0.04 * f64::from((minute % 5) as i32 - 2);
        let share = if is_jam { 0.2 } else { free_share };
        let speed_kmh = limit_kmh() * share * wobble;
        free_flow.observe(MAIN, speed_kmh, day * DAY_US + minute * MINUTE_US);
    }
}

fn new() -> FreeFlow {
    FreeFlow::new(StreetNetwork::gothenburg())
}

#[test]
fn it_is_the_limit_until_enough_hours_were_seen() {
    let mut free_flow = new();
    assert_eq!(free_flow.get(MAIN), limit_kmh());
    // Many minutes of one evening are not enough.
    for minute in 0..300 {
        free_flow.observe(MAIN, 3.0, 17 * 60 * MINUTE_US + minute * MINUTE_US);
    }
    assert!(!free_flow.is_learned(MAIN));
    assert_eq!(free_flow.get(MAIN), limit_kmh());
}

#[test]
fn half_a_day_of_jam_does_not_hide_the_free_speed() {
    let mut free_flow = new();
    observe_day(&mut free_flow, 20_000, 0.8);
    assert!(free_flow.is_learned(MAIN) && free_flow.learned_count() == 1);
    let share = free_flow.get(MAIN) / limit_kmh();
    assert!((0.78..0.88).contains(&share), "{share}");
}

#[test]
fn a_road_that_was_made_slower_is_learned_anew_within_two_weeks() {
    let mut free_flow = new();
    for day in 0..14 {
        observe_day(&mut free_flow, 19_999 + day, 1.0);
    }
    for day in 14..29 {
        observe_day(&mut free_flow, 19_999 + day, 0.6);
    }
    let share = free_flow.get(MAIN) / limit_kmh();
    assert!(share < 0.7, "{share}");
    // What is older than that no longer counts.
    observe_day(&mut free_flow, 19_999, 1.0);
    assert_eq!(free_flow.get(MAIN) / limit_kmh(), share);
}

#[test]
fn what_is_learned_stays_near_the_limit() {
    for (driven, expected) in [(0.1, 0.5), (3.0, 1.2)] {
        let mut free_flow = new();
        for minute in 0..24 * 60 {
            free_flow.observe(MAIN, limit_kmh() * driven, minute * MINUTE_US);
        }
        assert!((free_flow.get(MAIN) / limit_kmh() - expected).abs() < 1e-9);
    }
}

#[test]
fn what_is_no_speed_is_not_learned() {
    let mut free_flow = new();
    for speed_kmh in [f64::NAN, f64::INFINITY, -1.0] {
        free_flow.observe(MAIN, speed_kmh, 0);
    }
    assert!(free_flow.drain_changed().is_empty());
}

fn observations() -> impl Strategy<Value = Vec<(u32, f64, i64)>> {
    let periods = 0..4 * 7 * 24 * 60_i64;
    prop::collection::vec((0..3_u32, 0.0..150.0_f64, periods), 0..800)
}

fn learn<'a>(all: impl IntoIterator<Item = &'a (u32, f64, i64)>) -> FreeFlow {
    let mut free_flow = new();
    for (segment, speed_kmh, minute) in all {
        free_flow.observe(SegmentIndex(*segment), *speed_kmh, minute * MINUTE_US);
    }
    free_flow
}

fn speeds(free_flow: &FreeFlow) -> [(bool, f64); 3] {
    [0, 1, 2].map(|number| {
        let segment = SegmentIndex(number);
        (free_flow.is_learned(segment), free_flow.get(segment))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parts_merged_in_any_order_give_the_whole(all in observations(), at in any::<prop::sample::Index>()) {
        let (one, other) = all.split_at(if all.is_empty() { 0 } else { at.index(all.len()) });
        let mut forward = learn(one);
        forward.merge(&learn(other));
        let mut backward = learn(other);
        backward.merge(&learn(one));
        let whole = speeds(&learn(&all));
        prop_assert_eq!(speeds(&forward), whole);
        prop_assert_eq!(speeds(&backward), whole);
    }

    #[test]
    fn what_was_stored_is_taken_up_again(all in observations(), at in any::<prop::sample::Index>()) {
        let (first, rest) = all.split_at(if all.is_empty() { 0 } else { at.index(all.len()) });
        let mut before = learn(first);
        let mut restored = new();
        for (segment, bytes) in before.drain_changed() {
            prop_assert!(restored.restore(segment, &bytes));
        }
        prop_assert!(before.drain_changed().is_empty() && restored.drain_changed().is_empty());
        for (segment, speed_kmh, minute) in rest {
            restored.observe(SegmentIndex(*segment), *speed_kmh, minute * MINUTE_US);
        }
        prop_assert_eq!(speeds(&restored), speeds(&learn(&all)));
    }

    #[test]
    fn damaged_bytes_are_refused_or_read_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut free_flow = new();
        free_flow.restore(MAIN, &bytes);
        free_flow.get(MAIN);
    }
}
