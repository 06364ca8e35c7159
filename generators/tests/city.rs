//! The simulated city keeps its promises: the same seed, the same city;
//! position, heading and speed agree; lanes, rush hours and incidents are right.

use std::collections::HashMap;

use events::{Body, Event, Location, Stream};
use generators::city::{City, Message};
use generators::{Dirt, GeneratorConfig, Rate};
use streets::StreetNetwork;

const SECOND_US: i64 = 1_000_000;
/// Monday 2026-05-04, 06:00 UTC: 07:00 local time.
const MORNING_US: i64 = 1_777_874_400_000_000;

fn config() -> GeneratorConfig {
    GeneratorConfig {
        vehicles: 120,
        cameras: 20,
        stations: 8,
        dirt: Dirt::NONE,
        ..GeneratorConfig::default()
    }
}

fn run(config: &GeneratorConfig, start_us: i64, seconds: i64) -> Vec<Message> {
    let mut city = City::new(StreetNetwork::gothenburg(), config, start_us);
    (0..seconds * 2)
        .flat_map(|half| city.step(start_us + half * SECOND_US / 2))
        .collect()
}

fn decoded(messages: &[Message]) -> Vec<Event> {
    let decode =
        |message: &Message| events::decode(message.stream, &message.value, message.timestamp_us);
    messages
        .iter()
        .map(|message| decode(message).expect("a clean city sends what can be read"))
        .collect()
}

/// Location, speed and heading of a fix.
fn fix(event: &Event) -> Option<(Location, f64, f64)> {
    match &event.body {
        Body::Vehicle(vehicle) => {
            Some((vehicle.location, vehicle.speed_kmh, vehicle.direction_deg?))
        }
        Body::Gps(gps) => Some((gps.location, gps.speed_kmh, gps.direction_deg?)),
        _ => None,
    }
}

fn fixes_by_device(events: &[Event]) -> HashMap<&str, Vec<&Event>> {
    let mut by_device: HashMap<&str, Vec<&Event>> = HashMap::new();
    for event in events.iter().filter(|event| fix(event).is_some()) {
        by_device.entry(&event.device_id).or_default().push(event);
    }
    by_device
}

fn turn_deg(a: f64, b: f64) -> f64 {
    ((b - a + 180.0).rem_euclid(360.0) - 180.0).abs()
}

#[test]
fn same_seed_and_start_give_the_same_bytes() {
    let config = GeneratorConfig {
        dirt: Dirt::default(),
        ..config()
    };
    let (first, second) = (run(&config, MORNING_US, 120), run(&config, MORNING_US, 120));
    assert!(first.len() > 120 * 120);
    assert!(first == second);
    let other = run(&GeneratorConfig { seed: 2, ..config }, MORNING_US, 20);
    assert!(other[..100] != first[..100]);
}

#[test]
fn event_ids_are_never_repeated() {
    let dirt = Dirt {
        duplicate: 0.2,
        ..Dirt::NONE
    };
    let events = decoded(&run(&GeneratorConfig { dirt, ..config() }, MORNING_US, 60));
    let mut ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), events.len());
}

#[test]
fn position_heading_and_speed_agree_for_an_hour() {
    let events = decoded(&run(&config(), MORNING_US, 3_600));
    let (mut pairs, mut moving, mut speed_off, mut heading_off) = (0, 0, 0, 0);
    for fixes in fixes_by_device(&events).values() {
        for pair in fixes.windows(2) {
            let (Some((from, ..)), Some((to, speed_kmh, heading_deg))) =
                (fix(pair[0]), fix(pair[1]))
            else {
                continue;
            };
            let dt_s = (pair[1].timestamp_us - pair[0].timestamp_us) as f64 / 1e6;
            assert!((dt_s - 1.0).abs() < 1e-6, "one fix a second, got {dt_s}");
            let implied_kmh = from.distance_m(to) / dt_s * 3.6;
            pairs += 1;
            speed_off += usize::from((implied_kmh - speed_kmh).abs() > 2.0);
            if implied_kmh > 5.0 {
                moving += 1;
                heading_off += usize::from(turn_deg(from.bearing_deg(to), heading_deg) > 10.0);
            }
            assert!(
                implied_kmh < 115.0,
                "{} drove {implied_kmh} km/h",
                pair[1].device_id
            );
        }
    }
    assert!(pairs > 400_000 && moving > pairs / 5, "{pairs} {moving}");
    assert!(
        speed_off * 1_000 < pairs,
        "{speed_off} of {pairs} speeds disagree"
    );
    assert!(
        heading_off * 1_000 < moving,
        "{heading_off} of {moving} headings disagree"
    );
}

