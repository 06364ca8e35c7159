//! What the tracks promise, whatever comes in.

use events::{Body, Event, Gps, Location, Vehicle};
use proptest::prelude::*;
use streets::SegmentIndex;
use tracks::{
    Accepted, BadFixes, Doubt, Fix, Ground, Limits, Motion, Previous, Tracker, Trip, Verdict,
};

const START_US: i64 = 1_700_000_000_000_000;
const SECOND_US: i64 = 1_000_000;
/// Metres of latitude.
const M: f64 = 1.0 / 111_195.08;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Streets as a chessboard of 100 m; a slow device stays on its street.
struct Chessboard;

impl Ground for Chessboard {
    fn locate(
        &self,
        fix: &Fix<'_>,
        _: Option<f64>,
        previous: Option<Previous>,
    ) -> Option<SegmentIndex> {
        let square = |degrees: f64| (degrees / M / 100.0).floor() as i64;
        let here = square(fix.location.latitude) * 31 + square(fix.location.longitude);
        Some(match previous {
            Some(previous) if fix.speed_kmh < 10.0 => previous.segment,
            _ => SegmentIndex(here.rem_euclid(NAMES.len() as i64) as u32),
        })
    }

    fn segment_id(&self, segment: SegmentIndex) -> &str {
        NAMES[segment.0 as usize]
    }

    fn by_id(&self, id: &str) -> Option<SegmentIndex> {
        let at = NAMES.iter().position(|name| *name == id)?;
        Some(SegmentIndex(at as u32))
    }
}

fn at(north_m: f64, east_m: f64) -> Location {
    Location {
        latitude: 57.7 + north_m * M,
        longitude: 11.97 + east_m * M,
    }
}

fn taxi(device: &str, id: &str, at_s: i64, location: Location, speed_kmh: f64) -> Event {
    Event {
        id: id.into(),
        device_id: device.into(),
        timestamp_us: START_US + at_s * SECOND_US,
        extra: None,
        body: Body::Gps(Gps {
            location,
            speed_kmh,
            vehicle_type: Some("taxi".into()),
            ..Gps::default()
        }),
    }
}

fn fix(at_s: i64, north_m: f64, speed_kmh: f64) -> Event {
    taxi(
        "t",
        &format!("{at_s}/{north_m}"),
        at_s,
        at(north_m, 0.0),
        speed_kmh,
    )
}

struct Judge {
    tracker: Tracker<()>,
    offset: i64,
}

impl Judge {
    fn new() -> Self {
        Self {
            tracker: Tracker::new(Limits::default()),
            offset: 0,
        }
    }

    fn judge(&mut self, event: &Event) -> Verdict {
        self.judge_at(event, i64::MIN)
    }

    fn judge_at(&mut self, event: &Event, watermark_us: i64) -> Verdict {
        let offset = self.offset;
        self.offset += 1;
        self.tracker
            .judge(event, offset, event.timestamp_us, watermark_us, &Chessboard)
    }

    fn accepted(&mut self, event: &Event) -> Accepted {
        match self.judge(event) {
            Verdict::Accepted(accepted) => accepted,
            other => panic!("{other:?}"),
        }
    }

    fn cells(&mut self) -> Vec<tracks::TrackerCell> {
        self.tracker.drain_cells(self.offset, &Chessboard)
    }
}

#[test]
fn the_same_id_counts_once() {
    let mut judge = Judge::new();
    judge.accepted(&fix(0, 0.0, 30.0));
    assert_eq!(judge.judge(&fix(0, 0.0, 30.0)), Verdict::Duplicate);
    judge.accepted(&taxi("u", "0/0", 0, at(0.0, 0.0), 30.0));
}

#[test]
fn a_late_duplicate_of_a_jump_does_not_confirm_it() {
    let mut judge = Judge::new();
    let all_closed = START_US + 3600 * SECOND_US;
    judge.judge_at(&fix(0, 0.0, 30.0), all_closed);
    let jump = fix(1, 5000.0, 30.0);
    assert_eq!(judge.judge_at(&jump, all_closed), Verdict::Teleport);
    assert_eq!(judge.judge_at(&jump, all_closed), Verdict::Duplicate);
}

#[test]
fn bad_fixes_are_told_apart() {
    let mut judge = Judge::new();
    judge.accepted(&fix(0, 0.0, 30.0));
    let nowhere = taxi("t", "n", 1, Location::default(), 30.0);
    assert_eq!(judge.judge(&nowhere), Verdict::NullIsland);
    let mut vague = fix(2, 10.0, 30.0);
    if let Body::Gps(gps) = &mut vague.body {
        gps.accuracy_m = Some(500.0);
    }
    assert_eq!(judge.judge(&vague), Verdict::Inaccurate);
    assert_eq!(judge.judge(&fix(3, 100_000.0, 30.0)), Verdict::Teleport);
    judge.accepted(&fix(4, 20.0, 30.0));
}

#[test]
fn how_fast_is_possible_depends_on_the_vehicle() {
    // 250 km/h, long enough that noise does not explain it: too fast for a taxi,
    // possible for a car.
    let away = at(250.0 / 3.6 * 120.0, 0.0);
    let mut judge = Judge::new();
    judge.accepted(&fix(0, 0.0, 30.0));
    assert_eq!(
        judge.judge(&taxi("t", "x", 120, away, 30.0)),
        Verdict::Teleport
    );
    let car = |id: &str, at_s: i64, location| Event {
        body: Body::Vehicle(Vehicle {
            location,
            speed_kmh: 30.0,
            ..Vehicle::default()
        }),
        ..taxi("c", id, at_s, location, 30.0)
    };
    judge.accepted(&car("1", 0, at(0.0, 0.0)));
    judge.accepted(&car("2", 120, away));
}

#[test]
fn a_jump_that_the_next_fix_confirms_is_believed_and_is_no_way_driven() {
    let mut judge = Judge::new();
    judge.accepted(&fix(0, 0.0, 30.0));
    assert_eq!(judge.judge(&fix(1, 50_000.0, 30.0)), Verdict::Teleport);
    judge.accepted(&fix(2, 50_010.0, 30.0));
    let (_, track) = judge.tracker.by_id("t").unwrap();
    assert_eq!(track.location(), at(50_010.0, 0.0));
    assert_eq!(track.distance_today_m(), 0.0);
}

#[test]
fn an_older_fix_is_accepted_and_changes_nothing() {
    let mut judge = Judge::new();
    judge.accepted(&fix(10, 100.0, 30.0));
    let older = judge.accepted(&fix(5, 50.0, 30.0));
    assert!(!older.in_order);
    let (_, track) = judge.tracker.by_id("t").unwrap();
    assert_eq!(track.location(), at(100.0, 0.0));
    assert_eq!(judge.judge(&fix(6, 90_000.0, 30.0)), Verdict::Teleport);
}

#[test]
fn a_vehicle_moves_stops_parks_and_ends_its_trip() {
    let mut judge = Judge::new();
    judge.accepted(&fix(0, 0.0, 0.0));
    let sets_off = judge.accepted(&fix(10, 100.0, 36.0));
    assert_eq!(sets_off.trip.started_at_us, Some(START_US + 10 * SECOND_US));
    assert_eq!((sets_off.motion, sets_off.parked), (Motion::Moving, false));
    judge.accepted(&fix(20, 200.0, 36.0));
    assert_eq!(judge.accepted(&fix(40, 201.0, 0.0)).motion, Motion::Moving);
    assert_eq!(judge.accepted(&fix(60, 202.0, 0.0)).motion, Motion::Stopped);
    assert!(judge.accepted(&fix(150, 200.0, 0.0)).parked);
    let ends = judge.accepted(&fix(330, 201.0, 0.0));
    let trip = Trip {
        started_at_us: START_US + 10 * SECOND_US,
        ended_at_us: START_US + 20 * SECOND_US,
    };
    assert_eq!(ends.trip.ended, Some(trip));
    let (_, track) = judge.tracker.by_id("t").unwrap();
    assert!((track.distance_today_m() - 200.0).abs() < 0.01);
    assert_eq!(track.trip_started_us(), None);
    assert_eq!(track.last_trip(false), Some(trip));
}

#[test]
fn a_silent_vehicle_has_ended_its_trip_as_far_as_is_known() {
    let mut judge = Judge::new();
    judge.accepted(&fix(0, 0.0, 36.0));
    judge.accepted(&fix(10, 100.0, 36.0));
    let (_, track) = judge.tracker.by_id("t").unwrap();
    assert_eq!(track.last_trip(false), None);
    let ended_at_us = START_US + 10 * SECOND_US;
    let trip = Trip {
        started_at_us: START_US,
        ended_at_us,
    };
    assert_eq!(track.last_trip(true), Some(trip));
    judge.accepted(&fix(100, 1000.0, 36.0));
    let (_, track) = judge.tracker.by_id("t").unwrap();
    assert_eq!(
        (track.trip_started_us(), track.last_trip(false)),
        (Some(START_US), None),
        "it went on"
    );
}