#[test]
fn speed_changes_like_a_vehicles() {
    let events = decoded(&run(&config(), MORNING_US, 900));
    let (mut pairs, mut harsh) = (0, 0);
    for fixes in fixes_by_device(&events).values() {
        for pair in fixes.windows(2) {
            let (Some((_, before, _)), Some((_, after, _))) = (fix(pair[0]), fix(pair[1])) else {
                continue;
            };
            pairs += 1;
            harsh += usize::from((after - before).abs() / 3.6 > 7.0);
        }
    }
    assert!(
        harsh * 500 < pairs,
        "{harsh} of {pairs} changes are harsher than 7 m/s2"
    );
}

#[test]
fn lanes_and_limits_are_respected() {
    let streets = StreetNetwork::gothenburg();
    let events = decoded(&run(&config(), MORNING_US, 900));
    let (mut moving, mut off_road, mut against, mut left) = (0, 0, 0, 0);
    for (location, speed_kmh, heading_deg) in events
        .iter()
        .filter_map(fix)
        .filter(|(_, speed, _)| *speed > 15.0)
    {
        moving += 1;
        let Some(near) = streets.nearest(location, Some(heading_deg), 12.0) else {
            off_road += 1;
            continue;
        };
        let segment = streets.segment(near.segment);
        let mut start_m = 0.0;
        let piece = segment.line.windows(2).find(|pair| {
            start_m += pair[0].distance_m(pair[1]);
            start_m + 0.01 >= near.offset_m
        });
        let Some([from, to]) = piece else { continue };
        let along_deg = from.bearing_deg(*to);
        against += usize::from(segment.one_way && turn_deg(along_deg, heading_deg) > 90.0);
        let is_forward = turn_deg(along_deg, heading_deg) < 90.0;
        let side = (from.bearing_deg(location) - along_deg).to_radians().sin();
        let is_far_from_ends = near.offset_m > 15.0 && near.offset_m < segment.length_m - 15.0;
        left +=
            usize::from(is_far_from_ends && near.distance_m > 0.5 && (side > 0.0) != is_forward);
        assert!(speed_kmh < 115.0);
    }
    assert!(moving > 10_000, "{moving}");
    for (name, count) in [
        ("off the road", off_road),
        ("against a one-way street", against),
        ("on the left", left),
    ] {
        assert!(count * 50 < moving, "{count} of {moving} fixes are {name}");
    }
}

#[test]
fn rush_hour_has_more_traffic_than_the_night() {
    let share_moving = |start_us| {
        // Ten minutes in, so that trips and pauses have found their balance.
        let events = decoded(&run(&config(), start_us, 1_200));
        let late = events
            .iter()
            .filter(|event| event.timestamp_us > start_us + 600 * SECOND_US);
        let speeds: Vec<f64> = late.filter_map(fix).map(|(_, speed, _)| speed).collect();
        speeds.iter().filter(|speed| **speed > 1.0).count() as f64 / speeds.len() as f64
    };
    let (rush, night) = (
        share_moving(MORNING_US),
        share_moving(MORNING_US - 5 * 3_600 * SECOND_US),
    );
    assert!(rush > night * 1.25, "{rush} {night}");
}

#[test]
fn seventy_percent_send_vehicle_data_and_a_device_stays_in_its_stream() {
    let events = decoded(&run(&config(), MORNING_US, 10));
    let mut streams: HashMap<&str, Stream> = HashMap::new();
    for event in events.iter().filter(|event| fix(event).is_some()) {
        assert_eq!(
            *streams.entry(&event.device_id).or_insert(event.stream()),
            event.stream()
        );
    }
    let cars = streams
        .values()
        .filter(|stream| **stream == Stream::VehicleData)
        .count();
    assert_eq!((streams.len(), cars), (120, 84));
}

#[test]
fn incidents_live_in_order_and_end() {
    let config = GeneratorConfig {
        vehicles: 20,
        cameras: 0,
        stations: 0,
        incidents: 20,
        ..config()
    };
    let events = decoded(&run(&config, MORNING_US, 5_400));
    let mut lives: HashMap<&str, Vec<(&str, i64)>> = HashMap::new();
    for event in &events {
        if let Body::Incident(incident) = &event.body {
            lives
                .entry(&incident.incident_id)
                .or_default()
                .push((&incident.status, event.timestamp_us));
        }
    }
    assert!(lives.len() > 20);
    let rank = |status: &str| {
        ["Active", "Dispatched", "OnScene", "Resolved"]
            .iter()
            .position(|name| *name == status)
    };
    let mut ended = 0;
    for life in lives.values() {
        assert!(
            life.windows(2)
                .all(|pair| rank(pair[0].0) <= rank(pair[1].0) && pair[0].1 <= pair[1].1),
            "{life:?}"
        );
        assert!(
            life.windows(2)
                .all(|pair| pair[1].1 - pair[0].1 <= 61 * SECOND_US || pair[0].1 < MORNING_US),
            "{life:?}"
        );
        assert_eq!(life[0].0, "Active");
        let ends = life
            .iter()
            .filter(|(status, _)| *status == "Resolved")
            .count();
        ended += ends;
        assert!(ends <= 1 && (ends == 0 || life[life.len() - 1].0 == "Resolved"));
    }
    assert!(ended > 10, "{ended}");
}