#[test]
fn a_device_tells_of_its_bad_fixes_and_stays_where_it_was() {
    let mut judge = Judge::new();
    assert_eq!(
        judge.judge(&taxi("t", "0", 0, Location::default(), 0.0)),
        Verdict::NullIsland
    );
    assert!(judge.tracker.is_empty(), "nothing is known of it yet");
    judge.accepted(&fix(1, 0.0, 30.0));
    let bad = |judge: &Judge| judge.tracker.by_id("t").unwrap().1.bad_fixes();
    assert_eq!(bad(&judge), None);
    judge.judge(&taxi("t", "2", 2, Location::default(), 0.0));
    let flagged = |count, reason, at_s| BadFixes {
        count,
        reason,
        at_us: START_US + at_s * SECOND_US,
    };
    assert_eq!(bad(&judge), Some(flagged(1, Doubt::NullIsland, 2)));
    let mut vague = fix(3, 10.0, 30.0);
    let Body::Gps(gps) = &mut vague.body else {
        panic!("a taxi has a receiver");
    };
    gps.accuracy_m = Some(5_000.0);
    assert_eq!(judge.judge(&vague), Verdict::Inaccurate);
    assert_eq!(bad(&judge), Some(flagged(2, Doubt::Inaccurate, 3)));
    assert_eq!(judge.judge(&fix(4, 90_000.0, 30.0)), Verdict::Teleport);
    // Behind the newest, and nowhere near it.
    assert_eq!(judge.judge(&fix(0, 90_000.0, 30.0)), Verdict::Teleport);
    assert_eq!(bad(&judge), Some(flagged(4, Doubt::Teleport, 0)));
    judge.accepted(&fix(5, 20.0, 30.0));
    let (_, track) = judge.tracker.by_id("t").unwrap();
    assert_eq!(track.location(), at(20.0, 0.0));
    assert_eq!(track.bad_fixes().map(|bad| bad.count), Some(4));
}

#[test]
fn the_distance_of_the_day_begins_with_the_utc_day() {
    let midnight = 1_699_920_000 + 86_400;
    let from_start = midnight - START_US / SECOND_US;
    let mut judge = Judge::new();
    judge.accepted(&fix(from_start - 20, 0.0, 36.0));
    judge.accepted(&fix(from_start - 10, 100.0, 36.0));
    judge.accepted(&fix(from_start + 10, 300.0, 36.0));
    let (_, track) = judge.tracker.by_id("t").unwrap();
    assert!(
        (track.distance_today_m() - 200.0).abs() < 0.01,
        "{}",
        track.distance_today_m()
    );
}

#[test]
fn without_a_heading_the_way_tells_it() {
    let mut judge = Judge::new();
    judge.accepted(&fix(0, 0.0, 30.0));
    let north = judge.accepted(&fix(10, 100.0, 30.0));
    assert!(north.heading_deg.unwrap().abs() < 0.1);
}

#[test]
fn a_trail_is_to_a_centimetre_and_its_newest_fix_as_it_was_sent() {
    let mut judge = Judge::new();
    let sent: Vec<Location> = (0..25)
        .map(|number| at(f64::from(number) * 10.0 + 0.123_456_789, 3.3))
        .collect();
    for (at_s, location) in (0..).zip(&sent) {
        judge.accepted(&taxi("t", &at_s.to_string(), at_s, *location, 36.123_456));
    }
    let (_, track) = judge.tracker.by_id("t").unwrap();
    let trail: Vec<_> = track.trail().collect();
    assert_eq!((trail.len(), track.trail_len()), (20, 20));
    assert_eq!(
        (trail[19].location, trail[19].speed_kmh),
        (sent[24], 36.123_456)
    );
    for (point, sent) in trail.iter().zip(&sent[5..]) {
        assert!((point.location.latitude - sent.latitude).abs() < 0.6e-7);
        assert!((point.location.longitude - sent.longitude).abs() < 0.6e-7);
        assert!((point.speed_kmh - 36.123_456).abs() < 0.6e-4);
    }
}

#[test]
fn ids_beyond_the_limit_are_forgotten_oldest_first() {
    let limits = Limits {
        ids: 10,
        ..Limits::default()
    };
    let mut tracker: Tracker<()> = Tracker::new(limits);
    for n in 0..30 {
        let event = fix(n * 10, n as f64, 30.0);
        tracker.judge(&event, n, event.timestamp_us, i64::MIN, &Chessboard);
    }
    assert!(tracker.ids() <= 10);
    assert!(tracker.ids_forgotten() > 0);
}

#[test]
fn a_device_that_was_silent_for_a_day_begins_anew() {
    let mut judge = Judge::new();
    judge.accepted(&fix(0, 0.0, 36.0));
    judge.accepted(&fix(10, 100.0, 36.0));
    judge.cells();
    judge
        .tracker
        .forget_silent(START_US + 25 * 3600 * SECOND_US);
    assert!(judge.tracker.is_empty());
    let cells = judge.cells();
    assert!(cells.contains(&("track:t".to_owned(), None)), "{cells:?}");
}

/// Fixes of three devices around two places, some far away, some twice.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = (
        0..3u8,
        0..400i64,
        0..3000i64,
        0..60u8,
        0..12u8,
        any::<bool>(),
    );
    let one = one.prop_map(|(device, at_s, north_dm, speed, kind, round)| {
        let north_m = north_dm as f64 / 10.0;
        let location = match kind {
            0 => Location::default(),
            1 => at(north_m + 60_000.0, 0.0),
            _ if round => Location {
                latitude: (at(north_m, 0.0).latitude * 1e6).round() / 1e6,
                longitude: 11.97,
            },
            _ => at(north_m, 3.3),
        };
        taxi(
            &format!("d{device}"),
            &format!("{at_s}"),
            at_s,
            location,
            f64::from(speed) / 2.0,
        )
    });
    prop::collection::vec(one, 1..150)
}

fn shown(tracker: &Tracker<()>) -> Vec<String> {
    let mut all: Vec<String> = tracker
        .tracks()
        .map(|(_, track)| {
            format!(
                "{} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {:?}",
                track.device_id(),
                track.order(),
                track.appended_at_us(),
                track.heading_deg(),
                track.segment(),
                track.last_moved_us(),
                track.trip_started_us(),
                track.last_trip(false),
                track.bad_fixes(),
                track.distance_today_m(),
                track.trail().collect::<Vec<_>>(),
            )
        })
        .collect();
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Restart from cells at any checkpoint: the same verdicts and tracks.
    #[test]
    fn a_restart_decides_the_same(all in events(), cuts in prop::collection::vec(0..150usize, 0..4)) {
        let mut whole = Judge::new();
        let mut broken = Judge::new();
        let mut stored = std::collections::BTreeMap::new();
        let mut newest_us = i64::MIN;
        for (offset, event) in all.iter().enumerate() {
            newest_us = newest_us.max(event.timestamp_us);
            let watermark_us = newest_us - 60 * SECOND_US;
            if cuts.contains(&offset) {
                broken.tracker.pass(watermark_us);
                for (key, value) in broken.cells() {
                    match value {
                        Some(value) => stored.insert(key, value),
                        None => stored.remove(&key),
                    };
                }
                broken.tracker = Tracker::new(Limits::default());
                for (key, value) in &stored {
                    prop_assert!(broken.tracker.restore_cell(key, value, &Chessboard), "{}", key);
                }
            }
            prop_assert_eq!(whole.judge_at(event, watermark_us), {
                // Slots may be numbered anew.
                let verdict = broken.judge_at(event, watermark_us);
                match (verdict, whole.tracker.by_id(&event.device_id)) {
                    (Verdict::Accepted(accepted), Some((device, _))) => Verdict::Accepted(Accepted { device, ..accepted }),
                    (verdict, _) => verdict,
                }
            });
        }
        prop_assert_eq!(shown(&whole.tracker), shown(&broken.tracker));
    }

    /// Whatever the order of arrival, the newest by event time is last known.
    #[test]
    fn the_last_known_place_is_the_newest(
        times in prop::collection::hash_set(0..500i64, 1..60),
        seed in any::<u64>(),
    ) {
        let mut times: Vec<i64> = times.into_iter().collect();
        times.sort_by_key(|at_s| tracks::hash64(seed, &at_s.to_le_bytes()));
        let mut judge = Judge::new();
        for at_s in &times {
            judge.accepted(&fix(*at_s, *at_s as f64 * 10.0, 36.0));
        }
        let newest = *times.iter().max().unwrap();
        let (_, track) = judge.tracker.by_id("t").unwrap();
        prop_assert_eq!(track.location(), at(newest as f64 * 10.0, 0.0));
        prop_assert_eq!(track.order().0, START_US + newest * SECOND_US);
    }

    /// A stored track cannot be mistaken for another; bytes of any kind are read
    /// or refused.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut tracker: Tracker<()> = Tracker::new(Limits::default());
        tracker.restore_cell("track:x", &bytes, &Chessboard);
        tracker.restore_cell("ids:60000000:1", &bytes, &Chessboard);
    }
}