#[test]
fn stations_speak_at_once_and_say_plausible_things() {
    let config = GeneratorConfig {
        vehicles: 0,
        stations: 50,
        cameras: 0,
        incidents: 0,
        ..config()
    };
    let mut city = City::new(StreetNetwork::gothenburg(), &config, MORNING_US);
    assert_eq!(city.step(MORNING_US).len(), 50);
    let (mut coldest, mut warmest) = (f64::MAX, f64::MIN);
    for minute in 1..24 * 60 {
        for event in decoded(&city.step(MORNING_US + minute * 60 * SECOND_US)) {
            let Body::Weather(weather) = event.body else {
                continue;
            };
            let temperature = weather.temperature.expect("has one");
            (coldest, warmest) = (coldest.min(temperature), warmest.max(temperature));
            assert!((0.0..=100.0).contains(&weather.humidity.expect("has one")));
            assert!((0.0..=500.0).contains(&weather.air_quality_index.expect("has one")));
            assert!(
                weather.visibility.expect("has one") > 0.0
                    && weather.wind_speed.expect("has one") >= 0.0
            );
            let is_wet = weather.precipitation.expect("has one") > 0.0;
            let says_wet = matches!(weather.weather_condition.as_deref(), Some("Rain" | "Snow"));
            assert!(!is_wet || says_wet);
        }
    }
    assert!(
        (4.0..20.0).contains(&(warmest - coldest)),
        "{coldest} to {warmest}"
    );
}

#[test]
fn dirt_has_its_shares() {
    let dirt = Dirt {
        late: 0.02,
        duplicate: 0.02,
        out_of_order: 0.02,
        null_island: 0.02,
        teleport: 0.02,
        malformed: 0.02,
    };
    let config = GeneratorConfig {
        vehicles: 500,
        cameras: 0,
        stations: 0,
        incidents: 0,
        dirt,
        ..config()
    };
    let messages = run(&config, MORNING_US, 300);
    let sent = 500.0 * 300.0;
    let center = StreetNetwork::gothenburg().center();
    let (mut malformed, mut null_island, mut teleport, mut behind, mut late) = (0, 0, 0, 0, 0);
    let mut newest: HashMap<String, i64> = HashMap::new();
    let mut times: HashMap<(String, i64), usize> = HashMap::new();
    for message in &messages {
        *times
            .entry((message.device_id.to_string(), message.timestamp_us))
            .or_default() += 1;
        let last = newest.entry(message.device_id.to_string()).or_insert(0);
        behind += usize::from(message.timestamp_us < *last);
        late += usize::from(message.timestamp_us < *last - 5 * SECOND_US);
        *last = (*last).max(message.timestamp_us);
        match events::decode(message.stream, &message.value, message.timestamp_us) {
            Err(_) => malformed += 1,
            Ok(event) => {
                let location = event.location().expect("a fix has a place");
                null_island += usize::from(location.is_null_island());
                let distance_m = location.distance_m(center);
                teleport += usize::from(!location.is_null_island() && distance_m > 30_000.0);
            }
        }
    }
    let duplicate = times.values().filter(|count| **count > 1).count();
    let share = |count: usize| count as f64 / sent;
    for (name, count) in [
        ("malformed", malformed),
        ("null island", null_island),
        ("duplicate", duplicate),
    ] {
        assert!(
            (0.017..0.023).contains(&share(count)),
            "{name}: {}",
            share(count)
        );
    }
    // A jump of less than 30 km is not counted here, nor what is still held back.
    assert!(
        (0.015..0.022).contains(&share(teleport)),
        "teleport: {}",
        share(teleport)
    );
    assert!(
        (0.012..0.021).contains(&share(late)),
        "late: {}",
        share(late)
    );
    assert!(
        (0.014..0.024).contains(&share(behind - late)),
        "out of order: {}",
        share(behind - late)
    );
}

#[test]
fn a_rate_is_met_and_a_stall_is_no_burst() {
    let config = GeneratorConfig {
        rate: Rate::EventsPerSecond(1_500.0),
        incidents: 0,
        dirt: Dirt::default(),
        ..config()
    };
    let mut city = City::new(StreetNetwork::gothenburg(), &config, MORNING_US);
    let sent: usize = (1..=300)
        .map(|tick| city.step(MORNING_US + tick * SECOND_US / 10).len())
        .sum();
    assert!((1_450.0..1_560.0).contains(&(sent as f64 / 30.0)), "{sent}");
    let after_stall = city.step(MORNING_US + 600 * SECOND_US).len();
    assert!(after_stall < 2 * city.device_count(), "{after_stall}");
}
